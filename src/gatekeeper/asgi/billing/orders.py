"""Orders: what is paid once, priced by the host. Amounts are answered, and never asked for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, after_of, paged
from gatekeeper.asgi.billing.values import Id
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import (
    AmountNotChargeableError,
    ConflictError,
    DeniedError,
    NotFoundError,
    OrderClosedError,
    PaymentStateError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.storage.orders import Order
from gatekeeper.stripe.orders import Receipt

_STRIPE: Final = (StripeUnavailableError, StripeRequestError)

Reason = Literal["abandoned", "duplicate", "fraudulent", "requested_by_customer"]
"""Why something is canceled, in Stripe's words."""


class OrderBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to order. What it costs is the host's to say.

    Attributes:
        items: what is wanted, as the host's page and its pricing agreed: at most 8 KiB of JSON.
        reference: the host's own id of the order, unique among the customer's.
    """

    items: Any
    reference: Id | None = None


class ChangeOrderBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to order in place of what was ordered.

    Attributes:
        items: all that is wanted now.
    """

    items: Any


class CancelOrderBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Why it is canceled."""

    reason: Reason | None = None


class OrderQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How to look at an order.

    Attributes:
        refresh: ask Stripe first while it is not paid: for the page to which people come back, who
            may be faster than the webhook.
    """

    refresh: bool = False


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order. Amounts are in minor units of `currency`.

    Attributes:
        items: what was asked for.
        authorized_minor: what is held, to be captured.
        captured_minor: what has come in.
        refunded_minor: what of that has gone back.
        failure: why the last attempt to pay failed, by Stripe's code.
        payment_intent: the payment that is being made for it, or was.
    """

    order: str
    reference: str | None
    status: OrderStatus
    amount_minor: int
    currency: str
    description: str | None
    items: Any
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    failure: str | None
    payment_intent: str | None
    created_at: datetime
    paid_at: datetime | None
    canceled_at: datetime | None


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Orders(gate)
    closed = (NotFoundError, OrderClosedError, PaymentStateError)
    return (
        Operation(
            "POST",
            "/orders",
            routes.create,
            summary="Make an order, which the host prices.",
            body=OrderBody,
            answer=OrderView,
            status=201,
            errors=(AmountNotChargeableError, DeniedError, ConflictError),
        ),
        Operation(
            "GET",
            "/orders",
            routes.list,
            summary="The customer's orders, the newest first.",
            query=PageQuery,
            answer=Page[OrderView],
        ),
        Operation(
            "GET",
            "/orders/{order}",
            routes.get,
            summary="An order, and how far it has come.",
            query=OrderQuery,
            answer=OrderView,
            errors=(NotFoundError, *_STRIPE),
        ),
        Operation(
            "POST",
            "/orders/{order}",
            routes.change,
            summary="Change an order before it is paid; the host prices it anew.",
            body=ChangeOrderBody,
            answer=OrderView,
            errors=(AmountNotChargeableError, DeniedError, ConflictError, *closed),
        ),
        Operation(
            "POST",
            "/orders/{order}/cancel",
            routes.cancel,
            summary="Give an order up before it is paid; what is held of it is let go.",
            body=CancelOrderBody,
            answer=OrderView,
            errors=(*closed, *_STRIPE),
        ),
        Operation(
            "GET",
            "/orders/{order}/receipt",
            routes.receipt,
            summary="Stripe's receipt of an order that was paid.",
            answer=Receipt,
            errors=(NotFoundError, *_STRIPE),
        ),
    )


def shown(order: Order) -> OrderView:
    """An order as it is answered."""
    return like(
        OrderView,
        order,
        order=order.id,
        items=msgspec.json.decode(order.items),
        payment_intent=order.payment_id,
    )


class _Orders:
    def __init__(self, gate: Gatekeeper) -> None:
        self._desk = gate.orders

    async def create(self, call: Call[OrderBody]) -> OrderView:
        made = await self._desk.create(
            call.identity or call.customer,
            call.body.items,
            reference=call.body.reference,
            idempotency_key=call.idempotency_key,
        )
        return shown(made)

    async def list(self, call: Call[None, PageQuery]) -> Page[OrderView]:
        after = after_of(call.query.cursor)
        rows = await self._desk.of_customer(call.customer, limit=call.query.limit + 1, after=after)
        return paged(rows, call.query, shown, lambda order: order.place)

    async def get(self, call: Call[None, OrderQuery]) -> OrderView:
        read = self._desk.status if call.query.refresh else self._desk.get
        return shown(await read(call.path["order"], call.customer))

    async def change(self, call: Call[ChangeOrderBody]) -> OrderView:
        changed = await self._desk.change(
            call.path["order"],
            call.identity or call.customer,
            call.body.items,
            idempotency_key=call.idempotency_key,
        )
        return shown(changed)

    async def cancel(self, call: Call[CancelOrderBody]) -> OrderView:
        done = await self._desk.cancel(call.path["order"], call.customer, reason=call.body.reason)
        return shown(done)

    async def receipt(self, call: Call) -> Receipt:
        return await self._desk.receipt(call.path["order"], call.customer)
