"""`/v1/setup_intents`."""

from typing import Any

from gatekeeper.testing.stripe.api.payment_intents import check_secret
from gatekeeper.testing.stripe.billing import setups
from gatekeeper.testing.stripe.billing.methods import concrete
from gatekeeper.testing.stripe.core.errors import ApiError
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Fields,
    Flag,
    Kind,
    Many,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params
from gatekeeper.testing.stripe.routing import Api, listed
from gatekeeper.testing.stripe.state import State

PATH = "/v1/setup_intents"

_CHANGE: dict[str, Kind] = {
    "customer": Text(),
    "description": Text(1_000),
    "metadata": Metadata(),
    "payment_method": Text(),
}

_CREATE: dict[str, Kind] = {
    **_CHANGE,
    "automatic_payment_methods": Fields(
        {"allow_redirects": Choice(("always", "never")), "enabled": Flag()}, ("enabled",)
    ),
    "confirm": Flag(),
    "payment_method_types": Many(Choice(("card", "sepa_debit"))),
    "return_url": Text(),
    "usage": Choice(("off_session", "on_session")),
}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/setup_intents`; `usage` changes nothing, as at Stripe: it is for off session."""
    customer = params.get("customer")
    if customer is not None:
        state.store.need("customer", customer, "customer")
    method = _method(state, params.get("payment_method"), customer)
    automatic = params.get("automatic_payment_methods")
    intent = setups.new(
        state,
        customer=customer,
        description=params.get("description"),
        metadata=merge_metadata({}, params.get("metadata")),
        automatic_payment_methods=automatic and {"allow_redirects": "always", **automatic},
        payment_method_types=params.get("payment_method_types") or ["card", "sepa_debit"],
        payment_method=method["id"] if method else None,
        status="requires_confirmation" if method else "requires_payment_method",
    )
    if params.get("confirm"):
        _confirm(state, intent, method, params)
    return intent


def _method(state: State, named: str | None, customer: str | None) -> Obj | None:
    return concrete(state, named, "payment_method", customer) if named else None


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/setup_intents/{intent}`: tells of itself in no event."""
    intent = state.store.need(setups.KIND, identifier)
    if params.get("payment_method") is not None:
        setups.must_be_open(intent, "update")
        customer = params.get("customer") or intent["customer"]
        method = concrete(state, params["payment_method"], "payment_method", customer)
        intent.update(payment_method=method["id"], status="requires_confirmation")
    for key in ("customer", "description"):
        if key in params:
            intent[key] = params[key]
    if "metadata" in params:
        intent["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    return intent


def confirm(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/setup_intents/{intent}/confirm`."""
    intent = state.store.need(setups.KIND, identifier)
    check_secret(intent, params)
    named = params.get("payment_method") or intent["payment_method"]
    _confirm(state, intent, _method(state, named, intent["customer"]), params)
    return intent


def _confirm(state: State, intent: Obj, method: Obj | None, params: dict[str, Any]) -> None:
    if method is None:
        raise ApiError(
            400,
            "You cannot confirm this SetupIntent because it's missing a payment method. You can"
            " either update the SetupIntent with a payment method and then confirm it again, or"
            " confirm it again directly with a payment method or ConfirmationToken.",
            code="setup_intent_unexpected_state",
            extra={"setup_intent": intent},
        )
    setups.must_be_open(intent, "confirm")
    back = None if params.get("use_stripe_sdk") else params.get("return_url")
    setups.confirm(state, intent, method, back)


def cancel(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/setup_intents/{intent}/cancel`."""
    intent = state.store.need(setups.KIND, identifier)
    setups.must_be_open(intent, "cancel")
    setups.cancel(state, intent, params.get("cancellation_reason"))
    return intent


def register(api: Api) -> None:
    """Declare the operations."""
    names, own = ("customer", "payment_method"), f"{PATH}/{{intent}}"
    filters: dict[str, Kind] = dict.fromkeys(names, Text())
    reasons = Choice(("abandoned", "duplicate", "requested_by_customer"))
    confirming: dict[str, Kind] = {
        **dict.fromkeys(("client_secret", "payment_method", "return_url"), Text()),
        "use_stripe_sdk": Flag(),
    }

    def one(state: State, params: dict[str, Any], identifier: str) -> Obj:
        found = state.store.need(setups.KIND, identifier)
        check_secret(found, params)
        return found

    api.add("POST", PATH, create, Fields(_CREATE))
    api.add("GET", PATH, listed(setups.KIND, PATH, *names), list_params(**filters))
    api.add("GET", own, one, Fields({"client_secret": Text()}))
    api.add("POST", own, update, Fields(_CHANGE))
    api.add("POST", f"{own}/confirm", confirm, Fields(confirming))
    api.add("POST", f"{own}/cancel", cancel, Fields({"cancellation_reason": reasons}))
