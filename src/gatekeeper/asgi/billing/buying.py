"""Checkout and the customer portal."""

from collections.abc import Sequence

import msgspec

from gatekeeper.asgi.billing.operations import Call, Empty, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.values import Id, Quantity
from gatekeeper.errors import (
    ConflictError,
    InvalidAmountError,
    NotFoundError,
    StripeRequestError,
    StripeUnavailableError,
    UnknownNameError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.storage.records import PurchaseStatus


class CheckoutBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What to buy: a price of the catalogue, by its lookup key. Nothing else counts."""

    price: Id
    quantity: Quantity = 1


class CheckoutLinkView(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send the person.

    Attributes:
        checkout: by this, `GET checkout/{checkout}` tells what came of it.
    """

    checkout: str
    url: str


class CheckoutView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a checkout has come."""

    checkout: str
    status: PurchaseStatus


class PortalLink(msgspec.Struct, frozen=True, kw_only=True):
    """Stripe's customer portal for this customer; good for some minutes."""

    url: str


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
            errors=(UnknownNameError, InvalidAmountError, ConflictError, *stripe),
        ),
        Operation(
            "GET",
            "/checkout/{purchase}",
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
            body=Empty,
            answer=PortalLink,
            errors=stripe,
        ),
    )


class _Buying:
    def __init__(self, gate: Gatekeeper, options: BillingOptions) -> None:
        self._gate = gate
        self._options = options

    async def start(self, call: Call[CheckoutBody]) -> CheckoutLinkView:
        link = await self._gate.checkout(
            call.customer,
            call.body.price,
            quantity=call.body.quantity,
            idempotency_key=call.idempotency_key,
            success_url=self._back(call, self._options.success_url),
            cancel_url=self._back(call, self._options.cancel_url),
        )
        return CheckoutLinkView(checkout=link.purchase_id, url=link.url)

    async def status(self, call: Call) -> CheckoutView:
        purchase = await self._gate.checkout_status(call.path["purchase"], call.customer)
        return CheckoutView(checkout=purchase.id, status=purchase.status)

    async def portal(self, call: Call[Empty]) -> PortalLink:
        back = self._back(call, self._options.cancel_url)
        return PortalLink(url=await self._gate.portal(call.customer, return_url=back))

    def _back(self, call: Call, default: str) -> str:
        return self._options.return_url(call.request, None, default)
