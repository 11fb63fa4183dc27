"""What an order has come to by what Stripe says of its payments: written and told with it.

Plain functions over a transaction. What is written of a payment is what Stripe says now, in all, so
that any order of events comes to the same; the order's own row is locked first.
"""

import logging
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gatekeeper.projection import CheckoutFacts
from gatekeeper.projection.clawback import ChargeMoney
from gatekeeper.projection.orders import (
    MOVES,
    OrderState,
    OrderStatus,
    OrderTerms,
    PaymentFacts,
    order_state,
)
from gatekeeper.services import sales
from gatekeeper.services.outbox import tell
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.orders import Order, OrderPayment
from gatekeeper.storage.port import Transaction

logger = logging.getLogger("gatekeeper.webhooks")

STRANGER: Final = "another_customer"
"""The fault of a payment that was not made by the order's customer."""


def write(
    tx: Transaction, known: Order, wanted: Order, now: datetime, payment: OrderPayment | None = None
) -> Order:
    """Write an order, which is locked as `known`, with what is newly known of a payment of it; tell
    what has come of it."""
    payments = list(tx.orders.payments(known.id))
    before = _state(known, payments)
    if payment is not None:
        tx.orders.put_payment(payment)
        payments = list(tx.orders.payments(known.id))
    state = _state(wanted, payments)
    if state.status is not known.status and state.status not in MOVES[known.status]:
        logger.error("order %s would go from %s to %s", known.id, known.status, state.status)
        return known
    paid_at = known.paid_at or (now if state.captured_minor else None)
    written = replace(
        wanted,
        status=state.status,
        authorized_minor=state.authorized_minor,
        captured_minor=state.captured_minor,
        refunded_minor=state.refunded_minor,
        failure=state.failure,
        payment_id=state.paid_by or wanted.payment_id,
        paid_at=paid_at,
    )
    if written != known:
        written = replace(written, updated_at=now)
        tx.orders.save(written)
        _tell(tx, known, written, now)
        if known.paid_at is None and written.paid_at is not None:
            paid_by = tx.orders.payment(written.payment_id or "")
            if paid_by is not None and paid_by.charge_id is not None:
                sales.note_paid(tx, written, paid_by.charge_id, written.captured_minor)
    for name in sorted({*state.mispaid}.difference(before.mispaid)):
        logger.error("payment %s has come in and does not pay order %s", name, known.id)
        tell(tx, "order.mispaid", written.customer, {**_shown(written), "payment": name}, now)
    return written


def attach(tx: Transaction, order: Order, payment: OrderPayment, now: datetime) -> Order:
    """Note that a payment is being made for an order, which is locked; what was heard of it before
    counts at once."""
    known = tx.orders.payment(payment.id)
    if known is not None and known.order_id != order.id:
        logger.error("payment %s is not order %s's", payment.id, order.id)
        return order
    found = known or payment
    copy = tx.mirror.get("payment_intent", payment.id)
    if copy is not None:
        found = _seen(found, order, copy)
    returned = tx.payments.get(payment.id)
    if returned is not None and returned.returned_minor:
        found = replace(found, returned_minor=returned.returned_minor)
    return write(tx, order, replace(order, payment_id=payment.id), now, found)


def note_intent(tx: Transaction, copy: MirrorObject, now: datetime) -> None:
    """Note what Stripe says of a payment intent, if it is an order's."""
    found = tx.orders.payment(copy.id)
    order = None if found is None else tx.orders.get(found.order_id, lock=True)
    payment = tx.orders.payment(copy.id)  # as it is now that nobody else writes it
    if order is not None and payment is not None:
        write(tx, order, order, now, _seen(payment, order, copy))


def note_charge(tx: Transaction, money: ChargeMoney, now: datetime) -> None:
    """Note what of an order's payment has gone back, in all. A charge of which nothing was captured
    says nothing of its payment."""
    found = tx.orders.payment(money.payment_id) if money.amount_minor else None
    order = None if found is None else tx.orders.get(found.order_id, lock=True)
    payment = tx.orders.payment(money.payment_id)
    if order is not None and payment is not None:
        seen = replace(payment, charge_id=money.id, returned_minor=money.returned_minor)
        write(tx, order, order, now, seen)


def note_session(tx: Transaction, facts: CheckoutFacts, now: datetime) -> None:
    """Note by which payment an order was paid in a checkout session, if it is an order's. One that
    is open may bring another yet."""
    found = None if facts.status == "open" else tx.orders.by_session(facts.id)
    order = None if found is None else tx.orders.get(found.id, lock=True)
    if order is None or facts.payment_intent_id is None:
        return
    if tx.orders.payment(facts.payment_intent_id) is not None:
        return
    payment = OrderPayment(
        id=facts.payment_intent_id,
        order_id=order.id,
        customer=order.customer,
        status="requires_confirmation",
        amount_minor=facts.amount_total_minor or 0,
        currency=facts.currency or "",
        created_at=facts.created_at or now,
    )
    attach(tx, order, payment, now)


def _seen(payment: OrderPayment, order: Order, copy: MirrorObject) -> OrderPayment:
    """A payment as its copy says."""
    facts = msgspec.json.decode(copy.facts, type=dict[str, Any])
    failure = None
    if copy.status == "canceled":
        failure = facts.get("cancellation_reason")
    elif copy.status == "requires_payment_method":
        failure = facts.get("last_payment_error.code")
    return replace(
        payment,
        status=copy.status or payment.status,
        amount_minor=payment.amount_minor if copy.amount_minor is None else copy.amount_minor,
        currency=copy.currency or payment.currency,
        capturable_minor=facts.get("amount_capturable") or 0,
        received_minor=facts.get("amount_received") or 0,
        charge_id=facts.get("latest_charge") or payment.charge_id,
        failure=failure,
        fault=None if copy.customer == order.customer else STRANGER,
    )


def _state(order: Order, payments: list[OrderPayment]) -> OrderState:
    terms = OrderTerms(
        amount_minor=order.amount_minor,
        currency=order.currency,
        canceled=order.canceled_at is not None,
        payment_id=order.payment_id,
    )
    facts = [
        PaymentFacts(**{name: getattr(one, name) for name in PaymentFacts.__struct_fields__})
        for one in payments
    ]
    return order_state(terms, facts)


def _tell(tx: Transaction, before: Order, after: Order, now: datetime) -> None:
    """Tell what has become of an order."""
    topics = []
    if after.authorized_minor and not before.authorized_minor:
        topics.append("order.authorized")
    if after.paid_at is not None and before.paid_at is None:
        topics.append("order.paid")
    if after.refunded_minor != before.refunded_minor:
        topics.append("order.refunded")
    for topic, status in (
        ("order.failed", OrderStatus.FAILED),
        ("order.canceled", OrderStatus.CANCELED),
    ):
        if after.status is status and (before.status, before.failure) != (status, after.failure):
            topics.append(topic)
    for topic in topics:
        tell(tx, topic, after.customer, _shown(after), now)


def _shown(order: Order) -> dict[str, Any]:
    return {
        "order": order.id,
        "reference": order.reference,
        "status": order.status,
        "amount_minor": order.amount_minor,
        "authorized_minor": order.authorized_minor,
        "captured_minor": order.captured_minor,
        "refunded_minor": order.refunded_minor,
        "currency": order.currency,
        "payment": order.payment_id,
        "failure": order.failure,
    }
