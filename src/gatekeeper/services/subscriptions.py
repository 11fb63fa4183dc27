"""Subscriptions and their invoices: from the facts of a projection to rows.

Plain functions over a transaction. Each says whether anything changed that access depends on, so
that the caller moves the customer's version on once, and only then.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from gatekeeper.catalog import Terms
from gatekeeper.entitlements import TERMINAL
from gatekeeper.entitlements.state import Item, PaidLine
from gatekeeper.projection import InvoiceFacts, ItemFacts, LineFacts, SubscriptionFacts
from gatekeeper.services import told
from gatekeeper.services.prices import known_price, terms_of_price
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer, Invoice, PriceRecord, Subscription

logger = logging.getLogger("gatekeeper.webhooks")

STATUSES: Final = TERMINAL | {
    "active",
    "incomplete",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
}
"""The statuses that we know
(https://docs.stripe.com/api/subscriptions/object#subscription_object-status)."""

_FIRST_ITEMS: Final = timedelta(minutes=1)
"""Items that are this much younger than their subscription were made together with it."""


class ShownPrice(msgspec.Struct, frozen=True):
    """What Stripe's price object says of itself."""

    lookup_key: str | None
    currency: str | None


def owner_of(
    tx: Transaction, stripe_customer: str | None, subscription_id: str | None
) -> Customer | None:
    """The host's customer whom an object belongs to, by Stripe's customer or, where that one has
    been replaced by another since, by the subscription that we know; None for a stranger's."""
    if stripe_customer is not None:
        found = tx.customers.by_stripe_id(stripe_customer)
        if found is not None:
            return found
    known = None if subscription_id is None else tx.subscriptions.get(subscription_id)
    return None if known is None else tx.customers.get(known.customer)


def save_subscription(
    tx: Transaction, rules: Rules, facts: SubscriptionFacts, customer: str, now: datetime
) -> bool:
    """Write a subscription with its items. Returns whether anything changed."""
    if facts.status not in STATUSES:
        logger.error(
            "subscription %s has the status %s, which this release does not know: it gives no "
            "access",
            facts.id,
            facts.status,
        )
    before = tx.subscriptions.get(facts.id)
    stored = {item.id: _own_fields(item) for item in tx.subscriptions.items(facts.id)}
    items = [_item(tx, rules, facts, item, stored.get(item.id), now) for item in facts.items]
    row = Subscription(
        id=facts.id,
        customer=customer,
        status=facts.status,
        started_at=facts.started_at,
        anchor=facts.anchor,
        trial_end=facts.trial_end,
        cancel_at=facts.cancel_at,
        ended_at=facts.ended_at,
        collection_paused=facts.collection_paused,
        latest_invoice_id=facts.latest_invoice_id,
        updated_at=now,
    )
    present = {item.id for item in items}
    changed = (
        before is None
        or replace(before, updated_at=now) != row
        or any(stored.get(item.id) != item for item in items)
        or any(item.ended_at is None for item in stored.values() if item.id not in present)
    )
    if changed:
        tx.subscriptions.save(row, items)
        if rules.tells:
            told.of_subscription(tx, before, stored.values(), row, items, now)
    return _note_unpaid(tx, facts.id) or changed


def end_subscription(tx: Transaction, subscription_id: str, now: datetime) -> bool:
    """Write that a subscription is over because Stripe has it no more. False if it was already."""
    known = tx.subscriptions.get(subscription_id)
    if known is None or known.status in TERMINAL:
        return False
    ended = replace(known, status="canceled", ended_at=known.ended_at or now, updated_at=now)
    before = tx.subscriptions.items(subscription_id)
    items = [
        replace(_own_fields(item), status="canceled", ended_at=item.ended_at or now)
        for item in before
    ]
    tx.subscriptions.save(ended, items)
    told.of_subscription(tx, known, before, ended, items, now)
    return True


def save_invoice(
    tx: Transaction,
    rules: Rules,
    facts: InvoiceFacts,
    customer: str,
    prices: Mapping[str, ShownPrice],
    now: datetime,
) -> bool:
    """Write an invoice and what its paid lines have bought. Returns whether anything changed that
    access depends on.

    The lines may come before their items: they are kept by the item's id and count once it is
    there. What of the money has gone back is noted by `plan_returns.note_invoice`, afterwards.
    """
    before = tx.subscriptions.invoice(facts.id)
    if rules.tells:
        told.of_invoice(tx, before, facts, customer, now)
    tx.subscriptions.save_invoice(
        Invoice(
            id=facts.id,
            customer=customer,
            subscription_id=facts.subscription_id,
            status=facts.status,
            amount_due_minor=facts.amount_due_minor,
            amount_paid_minor=facts.amount_paid_minor,
            currency=facts.currency,
            created_at=facts.created_at,
            finalized_at=facts.finalized_at,
            due_at=facts.due_at,
            paid_at=facts.paid_at,
            failures_told=0 if before is None else before.failures_told,
            credited_minor=facts.credited_minor,
        )
    )
    changed = False
    if facts.subscription_id is not None:
        changed = _note_unpaid(tx, facts.subscription_id)
    items = _items_of(tx, facts)
    bought = [
        line
        for line in (
            _paid_line(tx, rules, facts, fact, items, prices, now) for fact in facts.paid_lines
        )
        if line is not None
    ]
    return tx.subscriptions.add_paid_lines(customer, bought) > 0 or changed


def _item(
    tx: Transaction,
    rules: Rules,
    facts: SubscriptionFacts,
    item: ItemFacts,
    stored: Item | None,
    now: datetime,
) -> Item:
    """An item's row. Terms are a snapshot: they stay until the item gets another price."""
    if stored is not None and stored.price_id == item.price_id and stored.terms is not None:
        terms: Terms | None = stored.terms
    else:
        record = known_price(tx, rules, item.price_id, item.lookup_key, item.currency, now)
        terms = terms_of_price(rules, record)
    together = item.created_at - facts.created_at <= _FIRST_ITEMS
    return Item(
        id=item.id,
        subscription_id=facts.id,
        status=facts.status,
        price_id=item.price_id,
        quantity=item.quantity,
        terms=terms,
        started_at=facts.started_at if together else item.created_at,
        anchor=facts.anchor,
        period_start=item.period_start,
        period_end=item.period_end,
        trial_end=facts.trial_end,
        cancel_at=item.cancel_at,
        ended_at=facts.ended_at,
        collection_paused=facts.collection_paused,
    )


def _own_fields(item: Item) -> Item:
    """The item without what its invoices say of it."""
    return replace(item, unpaid_since=None, duplicate_of=None, paid_lines=())


def _note_unpaid(tx: Transaction, subscription_id: str) -> bool:
    """Keep the moment from which the grace of a past_due subscription counts. DESIGN section 6:
    when its oldest unpaid invoice was due, or was finalised. Returns whether it moved."""
    items = tx.subscriptions.items(subscription_id)
    if not items:
        return False
    oldest = tx.subscriptions.oldest_unpaid(subscription_id)
    since = None if oldest is None else oldest.due_at or oldest.finalized_at
    if all(item.unpaid_since == since for item in items):
        return False
    tx.subscriptions.set_unpaid_since(subscription_id, since)
    return True


def _items_of(tx: Transaction, facts: InvoiceFacts) -> dict[str, Item]:
    """The items that the invoice's lines bill, as far as they are known, with their paid lines."""
    named = {line.subscription_id for line in facts.paid_lines} | {facts.subscription_id}
    found = (item for name in named if name is not None for item in tx.subscriptions.items(name))
    return {item.id: item for item in found}


def _paid_line(
    tx: Transaction,
    rules: Rules,
    invoice: InvoiceFacts,
    line: LineFacts,
    items: Mapping[str, Item],
    prices: Mapping[str, ShownPrice],
    now: datetime,
) -> PaidLine | None:
    """What a paid line has bought; None if its price is not known to buy anything."""
    assert line.item_id is not None  # `paid_lines` has no others
    assert line.price_id is not None
    shown = prices.get(line.price_id, ShownPrice(line.lookup_key, line.currency))
    record = known_price(tx, rules, line.price_id, shown.lookup_key, shown.currency, now)
    terms = _terms_bought(rules, items.get(line.item_id), line.price_id, record)
    if terms is None:
        return None
    return PaidLine(
        id=line.id,
        item_id=line.item_id,
        invoice_id=invoice.id,
        start=line.start,
        end=line.end,
        quantity=line.quantity,
        terms=terms,
        proration=line.proration,
        amount_minor=line.amount_minor,
        currency=line.currency,
        paid_minor=invoice.amount_paid_minor,
    )


def _terms_bought(
    rules: Rules, item: Item | None, price_id: str, record: PriceRecord | None
) -> Terms | None:
    """The terms that a line of this price buys for the item: those with which the customer bought
    it, whatever the catalogue has become since; else today's."""
    if item is not None:
        if item.price_id == price_id and item.terms is not None:
            return item.terms
        if record is not None:  # the item has moved to another price, and this line came late
            same = [line.terms for line in item.paid_lines if line.terms.plan == record.plan]
            if same:
                return same[-1]
    return terms_of_price(rules, record)
