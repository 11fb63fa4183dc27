import dataclasses

import pytest

from gatekeeper import catalog as catalog_room
from gatekeeper.catalog import (
    Catalog,
    Cost,
    Feature,
    Limit,
    Meter,
    Pack,
    Plan,
    Price,
    ResolvedCost,
    TermGrant,
    TermLimit,
    Unit,
)
from gatekeeper.errors import UnknownNameError
from gatekeeper.formulas import Formula, RateTerm

credits, exports, masters = Unit("credits"), Unit("exports"), Unit("masters")
downloads, seats = Feature("downloads"), Limit("seats")
beta = Feature("beta")
overage = Meter("credits_overage", event_name="ai_credits")
monthly = Price("pro_monthly", amount_minor=999, currency="eur", every="month", ids=["price_1M"])
yearly = Price("pro_yearly", amount_minor=9_999, currency="eur", every="year")
dollars = Price("pro_monthly_usd", amount_minor=1_099, currency="usd", every="month")
topup = Price("topup_100", amount_minor=500, currency="eur")

catalog = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits.once(5)]),
        Plan(
            "pro",
            includes="free",
            prices=[monthly, yearly, dollars],
            features=[downloads],
            limits={seats: 5},
            grants=[
                credits.every("month", 1_000, rollover=500, overage=overage),
                exports.every("month", 10),
                masters.every("month", 5),
            ],
        ),
        Plan("max", includes=["pro"], prices=[Price("max", 5_000, "eur", every="month")]),
    ],
    packs=[Pack("credits_100", grants=credits(100), price=topup)],
    costs={"image_hd": credits(4), "chat": credits.per(1_000)},
    declares=[beta],
)


def test_every_exported_name_is_there() -> None:
    for name in catalog_room.__all__:
        assert hasattr(catalog_room, name)


def test_everything_is_found_by_its_name() -> None:
    assert catalog.plan("pro").features == (downloads,)
    assert catalog.default_plan is catalog.plan("free")
    assert catalog.pack("credits_100").amounts == (credits(100),)
    assert catalog.unit("masters") is masters
    assert catalog.feature("downloads") is downloads
    assert catalog.feature("beta") is beta
    assert catalog.limit("seats") is seats
    assert catalog.meter("credits_overage") is overage
    assert catalog.cost("chat") == Cost("chat", "credits", 1, 1_000)
    assert catalog.calendar_windows is False


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("plan", "free, max, pro"),
        ("pack", "credits_100"),
        ("unit", "credits, exports, masters"),
        ("feature", "beta, downloads"),
        ("limit", "seats"),
        ("meter", "credits_overage"),
        ("cost", "chat, image_hd"),
        ("price", "max, price_1M, pro_monthly, pro_monthly_usd, pro_yearly, topup_100"),
    ],
)
def test_case_59_an_unknown_name_is_refused_and_the_known_ones_are_listed(
    kind: str, known: str
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        getattr(catalog, kind)("nothing")
    assert caught.value.detail == f"The catalogue has no {kind} named 'nothing'. It has: {known}."
    assert caught.value.status == 400


@pytest.mark.parametrize("lookup", ["terms", "plans_satisfying", "prices_of"])
def test_an_unknown_plan_is_refused(lookup: str) -> None:
    with pytest.raises(UnknownNameError, match="no plan named 'nothing'"):
        getattr(catalog, lookup)("nothing")


@pytest.mark.parametrize(
    "name", [None, 5, ["pro"], {"pro": 1}, "pro\x00", "x" * 100_000, 1 << 20_000], ids=type
)
def test_bad_input_is_an_unknown_name_and_nothing_else(name: object) -> None:
    with pytest.raises(UnknownNameError) as caught:
        catalog.plan(name)  # type: ignore[arg-type]  # as it comes from a request's JSON
    assert len(caught.value.detail) < 200


def test_case_57_the_cost_of_an_unknown_action_is_refused_not_free() -> None:
    with pytest.raises(UnknownNameError, match="no cost named 'video'"):
        catalog.cost("video")
    with pytest.raises(UnknownNameError, match="no cost named 'credits'"):
        catalog.cost("credits")
    with pytest.raises(UnknownNameError, match="chat, credits, exports, image_hd, masters"):
        catalog.cost_of("video")


def test_a_unit_costs_itself() -> None:
    assert catalog.cost_of("exports") == Cost("exports", "exports", 1, 1)
    assert catalog.cost_of("exports").amount_for(7) == 7
    assert catalog.cost_of("chat") is catalog.cost("chat")


def test_a_cost_is_resolved_by_its_name_for_whoever_asks() -> None:
    assert catalog.resolve("chat", 1_001) == ResolvedCost("chat", "credits", 2, 1, 1_000)
    assert catalog.resolve("exports", {"quantity": 7}) == ResolvedCost("exports", "exports", 7)
    own = {"chat": Formula(terms=(RateTerm(1, 500),))}
    assert catalog.resolve("chat", 1_001, own) == ResolvedCost("chat", "credits", 3, 1, 500)
    with pytest.raises(UnknownNameError, match="no cost or unit named 'video'"):
        catalog.resolve("video", 1, {"video": Formula()})


def test_a_price_is_found_by_lookup_key_and_by_price_id() -> None:
    for reference in ("pro_monthly", "price_1M"):
        entry = catalog.price(reference)
        assert (entry.price, entry.plan, entry.pack) == (monthly, catalog.plan("pro"), None)
    entry = catalog.price("topup_100")
    assert (entry.price, entry.plan, entry.pack) == (topup, None, catalog.pack("credits_100"))


def test_case_50_a_price_that_is_not_declared_buys_nothing() -> None:
    assert catalog.find_price("price_of_somebody_else") is None
    assert catalog.find_price("topup_100") is catalog.price("topup_100")


def test_prices_of_every_currency_and_interval() -> None:
    assert catalog.prices_of("pro") == (monthly, yearly, dollars)
    assert catalog.prices_of("pro", currency="usd") == (dollars,)
    assert catalog.prices_of("pro", every="month") == (monthly, dollars)
    assert catalog.prices_of("pro", currency="eur", every="year") == (yearly,)
    assert catalog.prices_of("pro", currency="jpy") == ()
    assert catalog.prices_of("free") == ()


def test_a_demand_for_a_plan_is_satisfied_by_every_plan_that_includes_it() -> None:
    assert catalog.plans_satisfying("free") == {"free", "pro", "max"}
    assert catalog.plans_satisfying("pro") == {"pro", "max"}
    assert catalog.plans_satisfying("max") == {"max"}


def test_terms_are_the_plan_by_plain_keys() -> None:
    terms = catalog.terms("pro")
    assert terms.plan == "pro"
    assert terms.plans == {"free", "pro"}
    assert terms.features == {"downloads"}
    assert terms.limits == {"seats": TermLimit(value=5)}
    assert terms.grants[0] == TermGrant(
        series="every:credits",
        unit="credits",
        plan="pro",
        amount=1_000,
        cadence="month",
        rollover=500,
        overage="credits_overage",
    )
    assert [grant.series for grant in terms.grants] == [
        "every:credits",
        "every:exports",
        "every:masters",
    ]


def test_a_built_catalogue_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalog.default_plan = Plan("other")  # type: ignore[misc]  # what must not be possible
    for table in ("plans", "packs", "costs", "prices", "units", "features", "limits", "meters"):
        with pytest.raises(TypeError):
            getattr(catalog, table)["x"] = 1


def test_the_lists_may_be_any_sequence_and_the_costs_any_mapping() -> None:
    small = Catalog(plans=(Plan("free", default=True),), calendar_windows=True)
    assert small.calendar_windows is True
    assert dict(small.costs) == {}
    assert small.terms("free").grants == ()
