"""Holds: reserve, capture, release, extend, expire; each ends once."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gatekeeper.errors import (
    CreditsRequiredError,
    DebtOutstandingError,
    HoldEndedError,
    InvalidAmountError,
    LedgerInvariantError,
    OverrunError,
    UnknownNameError,
)
from gatekeeper.formulas import Formula, RateTerm
from gatekeeper.ledger import (
    Allocation,
    Allotment,
    Capture,
    Clawback,
    Entry,
    EntryKind,
    Expire,
    Extend,
    Hold,
    HoldCommand,
    HoldStatus,
    OverageUse,
    Release,
    Reserve,
    Target,
    refresh,
    settle,
)
from gatekeeper.types import MAX_AMOUNT
from tests.ledger.builders import DAY, HOUR, START, Book

ENDS: list[HoldCommand] = [Capture(), Release(), Expire()]


@pytest.fixture
def book() -> Book:
    """Two grants: 60 that expire in two days, and 40 that stay."""
    book = Book()
    book.grant(60, "soon", expires_at=START + 2 * DAY)
    book.grant(40, "stays")
    return book


def test_a_hold_claims_in_burn_order_and_remembers_who_and_what_for(book: Book) -> None:
    formula = Formula(0, (RateTerm(4, 1_000),))
    hold = book.reserve(
        70,
        actor="eve",
        feature="chat",
        reference="job",
        cost_numerator=4,
        cost_denominator=1_000,
        scope="team/eve",
        metadata='{"model": "large"}',
        formula=formula,
    )
    assert hold == Hold(
        id="h1",
        customer="ada",
        unit="credits",
        amount=70,
        allocations=(Allocation("soon", 60), Allocation("stays", 10)),
        created_at=START,
        expires_at=START + HOUR,
        cost_numerator=4,
        cost_denominator=1_000,
        actor="eve",
        feature="chat",
        reference="job",
        scope="team/eve",
        metadata='{"model": "large"}',
        formula=formula,
    )
    assert [(e.kind, e.posted_delta, e.held_delta, e.grant_id) for e in book.last.entries] == [
        (EntryKind.HOLD, 0, 60, "soon"),
        (EntryKind.HOLD, 0, 10, "stays"),
    ]
    noted = ("h1", "eve", "chat", "job", "team/eve", '{"model": "large"}')
    assert {_noted(entry) for entry in book.last.entries} == {noted}
    assert {_noted(entry) for entry in book.settle("h1", Extend(START + HOUR, 1)).entries} == {
        noted
    }
    assert {_noted(entry) for entry in book.settle("h1", Capture(65)).entries} == {noted}


def _noted(entry: Entry) -> tuple[str | None, ...]:
    return (
        entry.hold_id,
        entry.actor,
        entry.feature,
        entry.reference,
        entry.scope,
        entry.metadata,
    )


def test_what_is_held_is_there_but_can_not_be_spent(book: Book) -> None:
    book.reserve(70)
    assert (book.account.posted, book.account.held, book.account.available) == (100, 70, 30)


def test_case_58_the_rate_is_fixed_on_the_hold_and_rounds_up_once() -> None:
    book = Book()
    book.grant(10)
    hold = book.reserve(4, cost_numerator=1, cost_denominator=1_000)
    assert [hold.credits_for(tokens) for tokens in (0, 1, 999, 1_000, 1_001)] == [0, 1, 1, 1, 2]


def test_case_58_a_formula_is_fixed_on_the_hold_too() -> None:
    book = Book()
    book.grant(10)
    hold = book.reserve(4, cost_numerator=1, cost_denominator=2)
    assert hold.credits_for({"quantity": 3}) == 2
    terms = (RateTerm(1, 1_000, ("input",)), RateTerm(5, 1_000, ("output",)))
    other = book.reserve(4, "h2", formula=Formula(1, terms))
    assert other.credits_for({"input": 500, "output": 100}) == 2
    with pytest.raises(UnknownNameError):
        other.credits_for(3)


def test_more_than_is_there_is_refused_with_the_numbers(book: Book) -> None:
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(101)
    assert caught.value.params == {
        "unit": "credits",
        "required": 101,
        "available": 100,
        "limited_by": "balance",
    }
    assert (book.account.held, book.holds) == (0, {})


def test_a_partial_hold_takes_what_is_there(book: Book) -> None:
    hold = book.reserve(500, partial=True)
    assert hold.amount == 100
    with pytest.raises(CreditsRequiredError):
        book.reserve(1, "h2", partial=True)  # there is nothing at all


@pytest.mark.parametrize("amount", [0, -1, MAX_AMOUNT + 1, True, 1.5, "1", None])
def test_a_hold_is_a_whole_number_from_one_on(book: Book, amount: object) -> None:
    with pytest.raises(InvalidAmountError):
        book.do(replace(Reserve("h1", 1, START + HOUR), amount=amount))


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1)])
def test_a_hold_ends_after_it_begins(book: Book, ttl: timedelta) -> None:
    with pytest.raises(InvalidAmountError):
        book.reserve(1, expires_at=START + ttl)


def test_a_capture_spends_the_first_allocations_and_gives_the_rest_back(book: Book) -> None:
    book.reserve(70)
    change = book.settle("h1", Capture(25))
    assert [(e.kind, e.posted_delta, e.held_delta, e.grant_id) for e in change.entries] == [
        (EntryKind.CAPTURE, -25, -25, "soon"),
        (EntryKind.RELEASE, 0, -35, "soon"),
        (EntryKind.RELEASE, 0, -10, "stays"),
    ]
    ended = book.holds["h1"]
    assert (ended.status, ended.captured, ended.ended_at) == (HoldStatus.CAPTURED, 25, START)
    assert book.left() == {"soon": (35, 0), "stays": (40, 0)}


def test_a_capture_without_an_amount_spends_all(book: Book) -> None:
    book.reserve(70)
    book.settle("h1", Capture())
    assert book.holds["h1"].captured == 70
    assert book.left() == {"stays": (30, 0)}


def test_a_capture_of_nothing_gives_all_back_and_counts_as_captured(book: Book) -> None:
    book.reserve(70)
    book.settle("h1", Capture(0))
    assert (book.holds["h1"].status, book.holds["h1"].captured) == (HoldStatus.CAPTURED, 0)
    assert book.account.available == 100


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1, True, 0.5])
def test_a_captured_amount_is_a_whole_number(book: Book, amount: object) -> None:
    book.reserve(70)
    with pytest.raises(InvalidAmountError):
        book.settle("h1", replace(Capture(), amount=amount))
    assert book.holds["h1"].status is HoldStatus.OPEN


def test_case_56_a_capture_beyond_the_hold_is_refused_and_the_hold_stays_open(book: Book) -> None:
    book.reserve(70)
    before = book.account
    with pytest.raises(OverrunError) as caught:
        book.settle("h1", Capture(71))
    assert caught.value.params == {"hold": "h1", "held": 70, "requested": 71}
    assert book.account == before
    book.settle("h1", Capture(70))
    assert book.holds["h1"].overrun == 0


def test_case_56_a_capped_capture_notes_what_went_beyond(book: Book) -> None:
    book.reserve(70)
    book.settle("h1", Capture(75, overrun="cap"))
    assert (book.holds["h1"].captured, book.holds["h1"].overrun) == (70, 5)


def test_a_release_gives_all_back(book: Book) -> None:
    book.reserve(70)
    change = book.settle("h1", Release())
    assert {e.kind for e in change.entries} == {EntryKind.RELEASE}
    assert (book.holds["h1"].status, book.holds["h1"].captured) == (HoldStatus.RELEASED, 0)
    assert book.left() == {"soon": (60, 0), "stays": (40, 0)}


def test_case_55_an_expired_hold_gives_all_back(book: Book) -> None:
    book.reserve(70)
    change = book.at(HOUR).settle("h1", Expire())
    assert {e.kind for e in change.entries} == {EntryKind.HOLD_EXPIRED}
    ended = book.holds["h1"]
    assert (ended.status, ended.ended_at) == (HoldStatus.EXPIRED, START + HOUR)
    assert book.account.available == 100


def test_expiring_a_hold_that_was_extended_does_nothing(book: Book) -> None:
    hold = book.reserve(70)
    change = book.settle("h1", Expire())
    assert (change.entries, change.hold) == ((), hold)


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", [*ENDS, Capture(1), Extend(START + DAY)])
def test_case_42_a_hold_ends_once(book: Book, first: HoldCommand, second: HoldCommand) -> None:
    book.reserve(70)
    book.at(HOUR if isinstance(first, Expire) else timedelta(0)).settle("h1", first)
    before = book.account
    with pytest.raises(HoldEndedError) as caught:
        book.settle("h1", second)
    assert caught.value.params == {"hold": "h1", "ended": str(book.holds["h1"].status)}
    assert book.account == before


@pytest.mark.parametrize("command", [Capture(), Release(), Extend(START + DAY)])
def test_case_42_a_hold_whose_time_is_over_can_not_be_settled(
    book: Book, command: HoldCommand
) -> None:
    book.reserve(70)
    with pytest.raises(HoldEndedError) as caught:
        book.at(HOUR).settle("h1", command)
    assert caught.value.params == {"hold": "h1", "ended": "expired"}
    book.settle("h1", Expire())  # the sweep still finds it open
    assert book.account.available == 100


def test_an_extension_keeps_the_hold_alive_and_never_shortens_it(book: Book) -> None:
    book.reserve(70)
    change = book.settle("h1", Extend(START + 3 * HOUR))
    assert change.entries == ()
    book.settle("h1", Extend(START + 2 * HOUR))
    assert book.holds["h1"].expires_at == START + 3 * HOUR
    book.at(2 * HOUR).settle("h1", Capture())


def test_an_extension_can_claim_more(book: Book) -> None:
    book.reserve(50)
    book.settle("h1", Extend(START + HOUR, add_amount=20))
    hold = book.holds["h1"]
    assert hold.amount == 70
    assert hold.allocations == (
        Allocation("soon", 60),
        Allocation("stays", 10),
    )
    book.settle("h1", Capture(55))
    assert book.left() == {"soon": (5, 0), "stays": (40, 0)}


def test_an_extension_by_more_than_is_there_changes_nothing(book: Book) -> None:
    hold = book.reserve(50)
    with pytest.raises(CreditsRequiredError):
        book.settle("h1", Extend(START + DAY, add_amount=51))
    with pytest.raises(InvalidAmountError):
        book.settle("h1", Extend(START + DAY, add_amount=-1))
    assert book.holds["h1"] == hold


def test_case_36_while_something_is_owed_nothing_new_is_held(book: Book) -> None:
    book.reserve(40)
    book.do(Clawback(70))
    assert book.account.debt == 10
    with pytest.raises(DebtOutstandingError) as caught:
        book.reserve(1, "h2")
    assert caught.value.params == {"unit": "credits", "debt": 10}
    with pytest.raises(DebtOutstandingError):
        book.settle("h1", Extend(START + DAY, add_amount=1))
    book.settle("h1", Extend(START + DAY))  # keeping what is held takes nothing new
    book.settle("h1", Capture(40))


def test_a_debt_of_one_is_a_debt() -> None:
    book = Book()
    book.do(Clawback(1))
    book.refresh(Target("o", "o@1", None, mints=True, meter="overage"))
    with pytest.raises(DebtOutstandingError):
        book.reserve(1)


def test_what_is_given_back_to_an_expired_grant_lapses(book: Book) -> None:
    book.reserve(70, expires_at=START + 3 * DAY)
    change = book.at(2 * DAY).settle("h1", Capture(10))
    assert [(e.kind, e.posted_delta, e.held_delta, e.grant_id) for e in change.entries] == [
        (EntryKind.CAPTURE, -10, -10, "soon"),
        (EntryKind.RELEASE, 0, -50, "soon"),
        (EntryKind.GRANT_EXPIRED, -50, 0, "soon"),
        (EntryKind.RELEASE, 0, -10, "stays"),
    ]
    assert book.left() == {"stays": (40, 0)}


def test_what_a_grant_minted_is_unmade_when_it_comes_back() -> None:
    book = Book()
    book.refresh(Target("u", "u@1", None, mints=True))
    book.reserve(1_000_000)
    assert (book.account.posted, book.account.held) == (1_000_000, 1_000_000)
    change = book.settle("h1", Capture(400_000))
    assert [(e.kind, e.posted_delta, e.held_delta) for e in change.entries] == [
        (EntryKind.CAPTURE, -400_000, -400_000),
        (EntryKind.RELEASE, 0, -600_000),
        (EntryKind.UNMINT, -600_000, 0),
    ]
    assert (book.account.posted, change.overage) == (0, ())


def test_overage_is_reported_when_it_is_captured_and_up_to_its_limit() -> None:
    book = Book()
    book.grant(5)
    book.refresh(Target("o", "o@1", 10, mints=True, meter="ai_credits"))
    book.reserve(12)
    assert book.last.overage == ()  # nothing is final yet
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(4, "h2")
    assert caught.value.params["available"] == 3
    change = book.settle("h1", Capture(9))
    captured = [e for e in change.entries if e.kind is EntryKind.CAPTURE]
    assert change.overage == (OverageUse("ai_credits", 4, captured[1].sequence),)
    assert book.live("o@1/0").mint_left == 6
    assert book.reserve(6, "h3").amount == 6


def test_a_minting_grant_that_ended_makes_nothing_more() -> None:
    book = Book()
    book.refresh(Target("u", "u@1", None, expires_at=START + HOUR, mints=True))
    book.reserve(5, expires_at=START + DAY)
    book.at(HOUR).refresh()
    assert book.live("u@1/0").mint_left == 0
    with pytest.raises(CreditsRequiredError):
        book.reserve(1, "h2")
    book.settle("h1", Capture(2))
    assert (book.account.posted, book.account.grants) == (0, ())


def test_a_hold_of_a_grant_that_is_not_there_is_a_contradiction(book: Book) -> None:
    hold = replace(book.reserve(5), allocations=(Allocation("nowhere", 5),))
    for command in (Capture(), Release()):
        with pytest.raises(LedgerInvariantError):
            settle(book.account, hold, command, START)


@pytest.mark.parametrize(
    "wrong",
    [{"posted": 99}, {"held": 1}, {"debt": -1}, {"posted": 10_000}, {"grants": ()}],
)
def test_an_account_that_contradicts_itself_is_refused(
    book: Book, wrong: dict[str, object]
) -> None:
    broken = replace(book.account, **wrong)
    with pytest.raises(LedgerInvariantError):
        refresh(broken, Allotment(), START)


def test_a_hold_beyond_what_its_grants_hold_is_refused(book: Book) -> None:
    hold = book.reserve(5)
    book.reserve(20, "h2")
    forged = replace(hold, amount=15, allocations=(Allocation("soon", 35),))
    with pytest.raises(LedgerInvariantError):
        settle(book.account, forged, Release(), START)


def test_what_is_paid_for_is_spent_before_overage_that_was_claimed_earlier() -> None:
    book = Book()
    book.refresh(Target("over", "over@1", None, mints=True, meter="overage"))
    book.reserve(5)
    book.grant(10, "paid")
    book.settle("h1", Extend(START + HOUR, add_amount=5))
    change = book.settle("h1", Capture(5))
    assert change.overage == ()
    assert book.left()["paid"] == (5, 0)
