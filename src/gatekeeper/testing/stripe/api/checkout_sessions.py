"""`/v1/checkout/sessions`."""

from typing import Any

from gatekeeper.testing.stripe.api.checkout_create import create
from gatekeeper.testing.stripe.api.checkout_params import CREATE
from gatekeeper.testing.stripe.billing import checkout
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Fields,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page, plain_list_params, whole
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State


def expire(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/checkout/sessions/{session}/expire`."""
    return checkout.expire(state, state.store.need("checkout.session", identifier))


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/checkout/sessions/{session}`: its metadata."""
    session = state.store.need("checkout.session", identifier)
    if "metadata" in params:
        session["metadata"] = merge_metadata(session["metadata"], params["metadata"])
    return session


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/checkout/sessions`."""
    names = ("customer", "payment_intent", "subscription", "status")
    exact = {name: params[name] for name in names if params.get(name) is not None}
    email = (params.get("customer_details") or {}).get("email")
    rows = [
        session
        for session in state.store.where("checkout.session", **exact)
        if email is None or (session["customer_details"] or {}).get("email") == email
    ]
    return page("/v1/checkout/sessions", rows, params)


def line_items(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/checkout/sessions/{session}/line_items`, in the order in which they were given."""
    session = state.store.need("checkout.session", identifier)
    rows = state.store.hidden(session)["line_items"]
    return page(f"/v1/checkout/sessions/{identifier}/line_items", rows, params)


def register(api: Api) -> None:
    """Declare the operations."""
    path = "/v1/checkout/sessions"

    def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
        return state.store.need("checkout.session", identifier)

    def included(state: State, session: Obj) -> Obj:
        stored = state.store.get("checkout.session", session["id"])
        return whole(f"{path}/{session['id']}/line_items", state.store.hidden(stored)["line_items"])

    api.add("POST", path, create, Fields(CREATE))
    api.add(
        "GET",
        path,
        list_all,
        list_params(
            customer=Text(),
            customer_details=Fields({"email": Text()}),
            payment_intent=Text(),
            status=Choice(("complete", "expired", "open")),
            subscription=Text(),
        ),
    )
    api.add("GET", f"{path}/{{session}}", retrieve)
    api.add("POST", f"{path}/{{session}}", update, Fields({"metadata": Metadata()}))
    api.add("POST", f"{path}/{{session}}/expire", expire)
    api.add("GET", f"{path}/{{session}}/line_items", line_items, plain_list_params())
    api.expander.includable("checkout.session", "line_items", included)
