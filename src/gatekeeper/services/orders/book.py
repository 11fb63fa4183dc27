"""Writing and reading orders. Every order is looked up together with its owner."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from gatekeeper.errors import (
    ConflictError,
    IdempotencyConflictError,
    NotFoundError,
    OrderClosedError,
)
from gatekeeper.projection.orders import OPEN
from gatekeeper.services import customers
from gatekeeper.services.orders.payments import write
from gatekeeper.services.orders.quotes import Quote
from gatekeeper.storage.orders import Order, OrderPlace
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.request_keys import RequestKey

PRICED: Final = (
    *("amount_minor", "currency", "description", "items", "metadata", "capture"),
    *("seller", "commission_minor", "transfers"),
)
"""What of an order its pricing decides."""


def is_open(order: Order) -> bool:
    """Whether an order can be changed, and paid."""
    return order.status in OPEN


def priced(order: Order, quote: Quote, items: str) -> Order:
    """An order with what its pricing has said."""
    return replace(
        order,
        amount_minor=quote.amount_minor,
        currency=quote.currency,
        description=quote.description,
        items=items,
        metadata=msgspec.json.encode(dict(quote.metadata)).decode(),
        capture=quote.capture,
        seller=quote.seller,
        commission_minor=quote.commission_minor,
        transfers=quote.transfers,
    )


def placing(order: Order) -> Callable[[Transaction], Order]:
    """What writes a new order, in its transaction; one that is there already, of the same id or
    reference, is returned if it asks for the same.

    Raises:
        IdempotencyConflictError: in the transaction: there is one of this id, of something else.
        ConflictError: in the transaction: the customer has another order of this reference.
        CustomerNotFoundError: in the transaction: the customer was deleted.
    """

    def work(tx: Transaction) -> Order:
        customers.ensure(tx, order.customer)
        now = tx.now()
        made = replace(order, created_at=now, updated_at=now)
        if tx.orders.insert(made):
            return made
        known = tx.orders.get(order.id)
        if known is not None:
            if known.customer != order.customer or not _asks_the_same(known, order):
                raise IdempotencyConflictError()
            return known
        known = tx.orders.by_reference(order.customer, order.reference or "")
        if known is None or not _asks_the_same(known, order):
            raise ConflictError(
                "There is another order of this reference.",
                order=None if known is None else known.id,
            )
        return known

    return work


def changing(
    order_id: str, customer: str, quote: Quote, items: str, idempotency_key: str | None = None
) -> Callable[[Transaction], Order]:
    """What prices an order anew, in its transaction: once under the same key, also if the order was
    changed again since.

    Raises:
        NotFoundError: in the transaction: this customer has no such order.
        OrderClosedError: in the transaction: it is being paid, or was.
        IdempotencyConflictError: in the transaction: the key is another change's.
    """

    def work(tx: Transaction) -> Order:
        known = owned(tx, order_id, customer, lock=True)
        if idempotency_key is not None and _was_made(tx, known, items, idempotency_key):
            return known
        if not is_open(known):
            raise closed(known)
        wanted = priced(known, quote, items)
        if wanted == known:
            return known
        return write(tx, known, replace(wanted, revision=known.revision + 1), tx.now())

    return work


def _was_made(tx: Transaction, order: Order, items: str, idempotency_key: str) -> bool:
    """Whether this change was made under its key before; from now on it was."""
    scope = (order.id, idempotency_key)
    wanted = RequestKey(
        customer=order.customer,
        key=f"order-change-{hashlib.sha256(repr(scope).encode()).hexdigest()[:40]}",
        body_hash=hashlib.sha256(items.encode()).hexdigest(),
        created_at=tx.now(),
    )
    stored = tx.request_keys.use(wanted)
    if stored.body_hash != wanted.body_hash:
        raise IdempotencyConflictError()
    return stored is not wanted


def canceling(order_id: str, customer: str, reason: str | None) -> Callable[[Transaction], Order]:
    """What cancels an order, in its transaction; one that is canceled stays so.

    Raises:
        NotFoundError: in the transaction: this customer has no such order.
        OrderClosedError: in the transaction: it was paid, or is about to be.
    """

    def work(tx: Transaction) -> Order:
        known = owned(tx, order_id, customer, lock=True)
        if known.canceled_at is not None:
            return known
        if not is_open(known):
            raise closed(known)
        now = tx.now()
        return write(tx, known, replace(known, canceled_at=now, cancel_reason=reason), now)

    return work


def owned(tx: Transaction, order_id: str, customer: str, *, lock: bool = False) -> Order:
    """A customer's order.

    Raises:
        NotFoundError: they have none of this id; another's is none.
    """
    found = tx.orders.get(order_id, lock=lock)
    if found is None or found.customer != customer:
        raise NotFoundError("There is no such order.")
    return found


def listed(
    customer: str, limit: int, after: OrderPlace | None, *, sales: bool = False
) -> Callable[[Transaction], Sequence[Order]]:
    """What reads a customer's orders, the newest first; of a seller, with `sales`, those of what
    they have sold."""

    def work(tx: Transaction) -> Sequence[Order]:
        read = tx.orders.of_seller if sales else tx.orders.of_customer
        return read(customer, limit, after)

    return work


def closed(order: Order) -> OrderClosedError:
    """The error of an order that can't be changed or paid any more."""
    return OrderClosedError(f"The order is {order.status}.", order=order.id, status=order.status)


def _asks_the_same(known: Order, wanted: Order) -> bool:
    """Whether a stored order is what is asked for. One that was changed since is not told from
    what it was: it is the same order."""
    if known.reference != wanted.reference:
        return False
    if known.revision > 1:
        return True
    return all(getattr(known, name) == getattr(wanted, name) for name in PRICED)
