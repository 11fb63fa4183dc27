"""Subscriptions: begun in the page, changed, paused and ended there."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from gatekeeper.asgi.billing.operations import Call, Empty, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, paged, place_of
from gatekeeper.asgi.billing.values import Id, Line, Quantity
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
from gatekeeper.services.history import HistoryEntry, State
from gatekeeper.services.upcoming import SubscriptionView
from gatekeeper.storage.mirror import Cause
from gatekeeper.stripe.subscribing import Changed, Preview, PromotionCode, Secret

_STRIPE: Final = (StripeUnavailableError, StripeRequestError)
_OWN: Final = (NotFoundError, ConflictError, *_STRIPE)
_SOLD: Final = (UnknownNameError, InvalidAmountError)


class SubscribeBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to subscribe to: a price of the catalogue. Amounts are never asked for.

    Attributes:
        price: the lookup key of a plan's price.
        coupon: the id of a coupon that the host has named.
        promotion_code: what the person typed.
    """

    price: Id
    quantity: Quantity = 1
    coupon: Id | None = None
    promotion_code: Line | None = None


class StartedView(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that waits for what `secret` confirms.

    Attributes:
        checkout: by this, `GET checkout/{checkout}` tells what came of it.
        secret: for `stripe.confirmPayment` or `stripe.confirmSetup`; null: nothing is left to do.
        amount_due_minor: what the first invoice asks for, in minor units of `currency`.
    """

    checkout: str
    subscription: SubscriptionView
    secret: Secret | None
    amount_due_minor: int
    currency: str


class WantedBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a subscription is to be; what is left out stays.

    Attributes:
        price: the lookup key of a plan's price.
        when: "period_end" lets more wait for the next period too; less does so anyway, or by the
            host's policy not.
    """

    price: Id | None = None
    quantity: Quantity | None = None
    when: Literal["now", "period_end"] | None = None


class ChangeBody(WantedBody, frozen=True, kw_only=True):
    """What a subscription is to be; what is left out stays.

    Attributes:
        price: the lookup key of a plan's price.
        when: "period_end" lets more wait for the next period too; less does so anyway, or by the
            host's policy not.
        as_of: the `at` of a preview of the last quarter of an hour: what it showed is billed.
    """

    as_of: datetime | None = None


class QuantityBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How many there are to be.

    Attributes:
        as_of: the `at` of a preview of the last quarter of an hour: what it showed is billed.
    """

    quantity: Quantity
    as_of: datetime | None = None


class CancelBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """When it is to end. Nothing is refunded."""

    when: Literal["now", "period_end"] = "period_end"


class PromotionBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A promotion code that a person typed.

    Attributes:
        price: what it is to be used for, by the lookup key of a plan's price: then the answer says
            what that would cost, and whether the code may be used for it.
    """

    code: Line
    price: Id | None = None
    quantity: Quantity = 1


class PromotionView(msgspec.Struct, frozen=True, kw_only=True):
    """What a promotion code takes off, and what a new subscription would cost with it."""

    promotion_code: PromotionCode
    preview: Preview | None


class HistoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a subscription.

    Attributes:
        sequence: from 1 on, within the subscription.
        before: the state until then; null for the first.
    """

    subscription: str
    sequence: int
    at: datetime
    cause: Cause
    state: State
    before: State | None


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
            body=CancelBody,
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
        after = place_of(call.query.cursor, str)
        ids = [row.id for row in rows]
        first = ids.index(after) + 1 if after in ids else 0
        return paged(
            rows[first : first + call.query.limit + 1],
            call.query,
            lambda row: row,
            lambda row: row.id,
        )

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

    async def cancel(self, call: Call[CancelBody]) -> Changed:
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
