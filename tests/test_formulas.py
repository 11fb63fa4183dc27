"""Formulas: exact, rounded up once, and never free by accident."""

from collections.abc import Mapping
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.errors import InvalidAmountError, UnknownNameError
from gatekeeper.formulas import Formula, RateTerm
from gatekeeper.types import MAX_AMOUNT

CHAT = Formula(1, (RateTerm(3, 1_000, ("input",)), RateTerm(15, 1_000, ("output",))))
IMAGE = Formula(terms=(RateTerm(1, 1_000_000, ("height", "width")),))
PER_THOUSAND = Formula(terms=(RateTerm(1, 1_000),))

names = st.sampled_from(["input", "output", "frames"])
rates = st.builds(
    RateTerm,
    st.integers(0, 10**6),
    st.integers(1, 10**6),
    st.lists(names, min_size=1, max_size=2).map(tuple),
)
formulas = st.builds(Formula, st.integers(0, 10), st.lists(rates, min_size=1).map(tuple))
measures = st.fixed_dictionaries({name: st.integers(0, 10**4) for name in ("input", "output")})


@pytest.mark.parametrize(
    ("formula", "measured", "amount"),
    [
        (CHAT, {"input": 0, "output": 0}, 1),
        (CHAT, {"input": 100, "output": 0}, 2),  # 1 + 0.3
        (CHAT, {"input": 100, "output": 100}, 3),  # 1 + 0.3 + 1.5: rounded once, not to 4
        (CHAT, {"input": 1_000, "output": 1_000}, 19),
        (CHAT, {"input": 1_001, "output": 1_000}, 20),
        (IMAGE, {"width": 1_024, "height": 1_024}, 2),
        (IMAGE, {"width": 1_000, "height": 1_000}, 1),
        (IMAGE, {"width": 0, "height": 1_000}, 0),
        (PER_THOUSAND, {"quantity": 1_001}, 2),
        (PER_THOUSAND, 1_001, 2),
        (PER_THOUSAND, 0, 0),
        (Formula(7, (RateTerm(0, 1, ("input",)),)), {"input": 9}, 7),
    ],
)
def test_what_was_measured_costs_the_sum_rounded_up_once(
    formula: Formula, measured: int | Mapping[str, int], amount: int
) -> None:
    assert formula.amount_for(measured) == amount


@given(formulas, st.data())
def test_the_amount_is_the_exact_sum_rounded_up(formula: Formula, data: st.DataObject) -> None:
    measured = {name: data.draw(st.integers(0, 10**4)) for name in formula.measures}
    exact = Fraction(formula.base)
    for term in formula.terms:
        part = Fraction(term.numerator, term.denominator)
        for name in term.measures:
            part *= measured[name]
        exact += part
    try:
        amount = formula.amount_for(measured)
    except InvalidAmountError:
        assert exact > MAX_AMOUNT
    else:
        assert exact <= amount < exact + 1


@given(measures, measures)
def test_more_never_costs_less(some: dict[str, int], others: dict[str, int]) -> None:
    both = {name: some[name] + others[name] for name in some}
    assert CHAT.amount_for(some) <= CHAT.amount_for(both)
    assert CHAT.amount_for(both) <= CHAT.amount_for(some) + CHAT.amount_for(others)


@pytest.mark.parametrize("bad", [-1, True, 1.5, "3", None, MAX_AMOUNT + 1])
def test_a_measure_that_is_no_count_is_refused(bad: object) -> None:
    with pytest.raises(InvalidAmountError, match="The measure 'output' must be"):
        CHAT.amount_for({"input": 1, "output": bad})
    with pytest.raises(InvalidAmountError, match="The measure 'quantity' must be"):
        PER_THOUSAND.amount_for(bad)  # type: ignore[arg-type]  # the point


def test_case_57_an_unknown_measure_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(UnknownNameError) as caught:
        CHAT.amount_for({"input": 1, "outptu": 1})
    assert caught.value.detail == (
        "The catalogue has no measure named 'outptu'. It has: input, output."
    )
    with pytest.raises(UnknownNameError, match="named 'quantity'"):
        CHAT.amount_for(5)
    with pytest.raises(UnknownNameError, match="named 'a tuple'"):
        CHAT.amount_for({("input",): 1})  # type: ignore[dict-item]  # from a host's own mistake


def test_a_measure_that_is_missing_is_refused_not_free() -> None:
    with pytest.raises(InvalidAmountError) as caught:
        CHAT.amount_for({"input": 1_000})
    assert caught.value.detail == "Not measured: output. It takes input, output."
    with pytest.raises(InvalidAmountError, match=r"Not measured: input, output\."):
        CHAT.amount_for({})


def test_an_amount_beyond_any_balance_is_refused() -> None:
    assert PER_THOUSAND.amount_for(MAX_AMOUNT) == MAX_AMOUNT // 1_000 + 1
    with pytest.raises(InvalidAmountError, match="larger than"):
        IMAGE.amount_for({"width": MAX_AMOUNT, "height": MAX_AMOUNT})


@given(formulas)
def test_formulas_survive_being_stored(formula: Formula) -> None:
    for form in (msgspec.json, msgspec.msgpack):
        assert form.decode(form.encode(formula), type=Formula) == formula


def test_the_stored_form_is_what_databases_hold() -> None:
    golden = b'[1,[[3,1000,["input"]],[15,1000,["output"]]]]'
    assert msgspec.json.encode(CHAT) == golden
    assert msgspec.json.decode(golden, type=Formula) == CHAT
    assert msgspec.json.decode(b"[1]", type=Formula) == Formula(1)
