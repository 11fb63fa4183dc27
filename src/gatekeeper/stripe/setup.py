"""`gatekeeper stripe setup`: what the catalogue needs at Stripe, and making what is missing.

Planning asks and changes nothing; applying makes exactly what was planned. Nothing is deleted or
archived, and a second run finds nothing to do. Prices can't be changed at Stripe: where one
differs, another is made and the lookup key moved to it; those who bought by the old one keep it
(https://docs.stripe.com/products-prices/manage-prices#lookup-keys).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from gatekeeper.catalog import Catalog, Pack, Plan, Price, format_minor
from gatekeeper.stripe.client import API_VERSION, Obj, StripeGateway
from gatekeeper.stripe.metered_prices import MADE_BY, metered_params, metered_problem
from gatekeeper.stripe.price_check import differences_of
from gatekeeper.stripe.webhooks.handlers import EVENT_TYPES

Kind = Literal["product", "price", "meter", "metered_price", "webhook_endpoint", "webhook_events"]

REQUESTS: Final[Mapping[Kind, tuple[str, str]]] = {
    "product": ("/v1/products", "products create"),
    "price": ("/v1/prices", "prices create"),
    "meter": ("/v1/billing/meters", "billing meters create"),
    "metered_price": ("/v1/prices", "prices create"),
    "webhook_endpoint": ("/v1/webhook_endpoints", "webhook_endpoints create"),
    "webhook_events": ("/v1/webhook_endpoints/{id}", "webhook_endpoints update"),
}
"""The path of the request that mends each kind of difference, and what it does."""

_THIN: Final = ("v1.", "v2.")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that Stripe lacks or has otherwise, and the request that mends it.

    Attributes:
        name: the product's or meter's key, the lookup key, or the endpoint's URL.
        problem: what is the matter, as people read it.
        params: the parameters of the request.
        object_id: of what is there already and is changed.
        event_name: of the meter that a metered price is for, which may have to be made before.
    """

    kind: Kind
    name: str
    problem: str
    params: Mapping[str, Any]
    object_id: str | None = None
    event_name: str | None = None

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.name}: {self.problem}"


async def plan_setup(
    catalog: Catalog,
    gateway: StripeGateway,
    webhook_url: str | None = None,
    *,
    types: Iterable[str] = (),
) -> list[Difference]:
    """What is missing or different, in the order in which to make it; empty if nothing is.

    Args:
        webhook_url: where Stripe reaches the webhook route; None leaves endpoints alone.
        types: further event types, for the host's own handlers.

    Raises:
        StripeUnavailableError, StripeRequestError.
    """
    found = await _find_prices(catalog, gateway)
    differences: list[Difference] = []
    for kind, sold in _sold(catalog):
        differences.extend(await _plan_product(gateway, kind, sold, found))
    meters = await gateway.meters()
    differences.extend(_plan_meters(catalog, meters))
    differences.extend(await _plan_meter_prices(catalog, gateway, meters))
    if webhook_url is not None:
        # Thin events come to an event destination, not to an endpoint of API v1.
        wanted = sorted({*EVENT_TYPES, *(one for one in types if not one.startswith(_THIN))})
        endpoints = await gateway.listed("/v1/webhook_endpoints", what="listing webhook endpoints")
        differences.extend(_plan_endpoint(webhook_url, wanted, endpoints))
    return differences


async def apply_setup(differences: Sequence[Difference], gateway: StripeGateway) -> str | None:
    """Make what was planned; returns the signing secret of a webhook endpoint that was made, which
    Stripe shows only this once.

    Raises:
        StripeUnavailableError, StripeRequestError: what was made so far stays; plan again.
    """
    secret: str | None = None
    for difference in differences:
        params = difference.params
        if difference.kind == "metered_price":
            params = await _with_meter(difference, gateway)
        path, what = REQUESTS[difference.kind]
        path = path.format(id=quote(difference.object_id or "", safe=""))
        made = await gateway.post(path, params, what=what)
        if difference.kind == "webhook_endpoint":
            secret = made.get("secret")
    return secret


# -- products and prices ------------------------------------------------------------------------


def _sold(catalog: Catalog) -> Iterator[tuple[str, Plan | Pack]]:
    for plan in catalog.plans.values():
        if plan.prices:
            yield "plan", plan
    for pack in catalog.packs.values():
        yield "pack", pack


def _prices_of(sold: Plan | Pack) -> tuple[Price, ...]:
    return sold.all_prices if isinstance(sold, Pack) else tuple(sold.prices)


async def _find_prices(catalog: Catalog, gateway: StripeGateway) -> dict[str, Obj]:
    """Stripe's prices by lookup key; those that the catalogue declares by their ids too."""
    prices = [price for _, sold in _sold(catalog) for price in _prices_of(sold)]
    found = await gateway.prices_by_lookup_key([price.lookup_key for price in prices])
    for price in prices:
        for price_id in price.ids:
            if price.lookup_key not in found:
                known = await gateway.fetch("price", price_id)
                if known is not None:
                    found[price.lookup_key] = known
    return found


async def _plan_product(
    gateway: StripeGateway, kind: str, sold: Plan | Pack, found: Mapping[str, Obj]
) -> list[Difference]:
    """The prices that a plan or pack lacks, and the product for them if there is none.

    Prices that are there already show which product it is: a host may have made its own.
    """
    lacking = [
        (price, problems)
        for price in _prices_of(sold)
        if (problems := _problems(price, found.get(price.lookup_key)))
    ]
    if not lacking:
        return []
    known = next((found[p.lookup_key] for p in _prices_of(sold) if p.lookup_key in found), None)
    product_id = f"gatekeeper_{kind}_{sold.key}" if known is None else _product_of(known)
    differences = []
    if known is None and await gateway.fetch("product", product_id) is None:
        params = {"id": product_id, "name": sold.label, "metadata": {**MADE_BY, kind: sold.key}}
        differences.append(
            Difference(kind="product", name=product_id, problem="is missing", params=params)
        )
    for price, problems in lacking:
        differences.append(
            Difference(
                kind="price",
                name=price.lookup_key,
                problem=problems,
                params=_price_params(price, product_id),
            )
        )
    return differences


def _problems(price: Price, found: Obj | None) -> str | None:
    if found is None:
        return f"is missing ({_money(price)})"
    faults = differences_of(price, found)
    if not faults:
        return None
    return f"{found['id']} is another: {', '.join(faults)}; a new one takes the lookup key"


def _money(price: Price) -> str:
    return format_minor(price.amount_minor, price.currency)


def _product_of(price: Obj) -> str:
    product = price["product"]
    return str(product["id"] if isinstance(product, dict) else product)


def _price_params(price: Price, product_id: str) -> dict[str, Any]:
    params: dict[str, Any] = {
        "product": product_id,
        "currency": price.currency,
        "unit_amount": price.amount_minor,
        "lookup_key": price.lookup_key,
        "transfer_lookup_key": True,
        "metadata": dict(MADE_BY),
    }
    if price.every is not None:
        params["recurring"] = {"interval": price.every, "interval_count": price.every_count}
    return params


# -- meters and the webhook endpoint ------------------------------------------------------------


def _plan_meters(catalog: Catalog, found: Iterable[Obj]) -> Iterator[Difference]:
    known = {meter["event_name"] for meter in found}
    for meter in catalog.meters.values():
        if meter.event_name not in known:
            yield Difference(
                kind="meter",
                name=meter.key,
                problem=f"is missing (event name {meter.event_name})",
                params={
                    "event_name": meter.event_name,
                    "display_name": meter.name or meter.key,
                    "default_aggregation": {"formula": "sum"},
                    "customer_mapping": {
                        "type": "by_id",
                        "event_payload_key": "stripe_customer_id",
                    },
                    "value_settings": {"event_payload_key": "value"},
                },
            )


async def _plan_meter_prices(
    catalog: Catalog, gateway: StripeGateway, meters: Iterable[Obj]
) -> list[Difference]:
    """The metered prices that are missing or different, and the product of each meter's."""
    ids = {meter["event_name"]: meter["id"] for meter in meters}
    priced = [meter for meter in catalog.meters.values() if meter.prices]
    keys = [price.lookup_key for meter in priced for price in meter.prices]
    found = await gateway.prices_by_lookup_key(keys) if keys else {}
    differences: list[Difference] = []
    for meter in priced:
        lacking = [
            (price, problem)
            for price in meter.prices
            if (problem := metered_problem(price, found.get(price.lookup_key), meter, ids))
        ]
        known = next((found[p.lookup_key] for p in meter.prices if p.lookup_key in found), None)
        product_id = f"gatekeeper_meter_{meter.key}" if known is None else _product_of(known)
        if lacking and known is None and await gateway.fetch("product", product_id) is None:
            params = {
                "id": product_id,
                "name": meter.name or meter.key,
                "metadata": {**MADE_BY, "meter": meter.key},
            }
            differences.append(
                Difference(kind="product", name=product_id, problem="is missing", params=params)
            )
        differences += (
            Difference(
                kind="metered_price",
                name=price.lookup_key,
                problem=problem,
                params=metered_params(price, product_id),
                event_name=meter.event_name,
            )
            for price, problem in lacking
        )
    return differences


async def _with_meter(difference: Difference, gateway: StripeGateway) -> dict[str, Any]:
    """The parameters of a metered price, with the id that its meter has by now."""
    ids = {meter["event_name"]: meter["id"] for meter in await gateway.meters()}
    recurring = {**difference.params["recurring"], "meter": ids[difference.event_name]}
    return {**difference.params, "recurring": recurring}


def _plan_endpoint(url: str, wanted: list[str], found: Iterable[Obj]) -> Iterator[Difference]:
    """The endpoint, or the event types that it is not sent. One that somebody has switched off
    stays so: they had their reason."""
    known = next((endpoint for endpoint in found if endpoint["url"] == url), None)
    if known is None:
        yield Difference(
            kind="webhook_endpoint",
            name=url,
            problem=f"is missing ({len(wanted)} event types)",
            params={
                "url": url,
                "enabled_events": wanted,
                "api_version": API_VERSION,
                "description": "Gatekeeper",
                "metadata": dict(MADE_BY),
            },
        )
        return
    enabled = set(known["enabled_events"])
    lacking = [] if "*" in enabled else [name for name in wanted if name not in enabled]
    if lacking:
        yield Difference(
            kind="webhook_events",
            name=url,
            problem=f"is not sent {', '.join(lacking)}",
            params={"enabled_events": sorted({*enabled, *wanted})},
            object_id=known["id"],
        )
