"""Revisions, and the instants at which somebody has to come back."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gatekeeper.ledger import (
    Capture,
    Change,
    Clawback,
    Expire,
    Extend,
    Fresh,
    Release,
    Target,
    holds_swept,
    next_turn,
)
from tests.ledger.builders import DAY, EMPTY, HOUR, START, Book


def test_every_write_moves_the_revision_on_by_one() -> None:
    book = Book()
    book.grant(100)
    book.reserve(10)
    assert (book.account.revision, book.account.version) == (2, 2)
    book.settle("h1", Extend(START + 2 * HOUR))  # which has no entry
    assert (book.account.revision, book.account.version) == (3, 2)
    book.cap("day", 50)
    book.grant(1, "g2", effective_at=START + DAY)
    assert (book.account.revision, book.account.version) == (5, 2)


def test_what_changes_nothing_writes_nothing() -> None:
    book = Book()
    book.grant(100)
    hold = book.reserve(10)
    before = book.account
    for command in (Expire(), Extend(START + HOUR), Extend(START), Capture(0, final=False)):
        change = book.settle("h1", command)
        assert change.account is before
        assert change.hold == hold
    assert book.refresh() == Change(before)


# -- holds ----------------------------------------------------------------------------------------


def test_no_open_hold_ends_before_it_is_said_to() -> None:
    book = Book()
    book.grant(100)
    assert book.account.holds_due_at is None
    book.reserve(10, expires_at=START + 2 * HOUR)
    assert book.account.holds_due_at == START + 2 * HOUR
    book.reserve(10, "h2", expires_at=START + HOUR)
    book.reserve(10, "h3", expires_at=START + 3 * HOUR)
    assert book.account.holds_due_at == START + HOUR
    book.settle("h2", Release())
    assert book.account.holds_due_at == START + HOUR  # a bound, until somebody looks
    assert holds_swept(book.account, START + 2 * HOUR).account.holds_due_at == START + 2 * HOUR
    book.settle("h1", Extend(START + 5 * HOUR))
    book.settle("h1", Capture(3, final=False))
    book.settle("h1", Capture())
    book.settle("h3", Capture())
    assert book.account.holds_due_at is None


def test_holds_of_which_nothing_was_noted_are_due_at_once() -> None:
    book = Book()
    book.grant(100)
    book.reserve(10, expires_at=START + 2 * HOUR)
    book.account = replace(book.account, holds_due_at=None)
    book.now = START + HOUR
    book.reserve(10, "h2", expires_at=START + 5 * HOUR)
    assert book.account.holds_due_at == START + HOUR


def test_a_look_that_finds_what_is_noted_changes_nothing() -> None:
    book = Book()
    book.grant(100)
    book.reserve(10)
    assert holds_swept(book.account, START + HOUR).account is book.account
    swept = holds_swept(book.account, None).account
    assert (swept.holds_due_at, swept.revision) == (None, book.account.revision + 1)


# -- time -----------------------------------------------------------------------------------------


def test_an_account_changes_by_itself_when_a_grant_begins_or_ends() -> None:
    book = Book()
    assert next_turn(EMPTY, START) is None
    book.grant(5)
    assert next_turn(book.account, START) is None
    book.grant(5, "ends", expires_at=START + 3 * DAY)
    assert next_turn(book.account, START) == START + 3 * DAY
    book.grant(5, "begins", effective_at=START + DAY, expires_at=START + 9 * DAY)
    assert next_turn(book.account, START) == START + DAY
    assert next_turn(book.account, START + DAY) == START + 3 * DAY


def test_the_end_of_a_window_counts_and_so_does_that_of_what_mints() -> None:
    window = Target(
        "s", "s@0", 5, window_start=START, window_end=START + DAY, expires_at=START + 2 * DAY
    )
    book = Book()
    book.refresh(window)
    assert next_turn(book.account, START) == START + DAY
    assert next_turn(book.account, START + DAY) == START + 2 * DAY
    assert next_turn(book.account, START + 2 * DAY) is None
    other = Book()
    other.refresh(replace(window, amount=None, mints=True))
    assert next_turn(other.account, START + DAY) == START + 2 * DAY


def test_a_grant_that_is_wholly_held_still_has_its_end() -> None:
    book = Book()
    book.grant(5, expires_at=START + DAY)
    book.reserve(5)
    assert next_turn(book.account, START) == START + DAY


@pytest.mark.parametrize(
    ("until", "expected"),
    [(None, START + DAY), (START + 2 * DAY, START + DAY), (START + HOUR, START + HOUR)],
)
def test_an_account_is_up_to_date_no_longer_than_until_a_new_grant_ends(
    until: object, expected: object
) -> None:
    book = Book()
    fresh = replace(Fresh(3, "rules"), until=until)
    book.account = replace(EMPTY, fresh=fresh)
    book.grant(5, expires_at=START + DAY)
    assert book.account.fresh == replace(fresh, until=expected)


def test_an_account_is_up_to_date_no_longer_than_until_a_new_grant_begins() -> None:
    book = Book()
    book.account = replace(EMPTY, fresh=Fresh(3, "rules"))
    book.grant(5, effective_at=START + HOUR, expires_at=START + DAY)
    assert book.account.fresh == Fresh(3, "rules", START + HOUR)
    book.grant(5, "g2")
    book.do(Clawback(2))
    assert book.account.fresh == Fresh(3, "rules", START + HOUR)


def test_time_never_goes_back() -> None:
    book = Book()
    book.at(HOUR).grant(5)
    book.at(timedelta(0)).cap("day", 5)
    assert book.account.caps[0].window_start == START
    assert book.account.last_entry_at == START + HOUR
