"""The map in Redis, L2: look-up, set-if-newer, invalidation. Nothing here raises for Redis's sake.

Every command passes `_ask`, which turns any failure into None, counts it and feeds the circuit.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import uuid4

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gatekeeper.cache._options import RedisOptions
from gatekeeper.cache._outages import log_change, logger
from gatekeeper.cache._scripts import INVALIDATE, LOOKUP, STORE
from gatekeeper.cache.port import CachePolicy, CacheStats, Codec, Monotonic, V
from gatekeeper.circuit import Circuit, CircuitChange
from gatekeeper.errors import ConfigurationError

T = TypeVar("T")

RESEND_BATCH: Final = 256
"""How many unsent invalidations go out between two heartbeats, at most."""


@dataclass(frozen=True, slots=True)
class Found(Generic[V]):
    """What Redis knows of a customer."""

    version: int
    """The highest version it has heard of; -1 if none."""
    ticket: int
    """Redis's time, for the write that may follow."""
    value: V | None
    """The value of that version, if it is there."""
    remaining_seconds: float
    """For how long the value may be served."""


class SharedMap(Generic[V]):
    """The values in Redis and the channel on which invalidations are told."""

    def __init__(
        self,
        url: str,
        codec: Codec[V],
        policy: CachePolicy,
        options: RedisOptions,
        *,
        stats: CacheStats,
        monotonic: Monotonic,
        on_change: Callable[[bool], None],
    ) -> None:
        self._codec = codec
        self._stats = stats
        self._monotonic = monotonic
        self._ttl_seconds = policy.ttl_seconds
        self._capacity = policy.max_customers
        self._pool = _make_pool(url, options)
        self._redis: Redis = Redis(connection_pool=self._pool)
        self._lookup_script = self._redis.register_script(LOOKUP)
        self._store_script = self._redis.register_script(STORE)
        self._invalidate_script = self._redis.register_script(INVALIDATE)
        self._prefix = (
            f"{options.prefix}{options.namespace}:" if options.namespace else options.prefix
        )
        # Channels are common to all databases of a server, keys are not.
        database = self._pool.connection_kwargs.get("db", 0)
        self.channel = f"{self._prefix}invalidated:{database}".encode()
        self.beat_channel = f"{self._prefix}beat:{database}:{uuid4().hex}".encode()
        self._unsent: OrderedDict[str, tuple[int, float]] = OrderedDict()

        def change(changed: CircuitChange) -> None:
            log_change(changed)
            on_change(changed.closed)

        self.circuit = Circuit(
            retry_seconds=options.retry_seconds, monotonic=monotonic, on_change=change
        )

    async def lookup(self, customer: str) -> Found[V] | None:
        """What Redis knows of the customer; None if it does not answer."""
        keys = [self._key(customer)]
        answer = await self._ask(lambda: self._lookup_script(keys))
        if answer is None:
            return None
        version, ticket, remaining_ms, data = int(answer[0]), answer[1], answer[2], answer[3]
        value = None if data is None else self._decode(data, version)
        if value is None:
            self._stats.shared_misses += 1
        else:
            self._stats.shared_hits += 1
        remaining_seconds = min(remaining_ms / 1000, self._ttl_seconds)
        return Found(version, ticket, value, remaining_seconds)

    async def store(self, customer: str, value: V, ticket: int) -> int | None:
        """Write the value back, unless a newer version is known there.

        Returns the highest version that Redis knows of; None if it does not answer.
        """
        try:
            data = self._codec.encode(value)
        except Exception as error:  # noqa: BLE001 - the request has its value; Redis can do without
            self._codec_failed(error)
            return None
        keys = [self._key(customer)]
        args: list[int | bytes] = [value.version, ticket, int(self._ttl_seconds * 1000), data]
        answer = await self._ask(lambda: self._store_script(keys, args))
        return None if answer is None else int(answer)

    async def invalidate(self, customer: str, version: int) -> None:
        """Raise the floor in Redis and tell every process; `resend` makes up for a failure."""
        keys, args = self._invalidation(customer, version)
        if await self._ask(lambda: self._invalidate_script(keys, args)) is None:
            known, _ = self._unsent.pop(customer, (version, 0.0))
            self._unsent[customer] = (max(known, version), self._monotonic())
            if len(self._unsent) > self._capacity:
                self._unsent.popitem(last=False)

    async def resend(self) -> bool:
        """Tell what could not be told while Redis did not answer, a batch at a time.

        What is older than the time to live is forgotten: so is every value that it concerns.
        """
        oldest_of_use = self._monotonic() - self._ttl_seconds
        batch: list[tuple[str, int, float]] = []
        while self._unsent and len(batch) < RESEND_BATCH:
            customer, (version, since) = self._unsent.popitem(last=False)
            if since >= oldest_of_use:
                batch.append((customer, version, since))
        if not batch:
            return True
        answer = await self._ask(lambda: self._send(batch), probe=True)
        if answer is not None:
            return True
        for customer, version, since in reversed(batch):
            known, _ = self._unsent.get(customer, (version, 0.0))
            self._unsent[customer] = (max(known, version), since)
            self._unsent.move_to_end(customer, last=False)
        return False

    async def beat(self) -> bool:
        """Publish a heartbeat for this process alone; False if Redis does not answer."""
        beat = repr(self._monotonic())
        answer = await self._ask(lambda: self._redis.publish(self.beat_channel, beat), probe=True)
        return answer is not None

    def subscription(self) -> PubSub:
        """A connection that can listen; to be closed by the caller."""
        return self._redis.pubsub()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._pool.disconnect()

    async def _ask(self, command: Callable[[], Awaitable[T]], *, probe: bool = False) -> T | None:
        """Run one command that answers something; None if it failed or was not tried.

        A `probe` is tried even when the circuit is open.
        """
        if not probe and not self.circuit.allows():
            return None
        try:
            answer = await command()
        except Exception as error:  # noqa: BLE001 - a cache that is ill must never fail a request,
            # and the client lets more than its own errors through when connections break
            self._stats.shared_failures += 1
            self.circuit.failed(error)
            return None
        self.circuit.succeeded()
        return answer

    async def _send(self, batch: list[tuple[str, int, float]]) -> list[object]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for customer, version, _ in batch:
                keys, args = self._invalidation(customer, version)
                await self._invalidate_script(keys, args, client=pipeline)
            return await pipeline.execute()

    def _invalidation(
        self, customer: str, version: int
    ) -> tuple[list[str], list[str | int | bytes]]:
        life_ms = int(self._ttl_seconds * 2000)
        return [self._key(customer)], [version, life_ms, self.channel, f"{version} {customer}"]

    def _decode(self, data: bytes, version: int) -> V | None:
        try:
            value = self._codec.decode(data)
            if value.version != version:
                raise ValueError("the value is not of the version that it was stored under")
        except Exception as error:  # noqa: BLE001 - whatever another release wrote is not cached
            self._codec_failed(error)
            return None
        return value

    def _codec_failed(self, error: Exception) -> None:
        if not self._stats.not_understood:
            logger.error("A cached value can't be encoded or decoded: %s", type(error).__name__)
        self._stats.not_understood += 1

    def _key(self, customer: str) -> str:
        return f"{self._prefix}customer:{customer}"


def _make_pool(url: str, options: RedisOptions) -> BlockingConnectionPool:
    """Connections with short time-outs that try once: the circuit decides about the next try."""
    try:
        return BlockingConnectionPool.from_url(
            url,
            max_connections=options.max_connections,
            timeout=options.timeout_seconds,
            socket_timeout=options.timeout_seconds,
            socket_connect_timeout=options.timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:
        # Without the client's own message: a URL holds a password.
        raise ConfigurationError(
            "The Redis URL is not valid. It looks like redis://host:6379/0, rediss:// or unix://."
        ) from None
