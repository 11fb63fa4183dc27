"""Caches of a test: each stands for a process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from gatekeeper.cache.redis import RedisCache, RedisOptions
from gatekeeper.testing.conformance.cache import ManualTime, Sample, SampleCodec

OpenCache = Callable[..., RedisCache[Sample]]


@pytest.fixture
def options() -> RedisOptions:
    """Quick retries, and a namespace: the databases of a server share its channels."""
    return RedisOptions(heartbeat_seconds=0.05, retry_seconds=0.05, namespace=f"test-{uuid4().hex}")


@pytest.fixture
def time() -> ManualTime:
    return ManualTime()


@pytest.fixture
async def open_cache(options: RedisOptions, time: ManualTime) -> AsyncIterator[OpenCache]:
    """Makes caches on the clocks of the test, not entered; they are closed after it."""
    async with AsyncExitStack() as stack:

        def open_cache(
            url: str, options: RedisOptions = options, codec: SampleCodec | None = None
        ) -> RedisCache[Sample]:
            cache = RedisCache(
                url,
                codec or SampleCodec(),
                options=options,
                clock=time.clock,
                monotonic=time.monotonic,
            )
            stack.push_async_callback(cache.aclose)
            return cache

        yield open_cache
