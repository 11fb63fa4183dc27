"""Refunds: given at once by most cards, pending first or failed in the end by some.

A refund counts on its charge (`amount_refunded`) from its start, and no more once it has failed or
is canceled. Source: Stripe's pages "Refund and cancel payments" and "Test card numbers"; API
reference, "Refunds" (who may cancel which).
"""

from typing import Any

from gatekeeper.testing.stripe.billing import disputes, ledger, reviews, takings, warnings
from gatekeeper.testing.stripe.billing.cards import Card
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.money import money
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

OPEN = ("pending", "requires_action", "succeeded")
"""The statuses from which a refund can still fail."""

ACTION_SECONDS = 45 * DAY_SECONDS


def refund(state: State, charge: Obj, params: dict[str, Any]) -> Obj:
    """Give money back: all that is left of the charge, or `amount` of it; with
    `reverse_transfer` and `refund_application_fee` others give their share."""
    shares = {
        "reverse": bool(params.get("reverse_transfer")),
        "fee": bool(params.get("refund_application_fee")),
    }
    takings.check_return(charge, **shares)
    amount = _amount(state, charge, params.get("amount"))
    status, ends = _course(state, charge)
    made = _blank(state, charge, amount, status)
    made.update(metadata=params.get("metadata") or {}, reason=params.get("reason"))
    state.store.add("refund", made)
    _take(state, made, charge)
    previous = _count(charge, amount)
    takings.returned(state, charge, made, **shares)
    state.emit("refund.created", made)
    state.emit("charge.refunded", charge, previous)
    if charge["refunded"]:
        fraud = made["reason"] == "fraudulent"
        reviews.close(state, charge, "refunded_as_fraud" if fraud else "refunded")
        warnings.settle(state, charge)
        disputes.drop_inquiries(state, charge)
    after = state.settings.refund_reference_seconds
    if after is not None and "destination_details" in made:
        state.agenda.at(state.now() + after, lambda: _refer(state, made))
    if ends is not None:
        due = state.now() + state.settings.refund_seconds
        state.agenda.at(due, lambda: _run_course(state, made, status, ends))
    return made


def _refer(state: State, refund: Obj) -> None:
    """The card network names the refund: nothing else has changed."""
    if refund["status"] == "succeeded":
        reference = state.ids.token(23)
        refund["destination_details"]["card"].update(
            reference=reference, reference_status="available"
        )
        _updated(state, refund)


def _run_course(state: State, refund: Obj, begun: str, ends: str) -> None:
    if refund["status"] != begun:
        return  # a test has decided otherwise
    if ends == "succeeded":
        settle(state, refund)
    else:
        fail(state, refund)


def release(state: State, charge: Obj, reason: str | None) -> Obj:
    """The refund that Stripe makes of a hold that is let go; no money moves."""
    made = _blank(state, charge, charge["amount"], "succeeded")
    made["reason"] = reason
    state.store.add("refund", made)
    _count(charge, charge["amount"])
    state.emit("refund.created", made)
    return made


def settle(state: State, refund: Obj) -> Obj:
    """The bank has taken a pending refund."""
    _must_be(refund, ("pending", "requires_action"), "settle")
    with state.changing(refund) as changed:
        changed["status"] = "succeeded"
        changed.pop("pending_reason", None)
        changed.pop("next_action", None)
    _updated(state, refund)
    return refund


def fail(state: State, refund: Obj, reason: str = "expired_or_canceled_card") -> Obj:
    """The bank has sent the money back, perhaps after the refund had succeeded."""
    _undo(state, refund, "failed")
    refund["failure_reason"] = reason
    _updated(state, refund)
    state.emit("refund.failed", refund)
    return refund


def cancel(state: State, refund: Obj) -> Obj:
    """Call a refund off: the API may as long as it waits for the customer, the Dashboard may a
    little longer."""
    _undo(state, refund, "canceled")
    _updated(state, refund)
    return refund


def _updated(state: State, refund: Obj) -> None:
    state.emit("refund.updated", refund)
    state.emit("charge.refund.updated", refund)


def _must_be(refund: Obj, statuses: tuple[str, ...], verb: str) -> None:
    if refund["status"] not in statuses:
        raise invalid(f"A refund that is {refund['status']} cannot {verb}.")


def _amount(state: State, charge: Obj, wanted: int | None) -> int:
    intent = charge["payment_intent"]
    if charge["status"] == "failed":
        raise invalid(f"This PaymentIntent ({intent}) does not have a successful charge to refund.")
    if not charge["captured"] and charge["status"] == "succeeded":
        raise invalid(
            f"This uncaptured Charge was created by a PaymentIntent ({intent}). You must cancel the"
            " PaymentIntent to reverse the authorization instead of refunding the Charge directly."
        )
    if not disputes.refundable(state, charge):
        raise invalid(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left <= 0:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    amount = left if wanted is None else wanted
    if amount > left:
        asked, rest = money(amount, charge["currency"]), money(left, charge["currency"])
        raise invalid(
            f"Refund amount ({asked}) is greater than unrefunded amount on charge ({rest})",
            "amount",
        )
    return amount


def _course(state: State, charge: Obj) -> tuple[str, str | None]:
    """The first status, and the one that time brings."""
    if state.stalled_refunds:
        return state.stalled_refunds.pop(0), None
    method = state.store.find("payment_method", charge["payment_method"])
    instrument = state.store.hidden(method).get("instrument") if method else None
    course = instrument.refund if isinstance(instrument, Card) else "succeeded"
    if course == "pending":
        return "pending", "succeeded"
    return "succeeded", "failed" if course == "failed" else None


def _blank(state: State, charge: Obj, amount: int, status: str) -> Obj:
    made: Obj = {
        "id": state.ids.new("re" if charge["id"].startswith("ch_") else "pyr"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": state.now(),
        "currency": charge["currency"],
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }
    if (charge["payment_method_details"] or {}).get("type") == "card":
        made["destination_details"] = {
            "type": "card",
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
        }
    if status == "pending":
        made["pending_reason"] = "processing"
    elif status == "requires_action":
        email = charge["receipt_email"] or charge["billing_details"]["email"]
        sent = {"email_sent_at": state.now(), "email_sent_to": email or "customer@example.com"}
        shown = {"email_sent": sent, "expires_at": state.now() + ACTION_SECONDS}
        made["next_action"] = {"type": "display_details", "display_details": shown}
    return made


def _count(charge: Obj, amount: int) -> Obj:
    """Count it on the charge; what the charge said before."""
    previous = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= (
        charge["amount_captured"] or charge["amount"]
    )
    if charge["refunded"] is previous["refunded"]:
        del previous["refunded"]
    return previous


def _take(state: State, made: Obj, charge: Obj) -> None:
    described = charge["description"]
    row = ledger.record(
        state,
        "refund" if charge["id"].startswith("ch_") else "payment_refund",
        -made["amount"],
        made["currency"],
        made,
        category="refund",
        description=f"REFUND FOR CHARGE ({described})" if described else "REFUND FOR CHARGE",
    )
    made["balance_transaction"] = row["id"]


def _undo(state: State, refund: Obj, status: str) -> None:
    _must_be(refund, OPEN, "be undone")
    charge = state.store.get("charge", refund["charge"])
    refund["status"] = status
    refund.pop("pending_reason", None)
    refund.pop("next_action", None)
    row = ledger.record(
        state, "refund_failure", refund["amount"], refund["currency"], refund, at_once=True
    )
    refund["failure_balance_transaction"] = row["id"]
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
