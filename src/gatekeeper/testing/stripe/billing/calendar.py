"""Billing periods: whole intervals counted from an anchor.

Source: Stripe's page "Billing cycles": a day that the month does not have becomes its last day, and
the month after returns to the anchor's own day.
"""

import calendar
from datetime import UTC, datetime, timedelta

_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}


def boundary(anchor: int, interval: str, count: int, number: int) -> int:
    """The end of the period `number` intervals after the anchor (a unix second)."""
    start = datetime.fromtimestamp(anchor, UTC)
    if interval in _DAYS:
        return int((start + timedelta(days=_DAYS[interval] * count * number)).timestamp())
    months = start.year * 12 + start.month - 1 + _MONTHS[interval] * count * number
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return int(start.replace(year=year, month=month + 1, day=min(start.day, last)).timestamp())


def following(anchor: int, interval: str, count: int, second: int) -> int:
    """The first boundary after `second`."""
    days = _DAYS.get(interval, _MONTHS.get(interval, 1) * 28) * count
    number = max(1, (second - anchor) // (days * 86_400) - 1)
    # The estimate may be high for months (28 days is the shortest): step back, then forward.
    while number > 1 and boundary(anchor, interval, count, number - 1) > second:
        number -= 1
    while boundary(anchor, interval, count, number) <= second:
        number += 1
    return boundary(anchor, interval, count, number)
