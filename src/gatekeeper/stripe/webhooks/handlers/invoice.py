"""Invoices: what has been paid for, and since when something has not."""

from collections.abc import Sequence
from typing import ClassVar

from gatekeeper.projection import InvoiceFacts, project_invoice
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.webhooks.handlers.context import Context
from gatekeeper.stripe.webhooks.handlers.invoice_writing import commit_invoice, subscriptions_of
from gatekeeper.stripe.webhooks.handlers.subscription import SubscriptionProjector
from gatekeeper.stripe.webhooks.projecting import Complete, Projector


class InvoiceProjector(Projector):
    """Projects invoices; a subscription that is not known yet is projected with them, so that
    access arrives with whichever event comes first."""

    event_types: ClassVar[tuple[str, ...]] = (
        "invoice.finalized",
        "invoice.marked_uncollectible",
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
        fetched = await self._context.fetch("invoice", str(events[0].object_id))
        if fetched.found is not None:
            for subscription_id in await self._unknown(project_invoice(fetched.found)):
                await self._subscriptions.refresh(subscription_id)
        await commit_invoice(self._context, fetched, complete)

    async def _unknown(self, facts: InvoiceFacts) -> list[str]:
        def work(tx: Transaction) -> list[str]:
            if owner_of(tx, facts.customer, None) is None:
                return []
            named = subscriptions_of(facts)
            return [each for each in named if tx.subscriptions.get(each) is None]

        return await self._context.store.read(work)
