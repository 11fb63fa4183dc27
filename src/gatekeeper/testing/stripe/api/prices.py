"""`/v1/prices`."""

from decimal import Decimal
from typing import Any

from gatekeeper.testing.stripe.api.products import PRODUCT_DATA, new_product
from gatekeeper.testing.stripe.core.errors import invalid, missing_parameter
from gatekeeper.testing.stripe.core.params import (
    Amount,
    Choice,
    Currency,
    Fields,
    Flag,
    Integer,
    Kind,
    Many,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

RECURRING = Fields(
    {
        "interval": Choice(("day", "month", "week", "year")),
        "interval_count": Integer(1, 1_095),
        "meter": Text(),
        "usage_type": Choice(("licensed", "metered")),
    },
    required=("interval",),
)

_TAX = Choice(("exclusive", "inclusive", "unspecified"))

_PRICE_CHANGE: dict[str, Kind] = {
    "active": Flag(),
    "lookup_key": Text(200),
    "metadata": Metadata(),
    "nickname": Text(),
    "tax_behavior": _TAX,
    "transfer_lookup_key": Flag(),
}

_PRICE: dict[str, Kind] = {
    **_PRICE_CHANGE,
    "billing_scheme": Choice(("per_unit",)),
    "currency": Currency(),
    "product": Text(),
    "product_data": PRODUCT_DATA,
    "recurring": RECURRING,
    "unit_amount": Integer(0),
    "unit_amount_decimal": Amount(),
}

PRICE_DATA = Fields(
    {
        "currency": Currency(),
        "product": Text(),
        "product_data": PRODUCT_DATA,
        "recurring": RECURRING,
        "tax_behavior": _TAX,
        "unit_amount": Integer(0),
        "unit_amount_decimal": Amount(),
    },
    required=("currency",),
)
"""A price made on the spot, in a checkout session or a subscription."""


def new_price(state: State, params: dict[str, Any], path: str = "") -> Obj:
    """Make a price and say so; `path` is where its parameters stand in the request."""

    def at(name: str) -> str:
        return f"{path}[{name}]" if path else name

    cents, exact = _amounts(params, at("unit_amount"))
    product = _product_of(state, params, at("product"))
    key = params.get("lookup_key")
    if key is not None:
        _claim_lookup_key(state, key, bool(params.get("transfer_lookup_key")))
    recurring = params.get("recurring")
    active = params.get("active")
    price: Obj = {
        "id": state.ids.new("price"),
        "object": "price",
        "active": True if active is None else active,
        "billing_scheme": "per_unit",
        "created": state.now(),
        "currency": params["currency"],
        "custom_unit_amount": None,
        "livemode": state.settings.livemode,
        "lookup_key": key,
        "metadata": merge_metadata({}, params.get("metadata")),
        "nickname": params.get("nickname"),
        "product": product,
        "recurring": _recurring(state, recurring, at("recurring")) if recurring else None,
        "tax_behavior": params.get("tax_behavior") or "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": cents,
        "unit_amount_decimal": exact,
    }
    state.store.add("price", price)
    state.emit("price.created", price)
    return price


def _amounts(params: dict[str, Any], path: str) -> tuple[int | None, str]:
    cents, exact = params.get("unit_amount"), params.get("unit_amount_decimal")
    if cents is not None and exact is not None:
        raise invalid("You may only specify one of unit_amount and unit_amount_decimal.", path)
    if cents is not None:
        return cents, str(cents)
    if exact is None:
        raise missing_parameter(path)
    amount = Decimal(exact)
    return (int(amount) if amount == int(amount) else None), exact


def _product_of(state: State, params: dict[str, Any], path: str) -> str:
    if params.get("product") is not None:
        return str(state.store.need("product", params["product"], path)["id"])
    if params.get("product_data") is None:
        raise missing_parameter(path)
    return str(new_product(state, params["product_data"])["id"])


def _recurring(state: State, given: dict[str, Any], path: str) -> Obj:
    usage = given.get("usage_type") or "licensed"
    if usage == "metered" and given.get("meter") is None:
        raise missing_parameter(f"{path}[meter]")
    if given.get("meter") is not None:
        if usage != "metered":
            raise invalid("A price with a meter must be metered.", f"{path}[usage_type]")
        state.store.need("billing.meter", given["meter"], f"{path}[meter]")
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count") or 1,
        "meter": given.get("meter"),
        "usage_type": usage,
    }


def _claim_lookup_key(state: State, key: str, transfer: bool) -> None:
    for holder in state.store.where("price", lookup_key=key):
        if not transfer:
            raise invalid(
                f"A price (`{holder['id']}`) already uses that lookup key. Set"
                " `transfer_lookup_key=true` to move it.",
                "lookup_key",
            )
        with state.changing(holder, "price.updated"):
            holder["lookup_key"] = None


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/prices/{price}`: the amount of a price never changes."""
    price = state.store.need("price", identifier)
    key = params.get("lookup_key")
    if key is not None and key != price["lookup_key"]:
        _claim_lookup_key(state, key, bool(params.get("transfer_lookup_key")))
    with state.changing(price, "price.updated"):
        for name in ("active", "lookup_key", "nickname", "tax_behavior"):
            if name in params:
                price[name] = params[name]
        if "metadata" in params:
            price["metadata"] = merge_metadata(price["metadata"], params["metadata"])
    return price


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/prices`."""
    keys = params.get("lookup_keys")
    exact = {
        name: params[name]
        for name in ("active", "currency", "product", "type")
        if params.get(name) is not None
    }
    recurring = {k: v for k, v in (params.get("recurring") or {}).items() if v is not None}
    rows = [
        price
        for price in state.store.where("price", **exact)
        if (not keys or price["lookup_key"] in keys)
        and all((price["recurring"] or {}).get(k) == v for k, v in recurring.items())
    ]
    return page("/v1/prices", rows, params)


def register(api: Api) -> None:
    """Declare the operations."""

    def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
        return state.store.need("price", identifier)

    terms = {key: RECURRING.kinds[key] for key in ("interval", "meter", "usage_type")}
    api.add("POST", "/v1/prices", new_price, Fields(_PRICE, ("currency",)))
    api.add(
        "GET",
        "/v1/prices",
        list_all,
        list_params(
            active=Flag(),
            currency=Currency(),
            lookup_keys=Many(Text(200), 10),
            product=Text(),
            recurring=Fields(terms),
            type=Choice(("one_time", "recurring")),
        ),
    )
    api.add("GET", "/v1/prices/{price}", retrieve)
    api.add("POST", "/v1/prices/{price}", update, Fields(_PRICE_CHANGE))
