"""Payment intents and the charges behind them.

An intent may belong to an invoice or a checkout session: its owner is told (`Hooks.intent_moved`)
with one of the words "succeeded", "authorised", "failed", "processing", "requires_action" and
"canceled".
Source of the states: Stripe's page "How PaymentIntents and SetupIntents work".
"""

import copy
from typing import Any

from gatekeeper.testing.stripe.billing import aftermath, captures, takings
from gatekeeper.testing.stripe.billing.cards import BankAccount, Card
from gatekeeper.testing.stripe.billing.charges import new_charge
from gatekeeper.testing.stripe.billing.methods import attach
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")

AUTHENTICATION_REQUIRED = (
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)

AUTHENTICATION_FAILED = (
    "payment_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method"
    " and try again.",
)

DEBIT_FAILED = ("debit_not_authorized", None, "The customer's bank refused the debit.")


def new_intent(
    state: State, amount: int, currency: str, *, owner: tuple[str, str] | None = None, **fields: Any
) -> Obj:
    """Make an intent and say so; `owner` is ("invoice" or "checkout", id)."""
    identifier = state.ids.new("pi")
    intent: Obj = {
        "id": identifier,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{identifier}_secret_{state.ids.token(25)}",
        "confirmation_method": "automatic",
        "created": state.now(),
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": state.settings.livemode,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card", "sepa_debit"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        **fields,
    }
    state.store.add("payment_intent", intent, owner=owner, off_session=False, return_url=None)
    state.emit("payment_intent.created", intent)
    return intent


def own(state: State, intent: Obj, owner: tuple[str, str] | None) -> None:
    """Hand an intent to another owner."""
    state.store.hidden(intent)["owner"] = owner


def owner_of(state: State, intent: Obj) -> tuple[str, str] | None:
    """Whom the intent belongs to."""
    owner: tuple[str, str] | None = state.store.hidden(intent)["owner"]
    return owner


def confirm(
    state: State,
    intent: Obj,
    method: Obj,
    *,
    off_session: bool = False,
    return_url: str | None = None,
) -> str:
    """Try to collect with `method`; the intent's new status, never an exception.

    Off session nobody is there to authenticate: a card that needs it declines instead.
    """
    hidden = state.store.hidden(intent)
    hidden.update(off_session=off_session, return_url=return_url)
    intent.update(payment_method=method["id"], last_payment_error=None, next_action=None)
    instrument: Card | BankAccount = state.store.hidden(method)["instrument"]
    if isinstance(instrument, BankAccount):
        _debit(state, intent, method, instrument)
    elif must_authenticate(state, method, instrument, off_session):
        if off_session:
            _fail(state, intent, method, AUTHENTICATION_REQUIRED)
        else:
            _ask(state, intent)
    else:
        _charge_card(state, intent, method, instrument)
    return str(intent["status"])


def authenticate(state: State, intent: Obj, success: bool) -> str:
    """The cardholder's answer to the 3-D Secure page; the intent's new status."""
    method = state.store.get("payment_method", intent["payment_method"])
    intent["next_action"] = None
    if success:
        hidden = state.store.hidden(method)
        hidden["authenticated"] = True
        _charge_card(state, intent, method, hidden["instrument"])
    else:
        _refuse(state, intent, method, AUTHENTICATION_FAILED, None)
    return str(intent["status"])


def cancel(state: State, intent: Obj, reason: str | None) -> None:
    """End an intent that has not succeeded."""
    if intent["status"] == "requires_capture":
        captures.release(state, intent)
    intent.update(
        status="canceled",
        canceled_at=state.now(),
        cancellation_reason=reason,
        next_action=None,
    )
    state.emit("payment_intent.canceled", intent)
    _tell(state, intent, "canceled")


def capture(state: State, intent: Obj, amount: int) -> None:
    """Take `amount` of what is held."""
    _succeed(state, intent, captures.capture(state, intent, amount))


def must_authenticate(state: State, method: Obj, card: Card, off_session: bool) -> bool:
    """Whether the cardholder has to confirm a payment."""
    if card.authentication == "once":
        return not state.store.hidden(method)["authenticated"]
    return card.authentication == "always" or (
        card.authentication == "on_session" and not off_session
    )


def _ask(state: State, intent: Obj) -> None:
    hidden = state.store.hidden(intent)
    page = f"{state.base_url}/3ds/{intent['id']}"
    if hidden["return_url"] is not None:
        redirect = {"return_url": hidden["return_url"], "url": page}
        intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
    else:
        sdk = {"type": "three_d_secure_redirect", "stripe_js": page}
        intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}
    intent["status"] = "requires_action"
    state.emit("payment_intent.requires_action", intent)
    _tell(state, intent, "requires_action")


def _charge_card(state: State, intent: Obj, method: Obj, card: Card) -> None:
    if card.decline is not None:
        _fail(state, intent, method, card.decline)
        return
    charge = new_charge(state, intent, method, "succeeded")
    if intent["capture_method"] == "manual":
        captures.authorise(state, intent, charge)
        _tell(state, intent, "authorised")
        return
    takings.taken(state, charge)
    state.emit("charge.succeeded", charge)
    _succeed(state, intent, charge)


def _succeed(state: State, intent: Obj, charge: Obj) -> None:
    aftermath.follow(state, charge)
    intent.update(
        status="succeeded",
        amount_received=charge["amount_captured"],
        latest_charge=charge["id"],
        processing=None,
    )
    keeps = intent["setup_future_usage"] is not None and intent["customer"] is not None
    if keeps and (owner_of(state, intent) or ("",))[0] != "checkout":  # a checkout does it itself
        attach(state, intent["payment_method"], state.store.get("customer", intent["customer"]))
    state.emit("payment_intent.succeeded", intent)
    _tell(state, intent, "succeeded")


def _fail(state: State, intent: Obj, method: Obj, decline: tuple[str, str | None, str]) -> None:
    charge = new_charge(state, intent, method, "failed", decline)
    state.emit("charge.failed", charge)
    _refuse(state, intent, method, decline, charge)


def _refuse(
    state: State,
    intent: Obj,
    method: Obj,
    decline: tuple[str, str | None, str],
    charge: Obj | None,
) -> None:
    code, decline_code, message = decline
    error: Obj = {
        "type": "card_error",
        "code": code,
        "message": message,
        "payment_method": copy.deepcopy(method),
    }
    if decline_code is not None:
        error["decline_code"] = decline_code
    if charge is not None:
        error["charge"] = charge["id"]
        intent["latest_charge"] = charge["id"]
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        last_payment_error=error,
        processing=None,
    )
    state.emit("payment_intent.payment_failed", intent)
    _tell(state, intent, "failed")


def _debit(state: State, intent: Obj, method: Obj, account: BankAccount) -> None:
    charge = new_charge(state, intent, method, "pending")
    state.emit("charge.pending", charge)
    intent.update(status="processing", latest_charge=charge["id"])
    state.emit("payment_intent.processing", intent)
    due = state.now() + state.settings.delayed_payment_seconds
    state.agenda.at(due, lambda: _settle_debit(state, intent, method, charge, account))
    _tell(state, intent, "processing")


def _settle_debit(
    state: State, intent: Obj, method: Obj, charge: Obj, account: BankAccount
) -> None:
    if account.succeeds:
        receipt = f"{state.base_url}/receipts/{charge['id']}"
        charge.update(status="succeeded", paid=True, captured=True, receipt_url=receipt)
        charge["amount_captured"] = charge["amount"]
        takings.taken(state, charge)
        state.emit("charge.succeeded", charge)
        _succeed(state, intent, charge)
        return
    charge.update(
        status="failed", paid=False, failure_code=DEBIT_FAILED[0], failure_message=DEBIT_FAILED[2]
    )
    state.emit("charge.failed", charge)
    _refuse(state, intent, method, DEBIT_FAILED, charge)


def _tell(state: State, intent: Obj, word: str) -> None:
    owner = owner_of(state, intent)
    if owner is not None:
        state.hooks.intent_moved[owner[0]](state, intent, word)
