"""Refunds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gatekeeper.asgi.billing.back_office.shared import CHANGING, mandate_of, operation
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, after_of, paged
from gatekeeper.asgi.billing.values import Id, Reason
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import (
    InvalidInputError,
    NotFoundError,
    RefundRefusedError,
    RefundTooLargeError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.stripe.refunds import Refund, RefundReason
from gatekeeper.stripe.refunds.money import Of
from gatekeeper.types import MAX_AMOUNT

RefundStatus = Literal[
    "open", "refused", "pending", "requires_action", "succeeded", "failed", "canceled"
]


class RefundBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to give back, and why. Exactly one of `payment`, `invoice`, `order` and `purchase`.

    Attributes:
        payment: a payment intent or a charge of Stripe's.
        invoice: one of Stripe's.
        order: one of the app's.
        purchase: a checkout of the app's.
        amount_minor: in minor units of its currency; null: all that is left.
        stripe_reason: Stripe's word for why; "fraudulent" also blocks the card.
    """

    reason: Reason
    payment: Id | None = None
    invoice: Id | None = None
    order: Id | None = None
    purchase: Id | None = None
    amount_minor: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)] | None = None
    stripe_reason: RefundReason | None = None


class RefundsQuery(PageQuery, frozen=True, kw_only=True):
    """Which refunds."""

    customer: Id | None = None
    status: RefundStatus | None = None


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """A refund.

    Attributes:
        id: ours; Stripe's, if it was not asked for here.
        stripe_refund: Stripe's id, once it is made.
        status: "open": it is being sent, and counts as given; "refused": Stripe has made none. Then
            Stripe's. Of one that has failed or was canceled the money has come back.
        reason: why, in the words of whoever has asked for it here.
        failure: why it has failed or was refused.
    """

    id: str
    stripe_refund: str | None
    status: str
    customer: str | None
    payment: str | None
    charge: str | None
    invoice: str | None
    order: str | None
    amount_minor: int
    currency: str
    stripe_reason: str | None
    reason: str | None
    actor: str | None
    failure: str | None
    created_at: datetime


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Refunds(gate)
    return (
        operation(
            "POST",
            "/admin/refunds",
            routes.create,
            summary="Give money back.",
            body=RefundBody,
            answer=RefundView,
            status=201,
            errors=(
                *CHANGING,
                RefundTooLargeError,
                RefundRefusedError,
                StripeUnavailableError,
                StripeRequestError,
            ),
        ),
        operation(
            "GET",
            "/admin/refunds",
            routes.list,
            summary="All refunds, whoever has made them, the newest first.",
            query=RefundsQuery,
            answer=Page[RefundView],
            errors=(InvalidInputError,),
        ),
        operation(
            "GET",
            "/admin/refunds/{refund}",
            routes.get,
            summary="A refund that was asked for here.",
            answer=RefundView,
            errors=(NotFoundError,),
        ),
    )


class _Refunds:
    def __init__(self, gate: Gatekeeper) -> None:
        self._office = gate.back_office

    async def create(self, call: Call[RefundBody]) -> RefundView:
        body = call.body
        of = Of(
            payment=body.payment, invoice=body.invoice, order=body.order, purchase=body.purchase
        )
        return _view(
            await self._office.refunds.create(
                mandate_of(call), of, amount_minor=body.amount_minor, reason=body.stripe_reason
            )
        )

    async def list(self, call: Call[None, RefundsQuery]) -> Page[RefundView]:
        query = call.query
        found = await self._office.refunds.list(
            customer=query.customer,
            status=query.status,
            limit=query.limit + 1,
            after=after_of(query.cursor),
        )
        return paged(found, query, _view, lambda one: one.place)

    async def get(self, call: Call) -> RefundView:
        return _view(await self._office.refunds.get(call.path["refund"]))


def _view(refund: Refund) -> RefundView:
    return like(
        RefundView,
        refund,
        stripe_refund=refund.refund_id,
        payment=refund.payment_id,
        charge=refund.charge_id,
        invoice=refund.invoice_id,
        order=refund.order_id,
        stripe_reason=refund.reason,
        reason=refund.note,
    )
