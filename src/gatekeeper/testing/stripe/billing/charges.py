"""Charges: the record of each attempt to take money."""

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def new_charge(
    state: State,
    intent: Obj,
    method: Obj,
    status: str,
    decline: tuple[str, str | None, str] | None = None,
) -> Obj:
    """The record of one attempt: "succeeded", "pending" or "failed"."""
    identifier = state.ids.new("ch" if method["type"] == "card" else "py")
    paid = status == "succeeded"
    share: Obj | None = intent["transfer_data"]
    charge: Obj = {
        "id": identifier,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": intent["application_fee_amount"],
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": state.settings.account_name.upper()[:22],
        "captured": paid,
        "created": state.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline[0] if decline else None,
        "failure_message": decline[2] if decline else None,
        "fraud_details": {},
        "livemode": state.settings.livemode,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": intent["on_behalf_of"],
        "outcome": _outcome(status, decline),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(method),
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"{state.base_url}/receipts/{identifier}" if paid else None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": status,
        "transfer_data": share and {"amount": None, **share},
        "transfer_group": intent["transfer_group"],
    }
    return state.store.add("charge", charge)


def _outcome(status: str, decline: tuple[str, str | None, str] | None) -> Obj:
    if decline is None:
        return {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network",
        "reason": decline[1] or decline[0],
        "risk_level": "normal",
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    }


def _details(method: Obj) -> Obj:
    if method["type"] == "sepa_debit":
        debit = method["sepa_debit"]
        named = {key: debit[key] for key in ("bank_code", "branch_code", "country", "last4")}
        return {
            "type": "sepa_debit",
            "sepa_debit": {**named, "fingerprint": debit["fingerprint"], "mandate": None},
        }
    card = method["card"]
    same = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding")
    return {
        "type": "card",
        "card": {
            **{key: card[key] for key in same},
            "installments": None,
            "last4": card["last4"],
            "mandate": None,
            "network": card["brand"],
            "three_d_secure": None,
            "wallet": None,
        },
    }
