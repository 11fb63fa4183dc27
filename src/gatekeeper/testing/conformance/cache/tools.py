"""What tests of a cache work with: samples, a database of one customer, and time moved by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import msgspec
import pytest

from gatekeeper.cache.port import Cache, CachePolicy

PATIENCE_SECONDS: Final = 20.0
"""How long a test waits for something that another task has to do; a limit, not a pause."""


class Sample(msgspec.Struct, frozen=True):
    """The smallest value that a cache can hold."""

    version: int
    valid_until: datetime | None = None


class SampleCodec:
    """Samples as JSON."""

    def encode(self, value: Sample) -> bytes:
        """The sample as JSON."""
        return msgspec.json.encode(value)

    def decode(self, data: bytes) -> Sample:
        """The sample of this JSON."""
        return msgspec.json.decode(data, type=Sample)


@dataclass(slots=True)
class ManualTime:
    """Two clocks, as a process has them, that only a test moves."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    uptime_seconds: float = 1_000.0

    def clock(self) -> datetime:
        """The wall clock."""
        return self.now

    def monotonic(self) -> float:
        """The clock that never runs backwards."""
        return self.uptime_seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.uptime_seconds += seconds
        self.now += timedelta(seconds=seconds)


CacheFactory = Callable[[CachePolicy, ManualTime], Cache[Sample]]


class Source:
    """A database with one customer in it: hands out samples, counts, and waits where told."""

    def __init__(self, version: int = 1) -> None:
        """Hold `version`."""
        self.version = version
        self.valid_until: datetime | None = None
        self.reads = 0
        self.error: Exception | None = None
        self.read = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def load(self) -> Sample:
        """Read at once, as a database's snapshot does, and answer when allowed."""
        self.reads += 1
        error, value = self.error, Sample(self.version, self.valid_until)
        self.read.set()
        await self.may_answer.wait()
        if error is not None:
            raise error
        return value


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; TimeoutError when it takes far too long."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - any state may be waited for, not only events
            await anyio.sleep(0.002)


async def loaded(cache: Cache[Sample], customer: str, source: Source) -> Sample:
    """What `get_or_load` brings, within reasonable time."""
    with anyio.fail_after(PATIENCE_SECONDS):
        return await cache.get_or_load(customer, source.load)


class CacheSuite:
    """What suites share. Override `make_cache`, and `settle` where needed."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def make_cache(self) -> CacheFactory:
        """Makes the cache under test, not yet entered; to be overridden."""
        raise NotImplementedError

    async def settle(self, cache: Cache[Sample]) -> None:
        """Wait until `cache` serves hits up to their time to live; to be overridden if it may not
        do so at once."""

    @pytest.fixture
    def time(self) -> ManualTime:
        """The clocks of the test."""
        return ManualTime()

    @asynccontextmanager
    async def opened(
        self, make_cache: CacheFactory, time: ManualTime, policy: CachePolicy | None = None
    ) -> AsyncIterator[Cache[Sample]]:
        """A cache that is entered and settled."""
        async with make_cache(policy or CachePolicy(), time) as cache:
            await self.settle(cache)
            yield cache
