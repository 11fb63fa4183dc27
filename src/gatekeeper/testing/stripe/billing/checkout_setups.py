"""Checkout sessions of mode setup: nothing is paid, a payment method is kept for later.

Source: Stripe's page "Save payment details" of Checkout: the session has a setup intent from the
beginning, which the hosted page confirms.
"""

from typing import Any

from gatekeeper.testing.stripe.billing import setups
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def begin(state: State, session: Obj, data: dict[str, Any]) -> None:
    """Give a new session its setup intent."""
    intent = setups.new(
        state,
        customer=session["customer"],
        description=data.get("description"),
        metadata=data.get("metadata") or {},
        payment_method_types=session["payment_method_types"],
    )
    session["setup_intent"] = intent["id"]


def submit(state: State, session: Obj, method: Obj, customer: Obj | None) -> str:
    """Set the method up: "succeeded" or "requires_action"; an ApiError that the page shows."""
    intent = state.store.get(setups.KIND, session["setup_intent"])
    intent["customer"] = customer["id"] if customer else None
    setups.confirm(state, intent, method, None)
    return str(intent["status"])


def authenticate(state: State, session: Obj, success: bool) -> str:
    """The 3-D Secure step; "succeeded", or an ApiError that the page shows."""
    intent = state.store.get(setups.KIND, session["setup_intent"])
    if intent["status"] != "requires_action":
        raise invalid("There is nothing to authenticate.")
    setups.authenticate(state, intent, success)
    error = intent["last_setup_error"]
    if error is not None:
        raise ApiError(402, error["message"], type="card_error", code=error["code"])
    return str(intent["status"])


def expire(state: State, session: Obj) -> None:
    """The session is over: so is its setup intent, if that is not done."""
    intent = state.store.get(setups.KIND, session["setup_intent"])
    if intent["status"] in setups.CONFIRMABLE:
        setups.cancel(state, intent, "abandoned")
