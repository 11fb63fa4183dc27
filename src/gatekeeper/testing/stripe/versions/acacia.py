"""2025-02-24.acacia, from 2025-03-31.basil, which moved the most.

Source: Stripe's changelog of basil: periods went from the subscription to its items, an invoice's
subscription into `parent`, its payment into `payments`, a line's price into `pricing`; charges and
payment intents named their invoice until then.
"""

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.versions import basil
from gatekeeper.testing.stripe.versions.known import Known, drop, plan_of


def subscription(obj: Obj, known: Known) -> None:
    """One period for all items; a `plan` beside each price, and that of an only item on top."""
    items = obj["items"]["data"]
    obj["current_period_start"] = min((i["current_period_start"] for i in items), default=None)
    obj["current_period_end"] = min((i["current_period_end"] for i in items), default=None)
    for item in items:
        drop(item, "current_period_start", "current_period_end")
        item["plan"] = plan_of(item["price"])
    only = items[0] if len(items) == 1 else {}
    obj.update(plan=only.get("plan"), quantity=only.get("quantity"))
    obj["discount"] = first_discount(obj, known)
    obj["items"]["total_count"] = len(items)


def invoice(obj: Obj, known: Known) -> None:
    """Its subscription, intent and charge by their ids, and whether it is paid."""
    parent = obj.pop("parent") or {}
    details = parent.get("subscription_details")
    payments = known.where("invoice_payment", invoice=obj["id"])
    intent = known.find(
        "payment_intent", payments[0]["payment"].get("payment_intent") if payments else None
    )
    obj.update(
        application_fee_amount=None,
        charge=intent and intent["latest_charge"],
        discount=first_discount(obj, known),
        paid=obj["status"] == "paid",
        paid_out_of_band=obj["status"] == "paid" and obj["amount_due"] > 0 and intent is None,
        payment_intent=intent and intent["id"],
        quote=None,
        subscription=details and details["subscription"],
        subscription_details={"metadata": details["metadata"]} if details else None,
        tax=None,
        total_tax_amounts=[],
        transfer_data=None,
    )
    drop(obj, "amount_overpaid", "payments", "total_taxes")
    for line in obj["lines"]["data"]:
        _line(line, known)
    obj["lines"]["total_count"] = len(obj["lines"]["data"])


def first_discount(obj: Obj, known: Known) -> Obj | None:
    """The one of which there was a field of its own."""
    ids: list[str] = obj["discounts"]
    found = known.find("discount", ids[0]) if ids else None
    if found is None:
        return None
    shown = dict(found)
    basil.discount(shown, known)
    return shown


def of_invoice(obj: Obj, known: Known) -> None:
    """A charge or an intent names the invoice that it pays."""
    intent = obj["payment_intent"] if obj["object"] == "charge" else obj["id"]
    paid = [
        payment["invoice"]
        for payment in known.where("invoice_payment")
        if intent is not None and payment["payment"].get("payment_intent") == intent
    ]
    obj["invoice"] = paid[0] if paid else None


def _line(line: Obj, known: Known) -> None:
    parent, pricing = line.pop("parent") or {}, line.pop("pricing") or {}
    details = parent.get("subscription_item_details") or {}
    named = (pricing.get("price_details") or {}).get("price")
    price = known.find("price", named)
    recurring = price is not None and price["recurring"] is not None
    proration = details.get("proration", False)
    line.update(
        amount_excluding_tax=line["amount"],
        plan=plan_of(price) if price is not None and recurring else None,
        price=price,
        proration=proration,
        proration_details=details.get("proration_details"),
        subscription=details.get("subscription"),
        subscription_item=details.get("subscription_item"),
        tax_amounts=[],
        tax_rates=[],
        type="subscription" if details and not proration else "invoiceitem",
        unit_amount_excluding_tax=pricing.get("unit_amount_decimal"),
    )
    drop(line, "taxes")
