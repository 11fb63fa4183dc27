"""Counters of requests in this process, as a storage of the package `limits`.

Its own storage in memory looks at every key there is with each request, and keeps them all until
their windows are over: whoever comes from many addresses would fill the memory, and slow everybody
down. These are bounded, and a request costs the same however many there are.
"""

import time
from typing import Final

from cachetools import LRUCache
from limits.aio.storage import Storage

MOST: Final = 100_000
"""How many are counted; beyond that, whoever has asked longest ago is counted anew."""


class BoundedCounters(Storage):
    """Fixed windows: how often each key was counted, and until when its window goes."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self._counters: LRUCache[str, tuple[int, float]] = LRUCache(most)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a counter may raise: nothing of its own."""
        return ValueError

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, in a window of `expiry` seconds if none runs; how often by now."""
        now = time.time()
        count, until = self._counters.get(key, (0, 0.0))
        if until <= now:
            count, until = 0, now + expiry
        self._counters[key] = (count + amount, until)
        return count + amount

    async def get(self, key: str) -> int:
        """How often it was counted in the window that runs."""
        count, until = self._counters.get(key, (0, 0.0))
        return count if until > time.time() else 0

    async def get_expiry(self, key: str) -> float:
        """When its window ends, in seconds since 1970; now if none runs."""
        return max(self._counters.get(key, (0, 0.0))[1], time.time())

    async def check(self) -> bool:
        """It is always there."""
        return True

    async def reset(self) -> int:
        """Forget everything; how many were counted."""
        count = len(self._counters)
        self._counters.clear()
        return count

    async def clear(self, key: str) -> None:
        """Forget one key."""
        self._counters.pop(key, None)
