"""Captures in several parts, and what is used beyond a hold under each policy."""

import pytest

from gatekeeper.errors import HoldEndedError, OverrunError
from gatekeeper.ledger import (
    Allocation,
    Capture,
    Clawback,
    EntryKind,
    Expire,
    Extend,
    HoldStatus,
    OverageUse,
    Overrun,
    Release,
    Target,
)
from tests.ledger.builders import DAY, HOUR, START, Book


@pytest.fixture
def book() -> Book:
    """Two grants, 60 that expire in two days and 40 that stay, of which 70 are held."""
    book = Book()
    book.grant(60, "soon", expires_at=START + 2 * DAY)
    book.grant(40, "stays")
    book.reserve(70)
    return book


def test_a_partial_capture_spends_the_first_and_keeps_the_hold_open(book: Book) -> None:
    change = book.settle("h1", Capture(45, final=False))
    assert [(e.kind, e.posted_delta, e.held_delta, e.grant_id) for e in change.entries] == [
        (EntryKind.CAPTURE, -45, -45, "soon")
    ]
    hold = book.holds["h1"]
    assert (hold.status, hold.amount, hold.captured, hold.remaining) == ("open", 70, 45, 25)
    assert hold.allocations == (Allocation("soon", 15), Allocation("stays", 10))
    assert hold.ended_at is None


def test_parts_add_up_and_the_last_one_gives_the_rest_back(book: Book) -> None:
    book.settle("h1", Capture(45, final=False))
    book.settle("h1", Capture(20, final=False))
    book.settle("h1", Capture(2))
    hold = book.holds["h1"]
    assert (hold.status, hold.captured) == (HoldStatus.CAPTURED, 67)
    assert book.left() == {"stays": (33, 0)}


def test_a_capture_without_an_amount_takes_all_that_is_left(book: Book) -> None:
    book.settle("h1", Capture(45, final=False))
    book.settle("h1", Capture(final=False))
    assert (book.holds["h1"].captured, book.holds["h1"].status) == (70, HoldStatus.CAPTURED)


def test_a_partial_capture_that_takes_everything_ends_the_hold(book: Book) -> None:
    book.settle("h1", Capture(70, final=False))
    assert (book.holds["h1"].status, book.holds["h1"].ended_at) == (HoldStatus.CAPTURED, START)
    with pytest.raises(HoldEndedError):
        book.settle("h1", Capture(0))


def test_a_partial_capture_of_nothing_changes_nothing(book: Book) -> None:
    before = book.account
    change = book.settle("h1", Capture(0, final=False))
    assert change.account is before
    assert change.hold == book.holds["h1"]
    assert book.holds["h1"].status is HoldStatus.OPEN


def test_what_was_captured_before_stays_captured_when_the_rest_is_released(book: Book) -> None:
    book.settle("h1", Capture(45, final=False))
    book.settle("h1", Release())
    assert (book.holds["h1"].status, book.holds["h1"].captured) == (HoldStatus.RELEASED, 45)
    assert book.left() == {"soon": (15, 0), "stays": (40, 0)}


def test_case_55_only_the_rest_of_a_hold_expires(book: Book) -> None:
    book.settle("h1", Capture(65, final=False))
    change = book.at(HOUR).settle("h1", Expire())
    assert [(e.kind, e.held_delta) for e in change.entries] == [(EntryKind.HOLD_EXPIRED, -5)]
    assert book.holds["h1"].captured == 65


def test_a_hold_that_was_captured_in_part_can_be_extended(book: Book) -> None:
    book.settle("h1", Capture(65, final=False))
    book.settle("h1", Extend(START + DAY, add_amount=30))
    hold = book.holds["h1"]
    assert (hold.amount, hold.captured, hold.remaining) == (100, 65, 35)
    assert hold.allocations == (Allocation("stays", 35),)


def test_case_56_beyond_what_is_left_is_beyond_the_hold(book: Book) -> None:
    book.settle("h1", Capture(45, final=False))
    with pytest.raises(OverrunError) as caught:
        book.settle("h1", Capture(26))
    assert caught.value.params == {"hold": "h1", "held": 25, "requested": 26}
    book.settle("h1", Capture(30, "cap", final=False))
    hold = book.holds["h1"]
    assert (hold.status, hold.captured, hold.overrun) == (HoldStatus.CAPTURED, 70, 5)


def test_case_56_overage_takes_the_rest_from_the_account(book: Book) -> None:
    change = book.settle("h1", Capture(80, "overage"))
    assert [(e.kind, e.posted_delta, e.held_delta, e.grant_id) for e in change.entries] == [
        (EntryKind.CAPTURE, -60, -60, "soon"),
        (EntryKind.CAPTURE, -10, -10, "stays"),
        (EntryKind.HOLD, 0, 10, "stays"),
        (EntryKind.CAPTURE, -10, -10, "stays"),
    ]
    hold = book.holds["h1"]
    assert (hold.amount, hold.captured, hold.overrun) == (80, 80, 0)
    assert book.left() == {"stays": (20, 0)}


def test_case_56_overage_that_is_not_there_is_owed(book: Book) -> None:
    change = book.settle("h1", Capture(112, "overage"))
    debt = change.entries[-1]
    assert (debt.kind, debt.debt_delta, debt.hold_id) == (EntryKind.DEBT, 12, "h1")
    hold = book.holds["h1"]
    assert (hold.amount, hold.captured, hold.overrun) == (100, 100, 12)
    assert (book.account.posted, book.account.debt) == (0, 12)


def test_overage_is_used_although_something_is_owed(book: Book) -> None:
    """What has been used has been used; nothing of it goes unaccounted for."""
    book.do(Clawback(35))
    assert book.account.debt == 5
    book.settle("h1", Capture(75, "overage"))
    assert book.account.debt == 10


def test_overage_is_billed_last_and_as_it_is_captured() -> None:
    book = Book()
    book.grant(10)
    book.refresh(Target("o", "o@1", 4, mints=True, meter="ai_credits"))
    book.reserve(8)
    change = book.settle("h1", Capture(13, "overage"))
    last = change.entries[-1]
    assert change.overage == (OverageUse("ai_credits", 3, last.sequence),)
    assert [(e.kind, e.grant_id) for e in change.entries[-3:]] == [
        (EntryKind.MINT, "o@1/0"),
        (EntryKind.HOLD, "o@1/0"),
        (EntryKind.CAPTURE, "o@1/0"),
    ]
    assert book.live("o@1/0").mint_left == 1


@pytest.mark.parametrize("overrun", ["refuse", "cap", "overage"])
def test_within_the_hold_the_policy_makes_no_difference(book: Book, overrun: Overrun) -> None:
    book.settle("h1", Capture(70, overrun))
    assert (book.holds["h1"].captured, book.holds["h1"].overrun) == (70, 0)
