"""A clock that stands still until it is moved: time in tests, for a gate or a store."""

from datetime import UTC, datetime, timedelta

DEFAULT_START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""Where a manual clock begins unless it is told otherwise."""


class ManualClock:
    """Pass it as `clock=`. It is called for the time, and moved by `advance` or `set`."""

    def __init__(self, now: datetime = DEFAULT_START) -> None:
        self._now = _aware(now)

    def __call__(self) -> datetime:
        """The present moment, in UTC."""
        return self._now

    def advance(
        self,
        span: timedelta = timedelta(0),
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> datetime:
        """Move on by all of these together; returns the new moment. Time never runs backwards.

        Raises:
            ValueError: the sum is negative.
        """
        total = span + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if total < timedelta(0):
            raise ValueError("A clock can't be moved back by advance(); use set().")
        return self.set(self._now + total)

    def set(self, now: datetime) -> datetime:
        """Set the moment, even to one in the past (as a restored backup would show).

        Raises:
            ValueError: the datetime is naive.
        """
        self._now = _aware(now)
        return self._now


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("A clock shows aware datetimes.")
    return moment.astimezone(UTC)
