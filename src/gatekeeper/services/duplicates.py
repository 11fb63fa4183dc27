"""Duplicates: a plan that a customer has paid for twice, in two checkouts that were open at once.

They are had once: the later subscription of the two counts for nothing while the other is running
(`entitlements.state.counted`). It is flagged, told to the host and, by policy, canceled and
refunded (`stripe/duplicates.py`).
"""

import logging
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.entitlements import TERMINAL
from gatekeeper.services import plan_returns
from gatekeeper.services.outbox import tell
from gatekeeper.services.outbox.caches import outdate
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Purchase, Subscription

logger = logging.getLogger("gatekeeper.webhooks")

TOPIC = "payment.duplicate"


def flag(tx: Transaction, rules: Rules, purchase: Purchase) -> None:
    """Find what a subscription that was paid just now was paid beside, and note it.

    Two are duplicates if they are of the same plan, and each checkout had begun before the other
    was known to be paid: whoever buys a second subscription later means it.
    """
    plan_returns.lock(tx, purchase.customer)  # two that are paid at once see each other here
    mine = _running(tx, purchase)
    for other in tx.purchases.paid(purchase.customer):
        theirs = _running(tx, other)
        if mine is None or theirs is None or mine.id == theirs.id:
            continue
        if other.duplicate_of is not None or not _alike(rules, purchase, other):
            continue
        pair = sorted(((mine, purchase), (theirs, other)), key=_in_turn)
        (original, first), (duplicate, second) = pair
        tx.purchases.save(replace(second, duplicate_of=first.id))
        tx.subscriptions.set_duplicate_of(duplicate.id, original.id)
        logger.error("purchase %s was paid beside %s of the same plan", second.id, first.id)
        body = {
            "purchase": second.id,
            "subscription": duplicate.id,
            "invoice": duplicate.latest_invoice_id,
            "price": second.price_lookup_key,
            "duplicate_of": {"purchase": first.id, "subscription": original.id},
        }
        tell(tx, TOPIC, purchase.customer, body, tx.now())
        plan_returns.settle(tx, rules, purchase.customer)
        return


def outdate_with(tx: Transaction, rules: Rules, customer: str) -> int:
    """Give a customer's entitlements a new version after a change of a subscription. If a duplicate
    takes the place of its original by that, it grants what was taken back of it."""
    state = tx.customers.state(customer)
    if state is not None and any(item.duplicate_of is not None for item in state.items):
        return plan_returns.settle(tx, rules, customer)
    return outdate(tx, customer)


def _running(tx: Transaction, purchase: Purchase) -> Subscription | None:
    if purchase.subscription_id is None:
        return None
    found = tx.subscriptions.get(purchase.subscription_id)
    return None if found is None or found.status in TERMINAL else found


def _in_turn(one: tuple[Subscription, Purchase]) -> tuple[bool, datetime, str]:
    """What is paid comes before a trial, and then the earlier before the later."""
    subscription = one[0]
    return subscription.status == "trialing", subscription.started_at, subscription.id


def _alike(rules: Rules, one: Purchase, other: Purchase) -> bool:
    if one.settled_at is None or other.settled_at is None:
        return False
    at_once = max(one.created_at, other.created_at) <= min(one.settled_at, other.settled_at)
    return at_once and _plan(rules, one) == _plan(rules, other) is not None


def _plan(rules: Rules, purchase: Purchase) -> str | None:
    entry = rules.catalog.find_price(purchase.price_lookup_key)
    return None if entry is None or entry.plan is None else entry.plan.key
