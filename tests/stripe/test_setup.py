"""`gatekeeper stripe setup`, with the real client and the simulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gatekeeper.catalog import Catalog, Meter, MeterPrice, Pack, Plan, Price, Unit
from gatekeeper.errors import StripeUnavailableError
from gatekeeper.stripe.client import API_VERSION, StripeGateway
from gatekeeper.stripe.price_check import differences_of
from gatekeeper.stripe.setup import Difference, apply_setup, plan_setup
from gatekeeper.stripe.webhooks import EVENT_TYPES
from gatekeeper.testing.stripe import Simulator
from tests.stripe.shop import make_price
from tests.stripe.world import CATALOG

pytestmark = pytest.mark.anyio

URL = "https://app.test/billing/webhooks"


@pytest.fixture
async def gateway(stripe_sim: Simulator) -> AsyncIterator[StripeGateway]:
    async with StripeGateway(stripe_sim.settings.api_key, api_base=stripe_sim.url) as opened:
        yield opened


def shop(*prices: Price) -> Catalog:
    credits = Unit("credits")
    packs = [Pack("pack", name="A pack", grants=credits(1), prices=prices)]
    return Catalog(plans=[Plan("free", default=True)], packs=packs)


async def endpoints(gateway: StripeGateway) -> list[dict[str, Any]]:
    return await gateway.listed("/v1/webhook_endpoints", what="endpoints")


async def make_endpoint(gateway: StripeGateway, *types: str) -> None:
    params = {"url": URL, "enabled_events": types}
    await gateway.post("/v1/webhook_endpoints", params, what="endpoints create")


def kinds(differences: list[Difference]) -> list[tuple[str, str]]:
    return [(difference.kind, difference.name) for difference in differences]


async def test_setup_makes_what_is_missing_and_a_second_run_finds_nothing(
    gateway: StripeGateway, stripe_sim: Simulator
) -> None:
    planned = await plan_setup(CATALOG, gateway, URL, types=["charge.refunded", "invoice.paid"])
    assert kinds(planned) == [
        ("product", "gatekeeper_plan_pro"),
        ("price", "pro_monthly"),
        ("price", "pro_yearly"),
        ("product", "gatekeeper_plan_team"),
        ("price", "team_monthly"),
        ("product", "gatekeeper_pack_credits_100"),
        ("price", "topup_100"),
        ("product", "gatekeeper_pack_credits_yen"),
        ("price", "topup_yen"),
        ("meter", "overage"),
        ("webhook_endpoint", URL),
    ]
    assert str(planned[1]) == "price pro_monthly: is missing (9.99 EUR)"
    assert stripe_sim.events() == []  # planning changes nothing

    secret = await apply_setup(planned, gateway)
    assert secret is not None
    assert secret.startswith("whsec_")
    assert await plan_setup(CATALOG, gateway, URL, types=["charge.refunded"]) == []
    (endpoint,) = await endpoints(gateway)
    assert endpoint["enabled_events"] == sorted({*EVENT_TYPES, "charge.refunded"})
    assert endpoint["api_version"] == API_VERSION
    found = await gateway.prices_by_lookup_key(["pro_yearly", "topup_yen"])
    assert found["pro_yearly"]["recurring"]["interval"] == "year"
    assert (found["topup_yen"]["unit_amount"], found["topup_yen"]["currency"]) == (500, "jpy")
    (meter,) = await gateway.meters()
    assert (meter["event_name"], meter["display_name"]) == ("ai_credits", "overage")
    assert await apply_setup([], gateway) is None


async def test_a_price_that_differs_is_replaced_and_nothing_is_deleted(
    gateway: StripeGateway,
) -> None:
    before = shop(Price("p", amount_minor=500, currency="eur"))
    await apply_setup(await plan_setup(before, gateway), gateway)
    old = (await gateway.prices_by_lookup_key(["p"]))["p"]
    after = shop(Price("p", amount_minor=600, currency="eur"))
    (difference,) = await plan_setup(after, gateway)
    assert str(difference) == (
        f"price p: {old['id']} is another: its amount is 5.00 EUR, not 6.00 EUR; a new one takes "
        "the lookup key"
    )
    await apply_setup([difference], gateway)
    new = (await gateway.prices_by_lookup_key(["p"]))["p"]
    assert (new["unit_amount"], new["product"]) == (600, old["product"])
    kept = await gateway.fetch("price", old["id"])
    assert kept is not None
    assert (kept["active"], kept["lookup_key"], kept["unit_amount"]) == (True, None, 500)
    assert await plan_setup(after, gateway) == []


async def test_prices_join_the_product_that_the_host_has_made(gateway: StripeGateway) -> None:
    made = await gateway.post("/v1/products", {"name": "Mine"}, what="products create")
    await make_price(gateway, product=made["id"], unit_amount=500, lookup_key="p")
    catalog = shop(
        Price("p", amount_minor=500, currency="eur"), Price("q", amount_minor=550, currency="usd")
    )
    (difference,) = await plan_setup(catalog, gateway)
    assert difference.params["product"] == made["id"]
    await apply_setup([difference], gateway)
    assert await plan_setup(catalog, gateway) == []


async def test_a_price_that_is_declared_by_its_id_is_there(gateway: StripeGateway) -> None:
    made = await make_price(gateway, unit_amount=500)
    price = Price("p", amount_minor=500, currency="eur", ids=["price_gone", made["id"], "price_x"])
    assert await plan_setup(shop(price), gateway) == []


async def test_a_product_that_was_left_by_a_run_that_broke_is_used(gateway: StripeGateway) -> None:
    catalog = shop(Price("p", amount_minor=500, currency="eur"))
    product, price = await plan_setup(catalog, gateway)
    await apply_setup([product], gateway)
    assert await plan_setup(catalog, gateway) == [price]


async def test_a_setup_that_hears_of_nothing_it_has_made_makes_nothing_twice(
    stripe_sim: Simulator,
) -> None:
    """Its requests are not stored: each run looks first. Here every one of them loses the answer to
    its first change, until there is nothing left to do."""
    key = stripe_sim.settings.api_key
    async with StripeGateway(key, api_base=stripe_sim.url, max_network_retries=0) as gateway:
        runs = 0
        while planned := await plan_setup(CATALOG, gateway, URL):
            runs += 1
            lost = stripe_sim.misbehave("lost", method="POST")
            with pytest.raises(StripeUnavailableError):
                await apply_setup(planned, gateway)
            assert lost.met == 1
        assert runs == 11  # one for each thing to make
        assert len(await endpoints(gateway)) == 1
        assert len(await gateway.meters()) == 1
        for path, many in (("/v1/prices", 5), ("/v1/products", 4)):
            assert len(await gateway.listed(path, what="what was made")) == many


async def test_event_types_are_added_to_an_endpoint_and_none_taken_away(
    gateway: StripeGateway,
) -> None:
    catalog = shop(Price("p", amount_minor=500, currency="eur"))
    await apply_setup(await plan_setup(catalog, gateway), gateway)
    await make_endpoint(gateway, "charge.failed", *EVENT_TYPES[1:])
    (difference,) = await plan_setup(catalog, gateway, URL)
    assert str(difference) == f"webhook events {URL}: is not sent {EVENT_TYPES[0]}"
    assert await apply_setup([difference], gateway) is None
    (endpoint,) = await endpoints(gateway)
    assert endpoint["enabled_events"] == sorted({"charge.failed", *EVENT_TYPES})
    assert await plan_setup(catalog, gateway, URL) == []


async def test_an_endpoint_that_is_sent_everything_lacks_nothing(gateway: StripeGateway) -> None:
    catalog = Catalog(plans=[Plan("free", default=True)])
    await make_endpoint(gateway, "*")
    assert await plan_setup(catalog, gateway, URL, types=["a.b"]) == []


MONTHLY = Price("p", amount_minor=999, currency="eur", every="month", every_count=3)
QUARTERLY: dict[str, Any] = {"interval": "month", "interval_count": 3, "usage_type": "licensed"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"unit_amount": 998}, ["its amount is 9.98 EUR, not 9.99 EUR"]),
        ({"currency": "jpy"}, ["its amount is 999 JPY, not 9.99 EUR"]),
        ({"currency": "xts"}, ["its amount is 999 XTS, not 9.99 EUR"]),
        ({"unit_amount": None}, ["its amount is tiered or not a whole amount, not 9.99 EUR"]),
        ({"recurring": None}, ["its interval is once, not every 3 months"]),
        (
            {"recurring": {"interval": "month", "interval_count": 1}},
            ["its interval is every month, not every 3 months"],
        ),
        ({"active": False}, ["it is archived"]),
        ({"recurring": {**QUARTERLY, "usage_type": "metered"}}, ["it is metered"]),
    ],
)
def test_what_differs_is_said_in_words(changed: dict[str, Any], expected: list[str]) -> None:
    found = {
        "active": True,
        "currency": "eur",
        "unit_amount": 999,
        "recurring": QUARTERLY,
        **changed,
    }
    assert differences_of(MONTHLY, found) == expected


def metered(amount_minor: int = 1, per: int = 100) -> Catalog:
    price = MeterPrice("use", amount_minor=amount_minor, currency="eur", per=per)
    meter = Meter("requests", event_name="api_requests", name="Requests", prices=[price])
    return Catalog(plans=[Plan("free", default=True)], declares=[meter])


async def test_a_metered_price_is_made_with_its_meter_and_found_again(
    gateway: StripeGateway,
) -> None:
    planned = await plan_setup(metered(), gateway)
    assert kinds(planned) == [
        ("meter", "requests"),
        ("product", "gatekeeper_meter_requests"),
        ("metered_price", "use"),
    ]
    assert str(planned[2]) == "metered price use: is missing (0.01 eur for one)"
    await apply_setup(planned, gateway)
    assert await plan_setup(metered(), gateway) == []
    assert await plan_setup(metered(10, 1_000), gateway) == []  # the same amount for one
    (meter,) = await gateway.meters()
    price = (await gateway.prices_by_lookup_key(["use"]))["use"]
    assert price["unit_amount_decimal"] == "0.01"
    assert price["recurring"]["meter"] == meter["id"]
    assert price["recurring"]["usage_type"] == "metered"


async def test_a_metered_price_that_differs_is_replaced(gateway: StripeGateway) -> None:
    await apply_setup(await plan_setup(metered(), gateway), gateway)
    old = (await gateway.prices_by_lookup_key(["use"]))["use"]
    (difference,) = await plan_setup(metered(2), gateway)
    assert str(difference) == (
        f"metered price use: {old['id']} is another than 0.02 eur for one; "
        "a new one takes the lookup key"
    )
    await apply_setup([difference], gateway)
    assert await plan_setup(metered(2), gateway) == []
    new = (await gateway.prices_by_lookup_key(["use"]))["use"]
    assert new["product"] == old["product"]
