from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.catalog import Cost, Unit
from gatekeeper.errors import InvalidAmountError
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
