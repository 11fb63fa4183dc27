"""Invoices and payments: what was billed, what was taken, and paying what is open."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

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
from gatekeeper.services.statements import InvoiceRow, PaymentRow


class InvoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice. Amounts are in minor units of `currency`.

    Attributes:
        number: as it stands on the invoice.
        status: Stripe's word: open, paid, uncollectible or void.
        total_minor: of the whole invoice.
        due_minor: what is asked for, after what the customer had to their credit.
        credited_minor: what was given back after it was paid.
        reason: why it was made; Stripe's `billing_reason`.
        next_attempt_at: when Stripe tries to collect it again.
    """

    id: str
    number: str | None
    status: str
    currency: str
    total_minor: int
    due_minor: int
    paid_minor: int
    remaining_minor: int
    credited_minor: int
    subscription: str | None
    reason: str | None
    created_at: datetime | None
    due_at: datetime | None
    paid_at: datetime | None
    period_start: datetime | None
    period_end: datetime | None
    next_attempt_at: datetime | None


class InvoiceWithLinks(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice with its links.

    Attributes:
        hosted_url: Stripe's page of it, where it can be paid. Whoever has the link sees the
            invoice: show it to the customer, and keep it nowhere.
        pdf_url: the invoice as a PDF; the same goes for it.
    """

    invoice: InvoiceView
    hosted_url: str | None
    pdf_url: str | None


class PaymentRefund(msgspec.Struct, frozen=True, kw_only=True):
    """Money that went back, in minor units of `currency`.

    Attributes:
        status: Stripe's word: pending, requires_action, succeeded, failed or canceled.
    """

    id: str
    status: str | None
    amount_minor: int
    currency: str
    created_at: datetime | None


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment. Amounts are in minor units of `currency`.

    Attributes:
        status: Stripe's word: succeeded, pending or failed.
        captured: false while the money is only reserved.
        disputed: whether the bank was asked for it back.
        failure_code: why it failed.
    """

    id: str
    payment_intent: str | None
    status: str
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    currency: str
    created_at: datetime | None
    captured: bool
    disputed: bool
    failure_code: str | None
    refunds: list[PaymentRefund]


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Invoices(gate)
    stripe = (StripeUnavailableError, StripeRequestError)
    return (
        Operation(
            "GET",
            "/invoices",
            routes.invoices,
            summary="The customer's invoices, the newest first.",
            query=PageQuery,
            answer=Page[InvoiceView],
        ),
        Operation(
            "GET",
            "/invoices/{invoice}",
            routes.invoice,
            summary="An invoice, with the links to its page and its PDF.",
            answer=InvoiceWithLinks,
            errors=(NotFoundError, *stripe),
        ),
        Operation(
            "POST",
            "/invoices/{invoice}/pay",
            routes.pay,
            summary="Pay an open invoice now, by the card on file.",
            body=Empty,
            answer=InvoiceView,
            errors=(NotFoundError, ConflictError, *stripe),
        ),
        Operation(
            "GET",
            "/payments",
            routes.payments,
            summary="The customer's payments with their refunds, the newest first.",
            query=PageQuery,
            answer=Page[PaymentView],
        ),
    )


class _Invoices:
    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate

    async def invoices(self, call: Call[None, PageQuery]) -> Page[InvoiceView]:
        rows = await self._gate.statements.invoices(
            call.customer, limit=call.query.limit + 1, after=after_of(call.query.cursor)
        )
        return paged(rows, call.query, _invoice, lambda row: row.place)

    async def invoice(self, call: Call) -> InvoiceWithLinks:
        invoice_id = call.path["invoice"]
        row = await self._gate.statements.invoice(call.customer, invoice_id)
        links = await self._gate.invoices.links(call.customer, invoice_id)
        return InvoiceWithLinks(
            invoice=_invoice(row), hosted_url=links.hosted_url, pdf_url=links.pdf_url
        )

    async def pay(self, call: Call[Empty]) -> InvoiceView:
        invoice_id = call.path["invoice"]
        await self._gate.statements.invoice(call.customer, invoice_id)  # whose it is, comes first
        row = await self._gate.invoices.pay(
            call.customer, invoice_id, idempotency_key=call.idempotency_key
        )
        return _invoice(row)

    async def payments(self, call: Call[None, PageQuery]) -> Page[PaymentView]:
        rows = await self._gate.statements.payments(
            call.customer, limit=call.query.limit + 1, after=after_of(call.query.cursor)
        )
        return paged(rows, call.query, payment_view, lambda row: row.place)


def _invoice(row: InvoiceRow) -> InvoiceView:
    return like(InvoiceView, row)


def payment_view(row: PaymentRow) -> PaymentView:
    """A payment, as it is answered."""
    refunds = [like(PaymentRefund, refund) for refund in row.refunds]
    return like(PaymentView, row, refunds=refunds)
