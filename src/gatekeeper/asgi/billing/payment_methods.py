"""The payment methods that a customer has saved."""

from collections.abc import Sequence

from gatekeeper.asgi.billing.operations import Call, Empty, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, paged_of_all
from gatekeeper.errors import (
    ConflictError,
    CustomerNotFoundError,
    NotFoundError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.stripe.subscribing import SavedMethod, SetupStarted


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _PaymentMethods(gate)
    stripe = (StripeUnavailableError, StripeRequestError)
    return (
        Operation(
            "GET",
            "/payment-methods",
            routes.all,
            summary="What the customer has saved, the newest first.",
            query=PageQuery,
            answer=Page[SavedMethod],
            errors=stripe,
        ),
        Operation(
            "POST",
            "/payment-methods/setup",
            routes.setup,
            summary="Begin to save a payment method; the page confirms it.",
            body=Empty,
            answer=SetupStarted,
            status=201,
            errors=(CustomerNotFoundError, ConflictError, *stripe),
        ),
        Operation(
            "POST",
            "/payment-methods/{payment_method}/default",
            routes.set_default,
            summary="Pay by this one from now on, running subscriptions too.",
            body=Empty,
            answer=SavedMethod,
            errors=(NotFoundError, ConflictError, *stripe),
        ),
        Operation(
            "DELETE",
            "/payment-methods/{payment_method}",
            routes.detach,
            summary="Forget one that pays for nothing.",
            status=204,
            errors=(NotFoundError, ConflictError, *stripe),
        ),
    )


class _PaymentMethods:
    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate

    async def all(self, call: Call[None, PageQuery]) -> Page[SavedMethod]:
        rows = await self._gate.payment_methods.saved(call.customer)
        return paged_of_all(rows, call.query, lambda row: row, lambda row: row.id)

    async def setup(self, call: Call[Empty]) -> SetupStarted:
        return await self._gate.payment_methods.setup(
            call.customer, idempotency_key=call.idempotency_key
        )

    async def set_default(self, call: Call[Empty]) -> SavedMethod:
        return await self._gate.payment_methods.set_default(
            call.customer, call.path["payment_method"], idempotency_key=call.idempotency_key
        )

    async def detach(self, call: Call) -> None:
        await self._gate.payment_methods.detach(
            call.customer, call.path["payment_method"], idempotency_key=call.idempotency_key
        )
