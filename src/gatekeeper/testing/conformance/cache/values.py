"""A value and its time: how long it is served, and to whom."""

from datetime import timedelta
from typing import Final

from gatekeeper.cache.port import CachePolicy
from gatekeeper.testing.conformance.cache.tools import (
    CacheFactory,
    CacheSuite,
    ManualTime,
    Sample,
    Source,
    loaded,
)

ODD_CUSTOMERS: Final = ("a:b", "a", "A", "{a}", "b c", "ü", "💳", "a%", "*", "../a", "x" * 255)


class ValueTimeConformance(CacheSuite):
    """What a cache must do with values as time passes."""

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
