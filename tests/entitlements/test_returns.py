"""What windows grant, and what is taken back of it, when the money for their lines goes back."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gatekeeper.entitlements import Item, PaidLine
from gatekeeper.entitlements.coverage import Coverage
from gatekeeper.entitlements.kept import Bought, kept, kept_of, largest
from gatekeeper.entitlements.returns import once_return, window_return
from gatekeeper.types import UNLIMITED
from tests.entitlements.builders import (
    DAY,
    FEBRUARY,
    HOUR,
    MARCH,
    NEXT_YEAR,
    START,
    Wallet,
    grant,
    item,
    line,
    state,
    terms,
    utc,
)

SERIES = "every:credits"
TEAM = terms("team", grant(5_000, plan="team"))


def returned(one: PaidLine, minor: int, paid: int = 1_000) -> PaidLine:
    """A line of an invoice of whose money a part has gone back."""
    return replace(one, paid_minor=paid, returned_minor=minor)


def taken(one: Item, given_: int, start: datetime = START) -> int:
    return window_return(one, "credits", SERIES, start, given_)


def test_what_is_kept_is_rounded_up() -> None:
    one = line()
    assert kept(1_000, one) == 1_000
    assert kept(1_000, returned(one, 0)) == 1_000
    assert kept(10, returned(one, 333)) == 7
    assert kept(10, returned(one, 999)) == 1
    assert kept(10, returned(one, 1_000)) == kept(10, returned(one, 2_000)) == 0
    assert kept(UNLIMITED, returned(one, 999)) is UNLIMITED
    assert kept(UNLIMITED, returned(one, 1_000)) == 0
    assert kept(10, returned(one, 5, paid=0)) == 10  # nothing is known to be paid for it


def test_case_62_a_line_whose_money_is_gone_covers_nothing() -> None:
    known = item(end=NEXT_YEAR, lines=[returned(line(START, NEXT_YEAR), 1_000)])
    assert Coverage(known).paid_until(START) is None
    assert Wallet().look(state(known), FEBRUARY + DAY) == 0
    assert taken(known, 1_000) == 1_000
    assert taken(known, 1_000, FEBRUARY) == 1_000
    assert taken(known, 300) == 300


def test_case_62_each_month_is_less_by_the_part_that_went_back() -> None:
    known = item(end=NEXT_YEAR, lines=[returned(line(START, NEXT_YEAR), 300)])
    assert Wallet().look(state(known), FEBRUARY + DAY) == 700
    assert taken(known, 1_000) == 300
    assert taken(known, 700) == 0  # it was granted after the refund
    assert taken(known, 1_000, FEBRUARY) == 300


def test_nothing_is_taken_where_nothing_went_back_whatever_was_given() -> None:
    known = item(lines=[line()])
    assert taken(known, 9_999) == 0
    assert taken(known, 1_000, MARCH) == 0  # a window that no line says anything of
    assert taken(item(), 1_000) == 0


def test_a_downgrade_is_no_return() -> None:
    small = terms("pro", grant(400))
    known = item(plan=small, end=NEXT_YEAR, lines=[line(START, NEXT_YEAR)])
    assert taken(known, 1_000) == 0
    assert Wallet().look(state(known), FEBRUARY + DAY) == 400
    half = replace(known, paid_lines=(returned(line(START, NEXT_YEAR), 500),))
    assert Wallet().look(state(half), FEBRUARY + DAY) == 400
    assert taken(half, 400, FEBRUARY) == 0


@pytest.mark.parametrize(
    ("base", "raised", "left"),
    [(0, 0, 5_000), (0, 1_000, 1_000), (0, 500, 3_000), (1_000, 0, 4_000), (1_000, 1_000, 0)],
)
def test_of_an_upgrade_each_invoice_has_its_own_part(base: int, raised: int, left: int) -> None:
    lines = [
        returned(line(), base),
        returned(line(START + 10 * DAY, plan=TEAM, proration=True), raised),
    ]
    known = item(plan=TEAM, lines=lines)
    assert Wallet().look(state(known), START + 11 * DAY) == left
    assert taken(known, 5_000) == 5_000 - left


def test_of_two_prorations_to_the_same_the_one_counts_that_is_paid_for() -> None:
    base = [Bought(1_000, line())]
    up = line(START + DAY, plan=TEAM, proration=True)
    again = returned(line(START + HOUR, plan=TEAM, proration=True), 1_000)
    assert kept_of(base, [Bought(5_000, again), Bought(5_000, up)]) == 5_000
    assert kept_of(base, [Bought(500, up)]) == 1_000
    assert kept_of(base, [Bought(UNLIMITED, up)]) is UNLIMITED
    assert kept_of([Bought(UNLIMITED, returned(line(), 1_000))], [Bought(UNLIMITED, up)]) == 0
    assert largest([]) == 0


def test_an_item_that_began_in_the_middle_of_a_window() -> None:
    added = returned(line(START + 10 * DAY, proration=True), 500)
    known = item(start=START + 10 * DAY, anchor=START, lines=[added])
    assert Wallet().look(state(known), START + 11 * DAY) == 500
    assert taken(known, 1_000) == 500


def test_a_window_before_the_anchor_moved_belongs_to_the_lines_before_it() -> None:
    moved = START + 14 * DAY
    end = utc("2025-02-15T00:00")
    lines = [line(), returned(line(moved, end), 1_000)]
    known = item(anchor=moved, end=end, lines=lines)
    assert taken(known, 1_000) == 0
    assert taken(known, 1_000, moved) == 1_000


def test_without_bound_there_is_nothing_to_take() -> None:
    plan = terms("pro", grant(UNLIMITED))
    known = item(plan=plan, lines=[returned(line(plan=plan), 1_000)])
    assert taken(known, 0) == 0
    assert Wallet().due(state(known), START).targets == ()


def test_what_is_granted_once_is_taken_back_unless_something_else_gives_it() -> None:
    plan = terms("pro", grant(50, "once"))
    series = "once:pro:credits"
    gone = item(plan=plan, lines=[returned(line(plan=plan), 1_000)])
    assert once_return([gone], "credits", series, 50, 0) == 50
    assert once_return([gone], "credits", series, 50, 5) == 45
    assert Wallet().look(state(gone), START) == 0
    other = item("si_2", plan=plan, lines=[line(plan=plan, item_id="si_2")])
    assert once_return([gone, other], "credits", series, 50, 0) == 0
    half = item(plan=plan, lines=[returned(line(plan=plan), 500)])
    assert once_return([half], "credits", series, 50, 0) == 25
    assert Wallet().look(state(half), START) == 25


@given(
    st.lists(st.tuples(st.integers(1, 9_999), st.integers(0, 1_200)), min_size=1, max_size=4),
    st.integers(0, 10_000),
)
def test_granted_late_or_taken_back_comes_to_the_same(
    bought: list[tuple[int, int]], given_: int
) -> None:
    lines = []
    for number, (amount, minor) in enumerate(bought):
        plan = terms("pro", grant(amount))
        made = line(START + number * DAY, plan=plan, proration=number > 0, line_id=f"il_{number}")
        lines.append(returned(made, minor))
    now = START + 5 * DAY
    known = item(plan=lines[-1].terms, lines=lines)
    late = Wallet().look(state(known), now)
    before = tuple(replace(one, returned_minor=0) for one in lines)
    early = Wallet().look(state(replace(known, paid_lines=before)), now)
    assert early - taken(known, early) == late
    assert 0 <= taken(known, given_) <= given_
