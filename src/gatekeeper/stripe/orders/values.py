"""What hosts are told of an order's payment."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from gatekeeper.storage.orders import Order
from gatekeeper.stripe.client import Obj


class PayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an order is paid, beside what it costs.

    Attributes:
        receipt_email: where Stripe sends a receipt
            (https://docs.stripe.com/receipts).
        save_card: keep the card for later: for the customer to pay with again ("on_session"), or
            also for charging it while they are away ("off_session")
            (https://docs.stripe.com/payments/save-during-payment).
    """

    receipt_email: str | None = None
    save_card: Literal["on_session", "off_session"] | None = None


class OrderIntent(msgspec.Struct, frozen=True, kw_only=True):
    """A payment of an order, as Stripe has it.

    Attributes:
        id: of the payment intent.
        order: our id of the order.
        status: Stripe's (https://docs.stripe.com/payments/paymentintents/lifecycle).
        client_secret: by which the customer's browser goes on with it: for nobody else, and kept
            nowhere. None once there is nothing to go on with.
        next_action: what the customer is asked for, by Stripe's name: to authenticate, say.
        redirect_url: where to send them for it, if it is a page.
        failure: why the last attempt failed, by Stripe's code.
    """

    id: str
    order: str
    status: str
    amount_minor: int
    currency: str
    client_secret: str | None = None
    next_action: str | None = None
    redirect_url: str | None = None
    capturable_minor: int = 0
    received_minor: int = 0
    failure: str | None = None

    def __repr__(self) -> str:
        return f"OrderIntent(id={self.id!r}, order={self.order!r}, status={self.status!r})"


class OrderCheckout(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send the customer to pay an order."""

    order: str
    session_id: str
    url: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt of an order that was paid.

    Attributes:
        url: Stripe's page of it, which lives for a month and can be asked for again.
        number: as it is on the receipt that was sent; None if none was sent.
    """

    order: str
    url: str
    number: str | None
    captured_minor: int
    refunded_minor: int
    currency: str
    paid_at: datetime | None


def intent_of(order: Order, found: Obj) -> OrderIntent:
    """A payment intent as hosts see it."""
    status = str(found["status"])
    action: dict[str, Any] = found.get("next_action") or {}
    error: dict[str, Any] = found.get("last_payment_error") or {}
    is_over = status in ("succeeded", "canceled")
    return OrderIntent(
        id=found["id"],
        order=order.id,
        status=status,
        amount_minor=found["amount"],
        currency=found["currency"],
        client_secret=None if is_over else found.get("client_secret"),
        next_action=action.get("type"),
        redirect_url=(action.get("redirect_to_url") or {}).get("url"),
        capturable_minor=found.get("amount_capturable") or 0,
        received_minor=found.get("amount_received") or 0,
        failure=error.get("code") or found.get("cancellation_reason"),
    )
