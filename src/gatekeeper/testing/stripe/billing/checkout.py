"""What a checkout session does when its customer pays, waits, or leaves.

The subscription of a session is made when the payment is confirmed, not before (Stripe does so
since the API version 2025-03-31.basil).
"""

from dataclasses import dataclass
from typing import Any

from gatekeeper.testing.stripe.billing import (
    checkout_intents,
    checkout_setups,
    discounts,
    invoices,
    payments,
    subscriptions,
    takings,
)
from gatekeeper.testing.stripe.billing.cards import BankAccount, Card
from gatekeeper.testing.stripe.billing.customers import new_customer
from gatekeeper.testing.stripe.billing.methods import attach, declined, new_method
from gatekeeper.testing.stripe.billing.plans import Start
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


@dataclass(frozen=True, slots=True)
class Payer:
    """What a customer typed into the hosted page."""

    instrument: Card | BankAccount
    email: str | None = None
    name: str | None = None
    country: str | None = None
    expires: tuple[int, int] | None = None


def submit(state: State, session: Obj, payer: Payer) -> str:
    """Try to pay: "complete", "requires_action", or an ApiError that the page shows."""
    check_open(state, session)
    hidden = state.store.hidden(session)
    email = payer.email or session["customer_email"] or _known_email(state, session)
    if not email:
        raise invalid("Your email is required.", "email")
    hidden["details"] = {"email": email, "name": payer.name, "country": payer.country}
    address = {
        **dict.fromkeys(("city", "line1", "line2", "postal_code", "state")),
        "country": payer.country,
    }
    billing = {"email": email, "name": payer.name, "address": address}
    method = new_method(state, payer.instrument, expires=payer.expires, billing=billing)
    hidden["method"] = method["id"]
    customer = _customer_for(state, session)
    if session["mode"] == "setup":
        return _set_up(state, session, checkout_setups.submit(state, session, method, customer))
    amount = due_now(state, session)
    if amount == 0:
        instrument = payer.instrument
        if isinstance(instrument, Card) and instrument.decline and not instrument.attachable:
            raise declined(instrument.decline)
        complete(state, session, None)
        return "complete"
    intent = checkout_intents.intent_for(state, session, customer, amount)
    payments.confirm(state, intent, method, return_url=None)
    return _answer(session, intent)


def _set_up(state: State, session: Obj, status: str) -> str:
    if status != "succeeded":
        return status
    complete(state, session, None)
    return "complete"


def _answer(session: Obj, intent: Obj) -> str:
    if session["status"] == "complete":
        return "complete"
    if intent["status"] == "requires_action":
        return "requires_action"
    error = intent["last_payment_error"]
    raise ApiError(
        402,
        error["message"],
        type="card_error",
        code=error["code"],
        decline_code=error.get("decline_code"),
    )


def authenticate(state: State, session: Obj, success: bool) -> str:
    """The 3-D Secure step of a session's payment."""
    check_open(state, session)
    if session["mode"] == "setup":
        return _set_up(state, session, checkout_setups.authenticate(state, session, success))
    intent = state.store.find("payment_intent", state.store.hidden(session)["intent"])
    if intent is None or intent["status"] != "requires_action":
        raise invalid("There is nothing to authenticate.")
    payments.authenticate(state, intent, success)
    return _answer(session, intent)


def check_open(state: State, session: Obj) -> None:
    """Refuse what has been completed or has expired."""
    if session["status"] != "open":
        raise invalid(f"This checkout session is {session['status']}.")


def due_now(state: State, session: Obj) -> int:
    """What has to be paid today: all of it, or in a trial nothing."""
    if session["mode"] == "subscription" and _trial_end(state, session) is not None:
        return 0
    total: int | None = session["amount_total"]
    return total or 0


def _known_email(state: State, session: Obj) -> str | None:
    customer = state.store.find("customer", session["customer"])
    return customer.get("email") if customer else None


def _customer_for(state: State, session: Obj) -> Obj | None:
    """The session's customer; a new one where the mode needs it."""
    hidden = state.store.hidden(session)
    known = session["customer"] or hidden["new_customer"]
    if known is not None:
        return state.store.need("customer", known, "customer")
    if session["mode"] != "subscription" and session["customer_creation"] != "always":
        return None
    details = hidden["details"]
    customer = new_customer(state, email=details["email"], name=details["name"])
    hidden["new_customer"] = customer["id"]
    return customer


def intent_moved(state: State, intent: Obj, word: str) -> None:
    """What an intent's news means for its session."""
    owner = payments.owner_of(state, intent)
    session = state.store.find("checkout.session", owner[1]) if owner else None
    if session is None:
        return
    if session["status"] == "open" and word in ("succeeded", "authorised", "processing"):
        complete(state, session, intent)
    elif session["status"] == "complete" and intent["capture_method"] == "manual":
        if word == "succeeded":
            session["payment_status"] = "paid"  # captured: no event of the session tells
    elif session["status"] == "complete" and word in ("succeeded", "failed"):
        settle(state, session, word == "succeeded")


def settle(state: State, session: Obj, success: bool) -> None:
    """The end of a delayed payment."""
    if session["payment_status"] != "unpaid":
        return
    if success:
        session["payment_status"] = "paid"
        state.emit("checkout.session.async_payment_succeeded", session)
    else:
        state.emit("checkout.session.async_payment_failed", session)


def complete(state: State, session: Obj, intent: Obj | None) -> None:
    """The customer is done: make what was bought, and say so."""
    hidden = state.store.hidden(session)
    details = hidden["details"]
    customer = _customer_for(state, session)
    keeps = session["mode"] == "subscription" or (
        intent is not None and intent["setup_future_usage"] is not None
    )
    if customer is not None and keeps:
        attach(state, hidden["method"], customer)
    paid = intent is None or intent["status"] == "succeeded"
    session.update(
        status="complete",
        url=None,
        customer=customer["id"] if customer else None,
        customer_details={
            "address": {
                **dict.fromkeys(("city", "line1", "line2", "postal_code", "state")),
                "country": details["country"],
            },
            "business_name": None,
            "email": details["email"],
            "individual_name": None,
            "name": details["name"],
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        },
    )
    nothing = not session["amount_total"]
    session["payment_status"] = "no_payment_required" if nothing else "paid" if paid else "unpaid"
    if session["mode"] == "subscription" and customer is not None:
        _subscribe(state, session, customer, intent)
    else:
        discounts.redeem(
            state, hidden["reductions"], customer=customer, checkout_session=session["id"]
        )
    state.emit("checkout.session.completed", session)


def _subscribe(state: State, session: Obj, customer: Obj, intent: Obj | None) -> None:
    hidden = state.store.hidden(session)
    data: dict[str, Any] = hidden["subscription_data"]
    items: list[tuple[Obj, int | None, dict[str, str]]] = [
        (price, quantity, {}) for price, quantity in _rows(state, session)
    ]
    if _trial_end(state, session) is not None:
        session["payment_status"] = "no_payment_required"
    subscription = subscriptions.start(
        state,
        Start(
            customer=customer,
            items=items,
            metadata=data.get("metadata") or {},
            description=data.get("description"),
            default_payment_method=hidden["method"],
            trial_end=_trial_end(state, session),
            missing_payment_method=_missing_method(data),
            paid_by=intent,
            sharing=takings.subscription_terms(state, data),
            reductions=hidden["reductions"],
            checkout_session=session["id"],
        ),
    )
    session.update(subscription=subscription["id"], invoice=subscription["latest_invoice"])
    state.store.hidden(subscription)["session"] = session["id"]


def _missing_method(data: dict[str, Any]) -> str:
    behavior = (data.get("trial_settings") or {}).get("end_behavior") or {}
    return behavior.get("missing_payment_method") or "create_invoice"


def _rows(state: State, session: Obj) -> list[tuple[Obj, int | None]]:
    rows: list[Obj] = state.store.hidden(session)["line_items"]
    return [(state.store.get("price", row["price"]["id"]), row["quantity"]) for row in rows]


def _trial_end(state: State, session: Obj) -> int | None:
    data: dict[str, Any] = state.store.hidden(session)["subscription_data"]
    if data.get("trial_period_days"):
        return state.now() + int(data["trial_period_days"]) * 86_400
    end: int | None = data.get("trial_end")
    return end


def invoice_moved(state: State, invoice: Obj, word: str) -> None:
    """A subscription's first invoice that a bank debit pays later."""
    subscription = invoices.subscription_of(state, invoice)
    if subscription is None or invoice["billing_reason"] != "subscription_create":
        return
    session_id = state.store.hidden(subscription).get("session")
    session = state.store.find("checkout.session", session_id)
    if session is not None and word in ("paid", "failed"):
        settle(state, session, word == "paid")


def expire(state: State, session: Obj) -> Obj:
    """Close an open session for good."""
    if session["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout'
            f" Session has a status of {session['status']}."
        )
    session.update(status="expired", url=None)
    if session["mode"] == "setup":
        checkout_setups.expire(state, session)
    intent = state.store.find("payment_intent", state.store.hidden(session)["intent"])
    if intent is not None and intent["status"] in payments.CONFIRMABLE:
        payments.own(state, intent, None)
        payments.cancel(state, intent, "abandoned")
    state.emit("checkout.session.expired", session)
    return session


def expire_if_open(state: State, session: Obj) -> None:
    """What `expires_at` does."""
    if session["status"] == "open":
        expire(state, session)
