"""Clawbacks and debt."""

import pytest

from gatekeeper.errors import InvalidAmountError
from gatekeeper.ledger import Capture, Clawback, EntryKind, Release, Target
from tests.ledger.builders import DAY, HOUR, START, Book


def test_a_clawback_takes_from_its_own_grant_first() -> None:
    book = Book()
    book.grant(50, "older")
    book.at(HOUR).grant(30, "bought")
    change = book.do(Clawback(20, "bought", actor="stripe", reference="re_1"))
    assert book.left() == {"older": (50, 0), "bought": (10, 0)}
    entry = change.entries[0]
    assert (entry.kind, entry.posted_delta, entry.grant_id) == (EntryKind.CLAWBACK, -20, "bought")
    assert (entry.actor, entry.reference) == ("stripe", "re_1")


def test_then_from_the_others_in_burn_order() -> None:
    book = Book()
    book.grant(50, "stays")
    book.grant(10, "soon", expires_at=START + DAY)
    book.grant(30, "bought", priority=9)
    book.do(Clawback(45, "bought"))
    assert book.left() == {"stays": (45, 0)}


def test_case_36_what_is_not_there_becomes_debt() -> None:
    book = Book()
    book.grant(30)
    book.reserve(30)
    book.settle("h1", Capture(25))
    change = book.do(Clawback(30, "g1"))
    assert (book.account.posted, book.account.debt) == (0, 25)
    assert [(e.kind, e.posted_delta, e.debt_delta) for e in change.entries] == [
        (EntryKind.CLAWBACK, -5, 0),
        (EntryKind.DEBT, 0, 25),
    ]


def test_what_a_hold_claims_is_not_taken_from_it_but_repays_when_it_comes_back() -> None:
    book = Book()
    book.grant(30)
    book.reserve(20)
    book.do(Clawback(30, "g1"))
    assert book.left() == {"g1": (0, 20)}
    assert book.account.debt == 20
    book.settle("h1", Release())
    assert (book.account.available, book.account.debt) == (0, 0)


def test_nothing_is_taken_from_what_mints_or_has_expired() -> None:
    book = Book()
    book.grant(5, "soon", expires_at=START + HOUR)
    book.refresh(Target("o", "o@1", 9, mints=True, meter="overage"))
    book.at(HOUR).do(Clawback(7))
    assert (book.account.debt, book.live("soon").remaining) == (7, 5)
    assert book.live("o@1/0").mint_left == 9


def test_what_has_no_bound_repays_what_is_owed_at_once() -> None:
    """Nothing is ever given to such an account, so a debt would refuse its holds for ever."""
    book = Book()
    book.refresh(Target("u", "u@1", None, mints=True))
    change = book.do(Clawback(7))
    assert [(e.kind, e.posted_delta, e.debt_delta, e.grant_id) for e in change.entries] == [
        (EntryKind.DEBT, 0, 7, None),
        (EntryKind.MINT, 7, 0, "u@1/0"),
        (EntryKind.DEBT_REPAID, -7, -7, "u@1/0"),
    ]
    assert book.reserve(1_000).amount == 1_000


def test_an_upgrade_to_what_has_no_bound_repays_what_was_owed_before() -> None:
    book = Book()
    book.do(Clawback(7))
    book.refresh(Target("u", "u@1", None, mints=True), suspended=frozenset({"u"}))
    assert book.account.debt == 7  # it makes nothing for now
    book.refresh(Target("u", "u@1", None, mints=True))
    assert (book.account.debt, book.account.posted) == (0, 0)


def test_overage_never_repays_what_is_owed() -> None:
    book = Book()
    book.do(Clawback(7))
    book.refresh(Target("o", "o@1", None, mints=True, meter="overage"))
    assert book.account.debt == 7


def test_an_empty_account_can_owe() -> None:
    book = Book()
    book.do(Clawback(7, "unknown"))
    assert (book.account.posted, book.account.debt) == (0, 7)


@pytest.mark.parametrize("amount", [0, -5])
def test_a_clawback_is_a_whole_number_from_one_on(amount: int) -> None:
    with pytest.raises(InvalidAmountError):
        Book().do(Clawback(amount))
