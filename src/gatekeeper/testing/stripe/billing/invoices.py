"""Invoices: drafted, finalised, collected, voided or given up.

Who cares is told (`Hooks.invoice_moved`) with one of the words "paid", "failed",
"requires_action", "processing", "voided" and "uncollectible".
Source: Stripe's page "Status transitions and finalization" of invoices.
"""

from typing import Any

from gatekeeper.testing.stripe.billing import payments, takings
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def subscription_of(state: State, invoice: Obj) -> Obj | None:
    """The subscription that the invoice bills."""
    return state.store.find("subscription", state.store.hidden(invoice).get("subscription"))


def finalize(state: State, invoice: Obj, intent: Obj | None = None) -> Obj:
    """Make a draft final: numbered and open, with an intent to pay it; at nothing due, paid.

    `intent` is one that has already collected the money (a checkout's).
    """
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized, you can't re-finalize it.")
    customer = state.store.get("customer", invoice["customer"])
    number = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = number + 1
    page = f"{state.base_url}/i/{invoice['id']}"
    invoice.update(
        status="open",
        number=f"{customer['invoice_prefix']}-{number:04d}",
        effective_at=state.now(),
        ending_balance=0,
        automatically_finalizes_at=None,
        hosted_invoice_url=page,
        invoice_pdf=f"{page}/pdf",
    )
    invoice["status_transitions"]["finalized_at"] = state.now()
    subscription = subscription_of(state, invoice)
    if invoice["collection_method"] == "send_invoice" and subscription is not None:
        invoice["due_date"] = state.now() + 86_400 * (subscription["days_until_due"] or 30)
    state.emit("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        _paid(state, invoice)
    else:
        _attach_intent(state, invoice, customer, intent)
    return invoice


def _attach_intent(state: State, invoice: Obj, customer: Obj, intent: Obj | None) -> None:
    owner = ("invoice", str(invoice["id"]))
    subscription = subscription_of(state, invoice)
    if intent is None:
        intent = payments.new_intent(
            state,
            invoice["amount_due"],
            invoice["currency"],
            owner=owner,
            customer=customer["id"],
            description=invoice["description"],
            setup_future_usage=_future_use(invoice),
            **_kinds(subscription),
            **takings.invoice_terms(subscription, invoice["amount_due"]),
        )
    else:
        payments.own(state, intent, owner)
    payment: Obj = {
        "id": state.ids.new("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "created": state.now(),
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": invoice["livemode"],
        "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
    state.store.add("invoice_payment", payment)
    state.store.hidden(invoice)["payments"].append(payment["id"])
    if intent["status"] == "succeeded":
        intent_moved(state, intent, "succeeded")


def _kinds(subscription: Obj | None) -> Obj:
    """The kinds of payment methods that a subscription takes, if it says so."""
    types = ((subscription or {}).get("payment_settings") or {}).get("payment_method_types")
    return {"payment_method_types": types} if types else {}


def _future_use(invoice: Obj) -> str | None:
    """What pays a subscription's first invoice is kept for the next ones."""
    return "off_session" if invoice["billing_reason"] == "subscription_create" else None


def payments_of(state: State, invoice: Obj) -> list[Obj]:
    """The invoice's `invoice_payment` objects."""
    ids: list[str] = state.store.hidden(invoice).get("payments", [])
    return [state.store.get("invoice_payment", identifier) for identifier in ids]


def intent_of(state: State, invoice: Obj) -> Obj | None:
    """The intent that is to pay the invoice, or has."""
    for payment in payments_of(state, invoice):
        return state.store.get("payment_intent", payment["payment"]["payment_intent"])
    return None


def collect(
    state: State,
    invoice: Obj,
    method: Obj | None,
    *,
    off_session: bool,
    return_url: str | None = None,
) -> ApiError | None:
    """One attempt to collect an open invoice; the refusal if it failed."""
    intent = intent_of(state, invoice)
    if invoice["status"] != "open" or intent is None or intent["status"] == "processing":
        return None
    invoice["attempted"] = True
    invoice["attempt_count"] += 1
    if method is None:
        _failed(state, invoice)
        return invalid(
            "This customer has no attached payment source or default payment method."
            " Please consider adding a default payment method.",
            code="resource_missing",
        )
    payments.confirm(state, intent, method, off_session=off_session, return_url=return_url)
    if intent["status"] == "requires_action":
        invoice["attempt_count"] -= 1  # asked, but not attempted: as at Stripe
    if intent["status"] == "requires_payment_method":
        error: Obj = intent["last_payment_error"]
        return ApiError(
            402,
            error["message"],
            type="card_error",
            code=error["code"],
            decline_code=error.get("decline_code"),
            extra={"payment_intent": intent, "payment_method": method},
        )
    return None


def intent_moved(state: State, intent: Obj, word: str) -> None:
    """What an intent's news means for its invoice."""
    owner = payments.owner_of(state, intent)
    invoice = state.store.find("invoice", owner[1]) if owner else None
    if invoice is None or invoice["status"] not in ("open", "uncollectible"):
        return
    if word == "succeeded":
        _paid(state, invoice)
    elif word == "failed":
        _failed(state, invoice)
    elif word == "requires_action":
        state.emit("invoice.payment_action_required", invoice)
        _tell(state, invoice, "requires_action")
    elif word == "processing":
        _tell(state, invoice, "processing")


def pay_out_of_band(state: State, invoice: Obj) -> None:
    """Mark an invoice as paid outside of Stripe; its intent is canceled."""
    intent = intent_of(state, invoice)
    if intent is not None and intent["status"] in payments.CONFIRMABLE:
        payments.own(state, intent, None)
        payments.cancel(state, intent, "void_invoice")
        _close_payments(state, invoice, "canceled")
    invoice["amount_paid_off_stripe"] = invoice["amount_due"]
    _paid(state, invoice)


def _paid(state: State, invoice: Obj) -> None:
    invoice.update(
        status="paid",
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        attempted=True,
        auto_advance=False,
        next_payment_attempt=None,
    )
    if invoice["amount_due"] and invoice["attempt_count"] == 0:
        invoice["attempt_count"] = 1
    invoice["status_transitions"]["paid_at"] = state.now()
    _close_payments(state, invoice, "paid")
    state.emit("invoice.paid", invoice)
    state.emit("invoice.payment_succeeded", invoice)
    _tell(state, invoice, "paid")


def _close_payments(state: State, invoice: Obj, status: str) -> None:
    for payment in payments_of(state, invoice):
        if payment["status"] != "open":
            continue
        payment["status"] = status
        payment["status_transitions"][f"{status}_at"] = state.now()
        if status == "paid":
            payment["amount_paid"] = payment["amount_requested"]
            state.emit("invoice_payment.paid", payment)


def _failed(state: State, invoice: Obj) -> None:
    _tell(state, invoice, "failed")  # first: who retries writes the next attempt on the invoice
    state.emit("invoice.payment_failed", invoice)


def void(state: State, invoice: Obj) -> Obj:
    """Make an open or uncollectible invoice as if it had never been."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"You can only void open or uncollectible invoices, not {invoice['status']}.")
    _stop(state, invoice, "void", "voided_at")
    state.emit("invoice.voided", invoice)
    _tell(state, invoice, "voided")
    return invoice


def mark_uncollectible(state: State, invoice: Obj) -> Obj:
    """Give an open invoice up; it can still be paid."""
    if invoice["status"] != "open":
        raise invalid("Only open invoices can be marked uncollectible.")
    invoice.update(status="uncollectible", auto_advance=False, next_payment_attempt=None)
    invoice["status_transitions"]["marked_uncollectible_at"] = state.now()
    state.emit("invoice.marked_uncollectible", invoice)
    _tell(state, invoice, "uncollectible")
    return invoice


def _stop(state: State, invoice: Obj, status: str, moment: str) -> None:
    intent = intent_of(state, invoice)
    invoice.update(status=status, auto_advance=False, next_payment_attempt=None)
    invoice["status_transitions"][moment] = state.now()
    if intent is not None and intent["status"] in payments.CONFIRMABLE:
        payments.own(state, intent, None)
        payments.cancel(state, intent, "void_invoice")
    _close_payments(state, invoice, "canceled")


def _tell(state: State, invoice: Obj, word: str) -> None:
    for listen in state.hooks.invoice_moved:
        listen(state, invoice, word)


def confirmation_secret(state: State, invoice: Obj) -> Any:
    """The includable `confirmation_secret` of an open invoice."""
    intent = intent_of(state, invoice)
    if intent is None:
        return None
    return {"client_secret": intent["client_secret"], "type": "payment_intent"}
