"""What every cache must do, as tests to inherit.

    class TestMyCache(CacheConformance):
        @pytest.fixture
        def make_cache(self) -> CacheFactory:
            return lambda policy, time: MyCache(policy, clock=time.clock, monotonic=time.monotonic)

`SharedCacheConformance` adds what caches must do that share something outside the process. Each
cache that `make_cache` makes there stands for a process of its own.

The tests are `async` and ask for the `anyio` plugin of pytest, on asyncio. Time is moved by hand.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import msgspec
import pytest

from gatekeeper.cache.port import MAX_READS, Cache, CachePolicy
from gatekeeper.errors import UnavailableError

PATIENCE_SECONDS: Final = 20.0
"""How long a test waits for something that another task has to do; a limit, not a pause."""

ODD_CUSTOMERS: Final = ("a:b", "a", "A", "{a}", "b c", "ü", "💳", "a%", "*", "../a", "x" * 255)


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


class CacheConformance:
    """What a cache must do for one process. Override `make_cache`, and `settle` where needed."""

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

    # -- a value and its time ----------------------------------------------------------------------

    async def test_a_miss_loads_and_a_hit_does_not(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """The first question reads the database, the next ones don't."""
        async with self.opened(make_cache, time) as cache:
            source = Source(version=7)
            assert cache.peek("org") is None
            assert cache.last_known("org") is None
            assert await loaded(cache, "org", source) == Sample(7)
            assert cache.peek("org") == Sample(7)
            assert await loaded(cache, "org", source) == Sample(7)
            assert (source.reads, cache.stats.loads) == (1, 1)

    async def test_a_value_is_served_up_to_its_time_to_live_and_not_longer(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """The bound of invariant 9, and `last_known` beyond it."""
        async with self.opened(make_cache, time, CachePolicy(ttl_seconds=20)) as cache:
            await loaded(cache, "org", Source())
            time.advance(19.9)
            await self.settle(cache)
            assert cache.peek("org") == Sample(1)
            time.advance(0.1)
            await self.settle(cache)
            assert cache.peek("org") is None
            assert cache.last_known("org") == Sample(1)

    async def test_the_age_of_a_value_counts_from_the_start_of_its_read(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """A slow read must not make a value younger than what it shows."""
        async with self.opened(make_cache, time) as cache:

            async def slow() -> Sample:
                time.advance(20)
                return Sample(1)

            await cache.get_or_load("org", slow)
            time.advance(10)
            await self.settle(cache)
            assert cache.peek("org") is None

    async def test_a_value_is_not_served_from_its_valid_until_on(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """A period that ends makes a value outdated without any event."""
        async with self.opened(make_cache, time) as cache:
            source = Source()
            source.valid_until = time.now + timedelta(seconds=5)
            await loaded(cache, "org", source)
            time.advance(4.999)
            await self.settle(cache)
            assert cache.peek("org") is not None
            time.advance(0.001)
            assert cache.peek("org") is None
            source.valid_until = None
            assert await loaded(cache, "org", source) == Sample(1)
            assert source.reads == 2
            assert cache.peek("org") == Sample(1)

    async def test_a_wall_clock_that_jumps_moves_valid_until_only(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """Setting the clock back must not make a value live longer."""
        async with self.opened(make_cache, time) as cache:
            source = Source()
            source.valid_until = time.now + timedelta(days=1)
            await loaded(cache, "org", source)
            time.now += timedelta(days=2)
            assert cache.peek("org") is None
            time.now -= timedelta(days=4)
            assert cache.peek("org") is not None
            time.advance(30)
            assert cache.peek("org") is None

    async def test_customers_are_kept_apart(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """Ids are opaque, whatever they hold."""
        async with self.opened(make_cache, time) as cache:
            for number, customer in enumerate(ODD_CUSTOMERS):
                assert await loaded(cache, customer, Source(number)) == Sample(number)
            await cache.invalidate(ODD_CUSTOMERS[0], 1_000)
            assert [cache.peek(customer) for customer in ODD_CUSTOMERS] == [
                None,
                *map(Sample, range(1, len(ODD_CUSTOMERS))),
            ]

    async def test_the_map_is_bounded_and_keeps_what_is_used(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """Any number of customers may come by."""
        async with self.opened(make_cache, time, CachePolicy(max_customers=4)) as cache:
            for number in range(50):
                await loaded(cache, f"org_{number}", Source())
                assert cache.last_known("org_0") is not None
                assert cache.peek("org_0") is not None
            kept = [number for number in range(50) if cache.last_known(f"org_{number}")]
            assert len(kept) == 4
            assert {0, 49} <= set(kept)
            assert cache.stats.evicted == 46

    # -- single flight -----------------------------------------------------------------------------

    async def test_a_hundred_concurrent_misses_load_once(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """A popular customer's expiry is one query, not a stampede."""
        async with self.opened(make_cache, time) as cache:
            source = Source()
            values = await asyncio.gather(*(loaded(cache, "org", source) for _ in range(100)))
            assert values == [Sample(1)] * 100
            assert source.reads == 1

    async def test_a_cancelled_caller_takes_nothing_from_the_others(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """Not even the one whose call began the load."""
        async with self.opened(make_cache, time) as cache:
            source = Source()
            source.may_answer.clear()
            first, second = (
                asyncio.create_task(cache.get_or_load("org", source.load)) for _ in range(2)
            )
            await source.read.wait()
            first.cancel()
            await asyncio.wait((first,))
            assert first.cancelled()
            source.may_answer.set()
            assert await second == Sample(1)
            assert source.reads == 1

    async def test_a_load_that_nobody_waits_for_is_kept(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """The client is gone, its query was made."""
        async with self.opened(make_cache, time) as cache:
            source = Source()
            source.may_answer.clear()
            caller = asyncio.create_task(cache.get_or_load("org", source.load))
            await source.read.wait()
            caller.cancel()
            await asyncio.wait((caller,))
            source.may_answer.set()
            await eventually(lambda: cache.peek("org") == Sample(1))

    async def test_a_load_that_fails_raises_to_all_and_stores_nothing(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """The next caller tries again."""
        async with self.opened(make_cache, time) as cache:
            source = Source()
            source.error = ConnectionError("the database is down")
            answers = await asyncio.gather(
                *(loaded(cache, "org", source) for _ in range(10)), return_exceptions=True
            )
            assert answers == [source.error] * 10
            assert (source.reads, cache.stats.load_failures) == (1, 1)
            assert cache.peek("org") is None
            source.error = None
            assert await loaded(cache, "org", source) == Sample(1)

    async def test_a_load_that_fails_leaves_the_last_known_value(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """That is what the outage policy `last_known` lives on."""
        async with self.opened(make_cache, time) as cache:
            source = Source()
            source.valid_until = time.now + timedelta(seconds=1)
            value = await loaded(cache, "org", source)
            time.advance(2)
            source.error = ConnectionError("the database is down")
            with pytest.raises(ConnectionError):
                await loaded(cache, "org", source)
            assert cache.peek("org") is None
            assert cache.last_known("org") == value

    async def test_a_load_that_is_cancelled_from_inside_is_unavailable(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """Its callers were not cancelled and must not believe so."""
        async with self.opened(make_cache, time) as cache:

            async def cancelled() -> Sample:
                raise asyncio.CancelledError

            with pytest.raises(UnavailableError):
                await cache.get_or_load("org", cancelled)
            assert await loaded(cache, "org", Source()) == Sample(1)

    # -- versions ----------------------------------------------------------------------------------

    async def test_an_invalidation_drops_what_is_older_and_nothing_else(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """A value of the announced version or a newer one is good."""
        async with self.opened(make_cache, time) as cache:
            await loaded(cache, "org", Source(5))
            await cache.invalidate("org", 4)
            await cache.invalidate("org", 5)
            assert cache.peek("org") == Sample(5)
            await cache.invalidate("org", 6)
            assert cache.peek("org") is None
            assert cache.last_known("org") is None
            assert await loaded(cache, "org", Source(6)) == Sample(6)
            assert cache.peek("org") == Sample(6)
            assert cache.stats.invalidations == 3

    async def test_case_60_a_stale_value_is_written_back_after_an_invalidation(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """The read began before the commit and ends after the invalidation: read again."""
        async with self.opened(make_cache, time) as cache:
            source = Source(5)
            source.may_answer.clear()
            early = asyncio.create_task(cache.get_or_load("org", source.load))
            await source.read.wait()
            source.version = 6
            await cache.invalidate("org", 6)
            late = asyncio.create_task(cache.get_or_load("org", source.load))
            source.may_answer.set()
            assert await late == Sample(6)
            assert await early == Sample(6)
            assert cache.peek("org") == Sample(6)
            assert (source.reads, cache.stats.refused) == (2, 1)

    async def test_case_60_an_older_value_never_replaces_a_newer_one(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """However it comes about that it was read."""
        async with self.opened(make_cache, time) as cache:
            source = Source(5)
            source.valid_until = time.now + timedelta(seconds=1)
            newer = await loaded(cache, "org", source)
            time.advance(1)
            older = Source(4)
            assert await loaded(cache, "org", older) == Sample(4)
            assert cache.peek("org") is None
            assert cache.last_known("org") == newer

    async def test_a_version_that_never_comes_costs_a_bounded_number_of_reads(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """The database is the truth: what it says is returned, but not stored."""
        async with self.opened(make_cache, time) as cache:
            await cache.invalidate("org", 10)
            source = Source(9)
            assert await loaded(cache, "org", source) == Sample(9)
            assert source.reads == MAX_READS
            assert cache.peek("org") is None
            assert cache.last_known("org") is None

    async def test_case_60_holds_among_any_number_of_other_invalidations(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """The memory for floors is bounded, but not at the cost of a read in flight."""
        async with self.opened(make_cache, time, CachePolicy(max_customers=3)) as cache:
            source = Source(5)
            source.may_answer.clear()
            caller = asyncio.create_task(cache.get_or_load("org", source.load))
            await source.read.wait()
            source.version = 6
            await cache.invalidate("org", 6)
            for number in range(20):
                await cache.invalidate(f"other_{number}", 1)
            source.may_answer.set()
            assert await caller == Sample(6)
            assert cache.peek("org") == Sample(6)

    # -- its own life ------------------------------------------------------------------------------

    async def test_it_works_without_being_entered(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """In a script, say."""
        cache = make_cache(CachePolicy(), time)
        try:
            assert await loaded(cache, "org", Source(1)) == Sample(1)
            assert cache.peek("org") == Sample(1)
            await cache.invalidate("org", 2)
            assert cache.peek("org") is None
        finally:
            await cache.aclose()

    async def test_closing_ends_what_is_under_way(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """No task is left, and its callers are told."""
        before = asyncio.all_tasks()
        source = Source()
        source.may_answer.clear()
        async with self.opened(make_cache, time) as cache:
            caller = asyncio.create_task(cache.get_or_load("org", source.load))
            await source.read.wait()
        with pytest.raises(UnavailableError):
            await caller
        await cache.aclose()
        assert asyncio.all_tasks() <= before

    async def test_it_can_be_entered_again(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """And twice at the same time."""
        async with make_cache(CachePolicy(), time) as cache:
            await loaded(cache, "org", Source(1))
        async with cache, cache:
            await self.settle(cache)
            await cache.invalidate("org", 2)
            assert await loaded(cache, "org", Source(2)) == Sample(2)


class SharedCacheConformance(CacheConformance):
    """What caches must do beyond that when they share something outside the process."""

    async def test_what_one_has_loaded_the_other_finds(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """And never serves it longer than the first would have."""
        async with self.opened(make_cache, time) as one, self.opened(make_cache, time) as other:
            await loaded(one, "org", Source(3))
            source = Source(4)
            assert await loaded(other, "org", source) == Sample(3)
            assert source.reads == 0
            assert other.peek("org") == Sample(3)
            time.advance(30)
            await self.settle(other)
            assert other.peek("org") is None

    async def test_an_invalidation_reaches_the_other(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """Without its asking."""
        async with self.opened(make_cache, time) as one, self.opened(make_cache, time) as other:
            await loaded(one, "org", Source(3))
            await loaded(other, "org", Source(3))
            await one.invalidate("org", 4)
            await eventually(lambda: other.last_known("org") is None)
            assert other.peek("org") is None
            assert await loaded(other, "org", Source(4)) == Sample(4)

    async def test_case_60_across_processes(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """The stale write-back of one process loses against the invalidation of another."""
        async with self.opened(make_cache, time) as one, self.opened(make_cache, time) as other:
            source = Source(5)
            source.may_answer.clear()
            caller = asyncio.create_task(one.get_or_load("org", source.load))
            await source.read.wait()
            source.version = 6
            await other.invalidate("org", 6)
            source.may_answer.set()
            assert await caller == Sample(6)
            assert await loaded(other, "org", Source(5)) == Sample(6)
            assert one.peek("org") == other.peek("org") == Sample(6)

    async def test_case_60_across_processes_that_hear_nothing(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """What is shared refuses the stale value by itself, and says why."""
        one, other = (make_cache(CachePolicy(), time) for _ in range(2))
        try:
            source = Source(5)
            source.may_answer.clear()
            caller = asyncio.create_task(one.get_or_load("org", source.load))
            await source.read.wait()
            source.version = 6
            assert await loaded(other, "org", Source(6)) == Sample(6)
            source.may_answer.set()
            assert await caller == Sample(6)
            assert source.reads == 1
        finally:
            await one.aclose()
            await other.aclose()

    async def test_a_newcomer_stores_nothing_below_an_earlier_invalidation(
        self, make_cache: CacheFactory, time: ManualTime
    ) -> None:
        """The floor is shared, too."""
        async with self.opened(make_cache, time) as one:
            await one.invalidate("org", 6)
        async with self.opened(make_cache, time) as newcomer:
            assert await loaded(newcomer, "org", Source(5)) == Sample(5)
            assert newcomer.peek("org") is None
            assert await loaded(newcomer, "org", Source(6)) == Sample(6)
            assert newcomer.peek("org") == Sample(6)
