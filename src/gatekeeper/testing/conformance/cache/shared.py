"""What is shared between processes."""

import asyncio

from gatekeeper.cache.port import CachePolicy
from gatekeeper.testing.conformance.cache.tools import (
    CacheFactory,
    CacheSuite,
    ManualTime,
    Sample,
    Source,
    eventually,
    loaded,
)


class SharingConformance(CacheSuite):
    """What caches must do that share something outside the process."""

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
