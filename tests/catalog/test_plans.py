import pytest

from gatekeeper.catalog import Feature, Limit, Pack, Plan, Price, Unit, UnitAmount

credits, exports = Unit("credits"), Unit("exports")
seats = Limit("seats")
eur = Price("topup", 500, "eur")
usd = Price("topup_usd", 600, "usd")


def test_a_list_or_mapping_changed_after_it_was_handed_in_changes_no_plan() -> None:
    prices, features, grants = [eur], [Feature("downloads")], [credits.once(5)]
    includes, limits = ["free"], {seats: 5}
    caps, costs = [credits.cap("day", 5)], {"chat": credits(4)}
    plan = Plan(
        "pro",
        includes=includes,
        prices=prices,
        features=features,
        limits=limits,
        grants=grants,
        caps=caps,
        costs=costs,
    )
    for each in (prices, features, grants, includes, limits, caps, costs):
        each.clear()
    assert plan.caps == (credits.cap("day", 5),)
    assert plan.costs == {"chat": credits(4)}
    assert plan.prices == (eur,)
    assert plan.features == (Feature("downloads"),)
    assert plan.grants == (credits.once(5),)
    assert plan.includes == ("free",)
    assert plan.limits == {seats: 5}
    with pytest.raises(TypeError):
        plan.limits[seats] = 6  # type: ignore[index]  # what must not be possible


def test_a_price_keeps_its_own_ids() -> None:
    ids = ["price_1"]
    price = Price("pro", 1, "eur", ids=ids)
    ids.append("price_2")
    assert price.ids == ("price_1",)


def test_building_bad_values_does_not_raise_because_the_catalogue_reports_them_all() -> None:
    Unit(5)  # type: ignore[arg-type]  # what people pass all the same
    Price(None, "9.99", "EUR", ids="price_1")  # type: ignore[arg-type]  # the same
    Plan("x", prices=3, limits=[seats], includes=7, grants="no")  # type: ignore[arg-type]  # the same
    Pack("x", grants="credits", prices=eur)  # type: ignore[arg-type]  # the same


def test_a_pack_of_one_thing_and_a_pack_of_several_look_alike() -> None:
    assert Pack("a", grants=credits(100)).amounts == (UnitAmount(credits, 100),)
    both = Pack("b", grants=[credits(100), exports(2)])
    assert both.amounts == (UnitAmount(credits, 100), UnitAmount(exports, 2))


def test_a_packs_prices_are_found_however_they_were_given() -> None:
    assert Pack("a", credits(1), price=eur).all_prices == (eur,)
    assert Pack("a", credits(1), prices=[eur, usd]).all_prices == (eur, usd)


def test_people_read_the_name_or_else_the_key() -> None:
    assert Plan("pro").label == "pro"
    assert Plan("pro", name="Professional").label == "Professional"
    assert Pack("p", credits(1)).label == "p"
    assert Pack("p", credits(1), name="100 credits").label == "100 credits"
