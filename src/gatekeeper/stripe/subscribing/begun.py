"""What a customer has begun in the host's page: the rows by which it is found again."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from msgspec.structs import replace
from uuid_utils.compat import uuid7

from gatekeeper.services import purchases
from gatekeeper.services.purchases import ELEMENTS
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Purchase, PurchaseStatus
from gatekeeper.types import check_id

_AT_ONCE: Final = timedelta(minutes=10)
"""How long a purchase may still be getting its subscription; its process may have died."""


def purchase_id(customer: str, idempotency_key: str | None) -> str:
    """The id of a purchase: the same for the same key of the same customer."""
    if idempotency_key is None:
        return f"pur_{uuid7().hex}"
    check_id(idempotency_key, "idempotency key")
    scoped = repr((ELEMENTS, customer, idempotency_key)).encode()
    return f"pur_{hashlib.sha256(scoped).hexdigest()[:32]}"


def begun(tx: Transaction, customer: str, lookup_key: str) -> Sequence[Purchase]:
    """The customer's purchases of the same price that have a subscription which may wait for a
    confirmation: an unpaid one, or a trial without a payment method."""
    trying = [
        one
        for one in tx.purchases.paid(customer)
        if one.mode == ELEMENTS
        and one.subscription_id is not None
        and (row := tx.subscriptions.get(one.subscription_id)) is not None
        and row.status == "trialing"
    ]
    return [
        one
        for one in (*tx.purchases.pending(customer), *trying)
        if one.mode == ELEMENTS
        and one.subscription_id is not None
        and one.price_lookup_key == lookup_key
    ]


def begun_at_once(tx: Transaction, wanted: Purchase) -> Purchase | None:
    """The same purchase, by another request of just now that is still on its way to Stripe."""
    for one in tx.purchases.pending(wanted.customer):
        alike = (one.mode, one.price_lookup_key, one.quantity) == (
            ELEMENTS,
            wanted.price_lookup_key,
            wanted.quantity,
        )
        if alike and wanted.created_at - one.created_at < _AT_ONCE:
            return one
    return None


def under(tx: Transaction, own: str, purchase: Purchase) -> Purchase:
    """A purchase of the same subscription under the name that another key has, so that the key
    leads to it ever after.

    Raises:
        IdempotencyConflictError: the key was used for something else.
    """
    tx.customers.get(purchase.customer, lock=True)
    opened = purchases.open_purchase(
        tx,
        Purchase(
            id=own,
            customer=purchase.customer,
            price_lookup_key=purchase.price_lookup_key,
            quantity=purchase.quantity,
            mode=ELEMENTS,
            status=PurchaseStatus.PENDING,
            created_at=tx.now(),
            subscription_id=purchase.subscription_id,
        ),
    )
    if opened.subscription_id != purchase.subscription_id:
        opened = replace(opened, subscription_id=purchase.subscription_id)
        tx.purchases.save(opened)
    return opened
