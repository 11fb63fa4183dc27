"""Every fault that a catalogue can have, with the exact place that its message names."""

from collections.abc import Callable
from typing import Any

import pytest

from gatekeeper.catalog import (
    CapSpec,
    Catalog,
    Choice,
    Feature,
    GrantSpec,
    Limit,
    LimitPerQuantity,
    Meter,
    MeterPrice,
    Pack,
    Plan,
    Price,
    Rate,
    Term,
    Unit,
    UnitAmount,
    UnitFormula,
)
from gatekeeper.errors import CatalogError
from gatekeeper.types import MAX_AMOUNT, UNLIMITED

# What is passed here is wrong on purpose, and often of the wrong type.
credits: Any = Unit("credits")
exports: Any = Unit("exports")
seats: Any = Limit("seats")
overage: Any = Meter("over", event_name="ai_credits")
FREE = Plan("free", default=True)
plan: Callable[..., Plan] = Plan
pack: Callable[..., Pack] = Pack
price: Callable[..., Price] = Price
grant: Callable[..., GrantSpec] = GrantSpec
MONTHLY = Price("monthly", 999, "eur", every="month")
ONE_TIME = Price("one_time", 500, "eur")


def faults_of(*plans: object, default: Plan = FREE, **catalog: Any) -> tuple[str, ...]:
    """The faults of a catalogue with a default plan and these."""
    build: Callable[..., Catalog] = Catalog
    with pytest.raises(CatalogError) as caught:
        build([default, *plans], **catalog)
    return caught.value.faults


def with_grant(spec: object, **more: Any) -> Plan:
    return plan("pro", grants=[spec], **more)


def with_price(*args: Any, **kwargs: Any) -> Plan:
    return plan("pro", prices=[price(*args, **kwargs)])


PLAN_FAULTS: list[tuple[str, object, str]] = [
    ("no plan", "pro", "plans[1]: must be a Plan, not 'pro'"),
    ("key is no string", plan(7), "plans[1].key: must be a string, not int"),
    ("key is a list", plan(["pro"]), "plans[1].key: must be a string, not list"),
    ("key is empty", plan(""), "plans[1].key: '' is no valid key"),
    ("key has a blank", plan("pro plan"), "plans[1].key: 'pro plan' is no valid key"),
    ("key has a colon", plan("pro:1"), "plans[1].key: 'pro:1' is no valid key"),
    ("key has a line break", plan("pro\n"), "plans[1].key: 'pro\\n' is no valid key"),
    ("key is too long", plan("p" * 101), "plans[1].key: 'pppppppppppp...ppppppppppppp' is no"),
    ("key taken by a plan", plan("free"), "plans[1].key: 'free' is the key of plans[0] already"),
    ("default is no bool", plan("pro", default=1), "plans['pro'].default: must be True or False"),
    (
        "two defaults",
        plan("pro", default=True),
        "plans['pro'].default: plans['free'] is the default already",
    ),
    ("name is no string", plan("pro", name=3), "plans['pro'].name: 3 can't be used: The given id"),
    (
        "name is too long",
        plan("pro", name="x" * 251),
        "plans['pro'].name: has 251 characters; at most 250",
    ),
    # includes
    (
        "includes nothing known",
        plan("pro", includes="basic"),
        "plans['pro'].includes: there is no plan 'basic'; there are free, pro",
    ),
    (
        "includes nothing known in a list",
        plan("pro", includes=["free", "basic"]),
        "plans['pro'].includes[1]: there is no plan 'basic'",
    ),
    (
        "includes a plan twice",
        plan("pro", includes=["free", "free"]),
        "plans['pro'].includes[1]: 'free' is listed twice",
    ),
    (
        "includes an object",
        plan("pro", includes=[FREE]),
        "plans['pro'].includes[0]: must be a str, not Plan",
    ),
    (
        "includes is no list",
        plan("pro", includes=5),
        "plans['pro'].includes: must be a list of str, not 5",
    ),
    (
        "includes a bad key",
        plan("pro", includes=""),
        "plans['pro'].includes: '' is no valid key",
    ),
    (
        "includes itself",
        plan("pro", includes="pro"),
        "plans['pro'].includes: a cycle: pro -> pro",
    ),
    # prices
    ("prices is one price", plan("pro", prices=MONTHLY), "plans['pro'].prices: must be a list of"),
    (
        "price is a string",
        plan("pro", prices=["monthly"]),
        "plans['pro'].prices[0]: must be a Price, not 'monthly'",
    ),
    (
        "trial without prices",
        plan("pro", trial_days=14),
        "plans['pro'].trial_days: only a plan that is bought can be tried",
    ),
    (
        "trial of no days",
        plan("pro", prices=[MONTHLY], trial_days=0),
        "plans['pro'].trial_days: must be from 1 to 730, not 0",
    ),
    (
        "trial of too many days",
        plan("pro", prices=[MONTHLY], trial_days=731),
        "plans['pro'].trial_days: must be from 1 to 730, not 731",
    ),
    # features
    (
        "features is a string",
        plan("pro", features="downloads"),
        "plans['pro'].features: must be a list of Feature, not 'downloads'",
    ),
    (
        "feature is a string",
        plan("pro", features=["downloads"]),
        "plans['pro'].features[0]: must be a Feature, not 'downloads'",
    ),
    (
        "feature is a unit",
        plan("pro", features=[credits]),
        "plans['pro'].features[0]: must be a Feature, not Unit",
    ),
    (
        "feature twice",
        plan("pro", features=[Feature("a"), Feature("a")]),
        "plans['pro'].features[1]: 'a' is listed twice",
    ),
    (
        "feature's key",
        plan("pro", features=[Feature("a b")]),
        "plans['pro'].features[0] (Feature.key): 'a b' is no valid key",
    ),
    (
        "feature's outage policy",
        plan("pro", features=[Feature("a", on_outage="maybe")]),  # type: ignore[arg-type]  # wrong
        "plans['pro'].features[0] (Feature 'a'.on_outage): must be one of deny, allow, last_known",
    ),
    # limits
    (
        "limits is a list",
        plan("pro", limits=[seats]),
        "plans['pro'].limits: must be a mapping of Limit to its value, not list",
    ),
    (
        "limit is a string",
        plan("pro", limits={"seats": 5}),
        "plans['pro'].limits (key 0): must be a Limit, not 'seats'",
    ),
    (
        "limit is negative",
        plan("pro", limits={seats: -1}),
        f"plans['pro'].limits['seats']: must be from 0 to {MAX_AMOUNT}, not -1",
    ),
    (
        "limit is a fraction",
        plan("pro", limits={seats: 1.5}),
        "plans['pro'].limits['seats']: must be a whole number, not float",
    ),
    (
        "limit is a bool",
        plan("pro", limits={seats: True}),
        "plans['pro'].limits['seats']: must be a whole number, not bool",
    ),
    (
        "limit follows no quantity",
        plan("pro", limits={seats: seats.per_quantity(0)}),
        "plans['pro'].limits['seats'].per_quantity: must be from 1",
    ),
    (
        "limit has another's value",
        plan("pro", limits={seats: Limit("rooms").per_quantity()}),
        "plans['pro'].limits['seats']: has the value of another limit",
    ),
    (
        "limit has a string's value",
        plan("pro", limits={seats: LimitPerQuantity("seats")}),  # type: ignore[arg-type]  # wrong
        "plans['pro'].limits['seats']: has the value of another limit",
    ),
    (
        "limit's combination",
        plan("pro", limits={Limit("a", combine="mean"): 1}),  # type: ignore[arg-type]  # wrong
        "plans['pro'].limits['a'] (Limit 'a'.combine): must be one of max, sum, min; not 'mean'",
    ),
    (
        "limit's outage policy",
        plan("pro", limits={Limit("a", on_outage=None): 1}),  # type: ignore[arg-type]  # wrong
        "plans['pro'].limits['a'] (Limit 'a'.on_outage): must be one of",
    ),
    (
        "limit's key",
        plan("pro", limits={Limit(""): 1}),
        "plans['pro'].limits[''] (Limit.key): '' is no valid key",
    ),
    # units
    (
        "unit's key",
        with_grant(Unit(3).once(1)),  # type: ignore[arg-type]  # wrong
        "plans['pro'].grants[0] (Unit.key): must be a string, not int",
    ),
    (
        "unit's scale",
        with_grant(Unit("a", scale=10).once(1)),
        "plans['pro'].grants[0] (Unit 'a'.scale): must be from 0 to 9, not 10",
    ),
    (
        "one unit, two declarations",
        plan("pro", grants=[credits.once(1), Unit("credits", scale=2).once(1, key="b")]),
        "plans['pro'].grants[1]: Unit 'credits' is declared differently at plans['pro'].grants[0]",
    ),
    (
        "one feature, two declarations",
        plan("pro", features=[Feature("a"), Feature("a", on_outage="allow")]),
        "plans['pro'].features[1]: Feature 'a' is declared differently at plans['pro'].features[0]",
    ),
    (
        "a unit named like a feature",
        plan("pro", features=[Feature("a")], grants=[Unit("a").once(1)]),
        "plans['pro'].grants[0]: 'a' is a Unit here and a Feature at plans['pro'].features[0]",
    ),
    (
        "a limit named like a feature",
        plan("pro", features=[Feature("a")], limits={Limit("a"): 1}),
        "plans['pro'].limits['a']: 'a' is a Limit here and a Feature at plans['pro'].features[0]",
    ),
]

GRANT_FAULTS: list[tuple[str, object, str]] = [
    ("grants is one grant", plan("pro", grants=credits.once(5)), ": must be a list of GrantSpec"),
    ("no grant", with_grant(credits(5)), "[0]: must be a GrantSpec, not UnitAmount"),
    ("no unit", with_grant(grant("credits", 5, "once")), "[0].unit: must be a Unit, not 'credits'"),
    ("key", with_grant(credits.once(5, key="a b")), "[0].key: 'a b' is no valid key"),
    ("zero", with_grant(credits.once(0)), "[0].amount: must be from 1 to"),
    ("negative", with_grant(credits.once(-5)), "[0].amount: must be from 1 to"),
    ("float", with_grant(credits.once(5.0)), "[0].amount: must be a whole number, not float"),
    ("bool", with_grant(credits.once(True)), "[0].amount: must be a whole number, not bool"),
    ("string", with_grant(credits.once("5")), "[0].amount: must be a whole number, not str"),
    ("huge", with_grant(credits.once(2**53)), f"[0].amount: must be from 1 to {MAX_AMOUNT}"),
    (
        "too huge to print",
        with_grant(credits.once(10**5_000)),
        f"[0].amount: must be from 1 to {MAX_AMOUNT}, not a number of 16610 bits",
    ),
    ("trial", with_grant(credits.once(5, trial=0)), "[0].trial: must be from 1 to"),
    ("priority", with_grant(credits.once(5, priority="low")), "[0].priority: must be a whole"),
    ("low priority", with_grant(credits.once(5, priority=-(10**7))), "[0].priority: must be from"),
    (
        "on_upgrade",
        with_grant(credits.every("day", 5, on_upgrade=0)),
        "[0].on_upgrade: must be one",
    ),
    (
        "on_upgrade of what is not the default",
        with_grant(credits.every("day", 5, on_upgrade="expire")),
        "[0].on_upgrade: only the default plan gives way to another; there is on_cancel=",
    ),
    ("on_cancel", with_grant(credits.once(5, on_cancel="refund")), "[0].on_cancel: must be one of"),
    ("cadence", with_grant(credits.every("monthly", 5)), "[0].cadence: must be one of once, hour"),
    ("cadence's type", with_grant(credits.every(["month"], 5)), "[0].cadence: must be one of"),
    ("per_quantity", with_grant(credits.once(5, per_quantity=2)), "[0].per_quantity: must be True"),
    (
        "unlimited per quantity",
        with_grant(credits.once(UNLIMITED, per_quantity=True)),
        "[0].per_quantity: UNLIMITED can't be multiplied by a quantity",
    ),
    (
        "expiry",
        with_grant(credits.once(5, expires_after_days=0)),
        "[0].expires_after_days: must be from 1 to 36525, not 0",
    ),
    (
        "expiry of what recurs",
        with_grant(grant(credits, 5, "month", expires_after_days=3)),
        "[0].expires_after_days: a recurring grant ends with its window",
    ),
    (
        "negative rollover",
        with_grant(credits.every("month", 5, rollover=-1)),
        "[0].rollover: must be from 0 to",
    ),
    (
        "rollover of once",
        with_grant(grant(credits, 5, "once", rollover=1)),
        "[0].rollover: only what recurs can be carried over",
    ),
    (
        "rollover of unlimited",
        with_grant(credits.every("month", UNLIMITED, rollover=UNLIMITED)),
        "[0].rollover: UNLIMITED leaves nothing to carry over",
    ),
    (
        "overage is a string",
        with_grant(credits.every("month", 5, overage="over")),
        "[0].overage: must be a Meter, not 'over'",
    ),
    (
        "overage of once",
        with_grant(grant(credits, 5, "once", overage=overage)),
        "[0].overage: only a recurring grant has windows to bill",
    ),
    (
        "overage of unlimited",
        with_grant(credits.every("month", UNLIMITED, overage=overage)),
        "[0].overage: UNLIMITED is never used up",
    ),
    (
        "overage limit alone",
        with_grant(credits.every("month", 5, overage_limit=3)),
        "[0].overage_limit: there is no overage to limit",
    ),
    (
        "overage limit of nothing",
        with_grant(credits.every("month", 5, overage=overage, overage_limit=0)),
        "[0].overage_limit: must be from 1 to",
    ),
    (
        "meter's key",
        with_grant(credits.every("month", 5, overage=Meter("", "e"))),
        "[0].overage (Meter.key): '' is no valid key",
    ),
    (
        "meter's name",
        with_grant(credits.every("month", 5, overage=Meter("m", "e", name=""))),
        "[0].overage (Meter 'm'.name): '' can't be used",
    ),
    (
        "meter's event",
        with_grant(credits.every("month", 5, overage=Meter("m", "e" * 101))),
        "[0].overage (Meter 'm'.event_name): has 101 characters; at most 100 are accepted",
    ),
    (
        "meter's event has a control character",
        with_grant(credits.every("month", 5, overage=Meter("m", "e\0"))),
        "[0].overage (Meter 'm'.event_name): 'e\\x00' can't be used",
    ),
    (
        "two meters of one event",
        plan(
            "pro",
            grants=[
                credits.every("month", 5, overage=Meter("m", "e")),
                exports.every("month", 5, overage=Meter("n", "e")),
            ],
        ),
        "[1].overage (Meter 'n'.event_name): 'e' belongs to the meter 'm'",
    ),
    (
        "one meter, two declarations",
        plan(
            "pro",
            grants=[
                credits.every("month", 5, overage=Meter("m", "e")),
                exports.every("month", 5, overage=Meter("m", "f")),
            ],
        ),
        "[1].overage: Meter 'm' is declared differently at plans['pro'].grants[0].overage",
    ),
    (
        "one key twice",
        plan("pro", grants=[credits.once(5), credits.every("month", 9)]),
        "[1]: 'credits' is the key of the grant at plans['pro'].grants[0] already; give one",
    ),
    (
        "one key twice for two units",
        plan("pro", grants=[credits.once(5, key="a"), exports.once(5, key="a")]),
        "[1]: 'a' is the key of the grant at plans['pro'].grants[0] already; give one",
    ),
    (
        "a year for a month's price",
        with_grant(credits.every("year", 5), prices=[MONTHLY]),
        "[0]: 'credits' recurs every year, which is longer than the price 'monthly' pays for",
    ),
]

PRICE_FAULTS: list[tuple[str, object, str]] = [
    ("no interval", with_price("p", 1, "eur"), ".every: a plan's price recurs: say how often"),
    (
        "interval",
        with_price("p", 1, "eur", every="hour"),
        ".every: must be one of day, week, month",
    ),
    ("interval's type", with_price("p", 1, "eur", every=["day"]), ".every: must be one of"),
    (
        "no intervals",
        with_price("p", 1, "eur", every="month", every_count=0),
        ".every_count: must be from 1 to 36, not 0",
    ),
    (
        "too many intervals",
        with_price("p", 1, "eur", every="month", every_count=37),
        ".every_count: must be from 1 to 36, not 37",
    ),
    ("lookup key", with_price(None, 1, "eur", every="month"), ".lookup_key: None can't be used"),
    ("empty lookup key", with_price("", 1, "eur", every="month"), ".lookup_key: '' can't be used"),
    (
        "long lookup key",
        with_price("p" * 201, 1, "eur", every="month"),
        ".lookup_key: has 201 characters; at most 200 are accepted",
    ),
    (
        "ids is a string",
        with_price("p", 1, "eur", every="month", ids="price_1"),
        ".ids: must be a list of str, not 'price_1'",
    ),
    (
        "id is empty",
        with_price("p", 1, "eur", every="month", ids=["price_1", ""]),
        ".ids[1]: '' can't be used",
    ),
    (
        "id twice",
        with_price("p", 1, "eur", every="month", ids=["price_1", "price_1"]),
        ".ids[1]: 'price_1' is the price at plans['pro'].prices[0] already",
    ),
    ("negative", with_price("p", -1, "eur", every="month"), ".amount_minor: must be from 0 to"),
    ("euros", with_price("p", 9.99, "eur", every="month"), ".amount_minor: must be a whole number"),
    ("huge", with_price("p", 10**12, "eur", every="month"), ".amount_minor: must be from 0 to"),
    (
        "unlimited",
        with_price("p", UNLIMITED, "eur", every="month"),
        ".amount_minor: can't be UNLIMITED",
    ),
    (
        "upper case",
        with_price("p", 1, "EUR", every="month"),
        ".currency: 'EUR' is no currency of Stripe's in three lower-case letters",
    ),
    ("no currency", with_price("p", 1, "xyz", every="month"), ".currency: 'xyz' is no currency"),
    ("currency's type", with_price("p", 1, ["eur"], every="month"), ".currency: list is no"),
    (
        "fraction of a krona",
        with_price("p", 550, "isk", every="month"),
        ".amount_minor: Stripe takes isk only in multiples of 100 minor units",
    ),
    (
        "thousandth of a dinar",
        with_price("p", 5_124, "kwd", every="month"),
        ".amount_minor: Stripe takes kwd only in multiples of 10 minor units",
    ),
]

DEFAULT_FAULTS: list[tuple[str, Plan, str]] = [
    (
        "it has a price",
        plan("free", default=True, prices=[MONTHLY]),
        ".prices: the default plan is not bought; it has no prices",
    ),
    (
        "a limit follows its quantity",
        plan("free", default=True, limits={seats: seats.per_quantity()}),
        ".limits['seats']: the default plan has no quantity to count by",
    ),
    (
        "a grant follows its quantity",
        plan("free", default=True, grants=[credits.once(5, per_quantity=True)]),
        ".grants[0].per_quantity: the default plan has no quantity to count by",
    ),
    (
        "it has overage",
        plan("free", default=True, grants=[credits.every("month", 5, overage=overage)]),
        ".grants[0].overage: the default plan has no subscription to bill",
    ),
    (
        "what is made once gives way",
        plan("free", default=True, grants=[grant(credits, 5, "once", on_upgrade="expire")]),
        ".grants[0].on_upgrade: what is made once is never replaced",
    ),
]

PACK_FAULTS: list[tuple[str, object, str]] = [
    ("no pack", "credits_100", "packs[0]: must be a Pack, not 'credits_100'"),
    ("key", pack(None, credits(1), ONE_TIME), "packs[0].key: must be a string, not NoneType"),
    (
        "key taken by a plan",
        pack("free", credits(1), ONE_TIME),
        "packs[0].key: 'free' is the key of plans[0] already",
    ),
    ("name", pack("p", credits(1), ONE_TIME, name=""), "packs['p'].name: '' can't be used"),
    ("nothing in it", pack("p", price=ONE_TIME), "packs['p'].grants: a pack holds something"),
    ("a spec", pack("p", credits.once(5), ONE_TIME), "packs['p'].grants: must be a list of UnitA"),
    ("a number", pack("p", [100], ONE_TIME), "packs['p'].grants[0]: must be a UnitAmount, not 100"),
    ("no credits", pack("p", credits(0), ONE_TIME), "packs['p'].grants[0].amount: must be from 1"),
    (
        "unlimited",
        pack("p", credits(UNLIMITED), ONE_TIME),
        "packs['p'].grants[0].amount: can't be UNLIMITED",
    ),
    (
        "no unit",
        pack("p", UnitAmount("credits", 1), ONE_TIME),  # type: ignore[arg-type]  # wrong
        "packs['p'].grants[0].unit: must be a Unit, not 'credits'",
    ),
    (
        "a unit twice",
        pack("p", [credits(1), credits(2)], ONE_TIME),
        "packs['p'].grants[1]: 'credits' is listed twice",
    ),
    ("no price", pack("p", credits(1)), "packs['p']: needs either price= or prices="),
    (
        "price and prices",
        pack("p", credits(1), price=ONE_TIME, prices=[Price("x", 1, "usd")]),
        "packs['p']: needs either price= or prices=, and not both",
    ),
    ("price", pack("p", credits(1), price=500), "packs['p'].price: must be a Price, not 500"),
    (
        "prices",
        pack("p", credits(1), prices=ONE_TIME),
        "packs['p'].prices: must be a list of Price",
    ),
    (
        "recurring price",
        pack("p", credits(1), price=MONTHLY),
        "packs['p'].price.every: a pack is bought once: its price does not recur",
    ),
    (
        "recurring price in a list",
        pack("p", credits(1), prices=[ONE_TIME, MONTHLY]),
        "packs['p'].prices[1].every: a pack is bought once: its price does not recur",
    ),
    (
        "count of intervals",
        pack("p", credits(1), price=price("one", 500, "eur", every_count=2)),
        "packs['p'].price.every_count: must be from 1 to 1, not 2",
    ),
    (
        "for nothing",
        pack("p", credits(1), price=Price("one", 0, "eur")),
        "packs['p'].price.amount_minor: must be from 1 to",
    ),
    (
        "expiry",
        pack("p", credits(1), ONE_TIME, expires_after_days="30"),
        "packs['p'].expires_after_days: must be a whole number, not str",
    ),
]

COST_FAULTS: list[tuple[str, object, str]] = [
    ("no mapping", ["chat"], "costs: must be a mapping of names to costs, not list"),
    ("key", {"a b": credits(1)}, "costs['a b']: 'a b' is no valid key"),
    ("key's type", {3: credits(1)}, "costs[3]: must be a string, not int"),
    (
        "a number",
        {"chat": 4},
        "costs['chat']: must be like credits(4), credits.per(1_000) or credits.formula(...), or a "
        "Choice, not 4",
    ),
    ("a unit", {"chat": credits}, "costs['chat']: must be like credits(4), credits.per(1_000) or"),
    ("no amount", {"chat": credits(0)}, "costs['chat'].amount: must be from 1 to"),
    ("per nothing", {"chat": credits.per(0)}, "costs['chat'].per: must be from 1 to"),
    ("a fraction", {"chat": credits.per(1, amount=0.5)}, "costs['chat'].amount: must be a whole"),
    (
        "no unit",
        {"chat": Rate("credits", 1_000)},  # type: ignore[arg-type]  # wrong
        "costs['chat'].unit: must be a Unit, not 'credits'",
    ),
    (
        "named like a unit",
        {"credits": credits(1)},
        "costs['credits']: 'credits' names what is used at packs['p'].grants[0] already",
    ),
    (
        "of a unit that nothing grants",
        {"chat": exports(1)},
        "costs['chat']: nothing grants the unit 'exports', so this can never be paid",
    ),
    (
        "a formula of a unit that nothing grants",
        {"chat": Choice("model", {"a": exports.formula(input=1)})},
        "costs['chat']: nothing grants the unit 'exports', so this can never be paid",
    ),
    # formulas
    (
        "a formula of nothing",
        {"chat": credits.formula(base=4)},
        "costs['chat']: a formula measures something; credits(4) is a fixed cost",
    ),
    (
        "a formula that is free",
        {"chat": credits.formula(input=0, output=(0, 5))},
        "costs['chat']: costs nothing, whatever is measured",
    ),
    (
        "a formula's unit",
        {"chat": UnitFormula("credits", 0, (Term(1, 1, "a"),))},  # type: ignore[arg-type]  # wrong
        "costs['chat'].unit: must be a Unit, not 'credits'",
    ),
    (
        "a formula's base",
        {"chat": credits.formula(base=-1, input=1)},
        "costs['chat'].base: must be from 0 to",
    ),
    (
        "a formula's amount",
        {"chat": credits.formula(input=(-1, 1_000))},
        "costs['chat'].terms[0].amount: must be from 0 to",
    ),
    (
        "a formula's amount is a fraction",
        {"chat": credits.formula(input=0.5)},
        "costs['chat'].terms[0].amount: must be a whole number, not float",
    ),
    (
        "a formula's amount is of three parts",
        {"chat": credits.formula(input=(1, 2, 3))},
        "costs['chat'].terms[0].amount: must be a whole number, not tuple",
    ),
    (
        "a formula per nothing",
        {"chat": credits.formula(output=2, input=(1, 0))},
        "costs['chat'].terms[1].per: must be from 1 to",
    ),
    (
        "a formula's term",
        {"chat": credits.formula(input=2, terms=["output"])},
        "costs['chat'].terms[1]: must be a Term, not 'output'",
    ),
    (
        "a formula's terms are one",
        {"chat": credits.formula(input=2, terms=Term(1, 0, "a"))},
        "costs['chat'].terms[1].per: must be from 1 to",
    ),
    (
        "a formula's terms are no list",
        {"chat": UnitFormula(credits, 0, "terms")},  # type: ignore[arg-type]  # wrong
        "costs['chat'].terms: must be a list of Term, not 'terms'",
    ),
    (
        "a measure's name",
        {"chat": credits.formula(terms=[Term(1, 1, ("a", "b c"))])},
        "costs['chat'].terms[0].measures[1]: 'b c' is no valid key",
    ),
    (
        "a measure is no string",
        {"chat": credits.formula(terms=[Term(1, 1, [credits])])},
        "costs['chat'].terms[0].measures[0]: must be a str, not Unit",
    ),
    (
        "no measures",
        {"chat": credits.formula(terms=[Term(1, 1, [])])},
        "costs['chat'].terms[0].measures: must be from 1 to 4",
    ),
    (
        "too many measures",
        {"chat": credits.formula(terms=[Term(1, 1, list("abcde"))])},
        "costs['chat'].terms[0].measures: must be from 1 to 4",
    ),
    (
        "measures are a number",
        {"chat": credits.formula(terms=[Term(1, 1, 3)])},  # type: ignore[arg-type]  # wrong
        "costs['chat'].terms[0].measures: must be a list of str, not 3",
    ),
    (
        "too many terms",
        {"chat": credits.formula(**{f"m{n}": 1 for n in range(21)})},
        "costs['chat'].terms: has 21 terms; at most 20 are taken",
    ),
    # choices
    (
        "a choice's name",
        {"chat": Choice("the model", {"a": credits(1)})},
        "costs['chat'].name: 'the model' is no valid key",
    ),
    (
        "a choice of nothing",
        {"chat": Choice("model", {})},
        "costs['chat'].options: there is nothing to choose",
    ),
    (
        "a choice's options are a list",
        {"chat": Choice("model", [credits(1)])},  # type: ignore[arg-type]  # wrong
        "costs['chat'].options: must be a mapping of names to costs, not list",
    ),
    (
        "an option's name",
        {"chat": Choice("model", {"a:b": credits(1)})},
        "costs['chat'].options['a:b']: 'a:b' is no valid key",
    ),
    (
        "an option is a number",
        {"chat": Choice("model", {"a": 4})},  # type: ignore[dict-item]  # wrong
        "costs['chat'].options['a']: must be like credits(4), credits.per(1_000) or credits.",
    ),
    (
        "an option is a choice",
        {"chat": Choice("model", {"a": Choice("size", {"s": credits(1)})})},  # type: ignore[dict-item]  # wrong
        "costs['chat'].options['a']: must be like credits(4), credits.per(1_000) or credits.",
    ),
    (
        "an option is faulty",
        {"chat": Choice("model", {"a": credits(0)})},
        "costs['chat'].options['a'].amount: must be from 1 to",
    ),
    (
        "options of two units",
        {"chat": Choice("model", {"a": credits(1), "b": exports(1)})},
        "costs['chat'].options: count different units: credits, exports",
    ),
    (
        "an option measures what is chosen",
        {"chat": Choice("size", {"a": credits.formula(size=1)})},
        "costs['chat'].options['a']: measures 'size', which is what is chosen",
    ),
]

TABLE: dict[str, Any] = {
    "chat": credits.formula(input=(3, 1_000), output=(15, 1_000)),
    "image": Choice("size", {"s": credits(1), "xl": credits(4)}),
    "broken": 4,
}

OWN_COST_FAULTS: list[tuple[str, object, str]] = [
    ("no mapping", ["chat"], ": must be a mapping of names to costs, not list"),
    ("unknown", {"video": credits(1)}, "['video']: the cost table has no such entry; it has chat"),
    ("option by its key", {"image:s": credits(1)}, "['image:s']: the cost table has no such entry"),
    ("a number", {"chat": 4}, "['chat']: must be like credits(4)"),
    ("faulty", {"image": Choice("size", {"s": credits(0)})}, "['image'].options['s'].amount: must"),
    (
        "of another unit",
        {"chat": exports.formula(input=1, output=1)},
        "['chat']: the cost table counts 'credits', not 'exports'",
    ),
    (
        "a choice where there is none",
        {"chat": Choice("size", {"s": credits.formula(input=1, output=1)})},
        "['chat']: has to be a Choice of the same name where the cost table has one, and only",
    ),
    (
        "no choice where there is one",
        {"image": credits(1)},
        "['image']: has to be a Choice of the same name where the cost table has one, and only",
    ),
    (
        "another choice",
        {"image": Choice("model", {"s": credits(1)})},
        "['image']: has to be a Choice of the same name where the cost table has one, and only",
    ),
    (
        "an option that there is not",
        {"image": Choice("size", {"xs": credits(1)})},
        "['image']: the cost table has no 'image:xs'",
    ),
    (
        "other measures",
        {"chat": credits.per(1_000)},
        "['chat']: measures quantity; 'chat' of the cost table measures input, output",
    ),
]

CAP_FAULTS: list[tuple[str, object, str]] = [
    ("no list", credits.cap("day", 5), ": must be a list of CapSpec, not CapSpec"),
    ("no cap", [credits(5)], "[0]: must be a CapSpec, not UnitAmount"),
    ("no unit", [CapSpec("credits", "day", 5)], "[0].unit: must be a Unit, not 'credits'"),  # type: ignore[arg-type]  # wrong
    ("unit's key", [Unit("a b").cap("day", 5)], "[0] (Unit.key): 'a b' is no valid key"),
    ("recurrence", [credits.cap("once", 5)], "[0].every: must be one of hour, day, week, month"),
    ("of nothing", [credits.cap("day", 0)], "[0].limit: must be from 1 to"),
    ("unlimited", [credits.cap("day", UNLIMITED)], "[0].limit: can't be UNLIMITED"),
    (
        "twice",
        [credits.cap("day", 5), exports.cap("day", 5), credits.cap("day", 9)],
        "[2]: 'credits' has a cap for every day already",
    ),
]

UNIT_FAULTS: list[tuple[str, object, str]] = [
    ("low", Unit("a", low=0), ".low): must be from 1 to"),
    ("notice", Unit("a", expiry_notice_hours=0), ".expiry_notice_hours): must be from 1 to 8784"),
    ("long notice", Unit("a", expiry_notice_hours=9_999), ".expiry_notice_hours): must be from 1"),
    ("late return", Unit("a", late_return_hours=-1), ".late_return_hours): must be from 0 to"),
    ("late", Unit("a", late_return_hours=None), ".late_return_hours): must be a whole number"),  # type: ignore[arg-type]  # wrong
]


def names(cases: list[tuple[str, Any, str]]) -> list[str]:
    return [name.replace(" ", "_") for name, _, _ in cases]


def the_one_fault(faults: tuple[str, ...]) -> str:
    assert len(faults) == 1, faults
    return faults[0]


@pytest.mark.parametrize(("_name", "bad", "fault"), PLAN_FAULTS, ids=names(PLAN_FAULTS))
def test_a_fault_of_a_plan(_name: str, bad: object, fault: str) -> None:
    assert the_one_fault(faults_of(bad)).startswith(fault)


@pytest.mark.parametrize(("_name", "bad", "fault"), GRANT_FAULTS, ids=names(GRANT_FAULTS))
def test_a_fault_of_a_grant(_name: str, bad: object, fault: str) -> None:
    assert the_one_fault(faults_of(bad)).startswith("plans['pro'].grants" + fault)


@pytest.mark.parametrize(("_name", "bad", "fault"), PRICE_FAULTS, ids=names(PRICE_FAULTS))
def test_a_fault_of_a_price(_name: str, bad: object, fault: str) -> None:
    assert the_one_fault(faults_of(bad)).startswith("plans['pro'].prices[0]" + fault)


@pytest.mark.parametrize(("_name", "bad", "fault"), DEFAULT_FAULTS, ids=names(DEFAULT_FAULTS))
def test_a_fault_of_the_default_plan(_name: str, bad: Plan, fault: str) -> None:
    assert the_one_fault(faults_of(default=bad)).startswith("plans['free']" + fault)


@pytest.mark.parametrize(("_name", "bad", "fault"), PACK_FAULTS, ids=names(PACK_FAULTS))
def test_a_fault_of_a_pack(_name: str, bad: object, fault: str) -> None:
    assert the_one_fault(faults_of(packs=[bad])).startswith(fault)


@pytest.mark.parametrize(("_name", "bad", "fault"), COST_FAULTS, ids=names(COST_FAULTS))
def test_a_fault_of_a_cost(_name: str, bad: object, fault: str) -> None:
    credits_pack = Pack("p", credits(100), ONE_TIME)
    assert the_one_fault(faults_of(packs=[credits_pack], costs=bad)).startswith(fault)


@pytest.mark.parametrize(("_name", "bad", "fault"), OWN_COST_FAULTS, ids=names(OWN_COST_FAULTS))
def test_a_fault_of_a_plans_own_cost(_name: str, bad: object, fault: str) -> None:
    pro = plan("pro", grants=[credits.once(5), exports.once(5)], costs=bad)
    of_the_table, found = faults_of(pro, costs=TABLE)
    assert of_the_table.startswith("costs['broken']: must be like")
    assert found.startswith("plans['pro'].costs" + fault)


def test_a_plans_own_cost_of_an_entry_that_is_broken_is_no_second_fault() -> None:
    pro = plan("pro", grants=[credits.once(5)], costs={"broken": credits(3)})
    assert the_one_fault(faults_of(pro, costs=TABLE)).startswith("costs['broken']")
    alone = the_one_fault(faults_of(plan("pro", costs={"chat": credits(3)})))
    assert alone.endswith("the cost table has no such entry; it has nothing")


@pytest.mark.parametrize(("_name", "bad", "fault"), CAP_FAULTS, ids=names(CAP_FAULTS))
def test_a_fault_of_a_cap(_name: str, bad: object, fault: str) -> None:
    assert the_one_fault(faults_of(plan("pro", caps=bad))).startswith("plans['pro'].caps" + fault)


@pytest.mark.parametrize(("_name", "bad", "fault"), UNIT_FAULTS, ids=names(UNIT_FAULTS))
def test_a_fault_of_a_units_policy(_name: str, bad: object, fault: str) -> None:
    found = the_one_fault(faults_of(declares=[bad]))
    assert found.startswith("declares[0] (Unit 'a'" + fault)


@pytest.mark.parametrize("plans", [[], [Plan("pro")]])
def test_no_default_plan(plans: list[Plan]) -> None:
    with pytest.raises(CatalogError) as caught:
        Catalog(plans)
    assert caught.value.faults == ("plans: none of them is the default; exactly one has to be",)


def test_a_default_plan_with_a_bad_key_is_not_a_missing_one() -> None:
    assert the_one_fault(faults_of(default=plan(None, default=True))).startswith("plans[0].key: ")


@pytest.mark.parametrize(
    ("argument", "value", "fault"),
    [
        ("packs", "credits_100", "packs: must be a list of Pack, not 'credits_100'"),
        ("calendar_windows", "yes", "calendar_windows: must be True or False, not 'yes'"),
        (
            "declares",
            credits,
            "declares: must be a list of Unit, Feature, Limit or Meter, not Unit",
        ),
        ("declares", ["a"], "declares[0]: must be a Unit, Feature, Limit or Meter, not 'a'"),
        ("declares", [Unit("")], "declares[0] (Unit.key): '' is no valid key"),
    ],
)
def test_a_fault_of_another_argument(argument: str, value: object, fault: str) -> None:
    arguments: dict[str, Any] = {argument: value}
    assert the_one_fault(faults_of(**arguments)).startswith(fault)


def test_plans_that_are_no_list() -> None:
    with pytest.raises(CatalogError) as caught:
        Catalog("pro")  # type: ignore[arg-type]  # what people pass all the same
    assert caught.value.faults[0] == "plans: must be a list of Plan, not 'pro'"


def test_a_price_key_belongs_to_one_price_only() -> None:
    again = Price("one_time", 1, "usd", ids=["monthly"])
    faults = faults_of(
        plan("pro", prices=[MONTHLY]), packs=[pack("p", credits(1), prices=[ONE_TIME, again])]
    )
    assert faults == (
        "packs['p'].prices[1].lookup_key: 'one_time' is the price at packs['p'].prices[0] already",
        "packs['p'].prices[1].ids[0]: 'monthly' is the price at plans['pro'].prices[0] already",
    )


def test_a_faulty_object_is_reported_once_however_often_it_is_used() -> None:
    bad, meter = Unit("no good"), Meter("", "e")
    faults = faults_of(
        plan("a", grants=[bad.once(1)]),
        plan("b", grants=[bad.once(1), credits.every("day", 1, overage=meter)]),
        plan("c", grants=[bad.once(1), exports.every("day", 1, overage=meter)]),
        costs={"x": bad(1)},
    )
    assert len(faults) == 2
    assert faults[0].startswith("plans['a'].grants[0] (Unit.key)")
    assert faults[1].startswith("plans['b'].grants[1].overage (Meter.key)")


def test_all_faults_come_in_one_error_with_values_and_structure_together() -> None:
    bad = plan(
        "pro",
        includes=["basic"],
        prices=[price("p", -1, "EUR", every="month"), price("q", 5, "eur", every="month")],
        features=["downloads"],
        limits={seats: "many"},
        grants=[credits.every("year", 10), credits.once(0), exports.once(1, trial=0)],
    )
    with pytest.raises(CatalogError) as caught:
        Catalog([FREE, bad], [pack("p", [])], {"chat": exports(1)})
    places = [fault.split(": ")[0] for fault in caught.value.faults]
    assert places == [
        "plans['pro'].prices[0].amount_minor",
        "plans['pro'].prices[0].currency",
        "plans['pro'].features[0]",
        "plans['pro'].limits['seats']",
        "plans['pro'].grants[1].amount",
        "plans['pro'].grants[2].trial",
        "packs['p'].grants",
        "packs['p']",
        "costs['chat']",
        "plans['pro'].includes[0]",
        "plans['pro'].grants[0]",
    ]
    assert str(caught.value).startswith(
        "The catalogue has 11 fault(s):\n  - plans['pro'].prices[0]"
    )


@pytest.mark.parametrize(
    "good",
    [
        Price("p", 0, "eur", every="month"),  # Stripe invoices nothing; that covers the period
        Price("p", 999_999_999_999, "eur", every="month"),
        Price("p", 500, "isk", every="year", every_count=3),
        Price("p", 1, "jpy", every="week", every_count=156),
        Price("p", 5_120, "kwd", every="day", every_count=1095),
    ],
)
def test_unusual_prices_that_stripe_takes(good: Price) -> None:
    assert Catalog([FREE, Plan("pro", prices=[good])]).price("p").price is good


def test_what_no_plan_uses_can_be_declared() -> None:
    catalog = Catalog(
        [FREE], costs={"chat": credits.per(10)}, declares=[credits, seats, Feature("x"), overage]
    )
    assert catalog.cost("chat").unit_key == "credits"
    assert catalog.limit("seats") is seats
    assert catalog.feature("x").on_outage == "deny"
    assert catalog.meter("over") is overage


def test_everything_that_can_be_said_of_a_sound_plan_is_accepted() -> None:
    full = Plan(
        "pro",
        includes=("free",),
        prices=[MONTHLY],
        features=[Feature("a", on_outage="last_known")],
        limits={seats: seats.per_quantity(2), Limit("rooms", combine="sum"): UNLIMITED},
        grants=[
            credits.once(5, key="welcome", expires_after_days=30, trial=5),
            credits.every(
                "month", 9, rollover=UNLIMITED, overage=overage, overage_limit=5, per_quantity=True
            ),
            exports.every("hour", UNLIMITED, trial=UNLIMITED, on_cancel="keep", priority=-5),
        ],
        name="Pro",
        trial_days=730,
    )
    catalog = Catalog(
        [FREE, full],
        [Pack("p", [credits(1), exports(2)], prices=[ONE_TIME], name="P", expires_after_days=365)],
    )
    assert catalog.terms("pro").limits["seats"].of(3) == 6
    assert len(catalog.terms("pro").grants) == 3


# -- what the use of meters costs ------------------------------------------------------------------


def with_meter(*prices: object) -> tuple[str, ...]:
    meter: Callable[..., Meter] = Meter
    declared = meter("over", event_name="ai_credits", prices=list(prices))
    return faults_of(plan("pro", prices=[MONTHLY]), declares=[declared])


@pytest.mark.parametrize(
    ("given", "place", "said"),
    [
        ({"lookup_key": ""}, ".lookup_key", ""),
        ({"lookup_key": 7}, ".lookup_key", ""),
        ({"lookup_key": "monthly"}, "", "is the lookup key of another price already"),
        ({"amount_minor": -1}, ".amount_minor", ""),
        ({"currency": "EUR"}, ".currency", "is no currency of Stripe's"),
        ({"per": 0}, ".per", ""),
        ({"per": 3}, ".per", "made of twos and fives alone"),
        ({"every": "fortnight"}, ".every", ""),
        ({"every_count": 37}, ".every_count", ""),
    ],
)
def test_faults_of_a_meters_price(given: dict[str, Any], place: str, said: str) -> None:
    sound: dict[str, Any] = {"lookup_key": "over", "amount_minor": 1, "currency": "eur"}
    (fault,) = with_meter(MeterPrice(**sound | given))
    assert fault.startswith(f"meters['over'].prices[0]{place}")
    assert said in fault


def test_two_prices_of_meters_have_two_lookup_keys() -> None:
    one = MeterPrice("over", 1, "eur")
    (fault,) = with_meter(one, MeterPrice("over", 1, "usd"))
    assert fault.startswith("meters['over'].prices[1]")
    (fault,) = with_meter(MONTHLY)
    assert "MeterPrice" in fault


def test_the_amount_of_one_unit_is_exact() -> None:
    exact = [MeterPrice("k", *each[:1], "eur", per=each[1]) for each in ((1, 100), (5, 1), (10, 4))]
    assert [price.unit_amount_decimal for price in exact] == ["0.01", "5", "2.5"]
    assert MeterPrice("k", 100, "eur").unit_amount_decimal == "100"


def test_the_prices_of_overage_beside_a_plans_price() -> None:
    monthly, yearly = MONTHLY, Price("yearly", 9_999, "eur", every="year")
    over = MeterPrice("over", 1, "eur")
    meter = Meter("over", event_name="ai_credits", prices=[over, MeterPrice("usd", 1, "usd")])
    pro = Plan(
        "pro",
        prices=[monthly, yearly],
        grants=[credits.every("month", 10, overage=meter), exports.every("month", 1)],
    )
    packs = [pack("pack", grants=credits(1), price=ONE_TIME)]
    catalog = Catalog([FREE, pro], packs=packs)
    assert catalog.metered_beside(catalog.price("monthly")) == [over]
    assert catalog.metered_beside(catalog.price("yearly")) == []
    assert catalog.metered_beside(catalog.price("one_time")) == []
    assert catalog.is_metered("usd")
    assert not catalog.is_metered("monthly")
    assert not catalog.is_metered(None)
