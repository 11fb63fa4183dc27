"""Grants that begin later, promotional ones, and grants that are revoked."""

from datetime import timedelta

import pytest

from gatekeeper.errors import CreditsRequiredError, InvalidAmountError
from gatekeeper.ledger import (
    Capture,
    Clawback,
    EntryKind,
    GrantKind,
    Release,
    Revoke,
    Target,
    balance_of,
)
from tests.ledger.builders import DAY, HOUR, START, Book


def test_a_grant_that_begins_later_can_not_be_spent_before() -> None:
    book = Book()
    change = book.grant(9, effective_at=START + DAY, metadata='{"a": 1}')
    assert change.entries == ()
    assert [(g.amount, g.effective_at) for g in change.grants] == [(9, START + DAY)]
    assert balance_of(book.account, START).available == 0
    book.at(DAY - timedelta(microseconds=1)).refresh()
    with pytest.raises(CreditsRequiredError):
        book.reserve(1)
    begun = book.at(DAY).refresh()
    assert [(e.kind, e.posted_delta, e.grant_id) for e in begun.entries] == [
        (EntryKind.GRANT, 9, "g1")
    ]
    assert book.reserve(9).amount == 9


def test_a_grant_that_begins_by_now_is_there_at_once() -> None:
    book = Book()
    change = book.grant(9, effective_at=START)
    assert (book.account.posted, change.grants[0].effective_at) == (9, None)


@pytest.mark.parametrize("life", [timedelta(0), timedelta(seconds=-1)])
def test_a_grant_expires_after_it_begins(life: timedelta) -> None:
    with pytest.raises(InvalidAmountError):
        Book().grant(9, effective_at=START + DAY, expires_at=START + DAY + life)


def test_a_grant_whose_whole_time_went_by_unseen_has_begun_and_expired() -> None:
    book = Book()
    book.grant(9, effective_at=START + HOUR, expires_at=START + DAY)
    change = book.at(2 * DAY).refresh()
    assert [(e.kind, e.posted_delta) for e in change.entries] == [
        (EntryKind.GRANT, 9),
        (EntryKind.GRANT_EXPIRED, -9),
    ]
    assert book.account.grants == ()


def test_a_grant_repays_what_is_owed_when_it_begins() -> None:
    book = Book()
    book.do(Clawback(4))
    book.grant(9, effective_at=START + DAY)
    assert book.account.debt == 4
    book.at(DAY).refresh()
    assert (book.account.posted, book.account.debt) == (5, 0)


def test_a_refund_of_what_has_not_begun_is_taken_from_that() -> None:
    """It is given for as much as is taken, so that its entries come to what was granted."""
    book = Book()
    book.grant(5, "other")
    book.grant(9, effective_at=START + DAY)
    change = book.do(Clawback(4, "g1"))
    assert [(e.kind, e.posted_delta, e.grant_id) for e in change.entries] == [
        (EntryKind.GRANT, 4, "g1"),
        (EntryKind.CLAWBACK, -4, "g1"),
    ]
    assert (book.account.posted, book.live("g1").pending) == (5, 5)
    book.do(Clawback(7, "g1"))
    assert book.left() == {"other": (3, 0)}  # the rest of it is found elsewhere


def test_a_promotional_grant_is_told_apart() -> None:
    change = Book().grant(5, kind=GrantKind.PROMOTIONAL, reason="launch", actor="marketing")
    assert (change.grants[0].kind, change.grants[0].reason) == (GrantKind.PROMOTIONAL, "launch")


def test_a_revoked_grant_is_gone() -> None:
    book = Book()
    book.grant(9)
    book.grant(5, "other")
    change = book.do(Revoke("g1", actor="support", reason='sent "twice"'))
    entry = change.entries[0]
    assert (entry.kind, entry.posted_delta, entry.grant_id) == (EntryKind.GRANT_REVOKED, -9, "g1")
    assert (entry.actor, entry.metadata) == ("support", '{"reason":"sent \\"twice\\""}')
    assert book.left() == {"other": (5, 0)}


def test_a_revoked_grant_that_has_not_begun_never_does() -> None:
    book = Book()
    book.grant(9, effective_at=START + DAY)
    change = book.do(Revoke("g1"))
    assert [(e.kind, e.posted_delta) for e in change.entries] == [(EntryKind.GRANT_REVOKED, 0)]
    assert book.at(2 * DAY).refresh().entries == ()
    assert book.account.grants == ()


def test_what_holds_have_claimed_of_a_revoked_grant_stays_theirs_and_lapses_when_it_returns() -> (
    None
):
    book = Book()
    book.grant(9)
    book.reserve(6)
    book.do(Revoke("g1"))
    assert book.left() == {"g1": (0, 6)}
    change = book.settle("h1", Capture(4))
    assert [(e.kind, e.posted_delta) for e in change.entries] == [
        (EntryKind.CAPTURE, -4),
        (EntryKind.RELEASE, 0),
        (EntryKind.GRANT_EXPIRED, -2),
    ]
    assert book.account.posted == 0


def test_a_grant_is_revoked_once() -> None:
    book = Book()
    book.grant(9)
    book.reserve(6)
    book.do(Revoke("g1"))
    before = book.account
    assert book.do(Revoke("g1")).account is before
    assert book.do(Revoke("used-up-long-ago")).account is before


def test_revoking_what_has_no_bound_ends_it() -> None:
    book = Book()
    book.refresh(Target("u", "u@1", None, mints=True))
    book.reserve(5)
    book.do(Revoke("u@1/0"))
    with pytest.raises(CreditsRequiredError):
        book.reserve(1, "h2")
    book.refresh(Target("u", "u@1", None, mints=True))  # and it is not given again
    book.settle("h1", Release())
    assert (book.account.posted, book.account.grants) == (0, ())


def test_a_revoked_window_hands_nothing_on() -> None:
    first = Target(
        "s", "s@0", 10, window_start=START, window_end=START + DAY, expires_at=START + DAY + HOUR
    )
    book = Book()
    book.refresh(first)
    book.do(Revoke("s@0/0"))
    second = Target(
        "s",
        "s@1",
        10,
        window_start=START + DAY,
        window_end=START + 2 * DAY,
        expires_at=START + 2 * DAY,
        rollover=None,
    )
    book.at(DAY).refresh(second)
    assert book.left() == {"s@1/0": (10, 0)}
