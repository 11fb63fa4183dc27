"""`/v1/customers`."""

from typing import Any

from gatekeeper.testing.stripe.billing import subscriptions
from gatekeeper.testing.stripe.billing.customers import new_customer
from gatekeeper.testing.stripe.billing.methods import attach, attachable, usable
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Fields,
    Kind,
    Many,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page, whole
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

ADDRESS = Fields(
    dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), Text())
)

_PLAIN = ("description", "email", "name", "phone")

_FIELDS: dict[str, Kind] = {
    "address": ADDRESS,
    "description": Text(),
    "email": Text(512),
    "invoice_settings": Fields({"default_payment_method": Text()}),
    "metadata": Metadata(),
    "name": Text(256),
    "phone": Text(20),
    "preferred_locales": Many(Text()),
    "tax_exempt": Choice(("exempt", "none", "reverse")),
}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/customers`."""
    given = params.get("payment_method")
    method = attachable(state, given) if given is not None else None
    default = (params.get("invoice_settings") or {}).get("default_payment_method")
    if default is not None and (method is None or default != given):
        raise invalid(
            "The customer does not have a payment method with the ID " + default,
            "invoice_settings[default_payment_method]",
            "resource_missing",
        )
    plain = {key: params[key] for key in _PLAIN if params.get(key) is not None}
    customer = new_customer(
        state,
        **plain,
        address=_address(params.get("address")),
        metadata=merge_metadata({}, params.get("metadata")),
        preferred_locales=params.get("preferred_locales") or [],
        tax_exempt=params.get("tax_exempt") or "none",
    )
    if method is not None:
        attach(state, method["id"], customer)
        if default is not None:
            with state.changing(customer, "customer.updated"):
                customer["invoice_settings"]["default_payment_method"] = method["id"]
    return customer


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/customers/{customer}`."""
    customer = state.store.need("customer", identifier)
    with state.changing(customer, "customer.updated"):
        for key in (*_PLAIN, "preferred_locales", "tax_exempt"):
            if key in params:
                customer[key] = params[key]
        if "address" in params:
            customer["address"] = _address(params["address"])
        if "metadata" in params:
            customer["metadata"] = merge_metadata(customer["metadata"], params["metadata"])
        if "default_payment_method" in (params.get("invoice_settings") or {}):
            _set_default(state, customer, params["invoice_settings"]["default_payment_method"])
    return customer


def _address(given: dict[str, str | None] | None) -> Obj | None:
    return {key: given.get(key) for key in ADDRESS.kinds} if given else None


def _set_default(state: State, customer: Obj, method_id: str | None) -> None:
    if method_id is not None:
        method = state.store.need("payment_method", method_id, "default_payment_method")
        usable(state, method["id"], "default_payment_method", customer["id"])
    customer["invoice_settings"]["default_payment_method"] = method_id


def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/customers/{customer}`: a deleted one answers `{"deleted": true}`."""
    found = state.store.find("customer", identifier)
    return found if found is not None else state.store.need("customer", identifier)


def delete(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`DELETE /v1/customers/{customer}`: its subscriptions end at once."""
    customer = state.store.need("customer", identifier)
    for subscription in state.store.where("subscription", customer=identifier):
        if subscription["status"] not in subscriptions.ENDED:
            subscriptions.cancel(state, subscription, "cancellation_requested")
    for method in state.store.where("payment_method", customer=identifier):
        method["customer"] = None
    state.emit("customer.deleted", customer)
    return state.store.bury("customer", customer)


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/customers`."""
    email = params.get("email")
    rows = [c for c in state.store.all("customer") if email in (None, c["email"])]
    return page("/v1/customers", rows, params)


def _subscriptions(state: State, customer: Obj) -> Obj:
    live = [
        subscription
        for subscription in state.store.where("subscription", customer=customer["id"])
        if subscription["status"] not in subscriptions.ENDED
    ]
    return whole(f"/v1/customers/{customer['id']}/subscriptions", live)


def register(api: Api) -> None:
    """Declare the operations."""
    creating = {**_FIELDS, "payment_method": Text()}
    api.add("POST", "/v1/customers", create, Fields(creating))
    api.add("GET", "/v1/customers", list_all, list_params(email=Text(512)))
    api.add("GET", "/v1/customers/{customer}", retrieve)
    api.add("POST", "/v1/customers/{customer}", update, Fields(_FIELDS))
    api.add("DELETE", "/v1/customers/{customer}", delete)
    api.expander.includable("customer", "subscriptions", _subscriptions)
