"""Two processes of the operating system share a Redis."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from gatekeeper.cache import Freshness
from gatekeeper.cache.redis import RedisCache, RedisOptions
from gatekeeper.testing.conformance.cache import (
    PATIENCE_SECONDS,
    SampleCodec,
    Source,
    eventually,
    loaded,
)
from tests.cache.test_redis import becomes

pytestmark = pytest.mark.anyio


class Peer:
    """The other process."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self._process = process
        self._answers = BufferedByteReceiveStream(process.stdout)

    async def ask(self, **command: str | int) -> object:
        assert self._process.stdin is not None
        with anyio.fail_after(PATIENCE_SECONDS):
            await self._process.stdin.send(json.dumps(command).encode() + b"\n")
            return json.loads(await self._answers.receive_until(b"\n", 10_000))


@asynccontextmanager
async def started_peer(url: str, namespace: str) -> AsyncIterator[Peer]:
    command = [sys.executable, "-m", "tests.cache.peer", url, namespace]
    root = Path(__file__).parents[2]
    async with await anyio.open_process(command, cwd=root, stderr=subprocess.STDOUT) as process:
        try:
            yield Peer(process)
        finally:
            assert process.stdin is not None
            await process.stdin.aclose()
            with anyio.fail_after(PATIENCE_SECONDS):
                assert await process.wait() == 0


async def test_an_invalidation_crosses_the_border_of_processes(
    redis_url: str, options: RedisOptions
) -> None:
    async with (
        started_peer(redis_url, options.namespace) as peer,
        RedisCache(redis_url, SampleCodec(), options=options) as cache,
    ):
        await becomes(cache, Freshness.HEARD)
        await peer.ask(do="wait")
        assert await peer.ask(do="load", customer="org", version=1) == [1, 1]
        source = Source(1)
        assert (await loaded(cache, "org", source)).version == 1
        assert source.reads == 0  # it was found in Redis

        await peer.ask(do="invalidate", customer="org", version=2)
        await eventually(lambda: cache.last_known("org") is None)
        source.version = 2
        assert (await loaded(cache, "org", source)).version == 2
        assert await peer.ask(do="load", customer="org", version=1) == [2, 0]

        await cache.invalidate("org", 3)
        with anyio.fail_after(PATIENCE_SECONDS):
            while await peer.ask(do="peek", customer="org") is not None:
                pass
        assert await peer.ask(do="load", customer="org", version=3) == [3, 1]
