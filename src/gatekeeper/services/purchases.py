"""Purchases: what a customer was sent to Stripe to pay, and what came of it.

The row is written before the customer leaves. What was bought is read from there and from the
catalogue, and held against the session that Stripe returns: nothing that went through a browser,
and no metadata, decides anything (DESIGN invariant 10). The webhook and the return page call the
same `fulfil`; the row's lock and the grant's business key make it grant once.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from gatekeeper.catalog import Pack, PriceEntry
from gatekeeper.entitlements import TERMINAL
from gatekeeper.errors import CustomerNotFoundError, IdempotencyConflictError
from gatekeeper.ledger import GrantCredits, GrantKind
from gatekeeper.projection import CheckoutFacts
from gatekeeper.services import accounts, clawbacks, duplicates, told, top_ups, velocity
from gatekeeper.services.outbox import tell
from gatekeeper.services.prices import stands_for
from gatekeeper.services.rules import Rules
from gatekeeper.storage.payments import Share
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Purchase, PurchaseStatus, Stamp

logger = logging.getLogger("gatekeeper.webhooks")

ELEMENTS: Final = "elements"
"""The mode of a purchase of a subscription that is paid in the host's own page, without a session
of Stripe's."""

_BOUGHT: Final = frozenset({"active", "trialing", "past_due"})
"""The statuses of a subscription that was begun: what it is then is its own business."""


class SoldLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a checkout session as Stripe has it: amounts from Stripe's own price object."""

    price_id: str
    quantity: int
    unit_amount_minor: int | None
    currency: str | None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout session and its lines."""

    facts: CheckoutFacts
    lines: tuple[SoldLine, ...]


def open_purchase(tx: Transaction, wanted: Purchase) -> Purchase:
    """Write a purchase, or return the one of this id: the same request, made again.

    Raises:
        IdempotencyConflictError: that one is for something else.
    """
    known = tx.purchases.get(wanted.id, lock=True)
    if known is None:
        tx.purchases.insert(wanted)
        return wanted
    if (known.customer, known.price_lookup_key, known.quantity) != (
        wanted.customer,
        wanted.price_lookup_key,
        wanted.quantity,
    ):
        raise IdempotencyConflictError()
    return known


def attach_session(
    tx: Transaction, purchase_id: str, session_id: str, replaces: str | None
) -> Purchase | None:
    """Note the session in which a purchase is being paid, in place of an expired one."""
    purchase = tx.purchases.get(purchase_id, lock=True)
    if purchase is None or purchase.checkout_session_id not in (None, replaces):
        return purchase  # somebody else, with the same request, was faster
    purchase = replace(
        purchase, checkout_session_id=session_id, status=PurchaseStatus.PENDING, settled_at=None
    )
    tx.purchases.save(purchase)
    _tell_started(tx, purchase)
    return purchase


def attach_subscription(
    tx: Transaction, purchase_id: str, subscription_id: str, replaces: str | None
) -> Purchase | None:
    """Note the subscription that a purchase in the host's own page is of, in place of one that was
    never paid."""
    purchase = tx.purchases.get(purchase_id, lock=True)
    if purchase is None or purchase.subscription_id not in (None, replaces):
        return purchase  # somebody else, with the same request, was faster
    purchase = replace(
        purchase, subscription_id=subscription_id, status=PurchaseStatus.PENDING, settled_at=None
    )
    tx.purchases.save(purchase)
    _tell_started(tx, purchase)
    return purchase


def _tell_started(tx: Transaction, purchase: Purchase) -> None:
    body = {
        "purchase": purchase.id,
        "price": purchase.price_lookup_key,
        "quantity": purchase.quantity,
        "mode": purchase.mode,
    }
    checkout = f"checkout-{purchase.id}"  # another session of the same purchase is the same one
    tell(tx, "checkout.started", purchase.customer, body, tx.now(), signal_id=checkout)


def abandon(tx: Transaction, purchase_id: str) -> None:
    """Note that nothing was begun for a purchase, unless the same request has begun by now; made
    once more, the request brings it back."""
    purchase = tx.purchases.get(purchase_id, lock=True)
    if purchase is not None and purchase.checkout_session_id is purchase.subscription_id is None:
        tx.purchases.save(replace(purchase, status=PurchaseStatus.EXPIRED, settled_at=tx.now()))


def follow_subscription(
    tx: Transaction, rules: Rules, customer: str, subscription_id: str, status: str
) -> None:
    """Settle the purchase in the host's own page that a subscription came of, once it is paid, or
    has ended unpaid. What it gives, the subscription gives by itself."""
    for purchase in tx.purchases.pending(customer):
        if purchase.mode != ELEMENTS or purchase.subscription_id != subscription_id:
            continue
        if status in TERMINAL:
            over = replace(purchase, status=PurchaseStatus.EXPIRED, settled_at=tx.now())
            tx.purchases.save(over)
        elif status in _BOUGHT:
            paid = replace(purchase, status=PurchaseStatus.PAID, settled_at=tx.now())
            tx.purchases.save(paid)
            duplicates.flag(tx, rules, paid)


def fulfil(
    tx: Transaction, rules: Rules, stamp: Stamp, session: Session, *, failed: bool = False
) -> Purchase | None:
    """Give what was bought in a session, if it is paid; None if the session is not one of ours.

    Safe to call at any time, any number of times, from anywhere. A completed session that is not
    paid yet (a bank debit, say) gives nothing (https://docs.stripe.com/checkout/fulfillment).

    Args:
        stamp: the account and mode of our key.
        failed: Stripe has said that the delayed payment failed.
    """
    facts = session.facts
    purchase = tx.purchases.by_session(facts.id, lock=True)
    if purchase is None or purchase.status is PurchaseStatus.PAID:
        return purchase
    if facts.status == "expired":
        return _settle(tx, purchase, facts, PurchaseStatus.EXPIRED)
    if not facts.is_settled:
        return _settle(tx, purchase, facts, PurchaseStatus.FAILED) if failed else purchase
    entry = rules.catalog.find_price(purchase.price_lookup_key)
    faults = [*_faults(tx, stamp, purchase, entry, session)]
    if not faults and entry is not None and entry.pack is not None:
        paid_by = facts.payment_intent_id or facts.id  # nothing to pay has no payment
        faults = [*give(tx, rules, stamp, purchase, entry.pack, paid_by)]
    if faults:
        logger.error(
            "purchase %s of %s was paid in session %s and gives nothing: %s",
            purchase.id,
            purchase.customer,
            facts.id,
            "; ".join(faults),
        )
        return _settle(tx, purchase, facts, PurchaseStatus.FAILED)
    settled = _settle(tx, purchase, facts, PurchaseStatus.PAID)
    if settled.subscription_id is not None:
        duplicates.flag(tx, rules, settled)
    return settled


def _settle(
    tx: Transaction, purchase: Purchase, facts: CheckoutFacts, status: PurchaseStatus
) -> Purchase:
    settled = replace(
        purchase,
        status=status,
        payment_intent_id=facts.payment_intent_id,
        subscription_id=facts.subscription_id,
        settled_at=tx.now(),
    )
    if replace(settled, settled_at=purchase.settled_at) != purchase:
        tx.purchases.save(settled)
        if status is PurchaseStatus.PAID or not facts.is_settled:  # else it was paid, and is faulty
            told.of_purchase(tx, settled, facts.amount_total_minor, facts.currency)
        if status is PurchaseStatus.PAID and facts.amount_total_minor:
            top_ups.note_paid_otherwise(tx, settled.customer, tx.now())
        return settled
    return purchase


def _faults(
    tx: Transaction, stamp: Stamp, purchase: Purchase, entry: PriceEntry | None, session: Session
) -> Iterator[str]:
    """What of a paid session is not as it was when the customer was sent to it."""
    facts, lines = session.facts, session.lines
    if entry is None:
        yield f"the catalogue has no price {purchase.price_lookup_key!r} any more"
        return
    if facts.livemode != stamp.livemode:
        yield "it was paid in the other mode"
    if facts.mode != purchase.mode:
        yield f"it was a session for {facts.mode}, not for {purchase.mode}"
    customer = tx.customers.get(purchase.customer)
    if customer is None or customer.stripe_id is None or facts.customer != customer.stripe_id:
        yield "another customer paid"
    if facts.currency != entry.price.currency:
        yield f"it was paid in {facts.currency}, not in {entry.price.currency}"
    if len(lines) != 1:
        yield f"it has {len(lines)} lines, not one"
        return
    line = lines[0]
    recorded = tx.subscriptions.price(line.price_id)
    if recorded is None or not stands_for(recorded, entry):
        yield f"price {line.price_id} is not the one it was started with"
        return
    if line.quantity != purchase.quantity:
        yield f"the quantity is {line.quantity}, not {purchase.quantity}"
    if entry.pack is not None:
        yield from _amount_faults(purchase, entry, facts, line)


def _amount_faults(
    purchase: Purchase, entry: PriceEntry, facts: CheckoutFacts, line: SoldLine
) -> Iterator[str]:
    """What is wrong with the amount that was paid for a pack.

    It has to be the amount of the price that was recorded when the checkout began, whose own
    amount was held against the catalogue then. The catalogue may have been changed since, while
    the customer was paying: that is no fault of theirs.
    """
    unit = line.unit_amount_minor
    paid = facts.amount_total_minor
    # What was taken off is what Stripe has taken off by the discounts that the session allowed.
    if unit is None or paid is None or paid + facts.discount_minor != unit * purchase.quantity:
        yield f"the amount is {paid}, not {purchase.quantity} times {unit}"
    elif unit != entry.price.amount_minor:
        logger.warning(
            "purchase %s was paid at %d, the price of %s when it began; it is %d now",
            purchase.id,
            unit,
            entry.price.lookup_key,
            entry.price.amount_minor,
        )


def give(
    tx: Transaction,
    rules: Rules,
    stamp: Stamp,
    purchase: Purchase,
    pack: Pack,
    paid_by: str,
) -> Iterator[str]:
    """Grant what the pack holds, once for ever by its business key; yields why it could not."""
    now = tx.now()
    payment = tx.payments.lock(paid_by)
    try:  # before any account is locked: freezing locks the customer first
        velocity.check(tx, rules, purchase.customer, buying=purchase)
    except CustomerNotFoundError:
        yield "the customer was deleted"
        return
    shares: list[Share] = []
    try:
        # Accounts are locked in the order in which everybody locks them.
        for amount in sorted(pack.amounts, key=lambda amount: amount.unit.key):
            key = clawbacks.pack_key(stamp, paid_by, amount.unit.key)
            given = accounts.grant(
                tx,
                rules,
                purchase.customer,
                amount.unit.key,
                GrantCredits(
                    grant_id=str(uuid7()),
                    amount=amount.amount * purchase.quantity,
                    kind=GrantKind.TOP_UP,
                    source_key=key,
                    expires_at=_expiry(pack, now),
                    reason=pack.key,
                ),
            )
            shares.append(
                Share(
                    unit=given.unit,
                    grant_id=given.id,
                    key=key,
                    amount=amount.amount * purchase.quantity,
                    kind=given.kind,
                    expires_at=given.expires_at,
                )
            )
    except CustomerNotFoundError:
        yield "the customer was deleted"
        return
    clawbacks.note_grants(tx, rules, payment, purchase.customer, tuple(shares))


def _expiry(pack: Pack, now: datetime) -> datetime | None:
    days = pack.expires_after_days
    return None if days is None else now + timedelta(days=days)
