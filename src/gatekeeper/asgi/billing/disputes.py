"""Disputes of what a seller has sold: looked at, answered, given up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gatekeeper.asgi.billing.operations import Call, Empty, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, after_of, paged
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import (
    ConflictError,
    NotFoundError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.disputes import DisputeRow

Text = Annotated[str, Meta(max_length=15_000, pattern=r"^[^\x00]*$")]
"""Evidence in words."""


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


_STRIPE = (StripeUnavailableError, StripeRequestError)


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Disputes(gate)
    return (
        Operation(
            "GET",
            "/disputes",
            routes.disputes,
            summary="The disputes of what the seller has sold, the newest first.",
            query=PageQuery,
            answer=Page[SaleDispute],
        ),
        Operation(
            "GET",
            "/disputes/{dispute}",
            routes.dispute,
            summary="A dispute.",
            answer=SaleDispute,
            errors=(NotFoundError,),
        ),
        Operation(
            "POST",
            "/disputes/{dispute}/evidence",
            routes.submit,
            summary="Hand in evidence.",
            body=EvidenceBody,
            answer=SaleDispute,
            errors=(NotFoundError, ConflictError, *_STRIPE),
        ),
        Operation(
            "POST",
            "/disputes/{dispute}/accept",
            routes.accept,
            summary="Give a dispute up.",
            body=Empty,
            answer=SaleDispute,
            errors=(NotFoundError, ConflictError, *_STRIPE),
        ),
    )


class _Disputes:
    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate

    async def disputes(self, call: Call[None, PageQuery]) -> Page[SaleDispute]:
        rows = await self._gate.disputes.of_seller(
            call.customer, limit=call.query.limit + 1, after=after_of(call.query.cursor)
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


def dispute_view(row: DisputeRow) -> SaleDispute:
    """A dispute as it is answered."""
    return like(SaleDispute, row, order=row.order_id, open=row.is_open)
