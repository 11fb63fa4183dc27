"""Calendar arithmetic in UTC: recurring windows anchored to one instant.

Months and years are anchored, as Stripe anchors its billing cycles
(https://docs.stripe.com/billing/subscriptions/billing-cycle): a cycle that began on 31 January
renews on 28 (or 29) February and then on 31 March, never drifting to the 28th.
"""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gatekeeper.types import Every

_FIXED: Final[dict[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_MONTHS: Final[dict[str, int]] = {"month": 1, "year": 12}

CALENDAR: Final = datetime(2001, 1, 1, tzinfo=UTC)
"""An anchor from which every recurrence follows the calendar: midnight, a Monday, 1 January."""

EVERY_ORDER: Final[dict[str, int]] = {"hour": 0, "day": 1, "week": 2, "month": 3, "year": 4}
"""From the shortest to the longest recurrence."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open interval of time: `start` belongs to it, `end` does not."""

    start: datetime
    end: datetime

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at < self.end


def add_periods(anchor: datetime, every: Every, count: int) -> datetime:
    """The instant `count` periods after `anchor` (before it, if negative)."""
    if every in _FIXED:
        return anchor + _FIXED[every] * count
    months = anchor.month - 1 + _MONTHS[every] * count
    year, month = anchor.year + months // 12, months % 12 + 1
    day = min(anchor.day, calendar.monthrange(year, month)[1])
    return anchor.replace(year=year, month=month, day=day)


def window_at(anchor: datetime, every: Every, at: datetime) -> Window:
    """The window of the recurrence anchored at `anchor` that contains the instant `at`."""
    if every in _FIXED:
        index = (at - anchor) // _FIXED[every]
    else:
        elapsed = (at.year - anchor.year) * 12 + at.month - anchor.month
        index = elapsed // _MONTHS[every]
        if add_periods(anchor, every, index) > at:
            index -= 1
        elif add_periods(anchor, every, index + 1) <= at:
            index += 1
    return Window(add_periods(anchor, every, index), add_periods(anchor, every, index + 1))
