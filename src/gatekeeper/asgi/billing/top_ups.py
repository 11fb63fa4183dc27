"""Automatic top-ups: what the customer agrees to have bought, how far it is, and what stops it."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, paged, place_of
from gatekeeper.asgi.billing.values import AmountMinor, Currency, Id, Quantity
from gatekeeper.asgi.billing.views import like
from gatekeeper.asgi.declines import shown_code
from gatekeeper.errors import (
    ConflictError,
    CustomerNotFoundError,
    InvalidAmountError,
    InvalidInputError,
    NotFoundError,
    StripeRequestError,
    StripeUnavailableError,
    UnknownNameError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.stripe.top_ups.desk import OpenPayment
from gatekeeper.topping_up import BlockReason, TopUp, TopUpState


class TopUpBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What the customer agrees to: show them the pack's price, and ask them.

    Attributes:
        threshold: a pack is bought when less than this can be spent, in the unit's smallest steps.
        pack: its key in the catalogue; it must grant the unit.
        cap_minor: the most to be spent in a calendar month (UTC), in minor units of the pack's
            currency.
        currency: which of the pack's prices; null where it has one.
    """

    threshold: Quantity
    pack: Id
    cap_minor: AmountMinor
    currency: Currency | None = None


class TopUpView(msgspec.Struct, frozen=True, kw_only=True):
    """An automatic top-up as it is now.

    Attributes:
        amount_minor: what one pack costs, as the customer agreed to it.
        spent_minor: what was paid in this calendar month (UTC), or is being paid.
        on: whether the customer wants it.
        state: "idle" until the balance falls, "due", "paying", or "blocked" by `reason`.
        reason: what nothing is bought for. By "declined", "too_many_declines", "refused" and
            "no_card" another default card is asked for, by "authentication_required" the customer
            themselves; the others are over by themselves.
        error: Stripe's code of the last decline, as far as the person may know it; else
            "generic_decline".
        next_attempt_at: when a payment that was declined is tried again, or when it is looked again
            whether anything still stands in the way.
        agreed_at: when the customer agreed to it as it is.
    """

    unit: str
    threshold: int
    pack: str
    amount_minor: int
    currency: str
    cap_minor: int
    spent_minor: int
    on: bool
    state: TopUpState
    reason: BlockReason | None
    error: str | None
    declines: int
    next_attempt_at: datetime | None
    agreed_at: datetime


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _TopUps(gate)
    return (
        Operation(
            "GET",
            "/top-ups",
            routes.all,
            summary="The customer's automatic top-ups, by unit; also those that are off.",
            query=PageQuery,
            answer=Page[TopUpView],
        ),
        Operation(
            "GET",
            "/top-ups/{unit}",
            routes.get,
            summary="The automatic top-up of a unit.",
            answer=TopUpView,
            errors=(NotFoundError,),
        ),
        Operation(
            "PUT",
            "/top-ups/{unit}",
            routes.turn_on,
            summary="Agree to an automatic top-up of a unit, or change it.",
            body=TopUpBody,
            answer=TopUpView,
            errors=(
                UnknownNameError,
                InvalidAmountError,
                InvalidInputError,
                ConflictError,
                CustomerNotFoundError,
            ),
        ),
        Operation(
            "DELETE",
            "/top-ups/{unit}",
            routes.turn_off,
            summary="Turn an automatic top-up off; a payment under way ends as it will.",
            answer=TopUpView,
            errors=(NotFoundError,),
        ),
        Operation(
            "GET",
            "/top-ups/{unit}/payment",
            routes.payment,
            summary="The payment that waits for the customer, where the bank asks for them.",
            answer=OpenPayment,
            errors=(NotFoundError, StripeUnavailableError, StripeRequestError),
        ),
    )


class _TopUps:
    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate

    async def all(self, call: Call[None, PageQuery]) -> Page[TopUpView]:
        after = place_of(call.query.cursor, str)
        rows = [
            one
            for one in await self._gate.top_ups.of(call.customer)
            if after is None or one.unit > after
        ]
        return paged(rows[: call.query.limit + 1], call.query, _shown, lambda one: one.unit)

    async def get(self, call: Call) -> TopUpView:
        return _shown(await self._gate.top_ups.get(call.customer, call.path["unit"]))

    async def turn_on(self, call: Call[TopUpBody]) -> TopUpView:
        body = call.body
        actor = None if call.identity is None else call.identity.actor
        return _shown(
            await self._gate.top_ups.turn_on(
                call.customer,
                call.path["unit"],
                threshold=body.threshold,
                pack=body.pack,
                cap_minor=body.cap_minor,
                currency=body.currency,
                actor=actor or call.customer,
            )
        )

    async def turn_off(self, call: Call) -> TopUpView:
        return _shown(await self._gate.top_ups.turn_off(call.customer, call.path["unit"]))

    async def payment(self, call: Call) -> OpenPayment:
        return await self._gate.top_ups.open_payment(call.customer, call.path["unit"])


def _shown(top_up: TopUp) -> TopUpView:
    waits = top_up.state in (TopUpState.DUE, TopUpState.BLOCKED)
    return like(
        TopUpView,
        top_up,
        on=top_up.is_on,
        error=_error(top_up),
        next_attempt_at=top_up.due_at if waits else None,
    )


def _error(top_up: TopUp) -> str | None:
    """What of a decline the person may know: whoever holds a card that was lost or stolen may be
    who took it (https://docs.stripe.com/declines/codes)."""
    if top_up.error is None or top_up.reason is BlockReason.REFUSED:
        return None
    if top_up.reason is BlockReason.AUTHENTICATION_REQUIRED:
        return BlockReason.AUTHENTICATION_REQUIRED
    return shown_code(top_up.error)
