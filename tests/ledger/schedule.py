"""What a plan owes at a moment: the facts that the engine and the naive ledger are both given."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gatekeeper.ledger import Allotment, CapTarget, GrantKind, Target
from gatekeeper.types import Every
from tests.ledger.naive_things import Due

START = datetime(2025, 12, 31, 23, 59, 35, tzinfo=UTC)
"""A new hour, day, month and year begin 25 seconds later."""
WINDOW_SECONDS = 10
GRACE_SECONDS = 3


def instant(second: int | None) -> datetime:
    """A second of the test as an instant."""
    assert second is not None
    return START + timedelta(seconds=second)


def second_of(at: datetime) -> int:
    """An instant as a second of the test."""
    return (at - START) // timedelta(seconds=1)


@dataclass
class Schedule:
    """A plan with windows of ten seconds, what was paid of it, and a gift that is given once."""

    amount: int | None = 8
    rollover: int | None = 0
    keep: bool = False
    overage: int | None = 0
    once: int = 0
    paid: set[int] = field(default_factory=set)
    ended: bool = False
    suspended: bool = False
    caps: dict[Every, int] = field(default_factory=dict)

    def due(self, since: int, now: int) -> list[Due]:
        """What is due now; with a rollover, of every window since the last change as well."""
        found = [] if self.once == 0 else [Due("once", "once", self.once)]
        if self.ended or self.suspended:
            return found
        window = now // WINDOW_SECONDS
        in_grace = now % WINDOW_SECONDS < GRACE_SECONDS and since < window * WINDOW_SECONDS
        if window not in self.paid:
            if window - 1 not in self.paid or not in_grace:
                return found
            window -= 1
        first = window if self.rollover == 0 else min(window, max(0, since // WINDOW_SECONDS))
        windows = [number for number in range(first, window + 1) if number in self.paid]
        found += [self._window(number) for number in windows]
        if self.overage != 0:
            found.append(self._overage(window))
        return found

    def ended_series(self) -> set[str]:
        """The series that will not be renewed."""
        return {"plan", "overage"} if self.ended else set()

    def suspended_series(self) -> set[str]:
        """The series that make nothing new for now."""
        return {"plan", "overage"} if self.suspended else set()

    def _window(self, number: int) -> Due:
        start = number * WINDOW_SECONDS
        return Due(
            series="plan",
            key=f"plan@{number}",
            amount=self.amount,
            start=start,
            end=start + WINDOW_SECONDS,
            expires=start + WINDOW_SECONDS + GRACE_SECONDS,
            rollover=self.rollover,
            keep=self.keep,
            mints=self.amount is None,
        )

    def _overage(self, number: int) -> Due:
        start = number * WINDOW_SECONDS
        return Due(
            series="overage",
            key=f"overage@{number}",
            amount=self.overage,
            start=start,
            end=start + WINDOW_SECONDS,
            expires=start + WINDOW_SECONDS + GRACE_SECONDS,
            priority=-5,
            mints=True,
            meter="meter",
        )


def allotment_of(
    due: list[Due], ended: set[str], suspended: set[str], caps: dict[Every, int]
) -> Allotment:
    """The same facts in the engine's words."""
    targets = [
        Target(
            series=one.series,
            key=one.key,
            amount=one.amount,
            kind=GrantKind.PLAN if one.meter is None else GrantKind.OVERAGE,
            window_start=None if one.start is None else instant(one.start),
            window_end=None if one.end is None else instant(one.end),
            expires_at=None if one.expires is None else instant(one.expires),
            priority=one.priority,
            rollover=one.rollover,
            on_cancel="keep" if one.keep else "expire",
            mints=one.mints,
            meter=one.meter,
        )
        for one in due
    ]
    return Allotment(
        tuple(targets),
        frozenset(ended),
        frozenset(suspended),
        caps=tuple(CapTarget(every, limit) for every, limit in caps.items()),
    )
