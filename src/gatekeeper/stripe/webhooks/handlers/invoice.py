"""Invoices: what has been paid for, and since when something has not."""

from collections.abc import Sequence
from typing import ClassVar

from gatekeeper.entitlements import TERMINAL
from gatekeeper.projection import InvoiceFacts, project_invoice
from gatekeeper.services.history import Because
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.webhooks.event import snapshot_type
from gatekeeper.stripe.webhooks.handlers.context import Context, nothing
from gatekeeper.stripe.webhooks.handlers.invoice_writing import commit_invoice, subscriptions_of
from gatekeeper.stripe.webhooks.handlers.subscription import SubscriptionProjector
from gatekeeper.stripe.webhooks.projecting import Complete, Projector

_IN_ORDER = TERMINAL | {"active", "trialing"}
"""The statuses that a payment does not change."""


class InvoiceProjector(Projector):
    """Projects invoices. A subscription that is not known yet, or not in order, is looked at too,
    so that access arrives with whichever event comes first."""

    event_types: ClassVar[tuple[str, ...]] = (
        "invoice.deleted",
        "invoice.finalized",
        "invoice.marked_uncollectible",
        "invoice.overdue",
        "invoice.overpaid",
        "invoice.paid",
        "invoice.payment_action_required",
        "invoice.payment_failed",
        "invoice.payment_succeeded",
        "invoice.updated",
        "invoice.voided",
    )

    def __init__(self, context: Context, subscriptions: SubscriptionProjector) -> None:
        self._context = context
        self._subscriptions = subscriptions

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        failed = any(snapshot_type(event.type) == "invoice.payment_failed" for event in events)
        because = Because("invoice", events[-1].key)
        await self.refresh(str(events[0].object_id), complete, failed=failed, because=because)

    async def refresh(
        self,
        invoice_id: str,
        complete: Complete = nothing,
        *,
        failed: bool = False,
        because: Because = Because("invoice"),  # noqa: B008 - immutable
    ) -> None:
        """Bring one invoice up to date, and its subscriptions where they are in doubt. `failed`: an
        event says that an attempt to collect it failed."""
        fetched = await self._context.fetch("invoice", invoice_id)
        if fetched.found is not None:
            for subscription_id in await self._in_doubt(project_invoice(fetched.found)):
                await self._subscriptions.refresh(subscription_id, because=because)
        await commit_invoice(
            self._context, invoice_id, fetched, complete, failed=failed, because=because
        )

    async def _in_doubt(self, facts: InvoiceFacts) -> list[str]:
        """The subscriptions of the invoice that its payment may have brought into order."""

        def work(tx: Transaction) -> list[str]:
            if owner_of(tx, facts.customer, None) is None:
                return []
            found = {name: tx.subscriptions.get(name) for name in subscriptions_of(facts)}
            return [
                name for name, row in found.items() if row is None or row.status not in _IN_ORDER
            ]

        return await self._context.store.read(work)
