"""One load for all who miss at once."""

import asyncio
from datetime import timedelta

import pytest

from gatekeeper.errors import UnavailableError
from gatekeeper.testing.conformance.cache.tools import (
    CacheFactory,
    CacheSuite,
    ManualTime,
    Sample,
    Source,
    eventually,
    loaded,
)


class SingleFlightConformance(CacheSuite):
    """What a cache must do with misses at once, and with loads that fail."""

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
