"""How plans inherit, and what terms they come to."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gatekeeper.catalog import (
    Catalog,
    Choice,
    Declared,
    Feature,
    GrantSpec,
    Limit,
    Plan,
    Price,
    PriceInterval,
    TermCap,
    TermCost,
    TermLimit,
    Unit,
)
from gatekeeper.errors import CatalogError
from gatekeeper.formulas import Formula, RateTerm
from gatekeeper.types import Every

credits, exports = Unit("credits"), Unit("exports")
seats = Limit("seats")
FREE = Plan("free", default=True, grants=[credits.once(5)], limits={seats: 1})


def test_a_plans_own_grants_of_a_unit_replace_the_included_ones() -> None:
    pro = Plan("pro", includes="free", grants=[credits.every("month", 1_000)])
    grants = Catalog([FREE, pro]).terms("pro").grants
    assert [(g.series, g.plan, g.amount) for g in grants] == [("every:credits", "pro", 1_000)]


def test_grants_of_other_units_are_inherited_with_the_plan_that_declares_them() -> None:
    pro = Plan("pro", includes="free", grants=[exports.every("month", 10)])
    grants = Catalog([FREE, pro]).terms("pro").grants
    assert [(g.series, g.plan) for g in grants] == [
        ("every:exports", "pro"),
        ("once:free:credits", "free"),
    ]


def test_a_grant_made_once_has_the_same_series_whichever_way_it_is_reached() -> None:
    catalog = Catalog([FREE, Plan("a", includes="free"), Plan("b", includes=["a", "free"])])
    series = {catalog.terms(key).grants[0].series for key in ("free", "a", "b")}
    assert series == {"once:free:credits"}


def test_several_grants_of_one_unit_in_one_plan_are_inherited_together() -> None:
    base = Plan("base", grants=[credits.once(5, key="welcome"), credits.every("month", 9)])
    catalog = Catalog([FREE, base, Plan("pro", includes="base")])
    series = [g.series for g in catalog.terms("pro").grants]
    assert series == ["once:base:welcome", "every:credits"]


def test_a_plans_own_limit_wins_over_the_included_one() -> None:
    pro = Plan("pro", includes="free", limits={seats: seats.per_quantity(2)})
    terms = Catalog([FREE, pro, Plan("max", includes="pro")]).terms("max")
    assert terms.limits == {"seats": TermLimit(value=0, per_quantity=2)}


def test_the_plan_that_includes_the_other_decides_however_they_are_listed() -> None:
    pro = Plan("pro", includes="free", grants=[credits.every("month", 9)], limits={seats: 5})
    for includes in (["free", "pro"], ["pro", "free"]):
        terms = Catalog([FREE, Plan("max", includes=includes), pro]).terms("max")
        assert [g.plan for g in terms.grants] == ["pro"]
        assert terms.limits["seats"].value == 5


def test_equal_limits_of_two_included_plans_are_no_question() -> None:
    a, b = Plan("a", limits={seats: 3}), Plan("b", limits={seats: 3})
    assert Catalog([FREE, a, b, Plan("c", includes=["a", "b"])]).terms("c").limits == {
        "seats": TermLimit(value=3)
    }


def test_two_included_plans_that_contradict_each_other_are_a_fault() -> None:
    a = Plan("a", grants=[credits.every("month", 1)], limits={seats: 3})
    b = Plan("b", grants=[credits.every("month", 2)], limits={seats: 4})
    with pytest.raises(CatalogError) as caught:
        Catalog([FREE, a, b, Plan("c", includes=["a", "b"])])
    assert caught.value.faults == (
        "plans['c'].limits: inherits different values of 'seats' from a and b; "
        "it has to declare its own",
        "plans['c'].grants: inherits grants of 'credits' from a and b; it has to declare its own",
    )
    own = Plan("c", includes=["a", "b"], grants=[credits.once(3)], limits={seats: 9})
    assert Catalog([FREE, a, b, own]).terms("c").limits["seats"].value == 9


# -- own rates and caps ---------------------------------------------------------------------------

TABLE: dict[str, Declared] = {
    "chat": credits.per(1_000),
    "image": Choice("size", {"s": credits(1), "xl": credits(4)}),
}


def rate(numerator: int, denominator: int = 1) -> TermCost:
    return TermCost(unit="credits", formula=Formula(terms=(RateTerm(numerator, denominator),)))


def test_a_plans_own_rates_are_inherited_and_replaced_one_by_one() -> None:
    pro = Plan("pro", includes="free", costs={"chat": credits.per(2_000)})
    large = Plan("large", includes="pro", costs={"image": Choice("size", {"xl": credits(2)})})
    most = Plan("max", includes="large", costs={"chat": credits.per(9_000, amount=3)})
    catalog = Catalog([FREE, pro, large, most], costs=TABLE)
    assert catalog.terms("free").costs == {}
    assert catalog.terms("pro").costs == {"chat": rate(1, 2_000)}
    assert catalog.terms("large").costs == {"chat": rate(1, 2_000), "image:xl": rate(2)}
    assert catalog.terms("max").costs == {"chat": rate(1, 3_000), "image:xl": rate(2)}


def test_two_included_plans_whose_rates_differ_are_a_fault() -> None:
    a, b = Plan("a", costs={"chat": credits(1)}), Plan("b", costs={"chat": credits(2)})
    with pytest.raises(CatalogError) as caught:
        Catalog([FREE, a, b, Plan("c", includes=["a", "b"])], costs=TABLE)
    assert caught.value.faults == (
        "plans['c'].costs: inherits different rates of 'chat' from a and b; "
        "it has to declare its own",
    )
    own = Plan("c", includes=["a", "b"], costs={"chat": credits(3)})
    assert Catalog([FREE, a, b, own], costs=TABLE).terms("c").costs == {"chat": rate(3)}
    again = Plan("b", costs={"chat": credits(1)})
    both = Catalog([FREE, a, again, Plan("c", includes=["a", "b"])], costs=TABLE)
    assert both.terms("c").costs == {"chat": rate(1)}


def test_caps_are_the_plans_own() -> None:
    pro = Plan("pro", includes="free", caps=[credits.cap("day", 50), credits.cap("month", 500)])
    catalog = Catalog([FREE, pro, Plan("max", includes="pro")])
    assert catalog.terms("pro").caps == (
        TermCap(unit="credits", every="day", limit=50),
        TermCap(unit="credits", every="month", limit=500),
    )
    assert catalog.terms("max").caps == ()


def test_the_fate_of_the_default_plans_windows_is_in_its_terms() -> None:
    free = Plan("free", default=True, grants=[credits.every("day", 5, on_upgrade="expire")])
    assert Catalog([free]).terms("free").grants[0].on_upgrade == "expire"


def test_inherited_grants_of_two_units_with_one_key_are_a_fault() -> None:
    a = Plan("a", grants=[exports.every("month", 1, key="base")])
    b = Plan("b", includes="a", grants=[credits.every("month", 1, key="base")])
    with pytest.raises(CatalogError) as caught:
        Catalog([FREE, a, b])
    assert caught.value.faults == (
        "plans['b'].grants: the grants of 'credits' in b and of 'exports' in a have the same "
        "key 'base'",
    )


def test_every_cycle_is_named_and_the_rest_is_checked_all_the_same() -> None:
    with pytest.raises(CatalogError) as caught:
        Catalog(
            [
                FREE,
                Plan("a", includes="b"),
                Plan("b", includes=["c", "free"]),
                Plan("c", includes="a"),
                Plan("x", includes="y"),
                Plan("y", includes="x", features=[Feature("")]),
            ]
        )
    texts = [fault.partition(": ")[2] for fault in caught.value.faults]
    assert sum(text.startswith("a cycle: ") for text in texts) == 2
    loops = [set(text.removeprefix("a cycle: ").split(" -> ")) for text in texts[1:]]
    assert {"a", "b", "c"} in loops
    assert {"x", "y"} in loops
    for fault in caught.value.faults[1:]:
        place, _, path = fault.partition(".includes: a cycle: ")
        steps = path.split(" -> ")
        assert place == f"plans['{steps[0]}']"
        assert steps[0] == steps[-1]
        includes = {"a": "b", "b": "c", "c": "a", "x": "y", "y": "x"}
        assert all(includes[here] == there for here, there in pairwise(steps))


@pytest.mark.parametrize(
    ("cadence", "every", "count", "fits"),
    [
        ("month", "year", 1, True),  # a yearly price with monthly credits just works
        ("year", "month", 12, True),
        ("year", "month", 11, False),
        ("month", "month", 1, True),
        ("year", "year", 1, True),
        ("month", "week", 4, False),
        ("month", "week", 5, True),
        ("month", "day", 30, False),  # January has 31
        ("month", "day", 31, True),
        ("year", "day", 365, False),  # a leap year has 366
        ("year", "day", 366, True),
        ("week", "month", 1, True),
        ("week", "day", 6, False),
        ("week", "day", 7, True),
        ("day", "day", 1, True),
        ("hour", "day", 1, True),
    ],
)
def test_a_cadence_is_never_longer_than_what_a_price_pays_for(
    cadence: Every, every: PriceInterval, count: int, fits: bool
) -> None:
    price = Price("p", 1, "eur", every=every, every_count=count)
    plans = [FREE, Plan("pro", prices=[price], grants=[exports.every(cadence, 1)])]
    if fits:
        assert Catalog(plans).terms("pro").grants[0].cadence == cadence
        return
    with pytest.raises(CatalogError) as caught:
        Catalog(plans)
    assert caught.value.faults == (
        f"plans['pro'].grants[0]: 'exports' recurs every {cadence}, which is longer than the "
        "price 'p' pays for",
    )


def test_an_inherited_cadence_is_checked_against_the_prices_of_the_heir() -> None:
    base = Plan("base", grants=[exports.every("year", 1, key="yearly")])
    monthly = Price("m", 1, "eur", every="month")
    yearly = Price("y", 1, "eur", every="year")
    with pytest.raises(CatalogError) as caught:
        Catalog([FREE, base, Plan("pro", includes="base", prices=[yearly, monthly])])
    assert caught.value.faults == (
        "plans['pro'].grants: 'yearly' (inherited from base) recurs every year, which is longer "
        "than the price 'm' pays for",
    )


# -- properties -----------------------------------------------------------------------------------

UNITS = [Unit(name) for name in ("u0", "u1", "u2")]
FEATURES = [Feature(f"f{n}") for n in range(4)]


def _grants(unit: Unit) -> st.SearchStrategy[GrantSpec]:
    amount = st.integers(1, 100)
    return amount.map(unit.once) | amount.map(lambda n: unit.every("month", n))


@st.composite
def plan_lists(draw: st.DrawFn) -> list[Plan]:
    """Plans of which each includes some of the earlier ones, in any order."""
    plans: list[Plan] = []
    for number in range(draw(st.integers(1, 6))):
        includes = draw(st.lists(st.sampled_from(plans), unique_by=id)) if plans else []
        plans.append(
            Plan(
                f"p{number}",
                default=number == 0,
                includes=[plan.key for plan in includes],
                features=draw(st.lists(st.sampled_from(FEATURES), unique=True)),
                grants=[
                    draw(_grants(u)) for u in draw(st.lists(st.sampled_from(UNITS), unique=True))
                ],
            )
        )
    return draw(st.permutations(plans))


def reachable(key: str, plans: dict[str, Plan]) -> set[str]:
    """An independent reading of `includes`."""
    return {key}.union(*(reachable(name, plans) for name in plans[key].includes or ()))


def is_ambiguous(key: str, unit: Unit, plans: dict[str, Plan]) -> bool:
    """Whether more than one plan remains once all those that another one includes are gone."""
    declaring = {
        name for name in reachable(key, plans) if any(g.unit == unit for g in plans[name].grants)
    }
    hidden = {
        name
        for name in declaring
        if any(name in reachable(other, plans) for other in declaring - {name})
    }
    return len(declaring - hidden) > 1


@given(plan_lists())
def test_a_plan_has_all_that_it_includes(plans: list[Plan]) -> None:
    by_key = {plan.key: plan for plan in plans}
    ambiguous = any(is_ambiguous(key, unit, by_key) for key in by_key for unit in UNITS)
    if ambiguous:
        with pytest.raises(CatalogError, match="it has to declare its own"):
            Catalog(plans)
        return
    catalog = Catalog(plans)
    for key, plan in by_key.items():
        terms, line = catalog.terms(key), reachable(key, by_key)
        assert terms.plans == line
        assert terms.features == {f.key for name in line for f in by_key[name].features}
        declared = {(name, g.unit.key) for name in line for g in by_key[name].grants}
        assert {g.unit for g in terms.grants} == {unit for _, unit in declared}
        assert {(g.plan, g.unit) for g in terms.grants} <= declared
        assert len({g.series for g in terms.grants}) == len(terms.grants)
        own = {spec.unit.key: spec.amount for spec in plan.grants}
        assert own == {g.unit: g.amount for g in terms.grants if g.plan == key}
        for name in by_key:
            assert (key in catalog.plans_satisfying(name)) == (name in line)


@given(plan_lists(), st.randoms(use_true_random=False))
def test_the_order_of_the_plans_changes_nothing(plans: list[Plan], chance: Random) -> None:
    by_key = {plan.key: plan for plan in plans}
    assume(not any(is_ambiguous(key, unit, by_key) for key in by_key for unit in UNITS))
    shuffled = list(plans)
    chance.shuffle(shuffled)
    one, other = Catalog(plans), Catalog(shuffled)
    for key in by_key:
        mine, theirs = one.terms(key), other.terms(key)
        assert (mine.plans, mine.features) == (theirs.plans, theirs.features)
        assert {g.series: g for g in mine.grants} == {g.series: g for g in theirs.grants}
