import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.catalog import (
    CapSpec,
    GrantSpec,
    Limit,
    LimitPerQuantity,
    Meter,
    Rate,
    Term,
    Unit,
    UnitAmount,
    UnitFormula,
)
from gatekeeper.types import UNLIMITED

credits = Unit("credits")
overage = Meter("credits_overage", event_name="ai_credits")


def test_units_with_the_same_declaration_are_the_same_key_of_a_dict() -> None:
    assert {credits: 1}[Unit("credits")] == 1
    assert Unit("credits", scale=2) != credits


def test_a_called_unit_is_a_fixed_amount() -> None:
    assert credits(4) == UnitAmount(credits, 4)


def test_per_is_a_rate_of_one_unless_told() -> None:
    assert credits.per(1_000) == Rate(credits, per=1_000, amount=1)
    assert credits.per(1_000, amount=3) == Rate(credits, per=1_000, amount=3)


def test_a_formula_is_so_much_for_each_measure_and_for_products() -> None:
    both = Term(1, 9, ("width", "height"))
    assert credits.formula(base=2, input=(3, 1_000), output=4, terms=[both]) == UnitFormula(
        credits, 2, (Term(3, 1_000, "input"), Term(4, 1, "output"), both)
    )
    assert Term(1, 9, ["width", "height"]) == both
    assert hash(credits.formula(input=(3, 1_000))) == hash(credits.formula(input=(3, 1_000)))


def test_a_cap_is_a_bound_in_each_window() -> None:
    assert credits.cap("day", 500) == CapSpec(credits, "day", 500)


def test_a_unit_says_what_is_to_be_told_of_it() -> None:
    unit = Unit("credits", low=50, expiry_notice_hours=72, late_return_hours=1)
    assert (unit.low, unit.expiry_notice_hours, unit.late_return_hours) == (50, 72, 1)
    assert unit != credits
    assert (credits.low, credits.expiry_notice_hours, credits.late_return_hours) == (None, None, 0)


def test_once_hands_on_all_that_it_is_told() -> None:
    spec = credits.once(
        5,
        key="welcome",
        priority=-1,
        per_quantity=True,
        trial=2,
        on_cancel="keep",
        expires_after_days=30,
    )
    assert spec == GrantSpec(
        unit=credits,
        amount=5,
        cadence="once",
        key="welcome",
        rollover=0,
        overage=None,
        overage_limit=None,
        priority=-1,
        per_quantity=True,
        trial=2,
        on_cancel="keep",
        expires_after_days=30,
    )


def test_every_hands_on_all_that_it_is_told() -> None:
    spec = credits.every(
        "month",
        1_000,
        key="base",
        rollover=500,
        overage=overage,
        overage_limit=9,
        priority=3,
        per_quantity=True,
        trial=UNLIMITED,
        on_cancel="keep",
        on_upgrade="expire",
    )
    assert spec == GrantSpec(
        unit=credits,
        amount=1_000,
        cadence="month",
        key="base",
        rollover=500,
        overage=overage,
        overage_limit=9,
        priority=3,
        per_quantity=True,
        trial=UNLIMITED,
        on_cancel="keep",
        expires_after_days=None,
        on_upgrade="expire",
    )


def test_a_grant_is_named_by_its_key_or_else_its_unit() -> None:
    assert credits.once(5).name == "credits"
    assert credits.once(5, key="welcome").name == "welcome"


def test_a_limit_can_follow_the_quantity() -> None:
    seats = Limit("seats")
    assert seats.per_quantity() == LimitPerQuantity(seats, 1)
    assert seats.per_quantity(3) == LimitPerQuantity(seats, 3)


@pytest.mark.parametrize(
    ("scale", "amount", "text"),
    [(0, 150, "150"), (0, -3, "-3"), (2, 150, "1.50"), (2, 5, "0.05"), (3, -1_002, "-1.002")],
)
def test_amounts_are_shown_in_whole_units(scale: int, amount: int, text: str) -> None:
    assert Unit("credits", scale=scale).format(amount) == text


@given(st.integers(-(2**60), 2**60), st.integers(0, 9))
def test_a_shown_amount_loses_nothing(amount: int, scale: int) -> None:
    text = Unit("credits", scale=scale).format(amount)
    assert int(text.replace(".", "")) == amount
    assert len(text.partition(".")[2]) == scale
