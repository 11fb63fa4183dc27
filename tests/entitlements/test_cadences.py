"""Every cadence, for what is bought and for the default plan, over leap days and clock changes."""

from datetime import UTC, datetime, timedelta

import pytest

from gatekeeper.types import Every
from tests.entitlements.builders import (
    DAY,
    HOUR,
    Wallet,
    grant,
    item,
    line,
    state,
    terms,
    utc,
)

TICK = timedelta(microseconds=1)

# One instant, the cadence, and the window that it is in: anchored to 31 January, 10:30.
ANCHOR = utc("2024-01-31T10:30")
ANCHORED: list[tuple[str, Every, str, str]] = [
    ("2024-02-29T10:29", "hour", "2024-02-29T09:30", "2024-02-29T10:30"),
    ("2024-02-29T10:29", "day", "2024-02-28T10:30", "2024-02-29T10:30"),
    ("2024-02-29T10:30", "day", "2024-02-29T10:30", "2024-03-01T10:30"),
    ("2024-02-29T10:29", "week", "2024-02-28T10:30", "2024-03-06T10:30"),
    ("2024-02-29T10:29", "month", "2024-01-31T10:30", "2024-02-29T10:30"),
    ("2024-02-29T10:30", "month", "2024-02-29T10:30", "2024-03-31T10:30"),
    ("2025-02-28T10:30", "month", "2025-02-28T10:30", "2025-03-31T10:30"),
    ("2025-01-31T10:29", "year", "2024-01-31T10:30", "2025-01-31T10:30"),
    ("2025-01-31T10:30", "year", "2025-01-31T10:30", "2026-01-31T10:30"),
]
# The same by the calendar, which begins at midnight, on Mondays, and on the first.
CALENDAR: list[tuple[str, Every, str, str]] = [
    ("2024-02-29T10:29", "hour", "2024-02-29T10:00", "2024-02-29T11:00"),
    ("2024-02-29T10:29", "day", "2024-02-29T00:00", "2024-03-01T00:00"),
    ("2024-02-29T10:29", "week", "2024-02-26T00:00", "2024-03-04T00:00"),
    ("2024-02-29T10:29", "month", "2024-02-01T00:00", "2024-03-01T00:00"),
    ("2024-12-31T23:59", "month", "2024-12-01T00:00", "2025-01-01T00:00"),
    ("2024-12-31T23:59", "year", "2024-01-31T10:30", "2025-01-01T00:00"),  # from the sign-up on
    ("2025-12-31T23:59", "year", "2025-01-01T00:00", "2026-01-01T00:00"),
]


@pytest.mark.parametrize(("at", "every", "start", "end"), ANCHORED)
def test_case_30_what_is_bought_recurs_from_its_anchor_on(
    at: str, every: Every, start: str, end: str
) -> None:
    plan = terms("pro", grant(7, every))
    bought = [line(ANCHOR, utc("2027-01-31T10:30"), plan)]
    known = state(item(plan=plan, start=ANCHOR, lines=bought), created=ANCHOR)
    wallet = Wallet()
    (target,) = wallet.due(known, utc(at)).targets
    assert (target.window_start, target.window_end) == (utc(start), utc(end))
    assert wallet.look(known, utc(at)) == 7
    assert wallet.look(known, utc(end) - TICK) == 7
    assert wallet.granted == 7
    wallet.look(known, utc(end))
    assert wallet.granted == 14


@pytest.mark.parametrize(("at", "every", "start", "end"), ANCHORED)
def test_case_30_the_default_plan_recurs_from_the_sign_up_on(
    at: str, every: Every, start: str, end: str
) -> None:
    wallet = Wallet(terms("free", grant(7, every)))
    (target,) = wallet.due(state(created=ANCHOR), utc(at)).targets
    assert (target.window_start, target.window_end) == (utc(start), utc(end))


@pytest.mark.parametrize(("at", "every", "start", "end"), CALENDAR)
def test_case_30_or_by_the_calendar(at: str, every: Every, start: str, end: str) -> None:
    known = state(created=ANCHOR)
    wallet = Wallet(terms("free", grant(7, every)), calendar_windows=True)
    (target,) = wallet.due(known, utc(at)).targets
    assert (target.window_start, target.window_end) == (utc(start), utc(end))
    assert wallet.look(known, utc(at)) == 7
    assert wallet.look(known, utc(end)) == 7
    assert wallet.granted == 14


# Clocks in Berlin change on these days, which have 23 and 25 hours there.
@pytest.mark.parametrize(
    ("begins", "ends", "hours"),
    [
        ("2025-03-30T00:00+01:00", "2025-03-31T00:00+02:00", 23),
        ("2025-10-26T00:00+02:00", "2025-10-27T00:00+01:00", 25),
    ],
)
def test_case_30_a_clock_change_makes_no_window_longer_or_shorter(
    begins: str, ends: str, hours: int
) -> None:
    known = state(created=utc("2025-01-01T00:00"))
    hourly, daily = Wallet(terms("free", grant(1, "hour"))), Wallet(terms("free", grant(1, "day")))
    at, end, count = datetime.fromisoformat(begins), datetime.fromisoformat(ends), 0
    while at.timestamp() < end.timestamp():
        now = datetime.fromtimestamp(at.timestamp(), tz=UTC)
        hourly.look(known, now)
        daily.look(known, now)
        at, count = now + HOUR, count + 1
    assert count == hours
    assert hourly.granted == hours
    assert daily.granted == 2  # 23:00 UTC, then the next day in UTC, until 22:00 or 23:00


def test_case_30_the_29th_of_february_recurs_on_the_28th_in_other_years() -> None:
    leap = utc("2024-02-29T00:00")
    wallet = Wallet(terms("free", grant(1, "year")))
    known = state(created=leap)
    for at, granted in (
        (leap, 1),
        (utc("2025-02-28T00:00") - TICK, 1),
        (utc("2025-02-28T00:00"), 2),
        (utc("2028-02-28T23:00"), 3),
        (utc("2028-02-29T00:00"), 4),
    ):
        wallet.look(known, at)
        assert wallet.granted == granted


def test_what_is_granted_once_recurs_never() -> None:
    wallet = Wallet(terms("free", grant(5, "once", plan="free")))
    for years in range(4):
        assert wallet.look(state(created=ANCHOR), ANCHOR + years * 366 * DAY) == 5
    assert wallet.granted == 5
