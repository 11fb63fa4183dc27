"""`/v1/payment_intents`."""

import copy
from typing import Any

from gatekeeper.testing.stripe.billing import amounts, payments, takings
from gatekeeper.testing.stripe.billing.methods import concrete
from gatekeeper.testing.stripe.core.errors import ApiError, invalid, missing
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

_CAPTURES = Choice(("automatic", "automatic_async", "manual"))

_FUTURE = Choice(("off_session", "on_session"))

_CONFIRM: dict[str, Kind] = {
    "error_on_requires_action": Flag(),
    "off_session": Flag(),
    "payment_method": Text(),
    "return_url": Text(),
    "use_stripe_sdk": Flag(),
}

_LATER: dict[str, Kind] = {
    **_CONFIRM,
    "capture_method": _CAPTURES,
    "client_secret": Text(),
    "receipt_email": Text(),
    "setup_future_usage": _FUTURE,
}
"""What a confirmation takes after the intent has been made."""

_CHANGE: dict[str, Kind] = {
    "amount": Integer(1, 999_999_999_999),
    "currency": Currency(),
    "customer": Text(),
    "description": Text(1_000),
    "metadata": Metadata(),
    "payment_method": Text(),
    "receipt_email": Text(),
    "setup_future_usage": _FUTURE,
    "statement_descriptor": Text(22),
    "statement_descriptor_suffix": Text(22),
}

_UPDATE: dict[str, Kind] = {
    **_CHANGE,
    "application_fee_amount": Integer(0),
    "capture_method": _CAPTURES,
    "transfer_data": Fields({"amount": Integer(0)}),
    "transfer_group": Text(),
}

_CREATE: dict[str, Kind] = {
    **_CHANGE,
    **_CONFIRM,
    **takings.PARAMS,
    "automatic_payment_methods": Fields(
        {"allow_redirects": Choice(("always", "never")), "enabled": Flag()}, ("enabled",)
    ),
    "capture_method": _CAPTURES,
    "confirm": Flag(),
    "payment_method_types": Many(Choice(("card", "sepa_debit"))),
}


_FIELDS = (
    *("capture_method", "description", "receipt_email", "setup_future_usage"),
    *("statement_descriptor", "statement_descriptor_suffix"),
)


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/payment_intents`, confirmed at once with `confirm`."""
    customer = params.get("customer")
    if customer is not None:
        state.store.need("customer", customer, "customer")
    amounts.check(params["amount"], params["currency"])
    if params.get("off_session") is not None and not params.get("confirm"):
        raise invalid(
            "The parameter `off_session` cannot be passed when creating a PaymentIntent unless"
            " `confirm` is set to true.",
            "off_session",
        )
    found = _method(state, params.get("payment_method"), customer)
    fields = {key: params[key] for key in _FIELDS if params.get(key) is not None}
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
    amount = params.get("amount") or intent["amount"]
    currency = params.get("currency") or intent["currency"]
    if (amount, currency) != (intent["amount"], intent["currency"]):
        amounts.check(amount, currency)
        if intent["status"] == "requires_action":  # what was being asked is out of date
            intent.update(status="requires_confirmation", next_action=None)
    share = (params.get("transfer_data") or {}).get("amount")
    if share is not None:
        _change_share(intent, share)
    for key in _UPDATE:
        if key in params and key not in ("metadata", "payment_method", "transfer_data"):
            intent[key] = params[key]
    if "metadata" in params:
        intent["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    return intent


def _change_share(intent: Obj, amount: int) -> None:
    if intent["transfer_data"] is None:
        raise invalid(
            "You cannot change transfer_data of a PaymentIntent that has none.", "transfer_data"
        )
    intent["transfer_data"] = {**intent["transfer_data"], "amount": amount}


def _method(state: State, named: str | None, customer: str | None) -> Obj | None:
    """The payment method that a call names."""
    return concrete(state, named, "payment_method", customer) if named else None


def confirm(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payment_intents/{intent}/confirm`."""
    intent = state.store.need("payment_intent", identifier)
    check_secret(intent, params)
    _must_be(intent, payments.CONFIRMABLE, "confirm")
    given = params.get("payment_method") or intent["payment_method"]
    method = _method(state, given, intent["customer"])
    for key in ("capture_method", "receipt_email", "setup_future_usage"):
        if params.get(key) is not None:
            intent[key] = params[key]
    _confirm(state, intent, method, params)
    return intent


def check_secret(intent: Obj, params: dict[str, Any]) -> None:
    """Refuse a client secret that is not this intent's."""
    given = params.get("client_secret")
    if given is not None and given != intent["client_secret"]:
        raise missing(intent["object"], intent["id"], "intent")


def _confirm(state: State, intent: Obj, method: Obj | None, params: dict[str, Any]) -> None:
    if method is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            "payment_method",
            "payment_intent_unexpected_state",
        )
    off_session = bool(params.get("off_session"))
    # Stripe.js shows the bank's page itself, in place of a redirect.
    back = None if params.get("use_stripe_sdk") else params.get("return_url")
    payments.confirm(state, intent, method, off_session=off_session, return_url=back)
    if intent["status"] == "requires_payment_method":
        raise card_error(intent)
    if intent["status"] == "requires_action" and params.get("error_on_requires_action"):
        raise ApiError(
            402,
            "This payment required an authentication action to complete.",
            type="card_error",
            code="authentication_required",
            extra={"payment_intent": copy.deepcopy(intent)},
        )


def card_error(intent: Obj) -> ApiError:
    """The 402 of a payment that failed: with the intent, its payment method and its charge."""
    error: Obj = intent["last_payment_error"]
    more: Obj = {key: error[key] for key in ("charge", "payment_method") if key in error}
    return ApiError(
        402,
        error["message"],
        type="card_error",
        code=error["code"],
        decline_code=error.get("decline_code"),
        extra={**copy.deepcopy(more), "payment_intent": copy.deepcopy(intent)},
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
    if params.get("final_capture") is False:
        raise invalid(
            "This account cannot capture a payment several times: `final_capture` must be true.",
            "final_capture",
        )
    fee, share = params.get("application_fee_amount"), params.get("transfer_data") or {}
    if share.get("amount") is not None:
        _change_share(intent, share["amount"])
    if fee is not None:
        intent["application_fee_amount"] = fee
    if "metadata" in params:
        intent["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
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
        found = state.store.need("payment_intent", identifier)
        check_secret(found, params)
        return found

    path, own = "/v1/payment_intents", "/v1/payment_intents/{intent}"
    reasons = Choice(("abandoned", "duplicate", "fraudulent", "requested_by_customer"))
    api.add("POST", path, create, Fields(_CREATE, ("amount", "currency")))
    api.add("GET", path, listed("payment_intent", path, "customer"), list_params(customer=Text()))
    capturing: dict[str, Kind] = {
        "amount_to_capture": Integer(1),
        "application_fee_amount": Integer(0),
        "final_capture": Flag(),
        "metadata": Metadata(),
        "transfer_data": Fields({"amount": Integer(0)}),
    }
    api.add("GET", own, one, Fields({"client_secret": Text()}))
    api.add("POST", own, update, Fields(_UPDATE))
    api.add("POST", f"{own}/confirm", confirm, Fields(_LATER))
    api.add("POST", f"{own}/capture", capture, Fields(capturing))
    api.add("POST", f"{own}/cancel", cancel, Fields({"cancellation_reason": reasons}))
