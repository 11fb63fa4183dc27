"""How fast this process asks Stripe: so many requests a second and at once, and a rest after a 429.

Stripe allows an account 100 requests a second in live mode and 25 in test mode, counts reads and
writes apart, allows each kind of object about 25, and limits how many run at once
(https://docs.stripe.com/rate-limits); it need not say how long to rest after a 429. The limits are
the account's: several processes share them, so each is set to a part.

(The package `limits` counts in windows and refuses; here a request waits for its turn.)
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic as system_monotonic
from typing import Final

import anyio

REST_SECONDS: Final = 1.0
"""How long to rest after a 429 that does not say."""

MAX_REST_SECONDS: Final = 60.0
"""Longer rests than this are not believed."""


class TooManyWaitingError(Exception):
    """So many requests wait for their turn that this one would wait for too long."""


class TokenBucket:
    """`per_second` turns a second, of which those of one second can be taken at once."""

    def __init__(self, per_second: float, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._monotonic = monotonic
        self._tokens = per_second
        self._at = monotonic()

    def take(self, max_wait_seconds: float) -> float | None:
        """Take a turn: in how many seconds it is; None if that is too long (then none is taken)."""
        now = self._monotonic()
        grown = (now - self._at) * self._per_second
        self._tokens = min(self._per_second, self._tokens + grown)
        self._at = now
        wait = max(0.0, (1 - self._tokens) / self._per_second)
        if wait > max_wait_seconds:
            return None
        self._tokens -= 1
        return wait


class Pace:
    """Lets requests through, one `turn` for each attempt. For one event loop.

    Args:
        per_second: reads in a second, and as many writes.
        at_once: requests that run at once.
        max_wait_seconds: what would wait for longer is refused.
    """

    def __init__(
        self,
        *,
        per_second: float,
        at_once: int,
        max_wait_seconds: float,
        monotonic: Callable[[], float] = system_monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._reads = TokenBucket(per_second, monotonic)
        self._writes = TokenBucket(per_second, monotonic)
        self._limit = anyio.Semaphore(at_once)
        self._max_wait_seconds = max_wait_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._rests_until = 0.0

    @asynccontextmanager
    async def turn(self, *, writes: bool) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end of the block.

        Raises:
            TooManyWaitingError.
        """
        deadline = self._monotonic() + self._max_wait_seconds
        await self._rest_over(deadline)
        bucket = self._writes if writes else self._reads
        wait = bucket.take(max(0.0, deadline - self._monotonic()))
        if wait is None:
            raise TooManyWaitingError
        if wait > 0:
            await self._sleep(wait)
            await self._rest_over(deadline)  # one that has begun meanwhile
        with anyio.move_on_after(self._max_wait_seconds) as waited:
            await self._limit.acquire()
        if waited.cancelled_caught:
            raise TooManyWaitingError
        try:
            yield
        finally:
            self._limit.release()

    async def _rest_over(self, deadline: float) -> None:
        while (rest := self._rests_until - self._monotonic()) > 0:
            if self._rests_until > deadline:
                raise TooManyWaitingError
            await self._sleep(rest)

    def rest(self, retry_after: str | None) -> None:
        """Stripe has answered 429: nobody asks until then. `retry_after` is its header."""
        try:
            seconds = float(retry_after) if retry_after is not None else REST_SECONDS
        except ValueError:
            seconds = REST_SECONDS  # a date: Stripe sends none
        seconds = min(max(seconds, 0.0), MAX_REST_SECONDS)
        self._rests_until = max(self._rests_until, self._monotonic() + seconds)
