"""`/v1/products`."""

from typing import Any

from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import (
    Fields,
    Flag,
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

_PRODUCT: dict[str, Kind] = {
    "active": Flag(),
    "description": Text(40_000),
    "images": Many(Text(), 8),
    "marketing_features": Many(Fields({"name": Text(80)}, ("name",)), 15),
    "metadata": Metadata(),
    "name": Text(5_000),
    "statement_descriptor": Text(22),
    "tax_code": Text(),
    "unit_label": Text(12),
    "url": Text(),
}

PRODUCT_DATA = Fields(
    {"name": Text(), "active": Flag(), "metadata": Metadata(), "description": Text()}, ("name",)
)


def new_product(state: State, params: dict[str, Any]) -> Obj:
    """Make a product and say so."""
    identifier = params.get("id") or state.ids.new("prod")
    if state.store.find("product", identifier) is not None:
        raise invalid("Product already exists.", "id", "resource_already_exists")
    active = params.get("active")
    product: Obj = {
        "id": identifier,
        "object": "product",
        "active": True if active is None else active,
        "created": state.now(),
        "default_price": None,
        "description": params.get("description"),
        "images": params.get("images") or [],
        "livemode": state.settings.livemode,
        "marketing_features": params.get("marketing_features") or [],
        "metadata": merge_metadata({}, params.get("metadata")),
        "name": params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": params.get("statement_descriptor"),
        "tax_code": params.get("tax_code"),
        "unit_label": params.get("unit_label"),
        "updated": state.now(),
        "url": params.get("url"),
    }
    state.store.add("product", product)
    state.emit("product.created", product)
    return product


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/products/{id}`."""
    product = state.store.need("product", identifier)
    if params.get("default_price") is not None:
        price = state.store.need("price", params["default_price"], "default_price")
        if price["product"] != identifier:
            raise invalid("The price specified does not belong to the product.", "default_price")
    with state.changing(product, "product.updated"):
        for key, value in params.items():
            merged = key == "metadata"
            product[key] = merge_metadata(product["metadata"], value) if merged else value
        if params:
            product["updated"] = state.now()
    return product


def delete(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`DELETE /v1/products/{id}`: refused while it has prices."""
    product = state.store.need("product", identifier)
    if state.store.where("price", product=identifier):
        raise invalid(
            "This product cannot be deleted because it has one or more user-created prices."
        )
    state.emit("product.deleted", product)
    return state.store.bury("product", product)


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/products`."""
    ids, active = params.get("ids"), params.get("active")
    rows = [
        product
        for product in state.store.all("product")
        if active in (None, product["active"]) and (not ids or product["id"] in ids)
    ]
    return page("/v1/products", rows, params)


def register(api: Api) -> None:
    """Declare the operations."""

    def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
        return state.store.need("product", identifier)

    changing = {**_PRODUCT, "default_price": Text()}
    api.add("POST", "/v1/products", new_product, Fields({**_PRODUCT, "id": Text()}, ("name",)))
    api.add("GET", "/v1/products", list_all, list_params(active=Flag(), ids=Many(Text())))
    api.add("GET", "/v1/products/{id}", retrieve)
    api.add("POST", "/v1/products/{id}", update, Fields(changing))
    api.add("DELETE", "/v1/products/{id}", delete)
