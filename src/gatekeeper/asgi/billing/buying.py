"""Checkout and the customer portal."""

from collections.abc import Sequence
from typing import Final

import msgspec

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.values import Id, Line, Quantity, Url
from gatekeeper.errors import (
    ConflictError,
    DiscountError,
    InvalidAmountError,
    InvalidInputError,
    NotFoundError,
    OrderClosedError,
    PaymentStateError,
    ReturnUrlError,
    StripeRequestError,
    StripeUnavailableError,
    UnknownNameError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.storage.records import PurchaseStatus


class CheckoutBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to buy: a price of the catalogue, by its lookup key, or an order. Amounts are never
    asked for.

    Attributes:
        price: the lookup key of a plan's price, or of a pack's.
        order: an order of the customer's, to be paid on Stripe's page; then there is no price.
        coupon: the id of a coupon that the host has named.
        promotion_code: what the person typed.
        success_url: where to come back to after paying, in place of the host's default: a path, or
            an URL of an origin that the host allows. `{PURCHASE_ID}` and `{CHECKOUT_SESSION_ID}`
            in it are replaced.
        cancel_url: where to come back to without paying.
    """

    price: Id | None = None
    order: Id | None = None
    quantity: Quantity = 1
    coupon: Id | None = None
    promotion_code: Line | None = None
    success_url: Url | None = None
    cancel_url: Url | None = None


class CheckoutLinkView(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send the person.

    Attributes:
        checkout: by this, `GET checkout/{checkout}` tells what came of it.
        session: Stripe's id of the checkout session, which does so too.
    """

    checkout: str
    session: str
    url: str


class CheckoutView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a checkout has come.

    Attributes:
        status: a delayed payment, such as a bank debit, is `pending` until it has come.
        price: the lookup key of what was bought; null for an order.
        order: the order that was to be paid; null for a price.
        subscription: the subscription that came of it.
    """

    checkout: str
    status: PurchaseStatus
    price: str | None
    quantity: int
    subscription: str | None
    order: str | None = None


class PortalBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where to come back to from the portal, in place of the host's default."""

    return_url: Url | None = None


class PortalLink(msgspec.Struct, frozen=True, kw_only=True):
    """Stripe's customer portal for this customer; good for some minutes."""

    url: str


_AS_PURCHASE: Final = {
    OrderStatus.PAID: PurchaseStatus.PAID,
    OrderStatus.REFUNDED: PurchaseStatus.PAID,
    OrderStatus.FAILED: PurchaseStatus.FAILED,
    OrderStatus.CANCELED: PurchaseStatus.EXPIRED,
}
"""What has come of the checkout of an order; pending otherwise."""


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    pages = _Buying(gate, options)
    stripe = (StripeUnavailableError, StripeRequestError)
    return (
        Operation(
            "POST",
            "/checkout",
            pages.start,
            summary="Begin to buy; the answer says where to send the person.",
            body=CheckoutBody,
            answer=CheckoutLinkView,
            errors=(
                *(UnknownNameError, InvalidAmountError, DiscountError, ReturnUrlError),
                *(ConflictError, NotFoundError, OrderClosedError, PaymentStateError, *stripe),
            ),
        ),
        Operation(
            "GET",
            "/checkout/{checkout}",
            pages.status,
            summary="How far a checkout has come: the truth for the return page.",
            answer=CheckoutView,
            errors=(NotFoundError, *stripe),
        ),
        Operation(
            "POST",
            "/portal",
            pages.portal,
            summary="A link to Stripe's customer portal.",
            body=PortalBody,
            answer=PortalLink,
            errors=(ReturnUrlError, NotFoundError, *stripe),
        ),
    )


class _Buying:
    def __init__(self, gate: Gatekeeper, options: BillingOptions) -> None:
        self._gate = gate
        self._options = options

    async def start(self, call: Call[CheckoutBody]) -> CheckoutLinkView:
        body, options = call.body, self._options
        back = options.return_url(call.request, body.success_url, options.success_url)
        away = options.return_url(call.request, body.cancel_url, options.cancel_url)
        if (body.price is None) is (body.order is None):
            raise InvalidInputError("Name a price of the catalogue, or an order.")
        if body.order is not None:
            return await self._order(call, body.order, back, away)
        link = await self._gate.checkout(
            call.customer,
            str(body.price),
            quantity=body.quantity,
            coupon=body.coupon,
            promotion_code=body.promotion_code,
            idempotency_key=call.idempotency_key,
            success_url=back,
            cancel_url=away,
        )
        return CheckoutLinkView(checkout=link.purchase_id, session=link.session_id, url=link.url)

    async def _order(
        self, call: Call[CheckoutBody], order: str, back: str, away: str
    ) -> CheckoutLinkView:
        if (call.body.quantity, call.body.coupon, call.body.promotion_code) != (1, None, None):
            raise InvalidInputError("An order has no quantity and no discount: it is priced whole.")
        link = await self._gate.orders.checkout(
            order, call.customer, success_url=back, cancel_url=away
        )
        return CheckoutLinkView(checkout=link.order, session=link.session_id, url=link.url)

    async def status(self, call: Call) -> CheckoutView:
        """Of a purchase or an order, by our id or the session's."""
        ordered = await self._gate.orders.by_checkout(call.path["checkout"], call.customer)
        if ordered is not None:
            return CheckoutView(
                checkout=ordered.id,
                status=_AS_PURCHASE.get(ordered.status, PurchaseStatus.PENDING),
                price=None,
                quantity=1,
                subscription=None,
                order=ordered.id,
            )
        found = await self._gate.checkout_status(call.path["checkout"], call.customer)
        return CheckoutView(
            checkout=found.id,
            status=found.status,
            price=found.price_lookup_key,
            quantity=found.quantity,
            subscription=found.subscription_id,
        )

    async def portal(self, call: Call[PortalBody]) -> PortalLink:
        back = self._options.return_url(
            call.request, call.body.return_url, self._options.cancel_url
        )
        return PortalLink(url=await self._gate.portal(call.customer, return_url=back))
