"""A new invoice, as a draft."""

import copy

from gatekeeper.testing.stripe.billing import debits, discounts, reductions
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import whole
from gatekeeper.testing.stripe.state import State


def draft(
    state: State,
    customer: Obj,
    lines: list[Obj],
    *,
    reason: str,
    period: tuple[int, int],
    currency: str,
    subscription: Obj | None = None,
    auto_advance: bool = True,
    certain: bool = True,
) -> Obj:
    """A new draft with these lines; a negative total is credited to nobody and counts as zero.

    What its lines debit is not `certain` while the change that they are for waits for its payment.
    A discount for once has been used when it took something off, of a line or within a proration.
    """
    found = discounts.active(state, subscription, state.now())
    invoice = compose(
        state,
        customer,
        lines,
        reason=reason,
        period=period,
        currency=currency,
        subscription=subscription,
        reduced=found,
    )
    invoice["auto_advance"] = auto_advance
    if certain:
        debits.note(state, lines)
    state.store.add("invoice", invoice, payments=[], subscription=(subscription or {}).get("id"))
    state.emit("invoice.created", invoice)
    took = {one["discount"] for one in invoice["total_discount_amounts"] if one["amount"]}
    if any(line["amount"] > 0 and not line["discountable"] for line in lines):
        took.update(invoice["discounts"])
    if subscription is not None:
        over = [one["id"] for one in found if _is_used(state, one, took)]
        discounts.remove(state, subscription, over)
    return invoice


def _is_used(state: State, discount: Obj, took: set[str]) -> bool:
    once = discounts.coupon_of(state, discount)["duration"] == "once"
    return once and discount["id"] in took


def compose(
    state: State,
    customer: Obj,
    lines: list[Obj],
    *,
    reason: str,
    period: tuple[int, int],
    currency: str,
    subscription: Obj | None = None,
    reduced: list[Obj] | None = None,
    prefix: str = "in",
) -> Obj:
    """The invoice of these lines, `reduced` by discounts, which nobody has been told of."""
    identifier = state.ids.new(prefix)
    off = reductions.on_lines(state, lines, reduced or [])
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal - sum(one["amount"] for one in off)
    invoice: Obj = {
        "id": identifier,
        "object": "invoice",
        **copy.deepcopy(_BLANK),
        "account_country": state.settings.country,
        "account_name": state.settings.account_name,
        "amount_due": max(0, total),
        "amount_remaining": max(0, total),
        "auto_advance": True,
        "billing_reason": reason,
        "collection_method": (subscription or {}).get("collection_method", "charge_automatically"),
        "created": state.now(),
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": customer["tax_exempt"],
        "discounts": [one["id"] for one in reduced or []],
        "lines": whole(f"/v1/invoices/{identifier}/lines", lines),
        "livemode": state.settings.livemode,
        "metadata": {},
        "parent": _parent(subscription),
        "period_start": period[0],
        "period_end": period[1],
        "status": "draft",
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_discount_amounts": off,
        "total_excluding_tax": total,
    }
    invoice["status_transitions"] = dict.fromkeys(
        ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
    )
    if invoice["collection_method"] == "send_invoice" and subscription is not None:
        invoice["due_date"] = state.now() + DAY_SECONDS * (subscription["days_until_due"] or 30)
    for line in lines:
        line["invoice"] = identifier
    return invoice


_BLANK: Obj = {
    "account_tax_ids": None,
    "amount_overpaid": 0,
    "amount_paid": 0,
    "amount_paid_off_stripe": 0,
    "amount_shipping": 0,
    "application": None,
    "attempt_count": 0,
    "attempted": False,
    "automatic_tax": {
        "disabled_reason": None,
        "enabled": False,
        "liability": None,
        "provider": None,
        "status": None,
    },
    "automatically_finalizes_at": None,
    "custom_fields": None,
    "customer_account": None,
    "customer_shipping": None,
    "customer_tax_ids": [],
    "default_payment_method": None,
    "default_source": None,
    "default_tax_rates": [],
    "description": None,
    "due_date": None,
    "effective_at": None,
    "ending_balance": None,
    "footer": None,
    "from_invoice": None,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "issuer": {"type": "self"},
    "last_finalization_error": None,
    "latest_revision": None,
    "next_payment_attempt": None,
    "number": None,
    "on_behalf_of": None,
    "payment_settings": {
        "default_mandate": None,
        "payment_method_options": None,
        "payment_method_types": None,
    },
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
    "receipt_number": None,
    "rendering": None,
    "shipping_cost": None,
    "shipping_details": None,
    "starting_balance": 0,
    "statement_descriptor": None,
    "test_clock": None,
    "total_pretax_credit_amounts": [],
    "total_taxes": [],
    "webhooks_delivered_at": None,
}


def _parent(subscription: Obj | None) -> Obj | None:
    if subscription is None:
        return None
    return {
        "type": "subscription_details",
        "quote_details": None,
        "subscription_details": {
            "metadata": dict(subscription["metadata"]),
            "subscription": subscription["id"],
        },
    }
