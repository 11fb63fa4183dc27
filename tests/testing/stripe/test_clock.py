from datetime import UTC, datetime

import pytest

from gatekeeper.testing.stripe.billing.calendar import boundary, following
from gatekeeper.testing.stripe.core.clock import Agenda, SimClock
from gatekeeper.testing.stripe.core.money import money


def second(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


def test_a_frozen_clock_moves_only_when_told_and_never_back() -> None:
    clock = SimClock(datetime(2026, 1, 1, tzinfo=UTC), ticking=False)
    assert clock.now() == second(2026, 1, 1)
    clock.move_to(second(2026, 1, 2))
    assert clock.utc() == datetime(2026, 1, 2, tzinfo=UTC)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.move_to(second(2026, 1, 1))


def test_a_ticking_clock_keeps_its_offset() -> None:
    clock = SimClock(datetime(2030, 1, 1, tzinfo=UTC))
    assert clock.now() >= second(2030, 1, 1)
    clock.move_to(second(2031, 1, 1))
    assert clock.now() >= second(2031, 1, 1)


def test_the_agenda_runs_acts_at_their_own_second_with_those_they_plan() -> None:
    clock, agenda, seen = SimClock(datetime(2026, 1, 1, tzinfo=UTC), ticking=False), Agenda(), []
    start = clock.now()

    def first() -> None:
        seen.append(("first", clock.now() - start))
        agenda.at(clock.now() + 5, lambda: seen.append(("planned", clock.now() - start)))

    agenda.at(start + 20, lambda: seen.append(("second", clock.now() - start)))
    agenda.at(start + 10, first)
    agenda.at(start + 99, lambda: seen.append(("late", 99)))
    assert agenda.run_due(clock, start + 50) == 3
    assert seen == [("first", 10), ("planned", 15), ("second", 20)]
    assert (agenda.next_moment(), len(agenda), clock.now()) == (start + 99, 1, start)


@pytest.mark.parametrize(
    ("interval", "count", "number", "expected"),
    [
        ("month", 1, 1, (2026, 2, 28)),
        ("month", 1, 2, (2026, 3, 31)),
        ("month", 3, 1, (2026, 4, 30)),
        ("year", 1, 1, (2027, 1, 31)),
        ("week", 2, 1, (2026, 2, 14)),
        ("day", 1, 1, (2026, 2, 1)),
    ],
)
def test_periods_count_from_the_anchor(
    interval: str, count: int, number: int, expected: tuple[int, int, int]
) -> None:
    anchor = second(2026, 1, 31)
    assert boundary(anchor, interval, count, number) == second(*expected)


@pytest.mark.parametrize("interval", ["day", "week", "month", "year"])
def test_the_following_boundary_is_the_first_after(interval: str) -> None:
    anchor = second(2026, 1, 31)
    for number in (1, 2, 3, 11, 100):
        end = boundary(anchor, interval, 1, number)
        assert following(anchor, interval, 1, end - 1) == end
        assert following(anchor, interval, 1, end) == boundary(anchor, interval, 1, number + 1)


def test_money_has_the_currency_s_own_minor_units() -> None:
    assert money(999, "eur") == "€9.99"
    assert money(500, "jpy") == "¥500"
    assert money(1_234_567, "kwd") == "KWD 1,234.567"
    assert money(-1_250, "chf") == "-CHF 12.50"
