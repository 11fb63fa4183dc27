"""Disputes: chargebacks with their evidence, inquiries, and those that were prevented.

A chargeback takes the money at once (`funds_withdrawn`) and a fee that is never given back; one
that is won brings the money back. An inquiry takes nothing unless it escalates. In test mode the
evidence decides: `winning_evidence`, `losing_evidence` or `escalate_inquiry_evidence` as
`uncategorized_text`, after `settings.dispute_review_seconds`; any other stays under review.
Source: Stripe's pages "How disputes work" and "Test card numbers" (disputes, evidence).
"""

from typing import Any

from gatekeeper.testing.stripe.billing import ledger, reviews, warnings
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import merge_metadata
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

ANSWER_DAYS = 8
INQUIRY_DAYS = 120
"""After so many days an inquiry that did not escalate is closed."""
FEE = 1_500

TEXTS = tuple(
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure"
    " cancellation_rebuttal customer_communication customer_email_address customer_name"
    " customer_purchase_ip customer_signature duplicate_charge_documentation"
    " duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy"
    " refund_policy_disclosure refund_refusal_explanation service_date service_documentation"
    " shipping_address shipping_carrier shipping_date shipping_documentation"
    " shipping_tracking_number uncategorized_file uncategorized_text".split()
)
"""The pieces of evidence."""

_CODES = {"fraudulent": "10.4", "product_not_received": "13.1"}

OVER = ("won", "lost", "warning_closed", "prevented")
UPDATED, CLOSED = "charge.dispute.updated", "charge.dispute.closed"


def dispute(
    state: State,
    charge: Obj,
    *,
    reason: str = "fraudulent",
    amount: int | None = None,
    status: str = "needs_response",
) -> Obj:
    """The cardholder disputes a charge; `status` "warning_needs_response" makes it an inquiry and
    "prevented" one that the networks stopped."""
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise invalid(f"Charge {charge['id']} has taken no money that could be disputed.")
    takes = status == "needs_response"
    made = _blank(state, charge, amount or charge["amount_captured"], reason, status)
    state.store.add("dispute", made)
    charge["disputed"] = True
    state.emit("charge.dispute.created", made)
    if takes:
        _withdraw(state, made)
    if status == "prevented":
        state.emit(CLOSED, made)
        return made
    reviews.close(state, charge, "disputed")
    warnings.settle(state, charge)
    _plan(state, made)
    return made


def _plan(state: State, found: Obj) -> None:
    """Nobody answers in time: a chargeback is lost; an inquiry is forgotten."""
    due = found["evidence_details"]["due_by"]
    state.agenda.at(due, lambda: _due(state, found))
    if found["status"] == "warning_needs_response":
        end = found["created"] + INQUIRY_DAYS * DAY_SECONDS
        state.agenda.at(end, lambda: drop_inquiry(state, found))


def _due(state: State, found: Obj) -> None:
    if found["status"] in ("needs_response", "warning_needs_response"):
        found["evidence_details"]["past_due"] = True
    if found["status"] == "needs_response":
        close(state, found, "lost")


def refundable(state: State, charge: Obj) -> bool:
    """Whether no dispute stands against a refund."""
    return all(d["is_charge_refundable"] for d in state.store.where("dispute", charge=charge["id"]))


def submit(state: State, found: Obj, evidence: dict[str, Any], *, metadata: Any, now: bool) -> None:
    """Keep evidence, and hand it in unless it is only staged."""
    must_be_open(found)
    details = found["evidence_details"]
    with state.changing(found, UPDATED):
        found["metadata"] = merge_metadata(found["metadata"], metadata)
        found["evidence"].update(evidence)
        details["has_evidence"] = details["has_evidence"] or bool(evidence)
        if now and details["has_evidence"]:
            details["submission_count"] += 1
            found["status"] = found["status"].replace("needs_response", "under_review")
    if now and details["has_evidence"]:
        state.emit("charge.updated", state.store.get("charge", found["charge"]))
        due = state.now() + state.settings.dispute_review_seconds
        count = details["submission_count"]
        state.agenda.at(due, lambda: _judge(state, found, count))


def _judge(state: State, found: Obj, count: int) -> None:
    """The bank has read the evidence of the submission `count`."""
    reviewed = found["status"].endswith("under_review")
    if not reviewed or found["evidence_details"]["submission_count"] != count:
        return
    inquiry = found["status"].startswith("warning")
    text = found["evidence"]["uncategorized_text"]
    if text == "escalate_inquiry_evidence" and inquiry:
        escalate(state, found)
    elif text == "winning_evidence":
        close(state, found, "warning_closed" if inquiry else "won")
    elif text == "losing_evidence":
        close(state, found, "warning_closed" if inquiry else "lost")


def escalate(state: State, found: Obj) -> None:
    """An inquiry becomes a chargeback, which takes the money."""
    if not found["status"].startswith("warning") or found["status"] in OVER:
        raise invalid(f"Only an open inquiry can escalate, not {found['status']}.")
    with state.changing(found, UPDATED):
        found.update(status="needs_response", is_charge_refundable=False)
        found["payment_method_details"]["card"]["case_type"] = "chargeback"
        found["evidence_details"]["due_by"] = _due_by(state)
    _withdraw(state, found)
    _plan(state, found)


def close(state: State, found: Obj, status: str) -> Obj:
    """End a dispute: "won" brings the money back, "lost" and "warning_closed" change nothing."""
    must_be_open(found)
    found["status"] = status
    if status == "won":
        found["is_charge_refundable"] = True
        _move(state, found, found["amount"], "dispute_reversal", "Chargeback reversal", [])
        state.emit("charge.dispute.funds_reinstated", found)
    state.emit(CLOSED, found)
    state.emit("charge.updated", state.store.get("charge", found["charge"]))
    return found


def drop_inquiry(state: State, found: Obj) -> None:
    """Close an inquiry that is still one."""
    if found["status"] in ("warning_needs_response", "warning_under_review"):
        close(state, found, "warning_closed")


def drop_inquiries(state: State, charge: Obj) -> None:
    """The charge has been refunded in full: there is nothing to inquire after."""
    for found in state.store.where("dispute", charge=charge["id"]):
        drop_inquiry(state, found)


def must_be_open(found: Obj) -> None:
    """Refuse what would change a dispute that is over."""
    if found["status"] in OVER:
        raise invalid("This dispute is already closed")


def _withdraw(state: State, found: Obj) -> None:
    fees = [ledger.fee(FEE, found["currency"], "Dispute fee", "stripe_fee")]
    _move(state, found, -found["amount"], "dispute", "Chargeback withdrawal", fees)
    state.emit("charge.dispute.funds_withdrawn", found)


def _move(
    state: State, found: Obj, amount: int, category: str, words: str, fees: list[Obj]
) -> None:
    row = ledger.record(
        state,
        "adjustment",
        amount,
        found["currency"],
        found,
        category=category,
        description=f"{words} for {found['charge']}",
        fees=fees,
    )
    found["balance_transactions"].append(row)


def _due_by(state: State) -> int:
    """The end of a day (UTC)."""
    return (state.now() // DAY_SECONDS + ANSWER_DAYS + 1) * DAY_SECONDS - 1


def _blank(state: State, charge: Obj, amount: int, reason: str, status: str) -> Obj:
    case = {"needs_response": "chargeback", "prevented": "resolution"}.get(status, "inquiry")
    card: Obj = charge["payment_method_details"].get("card") or {"brand": "visa"}
    made: Obj = {
        "id": state.ids.new("du"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": state.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(TEXTS), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": None if status == "prevented" else _due_by(state),
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": status != "needs_response",
        "livemode": state.settings.livemode,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "type": "card",
            "card": {
                "brand": card["brand"],
                "case_type": case,
                "network_reason_code": "10" if case == "inquiry" else _CODES.get(reason, "10.4"),
            },
        },
        "reason": reason,
        "status": status,
    }
    return made
