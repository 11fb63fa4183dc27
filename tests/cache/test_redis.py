"""The Redis cache passes the conformance suites on a real Redis, and knows what it can trust."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from redis.asyncio import Redis

from gatekeeper.cache import Cache, Freshness
from gatekeeper.cache.redis import RedisCache, RedisOptions
from gatekeeper.errors import ConfigurationError, SettingsError
from gatekeeper.testing.conformance.cache import (
    PATIENCE_SECONDS,
    CacheFactory,
    ManualTime,
    Sample,
    SampleCodec,
    SharedCacheConformance,
    Source,
    eventually,
    loaded,
)
from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.anyio


async def becomes(cache: Cache[Sample], freshness: Freshness) -> None:
    assert isinstance(cache, RedisCache)
    with anyio.fail_after(PATIENCE_SECONDS):
        await cache.wait_for(freshness)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of the test's own."""
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def key(options: RedisOptions) -> str:
    """Where the customer `org` is in Redis."""
    return f"gatekeeper:{options.namespace}:customer:org"


class TestRedisCache(SharedCacheConformance):
    @pytest.fixture
    def make_cache(self, redis_url: str, options: RedisOptions) -> CacheFactory:
        return lambda policy, time: RedisCache(
            redis_url,
            SampleCodec(),
            policy,
            options,
            clock=time.clock,
            monotonic=time.monotonic,
        )

    async def settle(self, cache: Cache[Sample]) -> None:
        await becomes(cache, Freshness.HEARD)


# -- freshness -----------------------------------------------------------------------------------


async def test_a_cache_that_hears_nothing_asks_redis_again_after_a_moment(
    redis_url: str, open_cache: OpenCache, time: ManualTime
) -> None:
    cache, other = open_cache(redis_url), open_cache(redis_url)
    assert cache.freshness is Freshness.ASKED
    source = Source(1)
    await loaded(cache, "org", source)
    time.advance(0.74)
    assert cache.peek("org") == Sample(1)
    time.advance(0.01)
    assert cache.peek("org") is None
    assert await loaded(cache, "org", source) == Sample(1)
    assert (source.reads, cache.stats.shared_hits) == (1, 1)
    await other.invalidate("org", 2)
    time.advance(0.75)
    source.version = 2
    assert await loaded(cache, "org", source) == Sample(2)


async def test_trust_ends_when_no_heartbeat_comes_back(
    redis_url: str, open_cache: OpenCache, options: RedisOptions, time: ManualTime
) -> None:
    """One heartbeat, and the next one far beyond the end of this test."""
    rare = replace(options)
    object.__setattr__(rare, "heartbeat_seconds", 3_600)  # what the options rightly refuse
    async with open_cache(redis_url, rare) as cache:
        await becomes(cache, Freshness.HEARD)
        await loaded(cache, "org", Source(1))
        time.advance(0.74)
        await becomes(cache, Freshness.HEARD)
        time.advance(0.01)
        await becomes(cache, Freshness.ASKED)
        assert cache.peek("org") is None
        assert cache.last_known("org") == Sample(1)


async def test_a_lost_subscription_is_renewed_and_what_came_before_is_asked_again(
    redis_url: str,
    open_cache: OpenCache,
    redis: Redis,
    time: ManualTime,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_cache(redis_url) as cache:
        await becomes(cache, Freshness.HEARD)
        source = Source(1)
        await loaded(cache, "org", source)
        time.advance(5)
        await becomes(cache, Freshness.HEARD)
        assert cache.peek("org") == Sample(1)
        await redis.client_kill_filter(_type="pubsub")
        await eventually(lambda: cache.stats.subscriptions == 2)
        await becomes(cache, Freshness.HEARD)
        assert cache.peek("org") is None  # something may have been said in between
        assert await loaded(cache, "org", source) == Sample(1)
        assert cache.peek("org") == Sample(1)
        assert (source.reads, cache.stats.shared_hits) == (1, 1)
    assert "no longer heard" in caplog.text


async def test_a_subscription_that_the_client_renews_silently_is_noticed(
    redis_url: str, open_cache: OpenCache, time: ManualTime
) -> None:
    """The client subscribes again when it has reconnected; only the confirmation tells."""
    async with open_cache(redis_url) as cache:
        await becomes(cache, Freshness.HEARD)
        await loaded(cache, "org", Source(1))
        time.advance(5)
        await becomes(cache, Freshness.HEARD)
        channel = cache._shared.channel
        cache._listener._hear({"type": "subscribe", "channel": channel, "data": 1})
        assert cache.freshness is Freshness.HEARD
        assert cache.peek("org") is None


async def test_a_connection_on_which_nothing_comes_any_more_is_given_up(
    redis_url: str,
    open_cache: OpenCache,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As when a firewall has dropped it: Redis answers commands, but no message arrives."""
    async with open_cache(redis_url) as cache:
        await becomes(cache, Freshness.HEARD)

        async def lost_beat() -> bool:
            return True

        with monkeypatch.context() as patch:
            patch.setattr(cache._shared, "beat", lost_beat)
            await becomes(cache, Freshness.ASKED)
        await becomes(cache, Freshness.HEARD)
        assert cache.stats.subscriptions >= 2
    assert "no heartbeat came back" in caplog.text


async def test_messages_without_end_do_not_keep_the_heartbeat_waiting(
    redis_url: str, open_cache: OpenCache, redis: Redis, time: ManualTime
) -> None:
    async with open_cache(redis_url) as cache:
        await becomes(cache, Freshness.HEARD)
        async with anyio.create_task_group() as tasks:

            async def shout() -> None:
                while True:
                    await redis.publish(cache._shared.channel, "1 somebody")

            tasks.start_soon(shout)
            for _ in range(3):
                time.advance(0.75)
                assert cache.freshness is Freshness.ASKED
                with anyio.fail_after(PATIENCE_SECONDS):
                    await cache.wait_for(Freshness.HEARD)
            tasks.cancel_scope.cancel()
        assert cache.stats.subscriptions == 1
        assert cache.stats.heard > 0


async def test_a_user_that_may_not_subscribe_leaves_the_cache_asking(
    redis_url: str, open_cache: OpenCache, redis: Redis, options: RedisOptions
) -> None:
    user = options.namespace
    await redis.acl_setuser(
        user,
        enabled=True,
        passwords=["+secret"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
        commands=["-subscribe"],
    )
    try:
        url = redis_url.replace("redis://", f"redis://{user}:secret@")
        async with open_cache(url) as cache:
            await loaded(cache, "org", Source(1))
            with anyio.fail_after(PATIENCE_SECONDS):
                while not any(entry["username"] == user for entry in await redis.acl_log()):
                    pass
            assert cache.freshness is Freshness.ASKED
            assert cache.stats.subscriptions == 0
    finally:
        await redis.acl_deluser(user)


async def test_a_wrong_password_is_a_redis_that_is_not_there_and_is_not_logged(
    redis_url: str, open_cache: OpenCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = redis_url.replace("redis://", "redis://somebody:hunter2@")
    async with open_cache(url) as cache:
        await becomes(cache, Freshness.BOUNDED)
        assert await loaded(cache, "org", Source(1)) == Sample(1)
        await cache.invalidate("org", 2)
        assert cache.peek("org") is None
    told = [record.getMessage() for record in caplog.records if record.name == "gatekeeper.cache"]
    assert len(told) == 1
    assert "AuthenticationError" in told[0]
    assert "hunter2" not in caplog.text


# -- what is in Redis ----------------------------------------------------------------------------


async def test_a_value_lives_in_redis_for_its_time_to_live_and_a_floor_for_longer(
    redis_url: str, open_cache: OpenCache, redis: Redis, key: str
) -> None:
    cache = open_cache(redis_url)
    await loaded(cache, "org", Source(1))
    assert 0 < await redis.pttl(key) <= 30_000
    await cache.invalidate("org", 1)
    assert await redis.hexists(key, "d")
    assert 30_000 < await redis.pttl(key) <= 60_000
    await loaded(cache, "org", Source(1))
    await cache.invalidate("org", 2)
    assert await redis.hgetall(key) == {b"v": b"2"}
    assert 30_000 < await redis.pttl(key) <= 60_000
    await cache.invalidate("org", 1)
    assert await redis.hgetall(key) == {b"v": b"2"}


async def test_a_value_whose_time_is_over_is_not_found_but_its_version_is(
    redis_url: str, open_cache: OpenCache, redis: Redis, key: str
) -> None:
    cache = open_cache(redis_url)
    await loaded(cache, "org", Source(4))
    await redis.hset(key, "x", "1")
    found = await cache._shared.lookup("org")
    assert found is not None
    assert (found.version, found.value) == (4, None)


async def test_case_60_a_write_that_lay_in_a_buffer_for_too_long_is_refused(
    redis_url: str, open_cache: OpenCache, redis: Redis, key: str
) -> None:
    """A Redis that stood still carries out, when it wakes, what its clients gave up long ago."""
    shared = open_cache(redis_url)._shared
    found = await shared.lookup("org")
    assert found is not None
    assert await shared.store("org", Sample(5), found.ticket - 30_000) == 5
    assert not await redis.exists(key)
    assert await shared.store("org", Sample(5), found.ticket - 29_000) == 5
    assert 0 < await redis.pttl(key) <= 1_000
    assert await shared.store("org", Sample(5), found.ticket - 30_000) == 5
    found = await shared.lookup("org")
    assert found is not None
    assert found.value == Sample(5)


async def test_a_value_from_redis_is_as_old_as_the_question_for_it(
    redis_url: str, open_cache: OpenCache, time: ManualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that took its time may have been overtaken."""
    one, other = open_cache(redis_url), open_cache(redis_url)
    await loaded(one, "org", Source(1))
    lookup = other._shared.lookup

    async def slow_lookup(customer: str) -> object:
        found = await lookup(customer)
        time.advance(0.75)
        return found

    monkeypatch.setattr(other._shared, "lookup", slow_lookup)
    assert await loaded(other, "org", Source(1)) == Sample(1)
    assert other.peek("org") is None
    assert other.last_known("org") == Sample(1)


async def test_case_60_a_value_does_not_shorten_the_life_of_the_floor_below_it(
    redis_url: str, open_cache: OpenCache, redis: Redis, key: str
) -> None:
    shared = open_cache(redis_url)._shared
    await shared.invalidate("org", 5)
    found = await shared.lookup("org")
    assert found is not None
    await shared.store("org", Sample(5), found.ticket)
    assert await redis.hexists(key, "d")
    assert await redis.pttl(key) > 30_000


async def test_a_value_that_ended_by_itself_is_not_taken_from_redis(
    redis_url: str, open_cache: OpenCache, time: ManualTime
) -> None:
    one, other = open_cache(redis_url), open_cache(redis_url)
    source = Source(1)
    source.valid_until = time.now + timedelta(seconds=1)
    await loaded(one, "org", source)
    time.advance(1)
    source.valid_until = None
    assert await loaded(other, "org", source) == Sample(1)
    assert source.reads == 2
    assert await loaded(one, "org", source) == Sample(1)
    assert source.reads == 2


@pytest.mark.parametrize("data", [b"", b"\xff\x00", b"{}", b'{"version":2}'])
async def test_bytes_that_are_not_understood_are_not_cached(
    redis_url: str,
    open_cache: OpenCache,
    redis: Redis,
    key: str,
    data: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache, other = open_cache(redis_url), open_cache(redis_url)
    await loaded(other, "org", Source(1))
    await redis.hset(key, "d", data)
    assert await cache._shared.lookup("org") is not None
    source = Source(1)
    assert await loaded(cache, "org", source) == Sample(1)
    assert (source.reads, cache.stats.not_understood) == (1, 2)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


async def test_a_value_that_cannot_be_encoded_is_cached_in_the_process(
    redis_url: str, open_cache: OpenCache
) -> None:
    class Refusing(SampleCodec):
        def encode(self, value: Sample) -> bytes:
            raise TypeError("no bytes for this")

    cache = open_cache(redis_url, codec=Refusing())
    assert await loaded(cache, "org", Source(1)) == Sample(1)
    assert cache.peek("org") == Sample(1)
    assert cache.stats.not_understood == 1


async def test_a_key_of_another_type_fails_nothing(
    redis_url: str, open_cache: OpenCache, redis: Redis, key: str
) -> None:
    await redis.set(key, "not ours")
    cache = open_cache(redis_url)
    assert await loaded(cache, "org", Source(1)) == Sample(1)
    await cache.invalidate("org", 2)
    assert await loaded(cache, "org", Source(2)) == Sample(2)


async def test_a_redis_without_memory_still_tells_the_others(
    redis_url: str, open_cache: OpenCache, redis: Redis
) -> None:
    async with open_cache(redis_url) as one, open_cache(redis_url) as other:
        await becomes(one, Freshness.HEARD)
        await becomes(other, Freshness.HEARD)
        await loaded(other, "org", Source(1))
        try:
            await redis.config_set("maxmemory", "1")
            await one.invalidate("org", 2)
            await eventually(lambda: other.peek("org") is None)
        finally:
            await redis.config_set("maxmemory", "0")


# -- names ---------------------------------------------------------------------------------------


async def test_namespaces_and_databases_of_one_redis_are_kept_apart(
    redis_url: str, open_cache: OpenCache, options: RedisOptions
) -> None:
    elsewhere = redis_url.rpartition("/")[0] + "/9"
    apart = replace(options, namespace=f"{options.namespace}.2")
    async with (
        open_cache(redis_url) as one,
        open_cache(redis_url, apart) as other,
        open_cache(elsewhere) as far,
    ):
        for cache in (one, other, far):
            await becomes(cache, Freshness.HEARD)
        for version, cache in enumerate((one, other, far)):
            assert await loaded(cache, "org", Source(version)) == Sample(version)
        await one.invalidate("org", 10)
        await eventually(lambda: one.stats.heard == 1)
        for cache in (other, far):  # a message of their own comes after anything said before it
            await cache.invalidate("somebody", 1)
            await eventually(lambda cache=cache: cache.stats.heard == 1)  # type: ignore[misc]  # mypy knows no types for a bound lambda argument
        assert (other.peek("org"), far.peek("org")) == (Sample(1), Sample(2))


async def test_without_a_namespace_the_prefix_begins_the_key(
    redis_url: str, open_cache: OpenCache, redis: Redis, options: RedisOptions
) -> None:
    cache = open_cache(redis_url, replace(options, prefix="shop:", namespace=""))
    await loaded(cache, "org", Source(1))
    assert await redis.exists("shop:customer:org")


@pytest.mark.parametrize("data", [b"", b"x org", b"\xff\xfe", b"1" * 5_000 + b" org"])
async def test_messages_of_others_on_the_channel_do_nothing(
    redis_url: str, open_cache: OpenCache, redis: Redis, data: bytes
) -> None:
    async with open_cache(redis_url) as cache:
        await becomes(cache, Freshness.HEARD)
        await loaded(cache, "org", Source(1))
        await redis.publish(cache._shared.channel, data)
        await eventually(lambda: cache.stats.not_understood == 1)
        assert cache.peek("org") == Sample(1)
        assert cache.stats.subscriptions == 1


@pytest.mark.parametrize("data", [b"soon", b"nan", b"inf", b"1e300"])
async def test_a_heartbeat_that_was_never_sent_gains_no_trust(
    redis_url: str, open_cache: OpenCache, time: ManualTime, data: bytes
) -> None:
    cache = open_cache(redis_url)
    beat_channel = cache._shared.beat_channel
    cache._listener._hear({"type": "message", "channel": beat_channel, "data": data})
    assert cache.stats.not_understood == 1
    assert cache.freshness is Freshness.ASKED
    cache._listener._hear({"type": "pong", "channel": None, "data": data})
    assert cache.stats.not_understood == 1


# -- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "localhost", "http://:hunter2@localhost", "redis://h:port"])
def test_a_url_that_is_none_is_a_named_error_without_the_url(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisCache(url, SampleCodec())
    assert "hunter2" not in str(caught.value)
    assert "redis://host" in str(caught.value)


def test_every_fault_of_the_options_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        RedisOptions(
            fresh_seconds=2,
            heartbeat_seconds=0,
            timeout_seconds=0,
            retry_seconds=float("nan"),
            max_connections=1,
            namespace="a:b",
        )
    assert len(caught.value.faults) == 6


def test_the_defaults_keep_invariant_9() -> None:
    options = RedisOptions()
    assert options.fresh_seconds + options.timeout_seconds <= 1
    assert RedisOptions(namespace="shop-1.test_2").namespace == "shop-1.test_2"
