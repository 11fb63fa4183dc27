"""Checkout and the customer portal."""

from collections.abc import Sequence

import msgspec

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.values import Id, Line, Quantity, Url
from gatekeeper.errors import (
    ConflictError,
    DiscountError,
    InvalidAmountError,
    NotFoundError,
    ReturnUrlError,
    StripeRequestError,
    StripeUnavailableError,
    UnknownNameError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.storage.records import PurchaseStatus


class CheckoutBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to buy: a price of the catalogue, by its lookup key. Amounts are never asked for.

    Attributes:
        price: the lookup key of a plan's price, or of a pack's.
        coupon: the id of a coupon that the host has named.
        promotion_code: what the person typed.
        success_url: where to come back to after paying, in place of the host's default: a path, or
            an URL of an origin that the host allows. `{PURCHASE_ID}` and `{CHECKOUT_SESSION_ID}`
            in it are replaced.
        cancel_url: where to come back to without paying.
    """

    price: Id
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
        price: the lookup key of what was bought.
        subscription: the subscription that came of it.
    """

    checkout: str
    status: PurchaseStatus
    price: str
    quantity: int
    subscription: str | None


class PortalBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where to come back to from the portal, in place of the host's default."""

    return_url: Url | None = None


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
            errors=(
                *(UnknownNameError, InvalidAmountError, DiscountError, ReturnUrlError),
                *(ConflictError, *stripe),
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
            errors=(ReturnUrlError, *stripe),
        ),
    )


class _Buying:
    def __init__(self, gate: Gatekeeper, options: BillingOptions) -> None:
        self._gate = gate
        self._options = options

    async def start(self, call: Call[CheckoutBody]) -> CheckoutLinkView:
        body, options = call.body, self._options
        link = await self._gate.checkout(
            call.customer,
            body.price,
            quantity=body.quantity,
            coupon=body.coupon,
            promotion_code=body.promotion_code,
            idempotency_key=call.idempotency_key,
            success_url=options.return_url(call.request, body.success_url, options.success_url),
            cancel_url=options.return_url(call.request, body.cancel_url, options.cancel_url),
        )
        return CheckoutLinkView(checkout=link.purchase_id, session=link.session_id, url=link.url)

    async def status(self, call: Call) -> CheckoutView:
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
