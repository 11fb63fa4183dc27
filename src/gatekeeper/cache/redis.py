"""The cache of many processes: a map in each of them, one in Redis, and a channel between them.

How old can a hit be, after an invalidation that another process has made?

1. Invalidations are heard (`Freshness.HEARD`): as long as a message takes. Should the connection
   die unnoticed, `fresh_seconds`: then no heartbeat has come back for that long.
2. They are not heard, but Redis answers (`ASKED`): `fresh_seconds`. So old a value is asked for
   again, from Redis, where the invalidation is. This is also the state without `async with`.
3. Redis does not answer (`BOUNDED`): `ttl_seconds`, at most 30 s, from the read of the database
   on, whether the value came through Redis or not. The map serves on, the database is asked when
   its values end, and nothing fails.

Redis counts as up when it answers commands within the time-out. If it stops, the first command pays
that time-out, then the circuit is open and nobody waits for it. If only the subscription is lost,
that is state 2. If Redis comes back, state 3 ends with the first command that is answered (the
listener tries every `retry_seconds`); what was cached before is then at most `fresh_seconds` old or
asked for again, and is trusted fully only if it was confirmed after the new subscription.

An invalidation that could not be told is told when Redis answers again, while the cache runs. If
its process died before it could tell, `ttl_seconds` is the bound: no value in Redis lives longer.

ACL: the commands evalsha, script, hmget, hget, hset, del, pttl, pexpire, time, publish, subscribe;
keys and channels `<prefix>*`. Redis 5 or later, or a server that speaks its protocol and scripts.
"""

import asyncio
import time
from typing import Self

import anyio

from gatekeeper.cache._base import LocalCache
from gatekeeper.cache._listener import Listener
from gatekeeper.cache._local import LocalMap
from gatekeeper.cache._options import RedisOptions
from gatekeeper.cache._shared import SharedMap
from gatekeeper.cache._tasks import cancel_and_wait
from gatekeeper.cache.port import (
    MAX_READS,
    CachePolicy,
    CacheStats,
    Codec,
    Freshness,
    Load,
    Monotonic,
    V,
)
from gatekeeper.types import Clock, utc_now

__all__ = ["RedisCache", "RedisOptions"]


class RedisCache(LocalCache[V]):
    """Values in a map of this process and in Redis; invalidations reach every process.

    `async with cache:` starts the listener and ends it. Used without, the cache works in state 2 of
    the module's list, and `aclose` closes its connections.

    Raises:
        ConfigurationError: the URL can't be understood. Whether a Redis is there is not looked at.
    """

    is_shared = True

    def __init__(
        self,
        url: str,
        codec: Codec[V],
        policy: CachePolicy | None = None,
        options: RedisOptions | None = None,
        *,
        clock: Clock = utc_now,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        policy, options = policy or CachePolicy(), options or RedisOptions()
        stats = CacheStats()
        local: LocalMap[V] = LocalMap(
            policy,
            stats=stats,
            clock=clock,
            monotonic=monotonic,
            fresh_seconds=options.fresh_seconds,
            alone=False,
        )
        super().__init__(policy, local, monotonic=monotonic)
        self.options = options
        self._changed = asyncio.Event()
        self._shared: SharedMap[V] = SharedMap(
            url,
            codec,
            policy,
            options,
            stats=stats,
            monotonic=monotonic,
            on_change=self._redis_changed,
        )
        self._listener = Listener(
            local, self._shared, options, monotonic=monotonic, on_change=self._notify
        )
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._listening is None:
            self._listening = asyncio.create_task(
                self._listener.run(), name="gatekeeper-cache-listener"
            )
        return self

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):  # a host that is cancelled leaves no connection behind
            if self._listening is not None:
                await cancel_and_wait((self._listening,))
                self._listening = None
            await super().aclose()
            await self._shared.aclose()

    async def wait_for(self, freshness: Freshness) -> None:
        """Wait until this is what bounds the age of a hit: for a readiness check, and for tests.

        It may take for ever; the caller sets the limit.
        """
        while self.freshness is not freshness:
            await self._changed.wait()

    async def invalidate(self, customer: str, version: int) -> None:
        await super().invalidate(customer, version)
        await self._shared.invalidate(customer, version)

    async def _fill(self, customer: str, load: Load[V]) -> V:
        for _ in range(MAX_READS):
            begun_at = self._monotonic()
            found = await self._shared.lookup(customer)
            if found is not None and found.value is None:
                self._local.raise_floor(customer, found.version)
            elif (
                found is not None
                and found.value is not None
                and self._local.is_current(found.value)
                and self._local.store(
                    customer, found.value, begun_at, begun_at + found.remaining_seconds
                )
            ):
                return found.value
            value = await self._load(load)
            if found is not None:
                newest = await self._shared.store(customer, value, found.ticket)
                if newest is not None and newest > value.version:
                    self._local.raise_floor(customer, newest)
            if self._local.store(customer, value, begun_at, begun_at + self.policy.ttl_seconds):
                break
        return value

    def _redis_changed(self, answers: bool) -> None:
        self._local.alone = not answers
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
