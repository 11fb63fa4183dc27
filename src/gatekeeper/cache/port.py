"""The port of the cache room: what every cache promises, whatever it is made of.

A cache holds one immutable value for each customer. It knows two things about a value: its
`version` (the customer's version in the database, the epoch of DESIGN section 8) and the moment
from which it is out of date by itself. What else is in it is nobody's business here.

How old may a served value be? Never older than `CachePolicy.ttl_seconds`, counted from the start
of the read that produced it. `Freshness` says when it is much less than that.
"""

import enum
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

from gatekeeper.errors import SettingsError

MAX_TTL_SECONDS: Final = 30.0
"""Revoked access is denied within this time whatever happens to Redis (invariant 9)."""

MAX_READS: Final = 3
"""How often one `get_or_load` reads when each read is overtaken by an invalidation."""

Monotonic = Callable[[], float]
"""Returns seconds that never run backwards, like `time.monotonic`."""


class Versioned(Protocol):
    """What a cache has to know about a value."""

    @property
    def version(self) -> int:
        """The customer's version in the database when the value was read; it only grows."""

    @property
    def valid_until(self) -> datetime | None:
        """The moment from which the value is out of date by itself; None if there is none."""


V = TypeVar("V", bound=Versioned)

Load = Callable[[], Awaitable[V]]
"""Reads the value from the database."""


class Codec(Protocol[V]):
    """Turns a value into bytes and back, for a cache outside this process.

    `decode` may raise anything for bytes that it does not know (another release may have written
    them): they count as not cached. It must never execute what it reads: no pickle.
    """

    def encode(self, value: V) -> bytes:
        """The value as bytes."""

    def decode(self, data: bytes) -> V:
        """The value that `encode` made these bytes of."""


class Freshness(enum.Enum):
    """What bounds the age of a hit at this moment."""

    HEARD = "heard"
    """Invalidations are heard as they happen: within a fraction of a second no hit is outdated."""

    ASKED = "asked"
    """They are not heard, but Redis answers: it is asked again after a fraction of a second."""

    BOUNDED = "bounded"
    """There is no Redis, or it does not answer: the time to live is the only bound."""


@dataclass(slots=True)
class CacheStats:
    """What happened since the cache was made. Hits are not counted: that would slow them down."""

    loads: int = 0
    """Reads of the database that returned a value."""
    load_failures: int = 0
    """Reads of the database that raised."""
    refused: int = 0
    """Values that were not stored because a newer version was known."""
    evicted: int = 0
    """Values that made room for others."""
    invalidations: int = 0
    """Calls of `invalidate` in this process."""
    heard: int = 0
    """Invalidations heard through Redis, this process's own among them."""
    shared_hits: int = 0
    """Values found in Redis."""
    shared_misses: int = 0
    """Look-ups in Redis that found no usable value."""
    shared_failures: int = 0
    """Commands that Redis did not answer, or answered with an error."""
    not_understood: int = 0
    """Values that the codec refused, and messages that no cache had written."""
    subscriptions: int = 0
    """Subscriptions to invalidations; each one after the first means that some may be missing."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """The bounds of every cache.

    Raises:
        SettingsError: a bound is outside what the invariants allow.
    """

    ttl_seconds: float = MAX_TTL_SECONDS
    """The longest time for which a value is served, from the start of the read that produced it."""

    max_customers: int = 10_000
    """How many values this process keeps, at most."""

    def __post_init__(self) -> None:
        faults = []
        if not 0 < self.ttl_seconds <= MAX_TTL_SECONDS:
            faults.append(
                f"cache ttl_seconds is {self.ttl_seconds}; it must be above 0 and at most "
                f"{MAX_TTL_SECONDS:g}, the bound within which revoked access is denied"
            )
        if self.max_customers < 1:
            faults.append(f"cache max_customers is {self.max_customers}; it must be at least 1")
        if faults:
            raise SettingsError(faults)


class Cache(ABC, Generic[V]):
    """One immutable value for each customer.

    `peek` and `last_known` may be called from any thread, the rest on the event loop. No method
    raises because a cache is ill; `get_or_load` raises what `load` raised.
    """

    stats: CacheStats
    is_shared: bool = False
    """Whether other processes are told of invalidations, when all is well."""

    @property
    @abstractmethod
    def freshness(self) -> Freshness:
        """What bounds the age of a hit at this moment."""

    @abstractmethod
    def peek(self, customer: str) -> V | None:
        """The customer's value if this process holds one that may be served; else None.

        Synchronous and without I/O: this is the path of every request.
        """

    @abstractmethod
    async def get_or_load(self, customer: str, load: Load[V]) -> V:
        """The customer's value, from this cache or else from `load`.

        Callers that miss at the same moment share one `load`, which runs in a task of its own:
        a caller that is cancelled takes nothing from the others. When `load` raises, all of them
        get its error and nothing is stored. A value that an invalidation overtook while it was
        being read is read again; after `MAX_READS` reads the last one is returned without being
        stored, for the database is the truth and a cache never overrules it.

        Raises:
            UnavailableError: the cache was closed during the load.
        """

    @abstractmethod
    async def invalidate(self, customer: str, version: int) -> None:
        """Forget everything of the customer's below `version`, here and in every other process.

        Call it after the commit that made `version`. From its return on, no value below `version`
        is stored or served by this process; the others follow by the bound of their `freshness`.
        """

    @abstractmethod
    def last_known(self, customer: str) -> V | None:
        """The last value that was seen, even if its time is over, for the outage policy of a
        feature. None if it was evicted or is below a version that was invalidated."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop what runs in the background and close connections. Calling it twice is fine."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
