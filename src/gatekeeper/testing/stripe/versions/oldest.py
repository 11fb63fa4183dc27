"""2020-03-02, from 2025-02-24.acacia: what five years added is not there yet.

Source: Stripe's changelog of 2022-11-15, with which a charge's `refunds` and an intent's `charges`
were taken out.
"""

import copy

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.versions.known import Known, drop

_SUBSCRIPTION = (
    *("application", "automatic_tax", "billing_cycle_anchor_config", "cancellation_details"),
    *("currency", "description", "discounts", "invoice_settings", "on_behalf_of"),
    *("payment_settings", "test_clock", "trial_settings"),
)

_INVOICE = (
    *("account_tax_ids", "amount_shipping", "application", "automatic_tax", "discounts"),
    *("automatically_finalizes_at", "customer_shipping", "effective_at", "from_invoice", "issuer"),
    *("last_finalization_error", "latest_revision", "on_behalf_of", "paid_out_of_band"),
    *("payment_settings", "quote", "rendering", "shipping_cost", "shipping_details"),
    *("subscription_details", "subtotal_excluding_tax", "test_clock", "total_discount_amounts"),
    *("total_excluding_tax", "total_pretax_credit_amounts"),
)

_LINE = (
    *("amount_excluding_tax", "discount_amounts", "discounts", "invoice", "pretax_credit_amounts"),
    *("proration_details", "unit_amount_excluding_tax"),
)


def subscription(obj: Obj, known: Known) -> None:
    """Without them; a tax was a percentage."""
    drop(obj, *_SUBSCRIPTION)
    obj["tax_percent"] = None
    for item in obj["items"]["data"]:
        drop(item, "discounts")


def invoice(obj: Obj, known: Known) -> None:
    """Without them; a tax was a percentage."""
    drop(obj, *_INVOICE)
    obj["tax_percent"] = None
    for line in obj["lines"]["data"]:
        drop(line, *_LINE)


def charge(obj: Obj, known: Known) -> None:
    """With its refunds."""
    obj["refunds"] = _list(known.where("refund", charge=obj["id"]))


def payment_intent(obj: Obj, known: Known) -> None:
    """With its charges, where the latest alone is named since."""
    latest = obj.pop("latest_charge", None)
    made = known.find("charge", latest)
    obj["charges"] = _list([] if made is None else [made])


def _list(data: list[Obj]) -> Obj:
    return {
        "object": "list",
        "data": copy.deepcopy(data),
        "has_more": False,
        "total_count": len(data),
    }
