"""Purchases that are paid by a payment intent of our own making, without a checkout.

The row is written before the intent is asked for, and the intent's id is noted on it from Stripe's
answer to our own request: no metadata says whose a payment is. What was bought is given when the
intent, as fetched, says that it has succeeded (DESIGN invariant 10), by the business key of its
payment; never because a request was answered.
"""

import logging
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from gatekeeper.catalog import PriceEntry
from gatekeeper.services import told, top_ups
from gatekeeper.services.purchases import give
from gatekeeper.services.rules import Rules
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Purchase, PurchaseStatus, Stamp

logger = logging.getLogger("gatekeeper.webhooks")


def note_intent(tx: Transaction, purchase_id: str, intent_id: str) -> None:
    """Note by which payment intent a purchase is being paid."""
    purchase = tx.purchases.get(purchase_id, lock=True)
    if purchase is not None and purchase.payment_intent_id is None:
        tx.purchases.save(replace(purchase, payment_intent_id=intent_id))


def note_refused(
    tx: Transaction, purchase_id: str, error: str, *, intent_id: str | None, final: bool
) -> None:
    """Note that Stripe has refused the payment of a purchase; see `top_ups.note_declined`."""
    purchase = tx.purchases.get(purchase_id, lock=True)
    if purchase is None or purchase.status is not PurchaseStatus.PENDING:
        return
    failed = replace(
        purchase,
        status=PurchaseStatus.FAILED,
        payment_intent_id=purchase.payment_intent_id or intent_id,
        settled_at=tx.now(),
    )
    tx.purchases.save(failed)
    top_ups.note_declined(tx, failed, error, final=final)


def note_never_made(tx: Transaction, purchase_id: str) -> None:
    """Note that the payment of a purchase was never made."""
    purchase = tx.purchases.get(purchase_id, lock=True)
    if purchase is None or purchase.status is not PurchaseStatus.PENDING:
        return
    tx.purchases.save(replace(purchase, status=PurchaseStatus.EXPIRED, settled_at=tx.now()))
    top_ups.note_given_up(tx, purchase)


def follow_intent(tx: Transaction, rules: Rules, copy: MirrorObject) -> None:
    """What follows from a payment intent that was fetched: a purchase that is paid gives what was
    bought, once; one whose payment was refused is tried again, or not, as its top-up says. Whatever
    a customer has paid since shows that they can pay."""
    purchase = tx.purchases.by_intent(copy.id, lock=True)
    stamp = tx.stamp()
    if purchase is None or purchase.checkout_session_id is not None or stamp is None:
        if copy.status == "succeeded" and copy.customer is not None and copy.created_at is not None:
            top_ups.note_paid_otherwise(tx, copy.customer, copy.created_at)
        return
    facts = msgspec.json.decode(copy.facts, type=dict[str, Any])
    if copy.status == "succeeded":
        _fulfil(tx, rules, stamp, purchase, copy, facts)
    elif copy.status in ("requires_payment_method", "canceled"):
        error = facts.get("last_payment_error.code") or copy.status
        note_refused(tx, purchase.id, error, intent_id=None, final=copy.status == "canceled")
    elif copy.status == "requires_action":  # nobody is there to do it
        error = "authentication_required"
        note_refused(tx, purchase.id, error, intent_id=None, final=False)
    elif copy.status == "processing":
        top_ups.note_waiting(tx, purchase)


def _fulfil(
    tx: Transaction,
    rules: Rules,
    stamp: Stamp,
    purchase: Purchase,
    copy: MirrorObject,
    facts: dict[str, Any],
) -> None:
    if purchase.status is PurchaseStatus.PAID:
        return
    entry = rules.catalog.find_price(purchase.price_lookup_key)
    faults = [*_faults(tx, purchase, entry, copy, facts)]
    if not faults and entry is not None and entry.pack is not None:
        faults = [*give(tx, rules, stamp, purchase, entry.pack, copy.id)]
    status = PurchaseStatus.FAILED if faults else PurchaseStatus.PAID
    settled = replace(purchase, status=status, settled_at=tx.now())
    tx.purchases.save(settled)
    if faults:
        logger.error(
            "purchase %s of %s was paid by intent %s and gives nothing: %s",
            purchase.id,
            purchase.customer,
            copy.id,
            "; ".join(faults),
        )
        top_ups.note_declined(tx, purchase, "not_given", final=True)
        return
    told.of_purchase(tx, settled, copy.amount_minor, copy.currency)
    top_ups.note_paid(tx, settled, copy.amount_minor or 0)


def _faults(
    tx: Transaction,
    purchase: Purchase,
    entry: PriceEntry | None,
    copy: MirrorObject,
    facts: dict[str, Any],
) -> Iterator[str]:
    """What of a payment is not as it was asked for. Its amount was ours to say, by our own key: the
    catalogue may have another by now."""
    if entry is None or entry.pack is None:
        yield f"the catalogue has no price {purchase.price_lookup_key!r} of a pack any more"
        return
    customer = tx.customers.get(purchase.customer)
    if customer is None or customer.stripe_id is None or customer.stripe_id != copy.stripe_customer:
        yield "another customer paid"
    if copy.currency != entry.price.currency:
        yield f"it was paid in {copy.currency}, not in {entry.price.currency}"
    if not copy.amount_minor or facts.get("amount_received") != copy.amount_minor:
        yield f"{facts.get('amount_received')} of {copy.amount_minor} were received"
