"""Selling: becoming a seller, what one has sold and has, and the disputes of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from gatekeeper.asgi.billing.operations import Call, Empty, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import (
    Cursor,
    Page,
    cursor_of,
    place_of,
)
from gatekeeper.asgi.billing.reporting import CSV, ReportQuery, csv_answer, wants_csv
from gatekeeper.asgi.billing.values import Id, Url
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import (
    ConflictError,
    NotFoundError,
    ReturnUrlError,
    SellerNotReadyError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.reports import SellerRow, as_csv
from gatekeeper.services.sellers import SellerState
from gatekeeper.stripe.selling.sellers import SellerBalance, SellerPayout


class BecomeSeller(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Who wants to sell.

    Attributes:
        country: where they are, in two capital letters; it can't be changed afterwards.
    """

    country: Annotated[str, Meta(pattern="^[A-Z]{2}$(?!\\n)", min_length=2, max_length=2)]


class SellerView(msgspec.Struct, frozen=True, kw_only=True):
    """A seller, and how far Stripe has let them come.

    Attributes:
        ready: whether buyers can pay for what they sell.
        details_submitted: they have been through the onboarding.
        disabled_reason: why not, in Stripe's word.
        currently_due, past_due: what Stripe still wants to know, as names of its fields.
        due_by: until when, before something is disabled.
    """

    country: str
    ready: bool
    details_submitted: bool
    charges_enabled: bool
    payouts_enabled: bool
    default_currency: str | None
    disabled_reason: str | None
    currently_due: list[str]
    past_due: list[str]
    due_by: datetime | None


class SellerQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How to look.

    Attributes:
        refresh: ask Stripe first: for the page to which the onboarding returns.
    """

    refresh: bool = False


class OnboardingBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where the onboarding leads back to: places of the app, or of an origin that it allows.

    Attributes:
        refresh_url: for a link that is used or over: a page that asks for another.
        return_url: for when they are through, or have had enough.
    """

    refresh_url: Url = "/"
    return_url: Url = "/"


class SellerLink(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send the seller.

    Attributes:
        url: of Stripe's; good once, and for some minutes.
    """

    url: str


class SellerBalances(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller has at Stripe now.

    Attributes:
        data: by currency.
    """

    data: list[SellerBalance]


class SellerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller has sold, by month and currency.

    Attributes:
        data: the oldest month first.
    """

    data: list[SellerRow]


class PayoutQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which page of the payouts.

    Attributes:
        limit: how many at most.
        cursor: `next_cursor` of the page before.
    """

    limit: Annotated[int, Meta(ge=1, le=99)] = 20
    cursor: Cursor | None = None


_STRIPE = (StripeUnavailableError, StripeRequestError)


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Selling(gate, options)
    return (
        Operation(
            "POST",
            "/sellers",
            routes.become,
            summary="Become a seller.",
            body=BecomeSeller,
            answer=SellerView,
            errors=(NotFoundError, ConflictError, *_STRIPE),
        ),
        Operation(
            "POST",
            "/sellers/onboarding",
            routes.onboard,
            summary="Go through Stripe's onboarding, or what it asks for since.",
            body=OnboardingBody,
            answer=SellerLink,
            errors=(NotFoundError, SellerNotReadyError, ReturnUrlError, *_STRIPE),
        ),
        Operation(
            "POST",
            "/sellers/dashboard",
            routes.dashboard,
            summary="Open the seller's own dashboard at Stripe.",
            body=Empty,
            answer=SellerLink,
            errors=(NotFoundError, SellerNotReadyError, *_STRIPE),
        ),
        Operation(
            "GET",
            "/sellers/me",
            routes.me,
            summary="How far the seller has come.",
            query=SellerQuery,
            answer=SellerView,
            errors=(NotFoundError, *_STRIPE),
        ),
        Operation(
            "GET",
            "/sellers/balance",
            routes.balance,
            summary="What the seller has at Stripe now.",
            answer=SellerBalances,
            errors=(NotFoundError, SellerNotReadyError, *_STRIPE),
        ),
        Operation(
            "GET",
            "/sellers/payouts",
            routes.payouts,
            summary="What was paid out to the seller, the newest first.",
            query=PayoutQuery,
            answer=Page[SellerPayout],
            errors=(NotFoundError, SellerNotReadyError, *_STRIPE),
        ),
        Operation(
            "GET",
            "/sellers/report",
            routes.report,
            summary="What the seller has sold, by month and currency.",
            query=ReportQuery,
            answer=SellerReport,
            errors=(NotFoundError,),
            media_types=(CSV,),
        ),
    )


class _Selling:
    def __init__(self, gate: Gatekeeper, options: BillingOptions) -> None:
        self._gate = gate
        self._options = options

    async def become(self, call: Call[BecomeSeller]) -> SellerView:
        return _seller(await self._gate.sellers.ensure(call.customer, call.body.country))

    async def onboard(self, call: Call[OnboardingBody]) -> SellerLink:
        def back(wanted: str) -> str:
            return self._options.return_url(call.request, wanted, "/")

        url = await self._gate.sellers.onboarding_link(
            call.customer,
            refresh_url=back(call.body.refresh_url),
            return_url=back(call.body.return_url),
        )
        return SellerLink(url=url)

    async def dashboard(self, call: Call[Empty]) -> SellerLink:
        return SellerLink(url=await self._gate.sellers.login_link(call.customer))

    async def me(self, call: Call[None, SellerQuery]) -> SellerView:
        refresh = call.query.refresh
        return _seller(await self._gate.sellers.state(call.customer, refresh=refresh))

    async def balance(self, call: Call) -> SellerBalances:
        return SellerBalances(data=list(await self._gate.sellers.balance(call.customer)))

    async def payouts(self, call: Call[None, PayoutQuery]) -> Page[SellerPayout]:
        after = place_of(call.query.cursor, Id)
        rows = await self._gate.sellers.payouts(
            call.customer, limit=call.query.limit + 1, after=after
        )
        kept = list(rows[: call.query.limit])
        more = len(rows) > len(kept)
        return Page(data=kept, next_cursor=cursor_of(kept[-1].id) if more else None)

    async def report(self, call: Call[None, ReportQuery]) -> SellerReport | Response:
        await self._gate.sellers.known(call.customer)
        reports = self._gate.reports
        span = await reports.span(call.query.since, call.query.until)
        rows = await reports.seller(call.customer, span)
        if wants_csv(call):
            return csv_answer(as_csv(rows, SellerRow), "sales.csv")
        return SellerReport(data=list(rows))


def _seller(state: SellerState) -> SellerView:
    return like(
        SellerView,
        state,
        ready=state.may_be_charged_for,
        currently_due=list(state.currently_due),
        past_due=list(state.past_due),
    )
