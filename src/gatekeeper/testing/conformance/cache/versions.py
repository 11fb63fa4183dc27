"""Versions: an invalidation is never undone by a value that was read before it."""

import asyncio
from datetime import timedelta

from gatekeeper.cache.port import MAX_READS, CachePolicy
from gatekeeper.testing.conformance.cache.tools import (
    CacheFactory,
    CacheSuite,
    ManualTime,
    Sample,
    Source,
    loaded,
)


class VersionConformance(CacheSuite):
    """What a cache must do with invalidations."""

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
