"""Calendar arithmetic in UTC."""

import calendar
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.periods import EVERY_ORDER, Window, add_periods, window_at
from gatekeeper.types import Every

EVERY: list[Every] = ["hour", "day", "week", "month", "year"]
instants = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
every_strategy = st.sampled_from(EVERY)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "count", "expected"),
    [
        ("hour", 3, "2025-01-31T13:30"),
        ("day", 1, "2025-02-01T10:30"),
        ("week", 2, "2025-02-14T10:30"),
        ("month", 0, "2025-01-31T10:30"),
        ("month", 12, "2026-01-31T10:30"),
        ("month", -1, "2024-12-31T10:30"),
        ("month", -2, "2024-11-30T10:30"),
        ("month", -11, "2024-02-29T10:30"),
        ("year", 1, "2026-01-31T10:30"),
        ("year", -2, "2023-01-31T10:30"),
    ],
)
def test_adding_periods(every: Every, count: int, expected: str) -> None:
    assert add_periods(utc("2025-01-31T10:30"), every, count) == utc(expected)


def test_case_30_months_are_anchored_and_do_not_drift() -> None:
    anchor = utc("2025-01-31T00:00")
    ends = [add_periods(anchor, "month", n).date().isoformat() for n in range(1, 6)]
    assert ends == ["2025-02-28", "2025-03-31", "2025-04-30", "2025-05-31", "2025-06-30"]


def test_case_30_a_leap_day_is_the_28th_in_other_years_and_comes_back() -> None:
    anchor = utc("2024-02-29T12:00")
    years = [add_periods(anchor, "year", n).date().isoformat() for n in range(5)]
    assert years == ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]
    assert add_periods(utc("2024-01-31T00:00"), "month", 1) == utc("2024-02-29T00:00")


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        ("2025-01-31T00:00", "2025-01-31T00:00", "2025-02-28T00:00"),
        ("2025-02-27T23:59:59.999999", "2025-01-31T00:00", "2025-02-28T00:00"),
        ("2025-02-28T00:00", "2025-02-28T00:00", "2025-03-31T00:00"),
        ("2025-03-30T12:00", "2025-02-28T00:00", "2025-03-31T00:00"),
        ("2025-03-31T00:00", "2025-03-31T00:00", "2025-04-30T00:00"),
        ("2025-01-30T00:00", "2024-12-31T00:00", "2025-01-31T00:00"),
        ("2024-02-29T00:00", "2024-02-29T00:00", "2024-03-31T00:00"),
    ],
)
def test_case_30_windows_of_months_begin_at_the_anchor(at: str, start: str, end: str) -> None:
    assert window_at(utc("2025-01-31T00:00"), "month", utc(at)) == Window(utc(start), utc(end))


def test_case_30_windows_of_years_across_leap_days() -> None:
    anchor = utc("2024-02-29T00:00")
    assert window_at(anchor, "year", utc("2025-02-27T00:00")) == Window(
        utc("2024-02-29T00:00"), utc("2025-02-28T00:00")
    )
    assert window_at(anchor, "year", utc("2028-02-28T23:00")) == Window(
        utc("2027-02-28T00:00"), utc("2028-02-29T00:00")
    )


def test_case_30_a_clock_change_moves_no_boundary() -> None:
    # 30 March 2025, 01:00 UTC: clocks in Berlin go from 02:00 to 03:00. UTC knows of nothing.
    anchor = utc("2025-03-29T01:30")
    assert window_at(anchor, "day", utc("2025-03-30T01:29:59")).start == anchor
    assert window_at(anchor, "day", utc("2025-03-30T01:30")).start == utc("2025-03-30T01:30")
    assert add_periods(anchor, "day", 2) - anchor == timedelta(hours=48)


@pytest.mark.parametrize(
    ("at", "start"),
    [
        ("2025-01-31T22:00-05:00", "2025-02-01T00:00"),  # 1 February in UTC, still January there
        ("2025-02-01T08:00+09:00", "2025-01-01T00:00"),  # 31 January in UTC, February there
    ],
)
def test_case_30_the_same_instant_in_another_zone_is_in_the_same_window(
    at: str, start: str
) -> None:
    elsewhere = datetime.fromisoformat(at)
    window = window_at(utc("2025-01-01T00:00"), "month", elsewhere)
    assert window.start == utc(start)
    assert window == window_at(utc("2025-01-01T00:00"), "month", elsewhere.astimezone(UTC))


def test_a_window_holds_its_start_and_not_its_end() -> None:
    window = Window(utc("2025-01-01T00:00"), utc("2025-02-01T00:00"))
    assert window.start in window
    assert window.end - timedelta(microseconds=1) in window
    assert window.end not in window
    assert window.start - timedelta(microseconds=1) not in window


def test_recurrences_are_ordered_by_their_length() -> None:
    anchor = utc("2025-01-01T00:00")
    assert sorted(EVERY, key=EVERY_ORDER.__getitem__) == EVERY
    assert sorted(EVERY, key=lambda every: add_periods(anchor, every, 1)) == EVERY


@given(instants, every_strategy, instants)
def test_every_instant_is_in_the_window_that_is_found_for_it(
    anchor: datetime, every: Every, at: datetime
) -> None:
    assert at in window_at(anchor, every, at)


@given(instants, every_strategy, st.integers(-1_000, 1_000))
def test_the_windows_of_an_anchor_leave_no_gap_and_do_not_overlap(
    anchor: datetime, every: Every, number: int
) -> None:
    if every == "year":
        number %= 50
    start = add_periods(anchor, every, number)
    window = window_at(anchor, every, start)
    assert window == Window(start, add_periods(anchor, every, number + 1))
    before = window_at(anchor, every, start - timedelta(microseconds=1))
    assert before.end == window.start
    assert window_at(anchor, every, window.end).start == window.end


@given(instants, st.sampled_from(["month", "year"]), st.integers(-500, 500))
def test_case_30_the_day_of_the_anchor_is_kept_wherever_the_month_has_it(
    anchor: datetime, every: Every, count: int
) -> None:
    if every == "year":
        count %= 50
    moved = add_periods(anchor, every, count)
    last = calendar.monthrange(moved.year, moved.month)[1]
    assert moved.day == min(anchor.day, last)
    assert moved.timetz() == anchor.timetz()
    months = (moved.year - anchor.year) * 12 + moved.month - anchor.month
    assert months == count * (12 if every == "year" else 1)


@given(instants, every_strategy, instants, st.integers(-14, 14))
def test_case_30_the_zone_in_which_an_instant_is_written_does_not_matter(
    anchor: datetime, every: Every, at: datetime, offset_hours: int
) -> None:
    elsewhere = at.astimezone(timezone(timedelta(hours=offset_hours)))
    assert window_at(anchor, every, elsewhere) == window_at(anchor, every, at)
