"""Grants, burn order, balances."""

import itertools
from datetime import timedelta
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gatekeeper.errors import DuplicateGrantError, InvalidAmountError
from gatekeeper.ledger import (
    Balance,
    Clawback,
    EntryKind,
    Grant,
    GrantCredits,
    GrantKind,
    LiveGrant,
    Target,
    apply,
    balance_of,
    spendable,
)
from gatekeeper.ledger.burn import allocate, burn_order
from gatekeeper.types import MAX_AMOUNT
from tests.ledger.builders import DAY, EMPTY, HOUR, START, Book


def test_a_grant_adds_what_it_says_and_leaves_a_record() -> None:
    book = Book()
    change = book.grant(
        100,
        kind=GrantKind.TOP_UP,
        source_key="in_1",
        priority=3,
        expires_at=START + DAY,
        actor="support",
        reason="a friend",
        metadata='{"ticket": 7}',
    )
    assert (book.account.posted, book.account.held, book.account.version) == (100, 0, 1)
    assert change.grants == (
        Grant(
            id="g1",
            customer="ada",
            unit="credits",
            kind=GrantKind.TOP_UP,
            amount=100,
            created_at=START,
            expires_at=START + DAY,
            source_key="in_1",
            actor="support",
            reason="a friend",
            priority=3,
            metadata='{"ticket": 7}',
        ),
    )
    entry = change.entries[0]
    assert (entry.kind, entry.posted_delta, entry.grant_id) == (EntryKind.GRANT, 100, "g1")
    assert (entry.actor, entry.reference) == ("support", "in_1")
    assert entry.metadata == '{"ticket": 7}'
    assert book.live("g1") == LiveGrant("g1", 100, START, priority=3, expires_at=START + DAY)


@pytest.mark.parametrize("amount", [0, -1, MAX_AMOUNT + 1, True, 1.5, "1", None])
def test_a_grant_is_a_whole_number_from_one_on(amount: object) -> None:
    command = replace(GrantCredits("g1", 1, GrantKind.MANUAL), amount=amount)
    with pytest.raises(InvalidAmountError):
        apply(EMPTY, command, START)


def test_a_grant_may_be_huge() -> None:
    book = Book()
    book.grant(MAX_AMOUNT)
    assert book.reserve(MAX_AMOUNT).amount == MAX_AMOUNT


def test_a_live_grant_id_is_not_used_again() -> None:
    book = Book()
    book.grant(5)
    with pytest.raises(DuplicateGrantError):
        book.grant(7)
    assert book.account.posted == 5


def test_a_grant_repays_what_is_owed_first() -> None:
    book = Book()
    book.do(Clawback(30))
    change = book.grant(20)
    assert (book.account.posted, book.account.debt) == (0, 10)
    assert [(e.kind, e.posted_delta, e.debt_delta) for e in change.entries] == [
        (EntryKind.GRANT, 20, 0),
        (EntryKind.DEBT_REPAID, -20, -20),
    ]
    assert book.account.grants == ()
    book.grant(25, "g2")
    assert (book.account.posted, book.account.debt) == (15, 0)
    assert book.left() == {"g2": (15, 0)}


def test_the_engines_clock_is_never_behind_the_last_entry() -> None:
    """A database's clock may be set back; an account's history is not."""
    book = Book()
    book.at(HOUR).grant(5)
    late = book.at(timedelta(0)).grant(5, "g2")
    assert late.entries[0].at == START + HOUR
    assert book.account.last_entry_at == START + HOUR


def test_a_hold_burns_by_priority_then_expiry_then_creation_then_id() -> None:
    book = Book()
    book.grant(1, "by-id-b")
    book.grant(1, "by-id-a")
    book.grant(1, "expires-late", expires_at=START + 9 * DAY)
    book.grant(1, "expires-soon", expires_at=START + 8 * DAY)
    book.grant(1, "first", priority=-1)
    book.grant(1, "last", priority=1, expires_at=START + DAY)
    book.at(HOUR).grant(1, "a-younger")
    hold = book.reserve(7)
    assert [allocation.grant_id for allocation in hold.allocations] == [
        "first",
        "expires-soon",
        "expires-late",
        "by-id-a",
        "by-id-b",
        "a-younger",
        "last",
    ]


def test_overage_burns_last_whatever_its_priority() -> None:
    book = Book()
    book.refresh(Target("o", "o@1", 5, kind=GrantKind.OVERAGE, priority=-9, mints=True, meter="m"))
    book.grant(3, priority=9)
    hold = book.reserve(4)
    assert [(a.grant_id, a.amount) for a in hold.allocations] == [("g1", 3), ("o@1/0", 1)]


_GRANTS = st.builds(
    LiveGrant,
    id=st.sampled_from(["a", "b", "c", "d", "e", "f"]),
    remaining=st.integers(0, 5),
    created_at=st.sampled_from([START, START + HOUR]),
    priority=st.integers(-1, 1),
    expires_at=st.sampled_from([None, START + HOUR, START + DAY]),
    meter=st.sampled_from([None, "m"]),
)


@given(st.lists(_GRANTS, max_size=6, unique_by=lambda grant: grant.id), st.data())
def test_the_burn_order_is_total(grants: list[LiveGrant], data: st.DataObject) -> None:
    """Whichever order the grants are stored in, they burn in one."""
    shuffled = data.draw(st.permutations(grants))
    assert burn_order(grants) == burn_order(shuffled)
    for left, right in itertools.pairwise(burn_order(grants)):
        assert _rank(left) < _rank(right)


def _rank(grant: LiveGrant) -> tuple[object, ...]:
    """The rule of DESIGN section 5 in other words: seconds to live, none being endless."""
    lifetime = inf if grant.expires_at is None else (grant.expires_at - START).total_seconds()
    return (grant.meter or "", grant.priority, lifetime, grant.created_at, grant.id)


@given(st.lists(_GRANTS, max_size=6, unique_by=lambda grant: grant.id), st.integers(0, 40))
def test_an_allocation_is_all_that_is_there_or_all_that_was_asked(
    grants: list[LiveGrant], amount: int
) -> None:
    now = START + HOUR
    shares = list(allocate(grants, amount, now))
    there = sum(g.remaining for g in grants if g.expires_at is None or g.expires_at > now)
    assert sum(taken for _, taken in shares) == min(amount, there)
    assert all(0 < taken <= grant.remaining for grant, taken in shares)
    assert all(grant.expires_at is None or grant.expires_at > now for grant, _ in shares)
    for grant, taken in shares[:-1]:
        assert taken == grant.remaining  # each is used up before the next is touched


def test_what_has_expired_can_not_be_spent_even_before_a_refresh() -> None:
    book = Book()
    book.grant(5, expires_at=START + HOUR)
    book.grant(2, "g2")
    assert spendable(book.account, START + HOUR - timedelta(microseconds=1)) == 7
    assert spendable(book.account, START + HOUR) == 2
    hold = book.at(HOUR).reserve(2)
    assert [allocation.grant_id for allocation in hold.allocations] == ["g2"]


def test_a_balance_tells_apart_what_is_there_and_what_is_billed_later() -> None:
    book = Book()
    book.grant(10)
    book.grant(4, "short", expires_at=START + HOUR)
    book.refresh(Target("o", "o@1", 50, kind=GrantKind.OVERAGE, mints=True, meter="m"))
    book.reserve(3)  # of what expires first
    plain = Balance(customer="ada", unit="credits", available=11, overage=50, held=3, debt=0)
    assert balance_of(book.account, START) == plain
    assert balance_of(book.account, START + HOUR) == replace(plain, available=10)
    book.do(Clawback(20))
    assert balance_of(book.account, START) == replace(plain, available=0, debt=9)


def test_without_a_bound_a_balance_is_none() -> None:
    book = Book()
    book.refresh(
        Target("u", "u@1", None, mints=True),
        Target("o", "o@1", None, kind=GrantKind.OVERAGE, mints=True, meter="m"),
    )
    balance = balance_of(book.account, START)
    assert (balance.available, balance.overage) == (None, None)
    assert spendable(book.account, START) is None
