"""Hears what other processes invalidate, and knows when it does not.

Redis delivers the messages of a connection in the order in which they were published. Every
`heartbeat_seconds` the process publishes a heartbeat with the time of its own clock, on a channel
that it alone hears, over the connection on which it hears invalidations. A heartbeat that comes
back proves that every invalidation published before it has come too, so it extends the trust in
the process's map to `fresh_seconds` after it was *sent*, however late it came. Without one the
trust ends by itself: be it a connection that is half open, a Redis that stands still, a
subscription to a replica that lags, or an event loop that was blocked.
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from redis.asyncio.client import PubSub

from gatekeeper.cache._local import LocalMap
from gatekeeper.cache._options import RedisOptions
from gatekeeper.cache._outages import logger
from gatekeeper.cache._shared import SharedMap
from gatekeeper.cache.port import Monotonic

MIN_READ_SECONDS: Final = 0.001
"""The shortest wait for a message: even a heartbeat that is late must not keep us from reading."""


class Listener:
    """Keeps the trust in a `LocalMap` in step with what is heard from Redis."""

    def __init__(
        self,
        local: LocalMap[Any],
        shared: SharedMap[Any],
        options: RedisOptions,
        *,
        monotonic: Monotonic,
        on_change: Callable[[], None],
    ) -> None:
        self._local = local
        self._shared = shared
        self._options = options
        self._monotonic = monotonic
        self._on_change = on_change
        # Counted in rounds, not by the clock: a process that was paused finds its messages waiting.
        self._max_silent_rounds = math.ceil(options.fresh_seconds / options.heartbeat_seconds)
        self._silent_rounds = 0
        self._hearing = False

    async def run(self) -> None:
        """Listen until cancelled; after a loss subscribe again, at once and then periodically."""
        while not _is_cancelled():
            if not await self._listen() and not _is_cancelled():
                # Not all processes at the same moment, when a Redis comes back to all of them.
                spread = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
                await asyncio.sleep(self._options.retry_seconds * spread)

    async def _listen(self) -> bool:
        """One subscription, from its beginning to its end; whether anything was heard on it."""
        reason = "no heartbeat came back"
        try:
            # The heartbeat shows first whether Redis is there at all: it moves the circuit.
            if await self._shared.beat():
                async with self._shared.subscription() as subscription:
                    await subscription.subscribe(self._shared.channel, self._shared.beat_channel)
                    await self._hear_all(subscription)
        except Exception as error:  # noqa: BLE001 - a cache that is ill must never fail the app:
            # the trust ends here, the loss is logged, and `run` subscribes again
            reason = type(error).__name__
        finally:
            heard, self._hearing = self._hearing, False
            self._local.stop_hearing()
            self._on_change()
        if heard and not _is_cancelled():
            logger.warning("Invalidations are no longer heard through Redis: %s", reason)
        return heard

    async def _hear_all(self, subscription: PubSub) -> None:
        """Hear messages, with a heartbeat in between, until the heartbeats stop coming back."""
        loop = asyncio.get_running_loop()
        self._silent_rounds = 0
        while self._silent_rounds < self._max_silent_rounds and not _is_cancelled():
            self._silent_rounds += 1
            next_beat_at = loop.time() + self._options.heartbeat_seconds
            answered = await self._shared.beat() and await self._shared.resend()
            if not answered:
                return
            while True:
                left = next_beat_at - loop.time()
                message = await subscription.get_message(timeout=max(left, MIN_READ_SECONDS))
                if message is not None:
                    self._hear(message)
                if left <= 0:
                    break
                await asyncio.sleep(0)  # buffered messages are read without waiting

    def _hear(self, message: Mapping[str, Any]) -> None:
        kind, channel, data = message["type"], message["channel"], message["data"]
        if kind == "subscribe":
            # Also after a connection that the client has renewed without a word: whatever was said
            # in between is lost, so older entries are no longer trusted.
            if channel == self._shared.channel:
                self._local.stats.subscriptions += 1
                self._local.begin_hearing()
        elif kind == "message":
            try:
                if channel == self._shared.beat_channel:
                    self._hear_beat(float(data))
                else:
                    self._hear_invalidation(data)
            except ValueError:
                self._local.stats.not_understood += 1

    def _hear_beat(self, sent_at: float) -> None:
        if not sent_at <= self._monotonic():
            raise ValueError("no heartbeat of this process")
        self._local.heard_beat(sent_at)
        self._silent_rounds = 0
        if not self._hearing:
            self._hearing = True
            logger.info("Invalidations are heard through Redis")
        self._on_change()

    def _hear_invalidation(self, data: bytes) -> None:
        version, _, customer = data.decode().partition(" ")
        self._local.raise_floor(customer, int(version))
        self._local.stats.heard += 1


def _is_cancelled() -> bool:
    """Whether this task was asked to end, even if the request was lost: see `cancel_and_wait`."""
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    return task.cancelling() > 0
