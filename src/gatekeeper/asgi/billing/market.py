"""What the back office does about sellers: transfers, disputes, and the platform's report."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec
from starlette.responses import Response

from gatekeeper.asgi.billing.back_office.shared import CHANGING, mandate_of, operation
from gatekeeper.asgi.billing.disputes import EvidenceTexts, SaleDispute, dispute_view
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, after_of, paged, place_of
from gatekeeper.asgi.billing.reporting import CSV, ReportQuery, csv_answer, wants_csv
from gatekeeper.asgi.billing.values import Id, Instant, Reason
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import InvalidInputError, StripeRequestError, StripeUnavailableError
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.reports import PlatformRow, as_csv
from gatekeeper.services.sellers import SellerState
from gatekeeper.storage.paybacks import Payback
from gatekeeper.storage.transfers import Transfer, TransferStatus


class TransferPlace(NamedTuple):
    """Where a transfer stands in their list."""

    status: Id
    at: Instant
    id: Id


class TransferQuery(PageQuery, frozen=True, kw_only=True):
    """Which transfers.

    Attributes:
        status: without it, those that were not sent yet, and first what Stripe has refused.
    """

    status: Literal["owed", "failed", "sent", "discarded"] | None = None


class TransferBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Why a transfer is tried again, or given up."""

    reason: Reason


class OfficeEvidence(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Evidence, and why it is handed in.

    Attributes:
        submit: hand it in now; a bank reads what is handed in first. false keeps it for later.
    """

    reason: Reason
    evidence: EvidenceTexts
    submit: bool = True


class AcceptBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Why a dispute is given up."""

    reason: Reason


class TransferView(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller is owed of a charge, or was sent.

    Attributes:
        customer: who has paid.
        destination: the seller's connected account.
        attempts: how often Stripe has refused it, and `last_error` why.
        transfer_id: Stripe's, once it is sent.
        reversed_minor: what of it was taken back.
        due_at: when it is tried next, while it is not sent.
    """

    id: str
    status: str
    customer: str
    charge_id: str
    destination: str
    amount_minor: int
    currency: str
    attempts: int
    transfer_id: str | None
    reversed_minor: int
    last_error: str | None
    created_at: datetime
    due_at: datetime
    sent_at: datetime | None


class PaybackView(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller is to give back of an order.

    Attributes:
        id: what it is for: refund/re_... or dispute/du_...
        customer: who has paid.
        destination: the seller's connected account.
        attempts: how often Stripe has refused it, and `last_error` why.
        due_at: when it is tried next.
    """

    id: str
    status: str
    order_id: str
    customer: str
    destination: str
    amount_minor: int
    currency: str
    attempts: int
    last_error: str | None
    created_at: datetime
    due_at: datetime


class SellerLine(msgspec.Struct, frozen=True, kw_only=True):
    """A seller.

    Attributes:
        account_id: their connected account; null while it is being made.
        may_be_charged_for: whether buyers can pay for what they sell.
        disabled_reason: why not, in Stripe's word.
        has_left: the account has left the platform.
    """

    customer: str
    country: str
    account_id: str | None
    may_be_charged_for: bool
    payouts_enabled: bool
    disabled_reason: str | None
    has_left: bool


class PlatformReport(msgspec.Struct, frozen=True, kw_only=True):
    """The platform's money, by month and currency.

    Attributes:
        data: the oldest month first.
    """

    data: list[PlatformRow]


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Market(gate)
    stripe = (StripeUnavailableError, StripeRequestError)
    return (
        operation(
            "GET",
            "/admin/transfers",
            routes.transfers,
            summary="What sellers are owed, or were sent.",
            query=TransferQuery,
            answer=Page[TransferView],
            errors=(InvalidInputError,),
        ),
        operation(
            "POST",
            "/admin/transfers/{transfer}/retry",
            routes.retry,
            summary="Try a transfer at once, that was refused or discarded.",
            body=TransferBody,
            answer=TransferView,
            errors=CHANGING,
        ),
        operation(
            "POST",
            "/admin/transfers/{transfer}/discard",
            routes.discard,
            summary="Say that a transfer is not to be sent.",
            body=TransferBody,
            answer=TransferView,
            errors=CHANGING,
        ),
        operation(
            "GET",
            "/admin/paybacks",
            routes.paybacks,
            summary="What sellers are to give back of orders, and did not yet.",
            query=PageQuery,
            answer=Page[PaybackView],
            errors=(InvalidInputError,),
        ),
        operation(
            "GET",
            "/admin/sellers",
            routes.sellers,
            summary="All sellers.",
            query=PageQuery,
            answer=Page[SellerLine],
        ),
        operation(
            "GET",
            "/admin/report",
            routes.report,
            summary="The platform's money, by month and currency.",
            query=ReportQuery,
            answer=PlatformReport,
            media_types=(CSV,),
        ),
        operation(
            "POST",
            "/admin/disputes/{dispute}/evidence",
            routes.submit,
            summary="Hand in evidence.",
            body=OfficeEvidence,
            answer=SaleDispute,
            errors=(*CHANGING, *stripe),
        ),
        operation(
            "POST",
            "/admin/disputes/{dispute}/accept",
            routes.accept,
            summary="Give a dispute up.",
            body=AcceptBody,
            answer=SaleDispute,
            errors=(*CHANGING, *stripe),
        ),
    )


class _Market:
    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate

    async def transfers(self, call: Call[None, TransferQuery]) -> Page[TransferView]:
        desk, query = self._gate.transfers, call.query
        after = place_of(query.cursor, TransferPlace)
        most = query.limit + 1
        if query.status is None:
            found = await desk.unsent(most, after)
        else:
            place = None if after is None else (after.at, after.id)
            found = await desk.listed(TransferStatus(query.status), most, place)
        return paged(found, query, _transfer, lambda one: (one.status, one.created_at, one.id))

    async def retry(self, call: Call[TransferBody]) -> TransferView:
        transfer = call.path["transfer"]
        return _transfer(await self._gate.transfers.retry_by(mandate_of(call), transfer))

    async def discard(self, call: Call[TransferBody]) -> TransferView:
        transfer = call.path["transfer"]
        return _transfer(await self._gate.transfers.discard_by(mandate_of(call), transfer))

    async def paybacks(self, call: Call[None, PageQuery]) -> Page[PaybackView]:
        after, most = after_of(call.query.cursor), call.query.limit + 1
        found = await self._gate.transfers.unmade_paybacks(most, after)
        return paged(found, call.query, _payback, lambda one: (one.created_at, one.id))

    async def sellers(self, call: Call[None, PageQuery]) -> Page[SellerLine]:
        after = place_of(call.query.cursor, Id)
        rows = await self._gate.sellers.listed(limit=call.query.limit + 1, after=after)
        return paged(rows, call.query, _line, lambda row: row.customer)

    async def report(self, call: Call[None, ReportQuery]) -> PlatformReport | Response:
        reports = self._gate.reports
        rows = await reports.platform(await reports.span(call.query.since, call.query.until))
        if wants_csv(call):
            return csv_answer(as_csv(rows, PlatformRow), "report.csv")
        return PlatformReport(data=list(rows))

    async def submit(self, call: Call[OfficeEvidence]) -> SaleDispute:
        return dispute_view(
            await self._gate.disputes.submit(
                call.path["dispute"],
                msgspec.to_builtins(call.body.evidence),
                submit=call.body.submit,
                mandate=mandate_of(call),
            )
        )

    async def accept(self, call: Call[AcceptBody]) -> SaleDispute:
        desk = self._gate.disputes
        return dispute_view(await desk.accept(call.path["dispute"], mandate=mandate_of(call)))


def _line(one: SellerState) -> SellerLine:
    return like(SellerLine, one)


def _transfer(one: Transfer) -> TransferView:
    return like(TransferView, one)


def _payback(one: Payback) -> PaybackView:
    return like(PaybackView, one)
