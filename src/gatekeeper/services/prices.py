"""What a price id of Stripe's stands for: recorded at first sight, never followed later.

A lookup key can be moved to another price and a product can be deleted; whoever bought by the old
price keeps what they bought (hard case 28).
"""

import logging
from datetime import datetime

from gatekeeper.catalog import PriceEntry, Terms
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import PriceRecord

logger = logging.getLogger("gatekeeper.webhooks")


def known_price(
    tx: Transaction,
    rules: Rules,
    price_id: str,
    lookup_key: str | None,
    currency: str | None,
    now: datetime,
) -> PriceRecord | None:
    """What the price stood for when it was first seen; recorded now if this is the first time.

    None, with an alert, if neither its id nor its lookup key is in the catalogue, or if its
    currency is not the declared one: then it buys nothing.
    """
    recorded = tx.subscriptions.price(price_id)
    if recorded is not None:
        return recorded
    entry = _entry(rules, price_id, lookup_key)
    if entry is None and rules.catalog.is_metered(lookup_key):
        return None  # it bills what is used, and buys nothing
    if entry is None:
        logger.error(
            "price %s (lookup key %s) is not in the catalogue: it gives no access. Declare it, by "
            "lookup key or in Price(ids=...), and replay the event",
            price_id,
            lookup_key,
        )
        return None
    if currency is not None and currency != entry.price.currency:
        logger.error(
            "price %s is in %s and the catalogue's %s in %s: it gives no access",
            price_id,
            currency,
            entry.price.lookup_key,
            entry.price.currency,
        )
        return None
    return record_price(tx, entry, price_id, now)


def record_price(tx: Transaction, entry: PriceEntry, price_id: str, now: datetime) -> PriceRecord:
    """Record that the price id stands for this entry of the catalogue; what is there, stays."""
    return tx.subscriptions.record_price(
        PriceRecord(
            price_id=price_id,
            lookup_key=entry.price.lookup_key,
            plan=None if entry.plan is None else entry.plan.key,
            pack=None if entry.pack is None else entry.pack.key,
            first_seen_at=now,
        )
    )


def stands_for(record: PriceRecord, entry: PriceEntry) -> bool:
    """Whether what was recorded for a price id is what this entry of the catalogue sells."""
    plan = None if entry.plan is None else entry.plan.key
    pack = None if entry.pack is None else entry.pack.key
    return (record.plan, record.pack) == (plan, pack)


def terms_of_price(rules: Rules, record: PriceRecord | None) -> Terms | None:
    """What somebody who buys by this price now is entitled to; None, with an alert, if nothing."""
    if record is None:
        return None
    if record.plan is None or record.plan not in rules.catalog.plans:
        logger.error(
            "price %s was recorded for plan %s, which the catalogue does not have: it gives no "
            "access to a new subscriber",
            record.price_id,
            record.plan,
        )
        return None
    return rules.catalog.terms(record.plan)


def _entry(rules: Rules, price_id: str, lookup_key: str | None) -> PriceEntry | None:
    entry = rules.catalog.find_price(price_id)
    if entry is None and lookup_key is not None:
        entry = rules.catalog.find_price(lookup_key)
    return entry
