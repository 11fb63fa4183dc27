"""Floors: the lowest version that may still be stored or served, for each customer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cachetools import TTLCache

from gatekeeper.cache.port import Monotonic

NO_FLOOR: Final = -1
"""Below every version."""


class Floors:
    """Remembers the versions that customers were invalidated to.

    A floor is needed for as long as an older value may still arrive from somewhere:

    - from a read that is in flight: such customers are pinned, and a pinned floor is never dropped;
    - from Redis, if that could not be told: no value there outlives the time to live, so a floor
      is kept for `life_seconds`, or until `capacity` younger ones have replaced it.

    Floors end, so that a database restored from a backup, with lower versions, is cached again.
    """

    def __init__(self, *, capacity: int, life_seconds: float, monotonic: Monotonic) -> None:
        self._floors: TTLCache[str, int] = TTLCache(capacity, life_seconds, timer=monotonic)
        self._pinned: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._floors)

    def of(self, customer: str) -> int:
        """The customer's floor, or `NO_FLOOR`."""
        return max(self._pinned.get(customer, NO_FLOOR), self._floors.get(customer, NO_FLOOR))

    def raise_to(self, customer: str, version: int) -> None:
        """Raise the customer's floor to `version`; a lower one than it has changes nothing, and
        does not make it live longer, or a floor of a lost database might never end."""
        if customer in self._pinned:
            self._pinned[customer] = max(self._pinned[customer], version)
        if version > self._floors.get(customer, NO_FLOOR):
            self._floors[customer] = version

    @contextmanager
    def pinned(self, customer: str) -> Iterator[None]:
        """Keep the floors that are raised meanwhile, however many they are. Not reentrant."""
        self._pinned[customer] = NO_FLOOR
        try:
            yield
        finally:
            del self._pinned[customer]
