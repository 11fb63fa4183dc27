"""The payments of orders, for Stripe's Elements in the host's own page."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.orders import CancelOrderBody, OrderView, shown
from gatekeeper.asgi.billing.values import Id, Quantity, Url
from gatekeeper.errors import (
    AmountNotChargeableError,
    InvalidAmountError,
    NotFoundError,
    OrderClosedError,
    PaymentStateError,
    ReturnUrlError,
    SellerNotReadyError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.stripe.orders import OrderIntent, PayOptions

_STRIPE: Final = (StripeUnavailableError, StripeRequestError)

Email = Annotated[str, Meta(min_length=3, max_length=512, pattern=r"^[^\s@]+@[^\s@]+$")]


class PayBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which order to pay, and how.

    Attributes:
        receipt_email: where Stripe sends the receipt.
        save_card: keep the card: to pay with again, or also to be charged while away.
    """

    order: Id
    receipt_email: Email | None = None
    save_card: Literal["on_session", "off_session"] | None = None


class ConfirmBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """By what to pay.

    Attributes:
        payment_method: one of the customer's; null is the one that the payment has.
        return_url: where a page that asks to authenticate sends people back to, in place of the
            host's default: a path, or an URL of an origin that the host allows.
    """

    payment_method: Id | None = None
    return_url: Url | None = None


class CapturePaymentBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How much to take of what is held.

    Attributes:
        amount_minor: null takes all of it; the rest is let go.
    """

    amount_minor: Quantity | None = None


class SaleView(msgspec.Struct, frozen=True, kw_only=True):
    """What has come of a seller's order. Amounts are in minor units of `currency`."""

    order: str
    status: OrderStatus
    captured_minor: int
    currency: str


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Payments(gate, options)
    own = (NotFoundError, OrderClosedError, PaymentStateError, *_STRIPE)
    return (
        Operation(
            "POST",
            "/payment-intents",
            routes.begin,
            summary="Begin to pay an order, or go on with it: the same payment, and secret.",
            body=PayBody,
            answer=OrderIntent,
            errors=(*own, SellerNotReadyError, AmountNotChargeableError),
        ),
        Operation(
            "GET",
            "/payment-intents/{payment_intent}",
            routes.get,
            summary="A payment as Stripe has it now.",
            answer=OrderIntent,
            errors=(NotFoundError, *_STRIPE),
        ),
        Operation(
            "POST",
            "/payment-intents/{payment_intent}/confirm",
            routes.confirm,
            summary="Pay with a saved card.",
            body=ConfirmBody,
            answer=OrderIntent,
            errors=(*own, SellerNotReadyError, ReturnUrlError),
        ),
        Operation(
            "POST",
            "/payment-intents/{payment_intent}/capture",
            routes.capture,
            summary="For the seller: take what is held of an order, once.",
            body=CapturePaymentBody,
            answer=SaleView,
            errors=(NotFoundError, PaymentStateError, InvalidAmountError, *_STRIPE),
        ),
        Operation(
            "POST",
            "/payment-intents/{payment_intent}/cancel",
            routes.cancel,
            summary="Cancel a payment; its order can be paid by another.",
            body=CancelOrderBody,
            answer=OrderView,
            errors=own,
        ),
    )


class _Payments:
    def __init__(self, gate: Gatekeeper, options: BillingOptions) -> None:
        self._desk = gate.orders
        self._options = options

    async def begin(self, call: Call[PayBody]) -> OrderIntent:
        how = PayOptions(receipt_email=call.body.receipt_email, save_card=call.body.save_card)
        return await self._desk.pay(call.body.order, call.customer, how)

    async def get(self, call: Call) -> OrderIntent:
        return await self._desk.payment(call.path["payment_intent"], call.customer)

    async def confirm(self, call: Call[ConfirmBody]) -> OrderIntent:
        options = self._options
        return await self._desk.confirm(
            call.path["payment_intent"],
            call.customer,
            payment_method=call.body.payment_method,
            return_url=options.return_url(call.request, call.body.return_url, options.success_url),
            idempotency_key=call.idempotency_key,
        )

    async def capture(self, call: Call[CapturePaymentBody]) -> SaleView:
        """A buyer is not the seller of their order, and gets a 404."""
        done = await self._desk.capture_payment(
            call.path["payment_intent"],
            call.customer,
            call.body.amount_minor,
            is_repeat=call.is_repeat,
        )
        return SaleView(
            order=done.id,
            status=done.status,
            captured_minor=done.captured_minor,
            currency=done.currency,
        )

    async def cancel(self, call: Call[CancelOrderBody]) -> OrderView:
        done = await self._desk.cancel_payment(
            call.path["payment_intent"], call.customer, reason=call.body.reason
        )
        return shown(done)
