"""A circuit breaker: when a service does not answer, nobody waits for it again and again."""

from collections.abc import Callable
from typing import NamedTuple


class Circuit:
    """Closed while the service answers. Failures in a row open it; then one caller per
    period tries.

    Args:
        threshold: how many failures in a row open it.
        retry_seconds: how long an open circuit lets nobody through, between two tries.
        try_seconds: how long a try may take; until it has ended, or this time is over, there is no
            other.
        monotonic: seconds that never run backwards.
        on_change: called with the change, once for each.
    """

    def __init__(
        self,
        *,
        retry_seconds: float,
        monotonic: Callable[[], float],
        on_change: Callable[["CircuitChange"], None],
        threshold: int = 1,
        try_seconds: float = 0.0,
    ) -> None:
        self._retry_seconds = retry_seconds
        self._try_seconds = try_seconds
        self._monotonic = monotonic
        self._on_change = on_change
        self._threshold = threshold
        self._failures = 0
        self._opened_at: float | None = None
        self._next_try_at = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether the service is taken to answer."""
        return self._opened_at is None

    def allows(self) -> bool:
        """Whether to ask now. While the circuit is open this admits one caller per period."""
        if self._opened_at is None:
            return True
        now = self._monotonic()
        if now < self._next_try_at:
            return False
        self._next_try_at = now + max(self._retry_seconds, self._try_seconds)
        return True

    def succeeded(self) -> None:
        """The service has answered."""
        self._failures = 0
        if self._opened_at is None:
            return
        seconds = self._monotonic() - self._opened_at
        self._opened_at = None
        self._on_change(CircuitChange(True, seconds, None))

    def failed(self, error: Exception, *, is_try: bool = True) -> None:
        """The service has not answered, or has answered with an error of its own. `is_try`: it was
        asked while the circuit was open; False for what had been asked before it opened."""
        now = self._monotonic()
        self._failures += 1
        if self._opened_at is not None:
            if is_try:
                self._next_try_at = now + self._retry_seconds
            return
        if self._failures < self._threshold:
            return
        self._opened_at = now
        self._next_try_at = now + self._retry_seconds
        self._on_change(CircuitChange(False, 0.0, error))


class CircuitChange(NamedTuple):
    """That a circuit has closed after so many seconds, or has opened because of an error."""

    closed: bool
    seconds: float
    error: Exception | None
