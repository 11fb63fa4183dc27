"""The map inside the process, L1: a dict, a comparison of times, and a bound on its size."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic

from gatekeeper.cache._floors import Floors
from gatekeeper.cache.port import CachePolicy, CacheStats, Freshness, Monotonic, V
from gatekeeper.types import Clock

MAX_SECOND_CHANCES: Final = 8
"""How many used entries one eviction spares at most, so that its cost is bounded."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[V]):
    value: V
    confirmed_at: float
    """When the read that showed the value to be the latest was begun (monotonic)."""
    expires_at: float
    """When its time to live is over (monotonic)."""
    valid_until: datetime | None
    used: bool


class LocalMap(Generic[V]):
    """Holds the values of this process and decides which of them may be served.

    An entry is served until its time to live is over or its `valid_until` has come. Beside a
    Redis that is not enough: another process may have invalidated it. So there

    - it is served if every invalidation since its confirmation was heard, that is, if it was
      confirmed after `heard_since` and the present is before `heard_until`;
    - if not, it is served for `fresh_seconds` after its confirmation, and then asked for again;
    - unless there is nobody to ask (`alone`): then its time to live is the only bound.

    Entries stay after their time is over, for `last_known`, until they are evicted or fall below
    a floor. Eviction gives entries that were used a second chance (the clock algorithm), because
    keeping the exact order of use would cost more than the look-up itself.
    """

    def __init__(
        self,
        policy: CachePolicy,
        *,
        stats: CacheStats,
        clock: Clock,
        monotonic: Monotonic,
        fresh_seconds: float = 0.0,
        alone: bool = True,
    ) -> None:
        self._capacity = policy.max_customers
        self.stats = stats
        self._clock = clock
        self._monotonic = monotonic
        self._fresh_seconds = fresh_seconds
        self._entries: OrderedDict[str, _Entry[V]] = OrderedDict()
        self.alone = alone
        self.heard_since = math.inf
        self.heard_until = -math.inf
        self.floors = Floors(
            capacity=policy.max_customers,
            life_seconds=2 * policy.ttl_seconds,
            monotonic=monotonic,
        )

    @property
    def freshness(self) -> Freshness:
        """What bounds the age of a hit at this moment."""
        if self._monotonic() < self.heard_until:
            return Freshness.HEARD
        return Freshness.BOUNDED if self.alone else Freshness.ASKED

    def get(self, customer: str) -> V | None:
        """The customer's value if it may be served. This is the hot path: no calls but clocks."""
        entry = self._entries.get(customer)
        if entry is None:
            return None
        now = self._monotonic()
        if now >= entry.expires_at:
            return None
        if (
            (now >= self.heard_until or entry.confirmed_at < self.heard_since)
            and not self.alone
            and now >= entry.confirmed_at + self._fresh_seconds
        ):
            return None
        if entry.valid_until is not None and self._clock() >= entry.valid_until:
            return None
        entry.used = True
        return entry.value

    def last_known(self, customer: str) -> V | None:
        """The customer's value, whatever its age."""
        entry = self._entries.get(customer)
        return None if entry is None else entry.value

    def is_current(self, value: V) -> bool:
        """Whether the value's own `valid_until` has not come yet."""
        return value.valid_until is None or self._clock() < value.valid_until

    def store(self, customer: str, value: V, confirmed_at: float, expires_at: float) -> bool:
        """Keep `value`, unless a newer version is known; True if it is kept.

        A newer entry gives way only to a read that was begun after it had expired: then the
        database itself has gone back (a restored backup), and the database is right.
        """
        held = self._entries.get(customer)
        if value.version < self.floors.of(customer) or (
            held is not None
            and value.version < held.value.version
            and confirmed_at < held.expires_at
        ):
            self.stats.refused += 1
            return False
        if held is None and len(self._entries) >= self._capacity:
            self._evict_one()
        self._entries[customer] = _Entry(value, confirmed_at, expires_at, value.valid_until, False)
        return True

    def raise_floor(self, customer: str, version: int) -> None:
        """From now on nothing of the customer's below `version` is stored or served."""
        self.floors.raise_to(customer, version)
        entry = self._entries.get(customer)
        if entry is not None and entry.value.version < version:
            del self._entries[customer]

    def begin_hearing(self) -> None:
        """Invalidations are heard from now on; earlier ones may have been missed."""
        self.heard_since = self._monotonic()

    def heard_beat(self, sent_at: float) -> None:
        """Whatever was said before the heartbeat that was sent at `sent_at` has been heard."""
        self.heard_until = max(self.heard_until, sent_at + self._fresh_seconds)

    def stop_hearing(self) -> None:
        """Invalidations are no longer heard."""
        self.heard_since = math.inf
        self.heard_until = -math.inf

    def _evict_one(self) -> None:
        for _ in range(MAX_SECOND_CHANCES):
            customer, entry = next(iter(self._entries.items()))
            if not entry.used:
                break
            entry.used = False
            self._entries.move_to_end(customer)
        self._entries.popitem(last=False)
        self.stats.evicted += 1
