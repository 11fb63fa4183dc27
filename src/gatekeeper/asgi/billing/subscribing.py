"""Subscriptions: begun in the page, changed, paused and ended there."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from gatekeeper.asgi.billing.operations import Call, Empty, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, paged, paged_of_all, place_of
from gatekeeper.asgi.billing.subscribing_values import (
    CancelSubscriptionBody,
    ChangeBody,
    HistoryView,
    PromotionBody,
    PromotionView,
    QuantityBody,
    StartedView,
    SubscribeBody,
    WantedBody,
)
from gatekeeper.errors import (
    ConflictError,
    CustomerNotFoundError,
    DiscountError,
    InvalidAmountError,
    NotFoundError,
    StripeRequestError,
    StripeUnavailableError,
    UnknownNameError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.history import HistoryEntry
from gatekeeper.services.upcoming import SubscriptionView
from gatekeeper.stripe.subscribing import Changed, Preview

_STRIPE: Final = (StripeUnavailableError, StripeRequestError)
_OWN: Final = (NotFoundError, ConflictError, *_STRIPE)
_SOLD: Final = (UnknownNameError, InvalidAmountError)


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Subscriptions(gate)
    return (*_beginning(routes), *_reading(routes), *_changing(routes))


def _beginning(routes: "_Subscriptions") -> Sequence[Operation]:
    discounted = (*_SOLD, DiscountError, CustomerNotFoundError, ConflictError, *_STRIPE)
    return (
        Operation(
            "POST",
            "/subscriptions",
            routes.begin,
            summary="Begin a subscription that is paid in the page, or go on with it.",
            body=SubscribeBody,
            answer=StartedView,
            status=201,
            errors=discounted,
        ),
        Operation(
            "POST",
            "/subscriptions/preview",
            routes.preview_start,
            summary="What a new subscription would cost. Changes nothing.",
            body=SubscribeBody,
            answer=Preview,
            errors=discounted,
        ),
        Operation(
            "POST",
            "/promotion-codes/check",
            routes.check_code,
            summary="What a promotion code takes off.",
            body=PromotionBody,
            answer=PromotionView,
            errors=discounted,
        ),
    )


def _reading(routes: "_Subscriptions") -> Sequence[Operation]:
    return (
        Operation(
            "GET",
            "/subscriptions",
            routes.all,
            summary="The customer's subscriptions, the newest first.",
            query=PageQuery,
            answer=Page[SubscriptionView],
        ),
        Operation(
            "GET",
            "/subscriptions/history",
            routes.history,
            summary="What the customer's subscriptions have been through, the newest first.",
            query=PageQuery,
            answer=Page[HistoryView],
        ),
        Operation(
            "GET",
            "/subscriptions/{subscription}",
            routes.one,
            summary="A subscription as Stripe has it now.",
            answer=SubscriptionView,
            errors=(NotFoundError, *_STRIPE),
        ),
    )


def _changing(routes: "_Subscriptions") -> Sequence[Operation]:
    own = "/subscriptions/{subscription}"
    return (
        Operation(
            "POST",
            f"{own}/preview",
            routes.preview,
            summary="What a change would cost, and when it would take effect. Changes nothing.",
            body=WantedBody,
            answer=Preview,
            errors=(*_SOLD, *_OWN),
        ),
        Operation(
            "POST",
            f"{own}/change",
            routes.change,
            summary="Change the plan, its period or the quantity.",
            body=ChangeBody,
            answer=Changed,
            errors=(*_SOLD, *_OWN),
        ),
        Operation(
            "POST",
            f"{own}/quantity",
            routes.quantity,
            summary="Change the quantity.",
            body=QuantityBody,
            answer=Changed,
            errors=(InvalidAmountError, *_OWN),
        ),
        Operation(
            "POST",
            f"{own}/cancel",
            routes.cancel,
            summary="End it with its period, or now.",
            body=CancelSubscriptionBody,
            answer=Changed,
            errors=_OWN,
        ),
        Operation(
            "POST",
            f"{own}/pause",
            routes.pause,
            summary="Bill nothing and give nothing until it is resumed.",
            body=Empty,
            answer=Changed,
            errors=_OWN,
        ),
        Operation(
            "POST",
            f"{own}/resume",
            routes.resume,
            summary="Take back a pause, or an end that has not come yet.",
            body=Empty,
            answer=Changed,
            errors=_OWN,
        ),
    )


class _Place(msgspec.Struct, array_like=True, frozen=True):
    """A `HistoryPlace` in a cursor."""

    at: datetime
    subscription: str
    sequence: int


class _Subscriptions:
    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate

    async def begin(self, call: Call[SubscribeBody]) -> StartedView:
        body = call.body
        started = await self._gate.subscribing.subscribe(
            call.customer,
            body.price,
            quantity=body.quantity,
            coupon=body.coupon,
            promotion_code=body.promotion_code,
            idempotency_key=call.idempotency_key,
        )
        return StartedView(
            checkout=started.purchase_id,
            subscription=started.subscription,
            secret=started.secret,
            amount_due_minor=started.amount_due_minor,
            currency=started.currency,
        )

    async def preview_start(self, call: Call[SubscribeBody]) -> Preview:
        body = call.body
        return await self._gate.subscribing.preview_start(
            call.customer,
            body.price,
            quantity=body.quantity,
            coupon=body.coupon,
            promotion_code=body.promotion_code,
        )

    async def check_code(self, call: Call[PromotionBody]) -> PromotionView:
        body, preview = call.body, None
        found = await self._gate.subscribing.promotion_code(body.code)
        if body.price is not None:
            preview = await self._gate.subscribing.preview_start(
                call.customer, body.price, quantity=body.quantity, promotion_code=body.code
            )
        return PromotionView(promotion_code=found, preview=preview)

    async def all(self, call: Call[None, PageQuery]) -> Page[SubscriptionView]:
        rows = await self._gate.subscriptions(call.customer)
        return paged_of_all(rows, call.query, lambda row: row, lambda row: row.id)

    async def history(self, call: Call[None, PageQuery]) -> Page[HistoryView]:
        after = place_of(call.query.cursor, _Place)
        rows = await self._gate.subscription_history(
            call.customer,
            limit=call.query.limit + 1,
            after=None if after is None else (after.at, after.subscription, after.sequence),
        )
        return paged(rows, call.query, _shown, lambda row: row.place)

    async def one(self, call: Call) -> SubscriptionView:
        return await self._gate.subscribing.look(call.customer, call.path["subscription"])

    async def preview(self, call: Call[WantedBody]) -> Preview:
        return await self._gate.subscribing.preview(
            call.customer,
            call.path["subscription"],
            price=call.body.price,
            quantity=call.body.quantity,
            when=call.body.when,
        )

    async def change(self, call: Call[ChangeBody]) -> Changed:
        return await self._gate.subscribing.change(
            call.customer,
            call.path["subscription"],
            price=call.body.price,
            quantity=call.body.quantity,
            when=call.body.when,
            as_of=call.body.as_of,
            idempotency_key=call.idempotency_key,
        )

    async def quantity(self, call: Call[QuantityBody]) -> Changed:
        return await self._gate.subscribing.change(
            call.customer,
            call.path["subscription"],
            quantity=call.body.quantity,
            as_of=call.body.as_of,
            idempotency_key=call.idempotency_key,
        )

    async def cancel(self, call: Call[CancelSubscriptionBody]) -> Changed:
        return await self._gate.subscribing.cancel(
            call.customer,
            call.path["subscription"],
            when=call.body.when,
            idempotency_key=call.idempotency_key,
        )

    async def pause(self, call: Call[Empty]) -> Changed:
        return await self._gate.subscribing.pause(
            call.customer, call.path["subscription"], idempotency_key=call.idempotency_key
        )

    async def resume(self, call: Call[Empty]) -> Changed:
        return await self._gate.subscribing.resume(
            call.customer, call.path["subscription"], idempotency_key=call.idempotency_key
        )


def _shown(entry: HistoryEntry) -> HistoryView:
    return HistoryView(
        subscription=entry.subscription_id,
        sequence=entry.sequence,
        at=entry.at,
        cause=entry.cause,
        state=entry.state,
        before=entry.before,
    )
