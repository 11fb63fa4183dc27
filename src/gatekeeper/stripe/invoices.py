"""A customer's own invoices at Stripe: the links to one, and paying one that is open.

The links are bearer links: whoever has one sees the invoice, and may pay it, without signing in.
So they are not kept here. They are asked for when the customer looks at the invoice, which also
keeps them from being out of date: a link lapses 30 days after the invoice was due, or was finalised
(https://docs.stripe.com/invoicing/hosted-invoice-page#invoice-urls).
"""

import contextlib
from typing import Final
from urllib.parse import quote

import msgspec

from gatekeeper.errors import (
    ConflictError,
    NotFoundError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.services.statements import InvoiceRow, Statements
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.webhooks.handlers import Projections

_OPERATION: Final = "invoices pay"
_OPEN: Final = "open"
_PAID: Final = "paid"


class InvoiceLinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where an invoice can be seen and paid, and its PDF; None where Stripe has none."""

    hosted_url: str | None
    pdf_url: str | None


class InvoiceDesk:
    """Asks Stripe about invoices on their customers' behalf."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        outgoing: OutgoingRequests,
        projections: Projections,
    ) -> None:
        self._gateway = gateway
        self._outgoing = outgoing
        self._projections = projections
        self._statements = Statements(store)
        # What a crash has left open is paid in the background only if it is still to be paid.
        outgoing.on_resumed(_OPERATION, None, look=self._look, looks_first=True)

    async def links(self, customer: str, invoice_id: str) -> InvoiceLinks:
        """The links to a customer's own invoice.

        Raises:
            NotFoundError: they have no such invoice, or Stripe has it no more.
            StripeUnavailableError, StripeRequestError.
        """
        await self._statements.invoice(customer, invoice_id)
        found = await self._gateway.fetch("invoice", invoice_id)
        if found is None:
            raise NotFoundError("There is no such invoice.")
        return InvoiceLinks(
            hosted_url=found.get("hosted_invoice_url"), pdf_url=found.get("invoice_pdf")
        )

    async def pay(
        self, customer: str, invoice_id: str, *, idempotency_key: str | None = None
    ) -> InvoiceRow:
        """Pay a customer's own open invoice now, by the card that Stripe has for it; one that was
        paid is left as it is. What the payment brings is there when this returns, just as the
        webhook would bring it (https://docs.stripe.com/api/invoices/pay).

        Raises:
            NotFoundError: they have no such invoice.
            ConflictError: it is neither open nor paid.
            StripeUnavailableError.
            StripeRequestError: Stripe has refused: the card was declined, or asks its holder.
        """
        row = await self._statements.invoice(customer, invoice_id)
        if row.status == _OPEN:
            try:
                await self._post(customer, invoice_id, idempotency_key)
            except StripeRequestError:
                # It may have been paid since we were told of it, or by a second click.
                with contextlib.suppress(StripeUnavailableError):
                    await self._projections.invoices.refresh(invoice_id)
                row = await self._statements.invoice(customer, invoice_id)
                if row.status == _OPEN:
                    raise
            else:
                await self._projections.invoices.refresh(invoice_id)
                row = await self._statements.invoice(customer, invoice_id)
        if row.status not in (_PAID, _OPEN):
            raise ConflictError("This invoice is not open: there is nothing to pay.")
        return row

    async def _post(self, customer: str, invoice_id: str, idempotency_key: str | None) -> None:
        await self._outgoing.post(
            _OPERATION,
            f"/v1/invoices/{quote(invoice_id, safe='')}/pay",
            {"off_session": False},
            customer=customer,
            idempotency_key=idempotency_key,
            settle=lambda tx, paid: None,  # the projection writes it, by a fetch of its own
            keeps_trying=False,  # whoever asked has been told that it failed
        )

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The invoice, unless it is still open."""
        invoice_id = request.path.split("/")[-2]
        found = await self._gateway.fetch("invoice", invoice_id)
        return None if found is not None and found["status"] == _OPEN else found
