"""The cache of one process: nothing but its own map.

Other processes are not told of an invalidation: there the time to live is the bound.
"""

import time

from gatekeeper.cache._base import LocalCache
from gatekeeper.cache._local import LocalMap
from gatekeeper.cache.port import MAX_READS, CachePolicy, CacheStats, Load, Monotonic, V
from gatekeeper.types import Clock, utc_now


class MemoryCache(LocalCache[V]):
    """Values in a bounded map of this process, each with an expiry of its own."""

    def __init__(
        self,
        policy: CachePolicy | None = None,
        *,
        clock: Clock = utc_now,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        policy = policy or CachePolicy()
        local: LocalMap[V] = LocalMap(policy, stats=CacheStats(), clock=clock, monotonic=monotonic)
        super().__init__(policy, local, monotonic=monotonic)

    async def _fill(self, customer: str, load: Load[V]) -> V:
        for _ in range(MAX_READS):
            begun_at = self._monotonic()
            value = await self._load(load)
            if self._local.store(customer, value, begun_at, begun_at + self.policy.ttl_seconds):
                break
        return value
