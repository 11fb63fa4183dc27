"""What a seller does with what they have sold: takes the money that is held, gives it back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gatekeeper.asgi.billing.operations import Call, Empty, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, after_of, paged
from gatekeeper.asgi.billing.values import Line, Quantity
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import (
    ConflictError,
    InvalidAmountError,
    NotFoundError,
    OrderClosedError,
    PaymentStateError,
    RefundRefusedError,
    RefundTooLargeError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.back_office.mandates import Mandate
from gatekeeper.services.sales import share_of
from gatekeeper.storage.orders import Order
from gatekeeper.stripe.refunds.money import Of


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """An order of what a seller sells. Amounts are in minor units of `currency`.

    Attributes:
        status: pending, processing, paid, failed, canceled or refunded.
        authorized_minor: what is held, to be captured.
        returned_minor: what the buyer has back, disputes included.
        commission_minor: what the platform keeps.
        share_minor: what is the seller's of what was captured; before, of the whole.
        capture: manual, if the seller is to capture it.
        failure: why the last attempt to pay failed.
    """

    id: str
    status: str
    amount_minor: int
    authorized_minor: int
    captured_minor: int
    returned_minor: int
    commission_minor: int
    share_minor: int
    currency: str
    description: str | None
    reference: str | None
    capture: str
    transfers: str
    failure: str | None
    created_at: datetime
    paid_at: datetime | None


class CaptureSaleBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to take of what is held.

    Attributes:
        amount_minor: null takes all of it; of a part, the rest is let go.
    """

    amount_minor: Quantity | None = None


class SaleRefundBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to give back, and why.

    Attributes:
        amount_minor: null gives back all that is left.
        reason: in the seller's words; the buyer is not told.
        stripe_reason: Stripe's word for it.
    """

    amount_minor: Quantity | None = None
    reason: Annotated[Line, Meta(min_length=1)] = "refunded by the seller"
    stripe_reason: Literal["duplicate", "requested_by_customer"] | None = None


class SaleRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund that was asked for.

    Attributes:
        status: open while it is being made; then Stripe's word.
    """

    id: str
    status: str
    amount_minor: int
    currency: str
    created_at: datetime


_STRIPE = (StripeUnavailableError, StripeRequestError)


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Sales(gate)
    return (
        Operation(
            "GET",
            "/sellers/orders",
            routes.listed,
            summary="What the seller has sold, the newest first.",
            query=PageQuery,
            answer=Page[Sale],
        ),
        Operation(
            "GET",
            "/sellers/orders/{order}",
            routes.one,
            summary="One sale.",
            answer=Sale,
            errors=(NotFoundError,),
        ),
        Operation(
            "POST",
            "/sellers/orders/{order}/capture",
            routes.capture,
            summary="Take the money that is held, or a part of it.",
            body=CaptureSaleBody,
            answer=Sale,
            errors=(NotFoundError, PaymentStateError, InvalidAmountError, *_STRIPE),
        ),
        Operation(
            "POST",
            "/sellers/orders/{order}/refund",
            routes.refund,
            summary="Give the buyer their money back, or a part of it.",
            body=SaleRefundBody,
            answer=SaleRefund,
            status=201,
            errors=(
                *(NotFoundError, ConflictError, InvalidAmountError),
                *(RefundTooLargeError, RefundRefusedError, *_STRIPE),
            ),
        ),
        Operation(
            "POST",
            "/sellers/orders/{order}/cancel",
            routes.cancel,
            summary="Call a sale off before it is paid: what is held is let go.",
            body=Empty,
            answer=Sale,
            errors=(NotFoundError, OrderClosedError, PaymentStateError, *_STRIPE),
        ),
    )


class _Sales:
    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate

    async def listed(self, call: Call[None, PageQuery]) -> Page[Sale]:
        after = after_of(call.query.cursor)
        rows = await self._gate.orders.of_seller(
            call.customer, limit=call.query.limit + 1, after=after
        )
        return paged(rows, call.query, _sale, lambda row: row.place)

    async def one(self, call: Call) -> Sale:
        return _sale(await self._owned(call))

    async def capture(self, call: Call[CaptureSaleBody]) -> Sale:
        order = await self._owned(call)
        captured = await self._gate.orders.capture(
            order.id, call.body.amount_minor, seller=call.customer, is_repeat=call.is_repeat
        )
        return _sale(captured)

    async def refund(self, call: Call[SaleRefundBody]) -> SaleRefund:
        order = await self._owned(call)
        made = await self._gate.refunds.create(
            Mandate(
                actor=f"seller of {order.id}",  # the record outlives an erasure of theirs
                reason=call.body.reason,
                idempotency_key=call.idempotency_key,
            ),
            Of(order=order.id),
            amount_minor=call.body.amount_minor,
            reason=call.body.stripe_reason,
        )
        return like(SaleRefund, made)

    async def cancel(self, call: Call[Empty]) -> Sale:
        order = await self._owned(call)
        return _sale(await self._gate.orders.cancel(order.id, order.customer))

    async def _owned(self, call: Call) -> Order:
        """The order that the path names, if the customer has sold it."""
        return await self._gate.orders.sale(call.path["order"], call.customer)


def _sale(order: Order) -> Sale:
    whole = order.captured_minor or order.amount_minor
    share = share_of(order, whole)
    return like(Sale, order, returned_minor=order.refunded_minor, share_minor=share)
