"""What is told of subscriptions and payments, once for each change.

Written in the transaction of the change, so that what is told has happened, and is told however
the process ends.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from gatekeeper.entitlements.state import Item
from gatekeeper.projection import InvoiceFacts
from gatekeeper.services.outbox import tell
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Invoice, Purchase, Subscription

NEWS_FOR: Final = timedelta(days=7)
"""A payment that is older is no news: it was made before we were asked to look. Events are sent
again for three days (https://docs.stripe.com/webhooks#automatic-retries)."""


def of_subscription(
    tx: Transaction,
    before: Subscription | None,
    items_before: Iterable[Item],
    after: Subscription,
    items: Iterable[Item],
    now: datetime,
) -> None:
    """`subscription.changed`, if anything of it that a person would see has changed."""
    shown = _shown(after, items)
    if before is not None and _shown(before, items_before) == shown:
        return
    body = {
        **shown,
        "previous_status": None if before is None else before.status,
        "previous_cancel_at": None if before is None else before.cancel_at,
    }
    tell(tx, "subscription.changed", after.customer, body, now)


def of_invoice(
    tx: Transaction, before: Invoice | None, facts: InvoiceFacts, customer: str, now: datetime
) -> None:
    """`payment.succeeded`, when an invoice has been paid. What takes nothing from anybody, as an
    invoice of a trial, is no payment."""
    if not facts.is_paid or (before is not None and before.status == "paid"):
        return
    paid_at = facts.paid_at or facts.created_at
    if facts.amount_paid_minor > 0 and now - paid_at <= NEWS_FOR:
        body = {**_invoiced(facts), "amount_minor": facts.amount_paid_minor}
        tell(tx, "payment.succeeded", customer, body, now)


def of_failure(tx: Transaction, facts: InvoiceFacts, customer: str, now: datetime) -> None:
    """`payment.failed`, once for each attempt that Stripe has said to have failed, if the invoice
    is open still as far as we know: what has been paid meanwhile has not failed."""
    known = tx.subscriptions.invoice(facts.id)
    attempt = max(facts.attempt_count, 1)
    if known is None or known.status != "open" or attempt <= known.failures_told:
        return
    tx.subscriptions.save_invoice(replace(known, failures_told=attempt))
    body = {
        **_invoiced(facts),
        "amount_minor": facts.amount_due_minor,
        "attempt": attempt,
        "next_attempt_at": facts.next_attempt_at,
    }
    tell(tx, "payment.failed", customer, body, now)


def of_purchase(
    tx: Transaction, purchase: Purchase, amount_minor: int | None, currency: str | None
) -> None:
    """That a pack has been paid, or that a delayed payment for it failed. What a subscription
    costs is told by its invoices."""
    if purchase.subscription_id is not None or purchase.mode != "payment":
        return
    topic = {"paid": "payment.succeeded", "failed": "payment.failed"}.get(purchase.status)
    if topic is None or not amount_minor:
        return
    body: dict[str, Any] = {
        "invoice": None,
        "subscription": None,
        "purchase": purchase.id,
        "currency": currency,
        "amount_minor": amount_minor,
    }
    if topic == "payment.failed":
        body |= {"attempt": 1, "next_attempt_at": None}
    tell(tx, topic, purchase.customer, body, tx.now())


def _invoiced(facts: InvoiceFacts) -> dict[str, Any]:
    return {
        "invoice": facts.id,
        "subscription": facts.subscription_id,
        "purchase": None,
        "currency": facts.currency,
    }


def _shown(subscription: Subscription, items: Iterable[Item]) -> dict[str, Any]:
    """The part of a subscription that a person would see."""
    return {
        "subscription": subscription.id,
        "status": subscription.status,
        "trial_end": subscription.trial_end,
        "cancel_at": subscription.cancel_at,
        "ended_at": subscription.ended_at,
        "collection_paused": subscription.collection_paused,
        "items": [
            {
                "plan": None if item.terms is None else item.terms.plan,
                "price": item.price_id,
                "quantity": item.quantity,
                "period_end": item.period_end,
            }
            for item in sorted(items, key=lambda item: item.id)
            if item.ended_at is None or item.ended_at == subscription.ended_at
        ],
    }
