"""Setup intents: a payment method is kept for later, with nobody there to authenticate.

A card that asks for authentication once asks here, and no more in payments off session. Source:
Stripe's pages "How PaymentIntents and SetupIntents work" and "Save and reuse".
"""

import copy
from typing import Any

from gatekeeper.testing.stripe.billing.cards import BankAccount, Card
from gatekeeper.testing.stripe.billing.methods import attach, declined
from gatekeeper.testing.stripe.core.errors import ApiError
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

KIND = "setup_intent"
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")

_UNAUTHENTICATED = (
    "setup_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method"
    " and try again.",
)


def new(state: State, **fields: Any) -> Obj:
    """Make one and say so."""
    identifier = state.ids.new("seti")
    made: Obj = {
        "id": identifier,
        "object": KIND,
        **dict.fromkeys(
            "application automatic_payment_methods cancellation_reason customer customer_account"
            " description excluded_payment_method_types flow_directions last_setup_error"
            " latest_attempt mandate next_action on_behalf_of payment_method"
            " payment_method_configuration_details single_use_mandate".split()
        ),
        "client_secret": f"{identifier}_secret_{state.ids.token(25)}",
        "created": state.now(),
        "livemode": state.settings.livemode,
        "metadata": {},
        "payment_method_options": {
            "card": {
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card", "sepa_debit"],
        "status": "requires_payment_method",
        "usage": "off_session",
        **fields,
    }
    state.store.add(KIND, made)
    state.emit("setup_intent.created", made)
    return made


def confirm(state: State, intent: Obj, method: Obj, return_url: str | None) -> None:
    """Try to set a payment method up. Raises a 402 for a card that cannot be kept."""
    attempt = state.ids.new("setatt")
    intent.update(payment_method=method["id"], latest_attempt=attempt, last_setup_error=None)
    instrument: Card | BankAccount = state.store.hidden(method)["instrument"]
    if isinstance(instrument, Card):
        if instrument.decline is not None and not instrument.attachable:
            _refuse(state, intent, method, instrument.decline)
            extra = {"payment_method": method, "setup_intent": intent}
            raise declined(instrument.decline, **extra)
        if instrument.authentication not in ("never", "on_session"):
            _ask(state, intent, return_url)
            return
    _succeed(state, intent, method)


def authenticate(state: State, intent: Obj, success: bool) -> None:
    """The cardholder's answer."""
    method = state.store.get("payment_method", intent["payment_method"])
    intent["next_action"] = None
    if success:
        _succeed(state, intent, method)
    else:
        _refuse(state, intent, method, _UNAUTHENTICATED)


def cancel(state: State, intent: Obj, reason: str | None) -> None:
    """End one that has not succeeded."""
    intent.update(status="canceled", cancellation_reason=reason, next_action=None)
    state.emit("setup_intent.canceled", intent)


def _ask(state: State, intent: Obj, return_url: str | None) -> None:
    sdk = {"type": "three_d_secure_redirect", "stripe_js": f"{state.base_url}/3ds/{intent['id']}"}
    action: Obj = {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}
    if return_url is not None:
        there = {"return_url": return_url, "url": sdk["stripe_js"]}
        action = {"type": "redirect_to_url", "redirect_to_url": there}
    intent.update(status="requires_action", next_action=action)
    state.emit("setup_intent.requires_action", intent)


def _succeed(state: State, intent: Obj, method: Obj) -> None:
    state.store.hidden(method)["authenticated"] = True
    if intent["customer"] is not None:
        attach(state, method["id"], state.store.get("customer", intent["customer"]))
    intent.update(status="succeeded", next_action=None)
    state.emit("setup_intent.succeeded", intent)
    for listen in state.hooks.setup_moved:
        listen(state, intent)


def _refuse(state: State, intent: Obj, method: Obj, decline: tuple[str, str | None, str]) -> None:
    code, decline_code, message = decline
    error: Obj = {
        "type": "card_error" if decline is not _UNAUTHENTICATED else "invalid_request_error",
        "code": code,
        "message": message,
        "payment_method": copy.deepcopy(method),
    }
    if decline_code is not None:
        error["decline_code"] = decline_code
    intent.update(status="requires_payment_method", payment_method=None, last_setup_error=error)
    state.emit("setup_intent.setup_failed", intent)


def must_be_open(intent: Obj, verb: str) -> None:
    """Refuse what would change an intent that is over."""
    if intent["status"] not in CONFIRMABLE:
        raise ApiError(
            400,
            f"You cannot {verb} this SetupIntent because it has a status of {intent['status']}.",
            code="setup_intent_unexpected_state",
            extra={"setup_intent": intent},
        )
