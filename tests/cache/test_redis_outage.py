"""A real Redis is killed, paused and brought back: nothing fails, staleness stays bounded."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest

from gatekeeper.cache import CachePolicy, Freshness
from gatekeeper.cache import _shared as shared_module
from gatekeeper.cache.redis import RedisCache, RedisOptions
from gatekeeper.testing.conformance.cache import (
    ManualTime,
    Sample,
    SampleCodec,
    Source,
    eventually,
    loaded,
)
from tests.cache.conftest import OpenCache
from tests.cache.test_redis import becomes
from tests.services.redis import PrivateRedis

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pair(
    private_redis: PrivateRedis, open_cache: OpenCache
) -> AsyncIterator[tuple[RedisCache[Sample], RedisCache[Sample]]]:
    """Two processes that hear each other."""
    async with open_cache(private_redis.url) as one, open_cache(private_redis.url) as other:
        await becomes(one, Freshness.HEARD)
        await becomes(other, Freshness.HEARD)
        yield one, other


Pair = tuple[RedisCache[Sample], RedisCache[Sample]]


async def kill(redis: PrivateRedis, *caches: RedisCache[Sample]) -> None:
    await asyncio.to_thread(redis.kill)
    for cache in caches:
        await becomes(cache, Freshness.BOUNDED)


async def bring_back(redis: PrivateRedis, *caches: RedisCache[Sample]) -> None:
    await asyncio.to_thread(redis.start)
    for cache in caches:
        await becomes(cache, Freshness.HEARD)


async def test_a_killed_redis_changes_the_bound_and_nothing_else(
    private_redis: PrivateRedis, pair: Pair, time: ManualTime
) -> None:
    one, other = pair
    source = Source(1)
    await loaded(one, "org", source)
    await loaded(other, "org", source)
    await kill(private_redis, one, other)

    await one.invalidate("org", 2)  # can't be told
    source.version = 2
    assert await loaded(one, "org", source) == Sample(2)
    time.advance(29.9)
    assert other.peek("org") == Sample(1)  # outdated, within the bound of the memory
    time.advance(0.1)
    assert other.peek("org") is None
    assert await loaded(other, "org", source) == Sample(2)
    assert await loaded(other, "new", Source(3)) == Sample(3)


async def test_an_invalidation_that_could_not_be_told_is_told_when_redis_is_back(
    private_redis: PrivateRedis, pair: Pair, time: ManualTime
) -> None:
    one, other = pair
    await loaded(one, "org", Source(1))
    await kill(private_redis, one, other)
    assert await loaded(other, "org", Source(1)) == Sample(1)
    await one.invalidate("org", 2)
    await one.invalidate("org", 3)
    await one.invalidate("org", 2)
    time.advance(1)
    await bring_back(private_redis, one, other)
    await eventually(lambda: not one._shared._unsent)
    found = await other._shared.lookup("org")
    assert found is not None
    assert found.version == 3
    assert await loaded(other, "org", Source(3)) == Sample(3)
    assert await loaded(other, "org", Source(2)) == Sample(3)


async def test_what_was_cached_during_the_outage_is_not_trusted_after_it(
    private_redis: PrivateRedis, pair: Pair, time: ManualTime
) -> None:
    one, other = pair
    await kill(private_redis, one, other)
    source = Source(1)
    await loaded(other, "org", source)
    time.advance(1)
    assert other.peek("org") == Sample(1)
    await bring_back(private_redis, one, other)
    assert other.peek("org") is None
    assert other.last_known("org") == Sample(1)
    source.version = 2
    assert await loaded(other, "org", source) == Sample(2)
    time.advance(20)
    await becomes(other, Freshness.HEARD)
    assert other.peek("org") == Sample(2)
    assert await loaded(one, "org", source) == Sample(2)
    assert source.reads == 2


async def test_a_redis_that_stands_still_is_noticed_and_costs_one_time_out(
    private_redis: PrivateRedis, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = pair
    await loaded(one, "org", Source(1))
    with private_redis.process.paused():
        await becomes(one, Freshness.BOUNDED)
        await becomes(other, Freshness.BOUNDED)
        assert one.peek("org") == Sample(1)
        assert await loaded(other, "other", Source(1)) == Sample(1)
    await becomes(one, Freshness.HEARD)
    await becomes(other, Freshness.HEARD)
    await other.invalidate("org", 2)
    await eventually(lambda: one.last_known("org") is None)
    told = [record.message for record in caplog.records if "does not answer" in record.message]
    assert len(told) <= 4  # a change of state, not a line for every command


async def test_the_open_circuit_admits_one_caller_per_period(
    private_redis: PrivateRedis, open_cache: OpenCache, time: ManualTime
) -> None:
    cache = open_cache(private_redis.url)
    await asyncio.to_thread(private_redis.kill)
    for number in range(20):
        await loaded(cache, f"org_{number}", Source(1))
    assert cache.stats.shared_failures == 1
    time.advance(0.05)
    await loaded(cache, "org_20", Source(1))
    await loaded(cache, "org_21", Source(1))
    assert cache.stats.shared_failures == 2
    await becomes(cache, Freshness.BOUNDED)
    await asyncio.to_thread(private_redis.start)
    time.advance(0.05)
    await loaded(cache, "org_22", Source(1))
    await becomes(cache, Freshness.ASKED)


async def test_many_requests_through_a_kill_and_a_return_see_no_error(
    private_redis: PrivateRedis, options: RedisOptions
) -> None:
    """The real clocks; a database that only moves forward; readers and a writer all the while."""
    customers = [f"org_{number}" for number in range(20)]
    versions = dict.fromkeys(customers, 1)
    quick = replace(options, timeout_seconds=0.1)
    done = anyio.Event()

    async def read(cache: RedisCache[Sample]) -> None:
        while not done.is_set():
            for customer in customers:

                async def load(customer: str = customer) -> Sample:
                    return Sample(versions[customer])

                assert (await cache.get_or_load(customer, load)).version >= 1
            await asyncio.sleep(0)

    async def write(cache: RedisCache[Sample]) -> None:
        while not done.is_set():
            for customer in customers:
                versions[customer] += 1
                told = versions[customer]
                await cache.invalidate(customer, told)
                value = cache.peek(customer)
                assert value is None or value.version >= told
            await asyncio.sleep(0)

    policy = CachePolicy(max_customers=15)
    async with (
        RedisCache(private_redis.url, SampleCodec(), policy, quick) as one,
        RedisCache(private_redis.url, SampleCodec(), policy, quick) as other,
        anyio.create_task_group() as tasks,
    ):
        for work in (read, write):
            for cache in (one, other):
                tasks.start_soon(work, cache)
        for _ in range(2):
            await becomes(one, Freshness.HEARD)
            await becomes(other, Freshness.HEARD)
            await kill(private_redis, one, other)
            await bring_back(private_redis, one, other)
        done.set()


async def test_unsent_invalidations_are_bounded_sent_in_batches_and_forgotten_in_time(
    private_redis: PrivateRedis,
    open_cache: OpenCache,
    time: ManualTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_module, "RESEND_BATCH", 2)
    shared = open_cache(private_redis.url)._shared
    shared._capacity = 4
    await asyncio.to_thread(private_redis.kill)
    await shared.invalidate("old", 1)
    time.advance(30.1)
    for number in range(4):
        await shared.invalidate(f"org_{number}", 1)
    assert list(shared._unsent) == ["org_0", "org_1", "org_2", "org_3"]
    assert not await shared.resend()
    assert list(shared._unsent) == ["org_0", "org_1", "org_2", "org_3"]
    await asyncio.to_thread(private_redis.start)
    assert await shared.resend()
    assert list(shared._unsent) == ["org_2", "org_3"]
    found = await shared.lookup("org_0")
    assert found is not None
    assert found.version == 1
    time.advance(30.1)
    assert await shared.resend()
    assert not shared._unsent
    found = await shared.lookup("org_3")
    assert found is not None
    assert found.version == -1


async def test_case_60_a_floor_that_was_seen_holds_when_redis_dies_during_the_read(
    private_redis: PrivateRedis, open_cache: OpenCache
) -> None:
    cache, other = open_cache(private_redis.url), open_cache(private_redis.url)
    await other.invalidate("org", 6)

    async def load() -> Sample:
        await asyncio.to_thread(private_redis.kill)
        return Sample(5)

    assert await cache.get_or_load("org", load) == Sample(5)
    assert cache.peek("org") is None
    assert cache.last_known("org") is None


async def test_state_changes_are_logged_once_and_without_the_address(
    private_redis: PrivateRedis, open_cache: OpenCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="gatekeeper.cache")
    async with open_cache(private_redis.url) as cache:
        await becomes(cache, Freshness.HEARD)
        await kill(private_redis, cache)
        await eventually(lambda: cache.stats.shared_failures > 3)
        await bring_back(private_redis, cache)
    told = [record.message for record in caplog.records]
    assert len(told) == 5
    for beginning in ("Invalidations are heard", "Invalidations are no longer", "Redis does not"):
        assert any(message.startswith(beginning) for message in told)
    assert str(private_redis.port) not in "".join(told)
