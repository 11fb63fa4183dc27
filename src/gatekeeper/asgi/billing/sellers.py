"""Selling: becoming a seller, what one has sold and has, and the disputes of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from gatekeeper.asgi.billing.operations import Call, Empty, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import (
    Cursor,
    Page,
    PageQuery,
    cursor_of,
    paged,
    place_of,
)
from gatekeeper.asgi.billing.values import Id, Url, instant
from gatekeeper.errors import (
    ConflictError,
    NotFoundError,
    ReturnUrlError,
    SellerNotReadyError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.disputes import DisputeRow
from gatekeeper.services.reports import SellerRow, as_csv
from gatekeeper.services.sellers import SellerState
from gatekeeper.storage.mirror import MirrorPlace
from gatekeeper.stripe.sellers import SellerBalance, SellerPayout

CSV: str = "text/csv"

Month = Annotated[
    str, Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$(?!\n)", min_length=7, max_length=7)
]
"""A month in UTC: "2026-11"."""

Text = Annotated[str, Meta(max_length=15_000, pattern=r"^[^\x00]*$")]
"""Evidence in words."""


class _Place(msgspec.Struct, array_like=True, frozen=True):
    at: Annotated[datetime, Meta(tz=True)]
    id: Id


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


class ReportQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which months, and how.

    Attributes:
        since, until: months, both included; by default the last twelve.
        format: csv for spreadsheets; without it the header Accept decides.
    """

    since: Month | None = None
    until: Month | None = None
    format: Literal["json", "csv"] | None = None


class SellerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller has sold, by month and currency.

    Attributes:
        data: the oldest month first.
    """

    data: list[SellerRow]


class SaleDispute(msgspec.Struct, frozen=True, kw_only=True):
    """What a buyer's bank asks back.

    Attributes:
        order: that was paid by it.
        amount_minor: in minor units of `currency`.
        status: Stripe's word: needs_response, under_review, won, lost, warning_..., prevented.
        due_at: until when evidence can be handed in.
        borne_by: whose loss it is, and so who may give it up.
        open: whether it is not decided.
    """

    id: str
    order: str | None
    amount_minor: int | None
    currency: str | None
    reason: str | None
    status: str | None
    due_at: datetime | None
    has_evidence: bool
    borne_by: Literal["platform", "seller"]
    open: bool
    created_at: datetime | None


class EvidenceTexts(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Evidence in words, by Stripe's names. Files are handed in on Stripe's own pages."""

    access_activity_log: Text | UnsetType = UNSET
    billing_address: Text | UnsetType = UNSET
    cancellation_policy_disclosure: Text | UnsetType = UNSET
    cancellation_rebuttal: Text | UnsetType = UNSET
    customer_email_address: Text | UnsetType = UNSET
    customer_name: Text | UnsetType = UNSET
    customer_purchase_ip: Text | UnsetType = UNSET
    duplicate_charge_explanation: Text | UnsetType = UNSET
    duplicate_charge_id: Text | UnsetType = UNSET
    product_description: Text | UnsetType = UNSET
    refund_policy_disclosure: Text | UnsetType = UNSET
    refund_refusal_explanation: Text | UnsetType = UNSET
    service_date: Text | UnsetType = UNSET
    shipping_address: Text | UnsetType = UNSET
    shipping_carrier: Text | UnsetType = UNSET
    shipping_date: Text | UnsetType = UNSET
    shipping_tracking_number: Text | UnsetType = UNSET
    uncategorized_text: Text | UnsetType = UNSET


class EvidenceBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Evidence.

    Attributes:
        submit: hand it in now; a bank reads what is handed in first. false keeps it for later.
    """

    evidence: EvidenceTexts
    submit: bool = True


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
            tag="selling",
        ),
        Operation(
            "POST",
            "/sellers/onboarding",
            routes.onboard,
            summary="Go through Stripe's onboarding, or what it asks for since.",
            body=OnboardingBody,
            answer=SellerLink,
            errors=(NotFoundError, SellerNotReadyError, ReturnUrlError, *_STRIPE),
            tag="selling",
        ),
        Operation(
            "POST",
            "/sellers/dashboard",
            routes.dashboard,
            summary="Open the seller's own dashboard at Stripe.",
            body=Empty,
            answer=SellerLink,
            errors=(NotFoundError, SellerNotReadyError, *_STRIPE),
            tag="selling",
        ),
        Operation(
            "GET",
            "/sellers/me",
            routes.me,
            summary="How far the seller has come.",
            query=SellerQuery,
            answer=SellerView,
            errors=(NotFoundError, *_STRIPE),
            tag="selling",
        ),
        Operation(
            "GET",
            "/sellers/balance",
            routes.balance,
            summary="What the seller has at Stripe now.",
            answer=SellerBalances,
            errors=(NotFoundError, SellerNotReadyError, *_STRIPE),
            tag="selling",
        ),
        Operation(
            "GET",
            "/sellers/payouts",
            routes.payouts,
            summary="What was paid out to the seller, the newest first.",
            query=PayoutQuery,
            answer=Page[SellerPayout],
            errors=(NotFoundError, SellerNotReadyError, *_STRIPE),
            tag="selling",
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
            tag="selling",
        ),
        *_of_disputes(routes),
    )


def _of_disputes(routes: "_Selling") -> Sequence[Operation]:
    return (
        Operation(
            "GET",
            "/disputes",
            routes.disputes,
            summary="The disputes of what the seller has sold, the newest first.",
            query=PageQuery,
            answer=Page[SaleDispute],
            tag="disputes",
        ),
        Operation(
            "GET",
            "/disputes/{dispute}",
            routes.dispute,
            summary="A dispute.",
            answer=SaleDispute,
            errors=(NotFoundError,),
            tag="disputes",
        ),
        Operation(
            "POST",
            "/disputes/{dispute}/evidence",
            routes.submit,
            summary="Hand in evidence.",
            body=EvidenceBody,
            answer=SaleDispute,
            errors=(NotFoundError, ConflictError, *_STRIPE),
            tag="disputes",
        ),
        Operation(
            "POST",
            "/disputes/{dispute}/accept",
            routes.accept,
            summary="Give a dispute up.",
            body=Empty,
            answer=SaleDispute,
            errors=(NotFoundError, ConflictError, *_STRIPE),
            tag="disputes",
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

    async def disputes(self, call: Call[None, PageQuery]) -> Page[SaleDispute]:
        rows = await self._gate.disputes.of_seller(
            call.customer, limit=call.query.limit + 1, after=after_of(call.query)
        )
        return paged(rows, call.query, dispute_view, lambda row: row.place)

    async def dispute(self, call: Call) -> SaleDispute:
        seller = call.customer
        return dispute_view(await self._gate.disputes.get(call.path["dispute"], seller=seller))

    async def submit(self, call: Call[EvidenceBody]) -> SaleDispute:
        return dispute_view(
            await self._gate.disputes.submit(
                call.path["dispute"],
                msgspec.to_builtins(call.body.evidence),
                seller=call.customer,
                submit=call.body.submit,
                idempotency_key=call.idempotency_key,
            )
        )

    async def accept(self, call: Call[Empty]) -> SaleDispute:
        seller = call.customer
        return dispute_view(await self._gate.disputes.accept(call.path["dispute"], seller=seller))


def after_of(query: PageQuery) -> MirrorPlace | None:
    """Where a list of copies goes on."""
    place = place_of(query.cursor, _Place)
    return None if place is None else (instant(place.at, "cursor"), place.id)


def dispute_view(row: DisputeRow) -> SaleDispute:
    """A dispute as it is answered."""
    names = set(SaleDispute.__struct_fields__) - {"order", "open"}
    fields = {name: getattr(row, name) for name in names}
    return SaleDispute(order=row.order_id, open=row.is_open, **fields)


def wants_csv(call: Call[None, ReportQuery]) -> bool:
    """Whether a report is to be CSV."""
    if call.query.format is not None:
        return call.query.format == "csv"
    return call.request.headers.get("accept", "").startswith(CSV)


def csv_answer(text: str, name: str) -> Response:
    """A report to be saved."""
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="{name}"',
        "x-content-type-options": "nosniff",
    }
    return Response(text, 200, headers, f"{CSV}; charset=utf-8; header=present")


def _seller(state: SellerState) -> SellerView:
    names = set(SellerView.__struct_fields__) - {"ready", "currently_due", "past_due"}
    fields = {name: getattr(state, name) for name in names}
    return SellerView(
        ready=state.may_be_charged_for,
        currently_due=list(state.currently_due),
        past_due=list(state.past_due),
        **fields,
    )
