"""`/v1/payment_intents`."""

from typing import Any

from gatekeeper.testing.stripe.billing import payments, takings
from gatekeeper.testing.stripe.billing.methods import concrete
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.params import (
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
from gatekeeper.testing.stripe.listing import list_params
from gatekeeper.testing.stripe.routing import Api, listed
from gatekeeper.testing.stripe.state import State

_CONFIRM: dict[str, Kind] = {
    "error_on_requires_action": Flag(),
    "off_session": Flag(),
    "payment_method": Text(),
    "return_url": Text(),
}

_CHANGE: dict[str, Kind] = {
    "amount": Integer(1, 99_999_999),
    "currency": Currency(),
    "customer": Text(),
    "description": Text(1_000),
    "metadata": Metadata(),
    "payment_method": Text(),
    "receipt_email": Text(),
    "setup_future_usage": Choice(("off_session", "on_session")),
}

_CREATE: dict[str, Kind] = {
    **_CHANGE,
    **_CONFIRM,
    **takings.PARAMS,
    "automatic_payment_methods": Fields(
        {"allow_redirects": Choice(("always", "never")), "enabled": Flag()}, ("enabled",)
    ),
    "capture_method": Choice(("automatic", "automatic_async", "manual")),
    "confirm": Flag(),
    "payment_method_types": Many(Choice(("card", "sepa_debit"))),
}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/payment_intents`, confirmed at once with `confirm`."""
    customer = params.get("customer")
    if customer is not None:
        state.store.need("customer", customer, "customer")
    method = params.get("payment_method")
    found = concrete(state, method, "payment_method", customer) if method else None
    fields = {
        key: params[key]
        for key in ("description", "receipt_email", "setup_future_usage", "capture_method")
        if params.get(key) is not None
    }
    automatic = params.get("automatic_payment_methods")
    if automatic is None and params.get("payment_method_types") is None:
        automatic = {"enabled": True}
    intent = payments.new_intent(
        state,
        params["amount"],
        params["currency"],
        customer=customer,
        metadata=merge_metadata({}, params.get("metadata")),
        automatic_payment_methods=automatic and {"allow_redirects": "always", **automatic},
        payment_method_types=params.get("payment_method_types") or ["card", "sepa_debit"],
        payment_method=found["id"] if found else None,
        status="requires_confirmation" if found else "requires_payment_method",
        **fields,
        **takings.terms(state, params, params["amount"]),
    )
    if params.get("confirm"):
        _confirm(state, intent, found, params)
    return intent


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payment_intents/{intent}`: before it has succeeded or been canceled."""
    intent = state.store.need("payment_intent", identifier)
    _must_be(intent, payments.CONFIRMABLE, "update")
    if params.get("payment_method") is not None:
        customer = params.get("customer") or intent["customer"]
        method = concrete(state, params["payment_method"], "payment_method", customer)
        intent.update(payment_method=method["id"], status="requires_confirmation")
    for key in _CHANGE:
        if key in params and key not in ("metadata", "payment_method"):
            intent[key] = params[key]
    if "metadata" in params:
        intent["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    return intent


def confirm(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payment_intents/{intent}/confirm`."""
    intent = state.store.need("payment_intent", identifier)
    _must_be(intent, payments.CONFIRMABLE, "confirm")
    given = params.get("payment_method") or intent["payment_method"]
    method = concrete(state, given, "payment_method", intent["customer"]) if given else None
    _confirm(state, intent, method, params)
    return intent


def _confirm(state: State, intent: Obj, method: Obj | None, params: dict[str, Any]) -> None:
    if method is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            "payment_method",
            "payment_intent_unexpected_state",
        )
    off_session = bool(params.get("off_session"))
    payments.confirm(
        state, intent, method, off_session=off_session, return_url=params.get("return_url")
    )
    if intent["status"] == "requires_payment_method":
        error: Obj = intent["last_payment_error"]
        raise _card_error(error["message"], error["code"], error.get("decline_code"), intent)
    if intent["status"] == "requires_action" and params.get("error_on_requires_action"):
        message = "This payment required an authentication action to complete."
        raise _card_error(message, "authentication_required", None, intent)


def _card_error(message: str, code: str, decline: str | None, intent: Obj) -> ApiError:
    return ApiError(
        402,
        message,
        type="card_error",
        code=code,
        decline_code=decline,
        extra={"payment_intent": intent},
    )


def cancel(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payment_intents/{intent}/cancel`."""
    intent = state.store.need("payment_intent", identifier)
    _must_be(intent, (*payments.CONFIRMABLE, "requires_capture"), "cancel")
    if (payments.owner_of(state, intent) or ("", ""))[0] == "invoice":
        raise invalid("This PaymentIntent belongs to an invoice: void the invoice instead.")
    payments.cancel(state, intent, params.get("cancellation_reason"))
    return intent


def capture(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payment_intents/{intent}/capture`: once, all of it or `amount_to_capture`."""
    intent = state.store.need("payment_intent", identifier)
    _must_be(intent, ("requires_capture",), "capture")
    amount = params.get("amount_to_capture") or intent["amount_capturable"]
    if amount > intent["amount_capturable"]:
        raise invalid(
            f"The requested capture amount ({amount}) is greater than the amount you can capture"
            f" ({intent['amount_capturable']}).",
            "amount_to_capture",
            "amount_too_large",
        )
    payments.capture(state, intent, amount)
    return intent


def _must_be(intent: Obj, statuses: tuple[str, ...], verb: str) -> None:
    if intent["status"] not in statuses:
        raise ApiError(
            400,
            f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
            extra={"payment_intent": intent},
        )


def register(api: Api) -> None:
    """Declare the operations."""

    def one(state: State, params: dict[str, Any], identifier: str) -> Obj:
        return state.store.need("payment_intent", identifier)

    path, own = "/v1/payment_intents", "/v1/payment_intents/{intent}"
    reasons = Choice(("abandoned", "duplicate", "fraudulent", "requested_by_customer"))
    api.add("POST", path, create, Fields(_CREATE, ("amount", "currency")))
    api.add("GET", path, listed("payment_intent", path, "customer"), list_params(customer=Text()))
    api.add("GET", own, one)
    api.add("POST", own, update, Fields(_CHANGE))
    api.add("POST", f"{own}/confirm", confirm, Fields(_CONFIRM))
    api.add("POST", f"{own}/capture", capture, Fields({"amount_to_capture": Integer(1)}))
    api.add("POST", f"{own}/cancel", cancel, Fields({"cancellation_reason": reasons}))
