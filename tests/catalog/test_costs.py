"""What an action costs: simple rates, formulas and choices, and a customer's own rates."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.catalog import Choice, Cost, ResolvedCost, Term, Unit
from gatekeeper.errors import InvalidAmountError, UnknownNameError
from gatekeeper.formulas import Formula, RateTerm
from gatekeeper.types import MAX_AMOUNT

credits = Unit("credits")
quantities = st.integers(0, 10**9)
costs = st.builds(
    lambda amount, per: Cost.of("chat", credits.per(per, amount=amount)),
    st.integers(1, 10**6),
    st.integers(1, 10**6),
)


@pytest.mark.parametrize(
    ("quantity", "amount"), [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (4_000, 4)]
)
def test_a_rate_is_rounded_up_once(quantity: int, amount: int) -> None:
    assert Cost.of("chat", credits.per(1_000)).amount_for(quantity) == amount


def test_a_fixed_cost_counts_for_each() -> None:
    cost = Cost.of("image", credits(4))
    assert cost == Cost("image", "credits", 4, 1)
    assert cost.amount_for(1) == 4
    assert cost.amount_for(3) == 12


def test_equal_rates_have_one_representation() -> None:
    expected = Cost("chat", "credits", 3, 1_000)
    assert Cost.of("chat", credits.per(1_000, amount=3)) == expected
    assert Cost.of("chat", credits.per(2_000, amount=6)) == expected


@given(costs, quantities)
def test_the_cost_is_the_exact_fraction_rounded_up(cost: Cost, quantity: int) -> None:
    exact = quantity * Fraction(cost.numerator, cost.denominator)
    assert exact <= cost.amount_for(quantity) < exact + 1


@given(costs, st.lists(quantities, min_size=1, max_size=5))
def test_the_parts_never_cost_less_than_the_whole(cost: Cost, parts: list[int]) -> None:
    whole = cost.amount_for(sum(parts))
    apart = sum(map(cost.amount_for, parts))
    assert whole <= apart <= whole + len(parts) - 1


@given(costs, quantities, quantities)
def test_more_never_costs_less(cost: Cost, a: int, b: int) -> None:
    assert cost.amount_for(min(a, b)) <= cost.amount_for(max(a, b))


@pytest.mark.parametrize("quantity", [-1, True, 1.5, "3", None, MAX_AMOUNT + 1])
def test_a_bad_quantity_is_refused(quantity: object) -> None:
    with pytest.raises(InvalidAmountError, match="The quantity"):
        Cost("chat", "credits", 1).amount_for(quantity)  # type: ignore[arg-type]  # the point


def test_a_cost_beyond_any_balance_is_refused() -> None:
    assert Cost("chat", "credits", 1).amount_for(MAX_AMOUNT) == MAX_AMOUNT
    with pytest.raises(InvalidAmountError, match="larger than"):
        Cost("chat", "credits", 2).amount_for(MAX_AMOUNT)


# -- formulas and choices -------------------------------------------------------------------------

SMALL = credits.formula(input=(1, 1_000), output=(4, 1_000))
LARGE = credits.formula(base=1, input=(3, 1_000), output=(15, 1_000))
CHAT = Cost.of("chat", Choice("model", {"small": SMALL, "large": LARGE}))
LARGE_RATE = Formula(1, (RateTerm(3, 1_000, ("input",)), RateTerm(3, 200, ("output",))))


def test_a_simple_rate_resolves_to_itself_however_the_quantity_is_said() -> None:
    cost = Cost.of("chat", credits.per(1_000, amount=3))
    expected = ResolvedCost("chat", "credits", 4, 3, 1_000)
    assert cost.resolve(1_001) == expected
    assert cost.resolve({"quantity": 1_001}) == expected
    assert cost.rate == Formula(terms=(RateTerm(3, 1_000),))


def test_a_formula_is_fixed_as_it_is() -> None:
    cost = Cost.of("chat", LARGE)
    assert cost.resolve({"input": 500, "output": 100}) == ResolvedCost(
        "chat", "credits", 4, formula=LARGE_RATE
    )


def test_a_choice_is_priced_by_what_was_chosen() -> None:
    small = CHAT.resolve({"model": "small", "input": 1_000, "output": 1_000})
    large = CHAT.resolve({"input": 1_000, "output": 1_000, "model": "large"})
    assert (small.key, small.amount, large.key, large.amount) == ("chat:small", 5, "chat:large", 19)
    assert CHAT.rates == {"chat:small": small.formula, "chat:large": large.formula}
    assert CHAT.unit_key == "credits"


def test_options_may_be_simple_rates_and_fixed_costs() -> None:
    cost = Cost.of("image", Choice("size", {"s": credits(2), "xl": credits.per(10)}))
    assert cost.resolve({"size": "s", "quantity": 3}) == ResolvedCost("image:s", "credits", 6, 2)
    assert cost.resolve({"size": "xl", "quantity": 11}).amount == 2


def test_a_product_of_measures() -> None:
    cost = Cost.of("image", credits.formula(terms=[Term(1, 1_000_000, ["width", "height"])]))
    assert cost.resolve({"width": 1_024, "height": 1_024}).amount == 2
    assert cost == Cost.of(
        "image", credits.formula(terms=[Term(2, 2_000_000, ("height", "width"))])
    )


def test_terms_of_the_same_measures_are_one_and_their_order_is_none() -> None:
    one = credits.formula(b=(1, 2), a=1, terms=[Term(1, 3, "b")])
    assert Cost.of("x", one).formula == Formula(
        terms=(RateTerm(1, 1, ("a",)), RateTerm(5, 6, ("b",)))
    )


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        (5, "chat: not said which model. There are: large, small."),
        ({"input": 1, "output": 1}, "chat: not said which model. There are: large, small."),
        ({"model": "small", "input": 1}, "chat:small: Not measured: output. It takes input"),
        ({"model": "small", "input": -1, "output": 1}, "chat:small: The measure 'input' must be"),
        ({"model": "small", "input": "1", "output": 1}, "chat:small: The measure 'input' must be"),
    ],
)
def test_what_does_not_say_what_it_costs_is_refused(measures: Any, message: str) -> None:
    with pytest.raises(InvalidAmountError) as caught:
        CHAT.resolve(measures)
    assert caught.value.detail.startswith(message)


@pytest.mark.parametrize("name", ["huge", 3, None, ["small"]])
def test_case_57_an_unknown_choice_is_refused_and_the_known_ones_are_listed(name: Any) -> None:
    with pytest.raises(UnknownNameError) as caught:
        CHAT.resolve({"model": name, "input": 1, "output": 1})
    assert caught.value.detail.startswith("The catalogue has no model named ")
    assert caught.value.detail.endswith("It has: large, small.")


def test_a_quantity_does_not_say_what_a_formula_or_a_choice_costs() -> None:
    with pytest.raises(UnknownNameError, match="no measure named 'quantity'"):
        Cost.of("chat", LARGE).amount_for(5)
    with pytest.raises(InvalidAmountError, match="not said which model"):
        CHAT.amount_for(5)


def test_costs_can_be_keys_of_a_dict() -> None:
    assert len({CHAT, Cost.of("chat", LARGE), Cost.of("chat", credits(4))}) == 3


# -- a customer's own rates -----------------------------------------------------------------------


def test_a_customers_own_rate_takes_the_place_of_the_tables() -> None:
    cost = Cost.of("chat", credits.per(1_000))
    own = {"chat": Formula(terms=(RateTerm(1, 2_000),)), "image": Formula(9)}
    assert cost.resolve(4_000, own) == ResolvedCost("chat", "credits", 2, 1, 2_000)
    with_base = {"chat": Formula(1, (RateTerm(1, 2_000),))}
    assert cost.resolve(4_000, with_base) == ResolvedCost(
        "chat", "credits", 3, formula=with_base["chat"]
    )


def test_an_own_rate_of_one_option_leaves_the_others() -> None:
    cheap = Formula(terms=(RateTerm(1, 1_000, ("input",)), RateTerm(1, 1_000, ("output",))))
    own = {"chat:large": cheap}
    measures = {"input": 1_000, "output": 1_000}
    assert CHAT.resolve({"model": "large", **measures}, own).amount == 2
    assert CHAT.resolve({"model": "small", **measures}, own).amount == 5


def test_an_own_rate_that_measures_otherwise_than_the_table_does_today_is_left_aside() -> None:
    own = {"chat": Formula(terms=(RateTerm(1, 1_000),))}
    cost = Cost.of("chat", LARGE)
    assert cost.resolve({"input": 0, "output": 0}, own).formula == LARGE_RATE
