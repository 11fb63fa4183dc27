"""Caps and own rates: what several plans at once come to."""

import pytest

from gatekeeper.catalog import TermCap, TermCost, Terms
from gatekeeper.entitlements import Override
from gatekeeper.formulas import Formula, RateTerm
from gatekeeper.ledger import CapTarget
from gatekeeper.types import Every
from tests.entitlements.builders import (
    BARE,
    DAY,
    PRO,
    START,
    Wallet,
    grant,
    item,
    paid_item,
    replace,
    state,
    terms,
)

NOW = START + 3 * DAY
FREE = terms("free", grant(5, plan="free"))


def cap(limit: int, every: Every = "day", unit: str = "credits") -> TermCap:
    return TermCap(unit=unit, every=every, limit=limit)


def capped(plan: Terms, *caps: TermCap) -> Terms:
    return replace(plan, caps=caps)


def rate(amount: int, per: int = 1, measure: str = "quantity") -> RateTerm:
    return RateTerm(amount, per, (measure,))


def priced(plan: Terms, unit: str = "credits", **formulas: Formula) -> Terms:
    costs = {key: TermCost(unit=unit, formula=formula) for key, formula in formulas.items()}
    return replace(plan, costs=costs)


# -- caps -----------------------------------------------------------------------------------------


def test_a_plans_caps_bound_the_unit_and_the_shortest_comes_first() -> None:
    plan = capped(PRO, cap(900, "month"), cap(50), cap(9, unit="exports"))
    due = Wallet().due(state(paid_item(plan=plan)), NOW)
    assert due.caps == (CapTarget("day", 50), CapTarget("month", 900))
    assert Wallet(unit="exports").due(state(paid_item(plan=plan)), NOW).caps == (
        CapTarget("day", 9),
    )


def test_the_default_plans_caps_bound_who_has_nothing_else() -> None:
    free = capped(FREE, cap(5))
    assert Wallet(free).due(state(), NOW).caps == (CapTarget("day", 5),)
    addon = state(paid_item(plan=terms("addon", grant(3, unit="exports"))))
    assert Wallet(free).due(addon, NOW).caps == (CapTarget("day", 5),)


def test_of_several_caps_the_largest_counts() -> None:
    known = state(
        paid_item("si_1", capped(PRO, cap(50), cap(60, "month"))),
        paid_item("si_2", capped(PRO, cap(70), cap(40, "month"))),
    )
    due = Wallet(capped(FREE, cap(999))).due(known, NOW)
    assert due.caps == (CapTarget("day", 70), CapTarget("month", 60))


def test_a_plan_that_grants_the_unit_without_a_cap_lifts_it() -> None:
    known = state(paid_item("si_1", capped(PRO, cap(50))), paid_item("si_2", PRO))
    assert Wallet().due(known, NOW).caps == ()
    assert Wallet(capped(FREE, cap(5))).due(state(paid_item()), NOW).caps == ()
    daily = state(
        paid_item("si_1", capped(PRO, cap(50), cap(9, "week"))),
        paid_item("si_2", capped(PRO, cap(5))),
    )
    assert Wallet().due(daily, NOW).caps == (CapTarget("day", 50),)


def test_an_addon_that_grants_none_of_the_unit_raises_the_cap_and_does_not_lift_it() -> None:
    addon = terms("more", grant(3, unit="exports"))
    for plan, expected in ((capped(addon, cap(80)), 80), (capped(addon, cap(2)), 50), (addon, 50)):
        known = state(paid_item("si_1", capped(PRO, cap(50))), paid_item("si_2", plan))
        assert Wallet().due(known, NOW).caps == (CapTarget("day", expected),)


def test_a_free_plan_without_a_cap_does_not_lift_what_was_bought_with_one() -> None:
    known = state(paid_item(plan=capped(PRO, cap(50))))
    assert Wallet(FREE).due(known, NOW).caps == (CapTarget("day", 50),)


@pytest.mark.parametrize("changes", [{"status": "unpaid"}, {"plan": None}])
def test_caps_follow_access(changes: dict[str, str | None]) -> None:
    given = {"plan": capped(PRO, cap(50)), **changes}
    known = state(item("si_1", **given))  # type: ignore[arg-type]  # one of two
    assert Wallet(capped(FREE, cap(5))).due(known, NOW).caps == (CapTarget("day", 5),)


def test_a_gift_speaks_as_an_item_does() -> None:
    known = state(overrides=(Override(kind="plan", key="pro"),))
    wallet = Wallet(capped(FREE, cap(5)), terms_of={"pro": capped(PRO, cap(50))})
    assert wallet.due(known, NOW).caps == (CapTarget("day", 50),)


def test_a_trial_that_grants_nothing_yet_leaves_the_default_plans_say() -> None:
    trying = state(
        item(plan=capped(PRO, cap(50)), status="trialing", trial_end=NOW + DAY, anchor=NOW + DAY)
    )
    assert Wallet(capped(FREE, cap(5))).due(trying, NOW).caps == (CapTarget("day", 50),)
    assert Wallet(FREE).due(trying, NOW).caps == ()


# -- rates ----------------------------------------------------------------------------------------

CHEAP, DEAR = Formula(terms=(rate(1, 3),)), Formula(terms=(rate(1, 2),))
CHAT = Formula(1, (rate(3, 1_000, "input"), rate(1, 100, "output")))
OTHER = Formula(0, (rate(4, 1_000, "input"), rate(1, 200, "output")))


def test_a_plans_own_rates_are_those_of_the_unit_that_is_asked_for() -> None:
    plan = priced(PRO, image=DEAR, chat=CHAT)
    known = state(paid_item(plan=plan))
    assert list(Wallet().due(known, NOW).formulas.items()) == [("chat", CHAT), ("image", DEAR)]
    assert Wallet(unit="exports").due(known, NOW).formulas == {}
    assert Wallet().due(state(paid_item()), NOW).formulas == {}


def test_of_several_rates_each_part_of_the_cheapest_counts() -> None:
    plans = [priced(PRO, chat=CHAT, image=DEAR), priced(PRO, chat=OTHER), priced(PRO, image=CHEAP)]
    for one, two, three in (plans, plans[::-1]):
        known = state(paid_item("si_1", one), paid_item("si_2", two), paid_item("si_3", three))
        assert Wallet().due(known, NOW).formulas == {
            "chat": Formula(0, (rate(3, 1_000, "input"), rate(1, 200, "output"))),
            "image": CHEAP,
        }


def test_where_rates_are_made_otherwise_the_first_counts_items_before_gifts() -> None:
    area = Formula(terms=(RateTerm(1, 9, ("height", "width")),))
    sides = Formula(terms=(rate(1, 9, "height"), rate(1, 9, "width")))
    known = state(
        paid_item("si_2", priced(PRO, image=sides)),
        paid_item("si_1", priced(PRO, image=area)),
        overrides=(Override(kind="plan", key="a"),),
    )
    wallet = Wallet(terms_of={"a": priced(PRO, image=sides)})
    assert wallet.due(known, NOW).formulas == {"image": area}
    gifted = replace(known, items=known.items[:1])
    assert wallet.due(gifted, NOW).formulas == {"image": sides}


def test_the_default_plans_rates_count_only_while_nothing_takes_its_place() -> None:
    wallet = Wallet(priced(FREE, chat=DEAR))
    assert wallet.due(state(), NOW).formulas == {"chat": DEAR}
    assert wallet.due(state(paid_item()), NOW).formulas == {}
    assert wallet.due(state(paid_item(status="unpaid")), NOW).formulas == {"chat": DEAR}
    addon = state(paid_item(plan=priced(BARE, chat=CHEAP)))
    assert wallet.due(addon, NOW).formulas == {"chat": CHEAP}
