"""The simulator's time and what is due at which second of it."""

import heapq
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

MINUTE_SECONDS = 60
HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400


class SimClock:
    """A clock in whole seconds since the epoch, as Stripe counts.

    With `ticking` it runs with the real clock at an offset; without, it stands still until moved,
    which makes a test's every second its own.
    """

    def __init__(self, start: datetime | None = None, *, ticking: bool = True) -> None:
        wall = time.time()
        self._ticking = ticking
        base = start.timestamp() if start is not None else wall
        self._value = base - wall if ticking else base  # an offset, or the time itself
        self._pinned: int | None = None

    def now(self) -> int:
        """Seconds since the epoch, or the second of the due moment that is running."""
        if self._pinned is not None:
            return self._pinned
        return int(time.time() + self._value) if self._ticking else int(self._value)

    def utc(self) -> datetime:
        """`now()` as an aware datetime."""
        return datetime.fromtimestamp(self.now(), UTC)

    def move_to(self, second: int) -> None:
        """Set the clock forward; a past second is an error, for Stripe's clock has no way back."""
        if second < self.now():
            raise ValueError(f"the clock is at {self.now()} and cannot go back to {second}")
        if second > self.now():
            self._value = second - time.time() if self._ticking else second

    @contextmanager
    def pinned(self, second: int) -> Iterator[None]:
        """Let `now()` answer `second` while a moment that was due then runs."""
        before, self._pinned = self._pinned, second
        try:
            yield
        finally:
            self._pinned = before


class Agenda:
    """What is to happen at which simulated second, in order of time and then of entry."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def at(self, second: int, act: Callable[[], None]) -> None:
        """Plan `act`. Nothing is ever unplanned: an act looks first whether it still applies."""
        self._count += 1
        heapq.heappush(self._entries, (second, self._count, act))

    def next_moment(self) -> int | None:
        """The earliest planned second."""
        return self._entries[0][0] if self._entries else None

    def run_due(self, clock: SimClock, until: int) -> int:
        """Run everything due by `until`, each act at its own second; the number that ran.

        An act may plan others within the span: they run too, in their place.
        """
        count = 0
        while self._entries and self._entries[0][0] <= until:
            second, _, act = heapq.heappop(self._entries)
            with clock.pinned(second):
                act()
            count += 1
        return count
