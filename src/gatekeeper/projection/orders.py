"""What an order has come to: its state, from its own row and from what Stripe says of its payments.

Absolute, never a step: the same facts make the same state in whatever order they came, and however
often. A payment that is not for exactly the order's amount and currency, or was not made by its
customer, does not pay it, whatever its metadata says (DESIGN invariant 10); neither does a second
one. What has come in like that is `mispaid`: it is told, and for the host to give back.

The statuses of a payment are those of Stripe's payment intents
(https://docs.stripe.com/payments/paymentintents/lifecycle).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec


class OrderStatus(StrEnum):
    """How far an order has come."""

    PENDING = "pending"
    """Nothing was paid yet; the customer may be about to, or is asked to authenticate."""

    PROCESSING = "processing"
    """The money is on its way, or is held until it is captured."""

    PAID = "paid"
    """Paid, all of it or the part that was captured; a part of it may have been refunded."""

    FAILED = "failed"
    """The last attempt to pay has failed; another may be made."""

    CANCELED = "canceled"
    """Given up before it was paid."""

    REFUNDED = "refunded"
    """All that was paid has gone back."""


MOVES: Final[Mapping[OrderStatus, frozenset[OrderStatus]]] = {
    OrderStatus.PENDING: frozenset(OrderStatus) - {OrderStatus.PENDING},
    OrderStatus.PROCESSING: frozenset(OrderStatus) - {OrderStatus.PROCESSING},
    OrderStatus.FAILED: frozenset(OrderStatus) - {OrderStatus.FAILED},
    OrderStatus.PAID: frozenset({OrderStatus.REFUNDED}),
    OrderStatus.REFUNDED: frozenset({OrderStatus.PAID}),  # a refund failed, or a dispute was won
    OrderStatus.CANCELED: frozenset(),
}
"""Where an order may go from each state. What was paid stays so, whatever comes later."""

OPEN: Final = frozenset({OrderStatus.PENDING, OrderStatus.FAILED})
"""An order that can be changed, and paid."""

PAYABLE: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
"""The statuses of a payment that its customer can go on with."""

OVER: Final = frozenset({"succeeded", "canceled"})
"""The statuses that a payment never leaves."""

LAPSED: Final = frozenset({"automatic", "expired"})
"""Why Stripe itself cancels a payment: what was held was not captured in time
(https://docs.stripe.com/api/payment_intents/object#payment_intent_object-cancellation_reason)."""

MISMATCH: Final = "payment_mismatch"
"""Why an order has failed whose payment does not pay it."""


class PaymentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One payment of an order, as Stripe has it. Amounts are in minor units.

    Attributes:
        status: of the payment intent.
        capturable_minor: what is held and can be captured.
        received_minor: what has come in.
        returned_minor: what of that has gone back, by refunds and disputes.
        failure: Stripe's code of why the last attempt failed, or why the payment was canceled.
        fault: why it can't pay the order, whatever its amount.
    """

    id: str
    status: str
    amount_minor: int
    currency: str
    capturable_minor: int = 0
    received_minor: int = 0
    returned_minor: int = 0
    failure: str | None = None
    fault: str | None = None


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What an order asks for.

    Attributes:
        payment_id: the payment that is being made now.
    """

    amount_minor: int
    currency: str
    canceled: bool = False
    payment_id: str | None = None


class OrderState(msgspec.Struct, frozen=True, kw_only=True):
    """What an order has come to.

    Attributes:
        authorized_minor: what is held, to be captured.
        paid_by: the payment that paid it.
        mispaid: payments whose money has come in, stays, and does not pay it.
    """

    status: OrderStatus
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    failure: str | None = None
    paid_by: str | None = None
    mispaid: tuple[str, ...] = ()


def order_state(terms: OrderTerms, payments: Sequence[PaymentFacts]) -> OrderState:
    """The state of an order with these payments, the oldest first."""
    came = [one for one in payments if one.status == "succeeded" and one.received_minor > 0]
    paying = None
    if not terms.canceled:
        paying = next((one for one in came if _pays(terms, one)), None)
    mispaid = tuple(
        one.id for one in came if one is not paying and one.received_minor > one.returned_minor
    )
    if paying is not None:
        returned = min(max(paying.returned_minor, 0), paying.received_minor)
        is_gone = returned == paying.received_minor
        return OrderState(
            status=OrderStatus.REFUNDED if is_gone else OrderStatus.PAID,
            captured_minor=paying.received_minor,
            refunded_minor=returned,
            paid_by=paying.id,
            mispaid=mispaid,
        )
    if terms.canceled:
        return OrderState(status=OrderStatus.CANCELED, mispaid=mispaid)
    current = next((one for one in payments if one.id == terms.payment_id), None)
    return msgspec.structs.replace(_unpaid(terms, current), mispaid=mispaid)


def _unpaid(terms: OrderTerms, current: PaymentFacts | None) -> OrderState:
    """The state of an order by the payment that is being made for it."""
    if current is None:
        return OrderState(status=OrderStatus.PENDING)
    if current.status in ("processing", "requires_capture"):
        held = current.capturable_minor if _pays(terms, current) else 0
        return OrderState(status=OrderStatus.PROCESSING, authorized_minor=held)
    failure = current.failure
    if current.status == "succeeded":
        failure = current.fault or MISMATCH
    elif current.status == "canceled" and failure not in LAPSED:
        failure = None  # somebody has canceled it: the order can be paid by another
    if failure is not None:
        return OrderState(status=OrderStatus.FAILED, failure=failure)
    return OrderState(status=OrderStatus.PENDING)


def _pays(terms: OrderTerms, payment: PaymentFacts) -> bool:
    """Whether a payment is for this order: what of it was captured may be less."""
    return (
        payment.fault is None
        and payment.currency == terms.currency
        and payment.amount_minor == terms.amount_minor
        and payment.received_minor <= terms.amount_minor
    )
