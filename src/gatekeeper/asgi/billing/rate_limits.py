"""How often one customer, or one address that is nobody's, may ask.

Counted in windows of the clock by the package `limits`: in this process, or in Redis where the
gate has one, so that several processes count together. Without Redis's answer nobody is refused:
these limits protect the app from bursts and no money.
"""

import logging
import math
import time
from dataclasses import dataclass
from typing import Any, Final

import anyio
from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool
from starlette.requests import Request

from gatekeeper.asgi.billing.counters import BoundedCounters
from gatekeeper.asgi.billing.operations import Operation
from gatekeeper.errors import ConfigurationError, RateLimitedError
from gatekeeper.services.owned import OwnedTasks

logger = logging.getLogger("gatekeeper")

_PREFIX: Final = "gatekeeper-rates"
_REDIS_SECONDS: Final = 0.25
"""For how long a request waits for Redis to count it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Limits in the notation of `limits` ("60/minute"); None is no limit.

    Attributes:
        reads: of one customer, over all that changes nothing.
        writes: of one customer, over all that changes something, and asks Stripe as a rule.
        strangers: of one address, over what anybody may ask.
    """

    reads: str | None = "600/minute"
    writes: str | None = "60/minute"
    strangers: str | None = "300/minute"

    def __post_init__(self) -> None:
        for limit in (self.reads, self.writes, self.strangers):
            parsed(limit)


def parsed(limit: str | None) -> RateLimitItem | None:
    """A limit, read.

    Raises:
        ConfigurationError: it is written wrongly.
    """
    try:
        return None if limit is None else parse(limit)
    except ValueError:
        raise ConfigurationError(
            f"{limit!r} is no rate limit: write it as '60/minute' or '10 per second'."
        ) from None


class RateLimiter:
    """Counts requests, and refuses those that are too many.

    Args:
        tasks: of the gate: the connections to Redis are closed with it.
        redis_url: where several processes count together; None counts in this one.
    """

    def __init__(self, limits: RateLimits, tasks: OwnedTasks, redis_url: str | None = None) -> None:
        self._tasks = tasks
        self._pool: ConnectionPool | None = None
        self._is_connected = False
        self._reads = parsed(limits.reads)
        self._writes = parsed(limits.writes)
        self._strangers = parsed(limits.strangers)
        storage: Storage = BoundedCounters()
        if redis_url is not None:
            self._pool = ConnectionPool.from_url(
                redis_url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
            )
            options: dict[str, Any] = {"connection_pool": self._pool}
            storage = RedisStorage(
                f"async+{redis_url}",
                wrap_exceptions=True,
                implementation="redispy",
                key_prefix=_PREFIX,
                **options,
            )
        self._limiter = FixedWindowRateLimiter(storage)
        self._counts = True

    async def check(self, operation: Operation, request: Request, who: str | None) -> None:
        """Count a request.

        Args:
            who: the customer, or the actor in the back office; None is anybody, by their address.

        Raises:
            RateLimitedError: it is one too many; it says when the window is over.
        """
        limit = self._writes if operation.writes else self._reads
        kind = "writes" if operation.writes else "reads"
        if who is None:
            limit, kind = self._strangers, "strangers"
            who = "unknown" if request.client is None else request.client.host
        if limit is None:
            return
        counted = (kind, operation.audience, who)
        self._connect()
        try:
            may_pass = await self._limiter.hit(limit, *counted)
            window = None
            if not may_pass:
                window = await self._limiter.get_window_stats(limit, *counted)
        except StorageError:
            if self._counts:
                logger.warning("requests to the billing API are not counted: no answer of Redis")
            self._counts = False
            return
        self._counts = True
        if window is None:
            return
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        raise RateLimitedError(
            f"Too many requests; try again in {seconds} seconds.", retry_after_seconds=seconds
        )

    def _connect(self) -> None:
        """See to it that connections that are about to be made are closed with the gate."""
        if self._pool is not None and not self._is_connected:
            _ = self._tasks.begin(self._disconnect_at_the_end(self._pool), "gatekeeper rate limits")
            self._is_connected = True

    async def _disconnect_at_the_end(self, pool: ConnectionPool) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self._is_connected = False
            with anyio.CancelScope(shield=True):
                await pool.disconnect()
