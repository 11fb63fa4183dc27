"""Orders: looked at, and captured, by those who run the app."""

from collections.abc import Sequence

import msgspec

from gatekeeper.asgi.billing.back_office.shared import CHANGING, mandate_of, operation
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.orders import OrderView, shown
from gatekeeper.asgi.billing.values import Quantity, Reason
from gatekeeper.errors import (
    InvalidAmountError,
    NotFoundError,
    PaymentStateError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper


class OfficeCaptureBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How much to take of what is held, and why.

    Attributes:
        amount_minor: null takes all of it; the rest is let go.
    """

    reason: Reason
    amount_minor: Quantity | None = None


class OfficeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order, with whose it is and whose sale."""

    customer: str
    seller: str | None
    order: OrderView


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Orders(gate)
    return (
        operation(
            "GET",
            "/admin/orders/{order}",
            routes.get,
            summary="An order of anybody's.",
            answer=OfficeOrder,
            errors=(NotFoundError,),
        ),
        operation(
            "POST",
            "/admin/orders/{order}/capture",
            routes.capture,
            summary="Take what is held of an order, once.",
            body=OfficeCaptureBody,
            answer=OfficeOrder,
            errors=(
                *CHANGING,
                PaymentStateError,
                InvalidAmountError,
                StripeUnavailableError,
                StripeRequestError,
            ),
        ),
    )


class _Orders:
    def __init__(self, gate: Gatekeeper) -> None:
        self._desk = gate.orders

    async def get(self, call: Call) -> OfficeOrder:
        found = await self._desk.any(call.path["order"])
        return OfficeOrder(customer=found.customer, seller=found.seller, order=shown(found))

    async def capture(self, call: Call[OfficeCaptureBody]) -> OfficeOrder:
        done = await self._desk.capture_by(
            mandate_of(call), call.path["order"], call.body.amount_minor
        )
        return OfficeOrder(customer=done.customer, seller=done.seller, order=shown(done))
