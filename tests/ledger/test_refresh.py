"""Recurring grants as targets: granted once, as the difference, lazily, and carried over."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gatekeeper.errors import CreditsRequiredError
from gatekeeper.ledger import (
    Capture,
    Clawback,
    EntryKind,
    GrantKind,
    Received,
    Release,
    Target,
)
from tests.ledger.builders import DAY, HOUR, START, Book

MONTH = 30 * DAY
GRACE = DAY


def window(number: int, amount: int | None = 1_000, **fields: object) -> Target:
    """The window of month `number` (from 0 on) of the series `s`."""
    start = START + number * MONTH
    plain = Target(
        series="s",
        key=f"s@{number}",
        amount=amount,
        window_start=start,
        window_end=start + MONTH,
        expires_at=start + MONTH + GRACE,
    )
    return replace(plain, **fields)


def test_a_target_is_granted_once() -> None:
    book = Book()
    change = book.refresh(window(0, kind=GrantKind.TRIAL))
    assert [(g.id, g.amount, g.kind) for g in change.grants] == [("s@0/0", 1_000, GrantKind.TRIAL)]
    again = book.at(HOUR).refresh(window(0))
    assert (again.account, again.entries, again.grants) == (change.account, (), ())


def test_a_raised_target_grants_the_difference() -> None:
    book = Book()
    book.refresh(window(0, 1_000))
    change = book.at(HOUR).refresh(window(0, 2_500))
    assert [(g.id, g.amount) for g in change.grants] == [("s@0/1000", 1_500)]
    assert book.account.posted == 2_500
    assert book.refresh(window(0, 2_500)).grants == ()


def test_a_lower_target_changes_nothing() -> None:
    book = Book()
    before = book.refresh(window(0, 1_000)).account
    assert book.refresh(window(0, 10)).account == before
    assert book.refresh(window(0, 1_000)).account == before


def test_an_upgrade_to_unlimited_and_back() -> None:
    book = Book()
    book.refresh(window(0, 1_000))
    change = book.refresh(window(0, None, mints=True))
    assert [(g.id, g.amount) for g in change.grants] == [("s@0/1000", None)]
    assert book.live("s@0/1000").mints
    assert book.reserve(5_000).amount == 5_000
    before = book.account
    assert book.refresh(window(0, 2_000)).account == before  # what was unlimited stays so


def test_a_target_of_nothing_grants_nothing_and_can_be_raised() -> None:
    book = Book()
    assert book.refresh(window(0, 0)).grants == ()
    assert [g.id for g in book.refresh(window(0, 7)).grants] == ["s@0/0"]


def test_what_is_granted_once_is_remembered_for_ever() -> None:
    once = Target("once:free:credits", "once:free:credits", 5)
    book = Book()
    book.refresh(once)
    book.reserve(5)
    book.settle("h1", Capture())
    assert book.account.grants == ()
    change = book.at(10_000 * DAY).refresh(once)
    assert (change.grants, change.account.posted) == ((), 0)
    assert book.account.received["once:free:credits"].until is None


def test_the_next_window_ends_the_last_one() -> None:
    book = Book()
    book.refresh(window(0))
    change = book.at(MONTH).refresh(window(1))
    assert [(e.kind, e.posted_delta, e.grant_id) for e in change.entries] == [
        (EntryKind.GRANT_EXPIRED, -1_000, "s@0/0"),
        (EntryKind.GRANT, 1_000, "s@1/0"),
    ]
    assert book.left() == {"s@1/0": (1_000, 0)}


def test_case_48_without_a_next_window_the_last_one_lives_for_its_grace() -> None:
    book = Book()
    book.refresh(window(0))
    book.at(MONTH + GRACE - timedelta(microseconds=1)).refresh()
    assert book.account.posted == 1_000
    change = book.at(MONTH + GRACE).refresh()
    assert [(e.kind, e.posted_delta) for e in change.entries] == [(EntryKind.GRANT_EXPIRED, -1_000)]
    assert book.account.grants == ()


@pytest.mark.parametrize(
    ("rollover", "spent", "carried"),
    [(500, 0, 500), (500, 700, 300), (500, 1_000, 0), (None, 100, 900), (0, 0, 0)],
)
def test_a_rollover_carries_at_most_its_cap(rollover: int | None, spent: int, carried: int) -> None:
    book = Book()
    book.refresh(window(0, rollover=rollover))
    if spent:
        book.reserve(spent)
        book.settle("h1", Capture())
    change = book.at(MONTH).refresh(window(1, rollover=rollover))
    assert book.account.posted == 1_000 + carried
    rolled = [(g.id, g.kind, g.amount) for g in change.grants if g.kind is GrantKind.ROLLOVER]
    assert rolled == ([("s@1/rollover", GrantKind.ROLLOVER, carried)] if carried else [])


def test_a_rollover_does_not_pile_up() -> None:
    book = Book()
    for number in range(5):
        book.at(number * MONTH).refresh(window(number, rollover=500))
    assert book.account.posted == 1_500


def test_whoever_was_away_has_what_daily_use_would_have_left() -> None:
    """Windows that went by are caught up with, and running it again changes nothing."""
    targets = [window(number, rollover=500) for number in range(4)]
    book = Book()
    book.refresh(targets[0])
    book.reserve(1_000)
    book.settle("h1", Capture())
    book.at(3 * MONTH + 5 * DAY).refresh(*targets)
    assert book.left() == {"s@3/rollover": (500, 0), "s@3/0": (1_000, 0)}
    before = book.account
    again = book.refresh(*targets)
    assert (again.account, again.entries) == (before, ())
    later = book.at(3 * MONTH + 6 * DAY).refresh(*targets)  # the same list, a day later
    assert later.account.grants == before.grants
    assert later.entries == ()


def test_a_window_is_not_granted_again_when_the_next_is_paid_late() -> None:
    """Seen once its grace was over, the first window was forgotten; the second, paid for after
    that, brought it back as a target and carried half of it over a second time."""
    book = Book()
    book.refresh(window(0, rollover=500))
    book.reserve(1_000)
    book.settle("h1", Capture())
    book.at(MONTH + 2 * DAY).refresh()  # the next is not paid: nothing is due
    change = book.at(MONTH + 3 * DAY).refresh(window(0, rollover=500), window(1, rollover=500))
    assert [g.id for g in change.grants] == ["s@1/0"]
    assert book.account.posted == 1_000


def test_a_series_only_moves_forward() -> None:
    """A window that was paid for after the next one had been granted does not end that one."""
    book = Book()
    book.at(MONTH).refresh(window(1))
    before = book.account
    change = book.at(MONTH + HOUR).refresh(window(0), window(1))
    assert (change.account, change.grants) == (before, ())
    other_grid = window(1, key="s@other", window_end=START + 2 * MONTH - DAY)
    assert book.refresh(other_grid, window(1)).account == before


def test_a_moved_anchor_ends_the_running_window() -> None:
    book = Book()
    book.refresh(window(0, rollover=500))
    moved = window(
        0,
        rollover=500,
        key="s@moved",
        window_start=START + 10 * DAY,
        window_end=START + 10 * DAY + MONTH,
        expires_at=START + 10 * DAY + MONTH + GRACE,
    )
    book.at(10 * DAY).refresh(moved)
    assert book.left() == {"s@moved/rollover": (500, 0), "s@moved/0": (1_000, 0)}


def test_nothing_is_carried_over_a_window_that_nobody_paid_for() -> None:
    book = Book()
    book.refresh(window(0, rollover=500))
    book.at(2 * MONTH).refresh(window(2, rollover=500))
    assert book.left() == {"s@2/0": (1_000, 0)}


def test_series_do_not_touch_each_other() -> None:
    book = Book()
    book.refresh(window(0), window(0, 7, series="t", key="t@0"))
    book.at(MONTH).refresh(window(1))
    assert book.left() == {"t@0/0": (7, 0), "s@1/0": (1_000, 0)}


def test_what_is_held_of_a_window_that_ended_lapses_when_it_comes_back() -> None:
    book = Book()
    book.refresh(window(0, rollover=500))
    book.reserve(400, expires_at=START + 2 * MONTH)
    book.at(MONTH).refresh(window(1, rollover=500))
    assert book.left() == {"s@0/0": (0, 400), "s@1/rollover": (500, 0), "s@1/0": (1_000, 0)}
    book.settle("h1", Release())
    assert book.left() == {"s@1/rollover": (500, 0), "s@1/0": (1_000, 0)}


def test_at_cancellation_unused_grants_expire_at_once_or_with_their_window() -> None:
    book = Book()
    book.refresh(window(0), window(0, 7, series="t", key="t@0", on_cancel="keep"))
    ended = frozenset({"s", "t"})
    book.at(HOUR).refresh(ended=ended)
    assert book.left() == {"t@0/0": (7, 0)}
    book.at(MONTH - timedelta(microseconds=1)).refresh(ended=ended)
    assert book.left() == {"t@0/0": (7, 0)}
    book.at(MONTH).refresh(ended=ended)  # it will not be renewed: no grace
    assert book.left() == {}


def test_what_was_granted_once_and_is_kept_outlives_its_series() -> None:
    book = Book()
    book.refresh(Target("once", "once", 5, on_cancel="keep"))
    book.refresh(ended=frozenset({"once"}))
    assert book.left() == {"once/0": (5, 0)}


def test_what_was_bought_is_not_touched_by_the_end_of_a_series() -> None:
    book = Book()
    book.grant(9)
    book.refresh(window(0))
    book.refresh(ended=frozenset({"s"}))
    assert book.left() == {"g1": (9, 0)}


def test_a_refresh_expires_what_was_bought_when_its_time_is_over() -> None:
    book = Book()
    book.grant(9, expires_at=START + HOUR)
    change = book.at(HOUR).refresh()
    assert [(e.kind, e.posted_delta, e.at) for e in change.entries] == [
        (EntryKind.GRANT_EXPIRED, -9, START + HOUR)
    ]


def test_a_window_repays_debt_first() -> None:
    book = Book()
    book.do(Clawback(300))
    book.refresh(window(0))
    assert (book.account.posted, book.account.debt) == (700, 0)


def test_windows_that_are_over_are_forgotten_but_for_the_latest_of_each_series() -> None:
    book = Book()
    for number in range(6):
        book.at(number * MONTH).refresh(
            window(number), window(number, 7, series="t", key=f"t@{number}")
        )
    assert set(book.account.received) == {"s@4", "t@4", "s@5", "t@5"}  # 4 is in its grace
    book.at(9 * MONTH).refresh()
    assert set(book.account.received) == {"s@5", "t@5"}
    assert book.account.received["s@5"] == Received(
        1_000, START + 6 * MONTH + GRACE, "s", START + 5 * MONTH, START + 6 * MONTH, left=1_000
    )


def test_a_refresh_with_nothing_to_do_changes_nothing() -> None:
    book = Book()
    change = book.refresh()
    assert (change.account, change.entries, change.grants, change.hold) == (
        book.account,
        (),
        (),
        None,
    )
    book.grant(5)
    before = book.account
    assert book.at(DAY).refresh().account == before


def test_unlimited_windows_follow_each_other() -> None:
    book = Book()
    book.refresh(window(0, None, mints=True))
    book.reserve(50, expires_at=START + 2 * MONTH)
    book.at(MONTH).refresh(window(1, None, mints=True))
    assert book.reserve(70, "h2").allocations[0].grant_id == "s@1/0"
    book.settle("h1", Capture(10))
    assert book.left() == {"s@1/0": (0, 70)}


def test_a_window_that_became_unlimited_still_carries_over_what_was_left() -> None:
    book = Book()
    book.refresh(window(0, 100, rollover=50))
    book.at(MONTH).refresh(window(1, None, rollover=50, mints=True))
    carried = book.live("s@1/rollover")
    assert (carried.remaining, carried.mints) == (50, False)
    assert book.reserve(60).allocations[0].grant_id in {"s@1/rollover", "s@1/0"}


def test_a_window_that_is_paid_late_takes_over_the_same_however_often_one_looked() -> None:
    looked, away = Book(), Book()
    for book in (looked, away):
        book.refresh(window(0, rollover=500))
    for days in (31, 32, 33):
        looked.at(days * DAY).refresh()
    for book in (looked, away):
        book.at(34 * DAY).refresh(window(1, rollover=500))
        assert book.account.available == 1_500
    assert looked.account.received.keys() == away.account.received.keys()


def test_what_a_canceled_series_had_left_is_not_taken_over() -> None:
    book = Book()
    book.refresh(window(0, rollover=500))
    book.at(HOUR).refresh(ended=frozenset({"s"}))
    book.at(31 * DAY).refresh(window(1, rollover=500))
    assert book.account.available == 1_000


def test_a_suspended_series_makes_nothing_new_and_goes_on_afterwards() -> None:
    book = Book()
    book.refresh(Target("u", "u@1", None, mints=True))
    book.refresh(suspended=frozenset({"u"}))
    with pytest.raises(CreditsRequiredError):
        book.reserve(1)
    book.refresh()
    assert book.reserve(1).amount == 1
