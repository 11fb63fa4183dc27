"""The life of a cache: entered, closed, entered again."""

import asyncio

import pytest

from gatekeeper.cache.port import CachePolicy
from gatekeeper.errors import UnavailableError
from gatekeeper.testing.conformance.cache.tools import (
    CacheFactory,
    CacheSuite,
    ManualTime,
    Sample,
    Source,
    loaded,
)


class LifeConformance(CacheSuite):
    """What a cache must do when it is opened and closed."""

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
