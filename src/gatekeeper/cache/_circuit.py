"""A circuit breaker: when Redis does not answer, nobody waits for it again and again."""

import logging
from collections.abc import Callable
from typing import Final

from gatekeeper.cache.port import Monotonic

logger: Final = logging.getLogger("gatekeeper.cache")


class Circuit:
    """Closed while Redis answers. The first failure opens it; then one caller per period tries.

    A change is logged once, with the kind of the error and no more: messages of the Redis client
    hold addresses, and answers of a server can hold anything.
    """

    def __init__(
        self, *, retry_seconds: float, monotonic: Monotonic, on_change: Callable[[bool], None]
    ) -> None:
        self._retry_seconds = retry_seconds
        self._monotonic = monotonic
        self._on_change = on_change
        self._opened_at: float | None = None
        self._next_try_at = 0.0

    def allows(self) -> bool:
        """Whether to ask Redis now. While the circuit is open this admits one caller per period."""
        if self._opened_at is None:
            return True
        now = self._monotonic()
        if now < self._next_try_at:
            return False
        self._next_try_at = now + self._retry_seconds
        return True

    def succeeded(self) -> None:
        """Redis has answered."""
        if self._opened_at is None:
            return
        seconds = self._monotonic() - self._opened_at
        self._opened_at = None
        logger.warning("Redis answers again after %.1f s", seconds)
        self._on_change(True)

    def failed(self, error: Exception) -> None:
        """Redis has not answered, or has answered with an error."""
        now = self._monotonic()
        self._next_try_at = now + self._retry_seconds
        if self._opened_at is not None:
            return
        self._opened_at = now
        logger.warning(
            "Redis does not answer (%s): values are cached in this process alone, and are up to "
            "their time to live old, until it does",
            type(error).__name__,
        )
        self._on_change(False)
