"""What a hold gives back to a grant whose time is over."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gatekeeper.errors import CreditsRequiredError
from gatekeeper.ledger import (
    Capture,
    Clawback,
    EntryKind,
    GrantKind,
    Release,
    Revoke,
    Target,
    UnitPolicy,
)
from tests.ledger.builders import DAY, EMPTY, HOUR, START, Book

LATE = UnitPolicy(late_return=timedelta(hours=8))
LONG = START + 9 * DAY


def window(number: int, amount: int = 100, **fields: object) -> Target:
    """The daily window of day `number` (from 0 on) of the series `s`."""
    start = START + number * DAY
    plain = Target(
        series="s",
        key=f"s@{number}",
        amount=amount,
        window_start=start,
        window_end=start + DAY,
        expires_at=start + DAY + HOUR,
        priority=3,
        rollover=50,
    )
    return replace(plain, **fields)


def held_over_the_end(*, rollover: int | None, left: int = 0, policy: UnitPolicy) -> Book:
    """A hold of 40 of window 0 that is still open when window 1 has begun."""
    book = Book(policy=policy)
    book.refresh(window(0, 40 + left, rollover=rollover))
    book.reserve(40, expires_at=LONG)
    book.at(DAY).refresh(window(1, rollover=rollover))
    return book


# -- into the next window -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rollover", "left", "carried"), [(50, 0, 40), (50, 20, 30), (50, 60, 0), (None, 60, 40)]
)
def test_what_comes_back_rolls_over_as_far_as_it_would_have_in_time(
    rollover: int | None, left: int, carried: int
) -> None:
    book = held_over_the_end(rollover=rollover, left=left, policy=UnitPolicy())
    before = book.account.available
    change = book.settle("h1", Release())
    assert book.account.available == before + carried
    assert [(g.kind, g.amount) for g in change.grants] == (
        [(GrantKind.ROLLOVER, carried)] if carried else []
    )
    moved = [(e.kind, e.posted_delta, e.held_delta) for e in change.entries]
    lapsed = [] if carried == 40 else [(EntryKind.GRANT_EXPIRED, carried - 40, 0)]
    over = [(EntryKind.GRANT_EXPIRED, -carried, 0), (EntryKind.GRANT, carried, 0)]
    assert moved == [(EntryKind.RELEASE, 0, -40), *(over if carried else []), *lapsed]


def test_what_rolled_over_late_belongs_to_the_window_that_took_it_over() -> None:
    book = held_over_the_end(rollover=50, policy=UnitPolicy())
    book.settle("h1", Capture(15))
    rolled = next(grant for grant in book.account.grants if grant.returned)
    assert rolled.id == f"s@1/rollover/{book.last.entries[-1].sequence}"
    assert (rolled.remaining, rolled.priority, rolled.series) == (25, 3, "s")
    assert (rolled.window_key, rolled.window_end) == ("s@1", START + 2 * DAY)
    assert rolled.expires_at == START + 2 * DAY + HOUR
    book.at(2 * DAY).refresh(window(2, rollover=50))
    assert book.left() == {"s@2/rollover": (50, 0), "s@2/0": (100, 0)}


def test_many_holds_that_come_back_late_share_one_grant_and_one_cap() -> None:
    book = Book()
    book.refresh(window(0))
    for number in range(4):
        book.reserve(20, f"h{number}", expires_at=LONG)
    book.at(DAY).refresh(window(1))  # which takes over the 20 that are left
    for number in range(4):
        book.settle(f"h{number}", Release())
    assert [g.remaining for g in book.account.grants if g.returned] == [30]
    assert book.account.available == 100 + 50


def test_a_window_that_grows_takes_over_no_more_by_it() -> None:
    book = held_over_the_end(rollover=50, left=20, policy=UnitPolicy())
    book.refresh(window(1, 200))
    book.settle("h1", Release())
    assert book.account.available == 200 + 50


def test_what_was_held_for_longer_than_the_next_window_lapses() -> None:
    book = held_over_the_end(rollover=50, policy=UnitPolicy())
    book.reserve(100, "h2")
    book.settle("h2", Capture())
    book.at(2 * DAY).refresh(window(2))  # there is room, but not for what is so old
    before = book.account.available
    change = book.settle("h1", Release())
    assert (change.grants, book.account.available) == ((), before)


def test_nothing_rolls_over_into_a_window_that_is_over_too() -> None:
    book = held_over_the_end(rollover=50, policy=UnitPolicy())
    book.at(2 * DAY + HOUR).settle("h1", Release())
    assert not any(grant.returned for grant in book.account.grants)


def test_nothing_rolls_over_in_a_canceled_series() -> None:
    book = held_over_the_end(rollover=50, policy=LATE)
    book.refresh(ended=frozenset({"s"}))
    book.settle("h1", Release())
    assert (book.account.posted, book.account.grants) == (0, ())


def test_a_kept_series_takes_nothing_over_once_it_has_ended() -> None:
    book = Book()
    for number in range(2):
        target = window(number, 40, on_cancel="keep")
        book.at(number * DAY).refresh(target)
        book.reserve(40, f"h{number}", expires_at=LONG)
    book.refresh(ended=frozenset({"s"}))
    book.settle("h0", Release())
    assert book.account.available == 0
    book.settle("h1", Release())  # that window is still running
    assert book.account.available == 40


def test_a_window_that_is_paid_for_late_takes_over_what_came_back_before() -> None:
    book = Book()
    book.refresh(window(0, 40))
    book.reserve(40, expires_at=LONG)
    book.at(DAY + 2 * HOUR).refresh()
    book.settle("h1", Release())
    assert book.account.available == 0
    book.at(DAY + 3 * HOUR).refresh(window(1))
    assert book.left() == {"s@1/rollover": (40, 0), "s@1/0": (100, 0)}


def test_what_is_owed_is_repaid_before_anything_rolls_over() -> None:
    book = held_over_the_end(rollover=50, policy=UnitPolicy())
    book.do(Clawback(110))
    book.settle("h1", Release())
    assert (book.account.debt, book.account.available) == (0, 30)


# -- the unit's late return -----------------------------------------------------------------------


def test_what_comes_back_late_can_be_spent_for_a_while() -> None:
    book = Book(policy=LATE)
    book.grant(10, priority=2, expires_at=START + HOUR)
    book.reserve(10, expires_at=LONG, actor="eve")
    change = book.at(2 * HOUR).settle("h1", Capture(3))
    grant = change.grants[0]
    assert (grant.kind, grant.amount, grant.priority) == (GrantKind.RETURNED, 7, 2)
    assert [(e.kind, e.posted_delta, e.held_delta, e.grant_id) for e in change.entries] == [
        (EntryKind.CAPTURE, -3, -3, "g1"),
        (EntryKind.RELEASE, 0, -7, "g1"),
        (EntryKind.GRANT_EXPIRED, -7, 0, "g1"),
        (EntryKind.GRANT, 7, 0, grant.id),
    ]
    assert grant.expires_at == START + 10 * HOUR
    book.at(10 * HOUR - timedelta(microseconds=1)).refresh()
    assert book.account.available == 7
    book.at(10 * HOUR).refresh()
    assert book.account.available == 0


def test_it_can_be_spent_for_at_least_as_long_as_declared() -> None:
    book = Book(policy=LATE)
    book.grant(10, expires_at=START + HOUR)
    book.reserve(10, expires_at=LONG)
    back = 2 * HOUR + timedelta(minutes=1)
    change = book.at(back).settle("h1", Release())
    expires_at = change.grants[0].expires_at
    assert expires_at is not None
    assert LATE.late_return <= expires_at - book.now <= LATE.late_return * 5 / 4


def test_late_returns_of_one_time_share_a_grant() -> None:
    book = Book(policy=LATE)
    book.grant(10, expires_at=START + HOUR)
    book.grant(10, "g2", expires_at=START + HOUR)
    for number in range(6):
        book.reserve(3, f"h{number}", expires_at=LONG)
    for number in range(6):
        moment = timedelta(minutes=61 + number)
        book.at(moment).settle(f"h{number}", Release())
    assert [grant.remaining for grant in book.account.grants if grant.returned] == [18]


def test_what_comes_back_late_a_second_time_lapses() -> None:
    """Else credits would never expire that are held again and again."""
    book = Book(policy=LATE)
    book.grant(10, expires_at=START + HOUR)
    book.reserve(10, expires_at=LONG)
    book.at(2 * HOUR).settle("h1", Release())
    book.reserve(10, "h2", expires_at=LONG)
    book.at(20 * HOUR).settle("h2", Release())
    assert (book.account.posted, book.account.grants) == (0, ())


def test_what_does_not_fit_under_the_rollover_can_be_spent_for_a_while() -> None:
    book = held_over_the_end(rollover=50, left=20, policy=LATE)
    book.settle("h1", Release())
    assert sorted(g.remaining for g in book.account.grants if g.returned) == [10, 30]


def test_what_was_revoked_never_comes_back_however_often_one_looked() -> None:
    book = Book(policy=LATE)
    book.grant(10, expires_at=START + HOUR)
    book.reserve(10, expires_at=LONG)
    book.do(Revoke("g1"))
    book.at(2 * HOUR).refresh()
    book.settle("h1", Release())
    assert (book.account.posted, book.account.grants) == (0, ())


def test_the_shortest_late_return_works_as_well() -> None:
    shortest = UnitPolicy(late_return=timedelta(microseconds=1))
    book = Book(EMPTY, shortest)
    book.grant(10, expires_at=START + HOUR)
    book.reserve(10, expires_at=LONG)
    book.at(2 * HOUR).settle("h1", Release())
    assert book.reserve(10, "h2").amount == 10
    book.settle("h2", Release())
    book.at(2 * HOUR + shortest.late_return).refresh()
    with pytest.raises(CreditsRequiredError):
        book.reserve(1, "h3")
