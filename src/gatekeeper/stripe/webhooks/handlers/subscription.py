"""Subscriptions: fetch one with its latest invoice, and write what it entitles to."""

import logging
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from msgspec.structs import replace

from gatekeeper.entitlements import TERMINAL
from gatekeeper.projection import (
    InvoiceFacts,
    SubscriptionFacts,
    project_invoice,
    project_subscription,
)
from gatekeeper.projection.mirrored import Mirrored, project_mirrored
from gatekeeper.projection.reading import Node
from gatekeeper.services import duplicates, plan_returns, purchases, subscriptions
from gatekeeper.services.history import Because, note_change
from gatekeeper.services.mirror import bury_object, save_object, save_objects
from gatekeeper.services.subscriptions import ShownPrice
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.webhooks.handlers.context import Context, Ticketed, Touched, nothing
from gatekeeper.stripe.webhooks.handlers.invoice_writing import write_invoice
from gatekeeper.stripe.webhooks.handlers.schedule import ScheduleProjector
from gatekeeper.stripe.webhooks.projecting import Complete, Projector

logger = logging.getLogger("gatekeeper.webhooks")


class _Seen(NamedTuple):
    """What a fetch has shown: the subscription, its latest invoice if that is paid, copies of
    both, and what is said of their prices."""

    facts: SubscriptionFacts
    paid: InvoiceFacts | None
    copies: Sequence[Mirrored]
    shown: Mapping[str, ShownPrice]


class SubscriptionProjector(Projector):
    """Projects subscriptions.

    The latest invoice comes with the fetch, so that what is paid counts although the invoice's own
    event is late or lost.
    """

    event_types: ClassVar[tuple[str, ...]] = (
        "customer.subscription.created",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.pending_update_applied",
        "customer.subscription.pending_update_expired",
        "customer.subscription.resumed",
        "customer.subscription.updated",
    )

    def __init__(self, context: Context) -> None:
        self._context = context
        self._schedules = ScheduleProjector(context)

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        because = Because("event", events[-1].key)  # the newest of those that are answered by one
        await self.refresh(str(events[0].object_id), complete, because=because)

    async def refresh(
        self,
        subscription_id: str,
        complete: Complete = nothing,
        *,
        because: Because = Because("reconciliation"),  # noqa: B008 - immutable
    ) -> None:
        """Bring one subscription up to date."""
        context = self._context
        fetched = await context.fetch("subscription", subscription_id)
        if fetched.found is None:
            await self._bury(subscription_id, fetched, complete, because)
            return
        facts = project_subscription(fetched.found)
        invoice = _latest_invoice(fetched.found)
        shown: Mapping[str, ShownPrice] = {
            item.price_id: ShownPrice(item.lookup_key, item.currency) for item in facts.items
        }
        if invoice is not None and invoice.is_paid:
            shown = await context.shown_prices(invoice, shown)
        elif invoice is not None and facts.status == "past_due":
            # Its finalisation begins the grace. It is fetched under a ticket of its own, since an
            # invoice that is still open may have been paid by now.
            await write_invoice(context, invoice.id, because)

        await self._see_schedule(fetched.found)
        paid = invoice if invoice is not None and invoice.is_paid else None
        seen = _Seen(facts, paid, _copies(fetched.found, is_paid=paid is not None), shown)

        def work(tx: Transaction) -> Touched | None:
            complete(tx)
            return self._write(tx, fetched, seen, because)

        await context.commit(work)

    async def _see_schedule(self, found: Obj) -> None:
        """Copy the schedule that the subscription names, if its own event was lost."""
        named = Node.root(found, "subscription").maybe_reference("schedule")
        if named is None:
            return
        known = await self._context.store.read(
            lambda tx: tx.mirror.get("subscription_schedule", named)
        )
        if known is None:
            await self._schedules.refresh(named)

    def _write(
        self, tx: Transaction, fetched: Ticketed, seen: _Seen, because: Because
    ) -> Touched | None:
        context, facts, paid = self._context, seen.facts, seen.paid
        if not fetched.may_write(tx, terminal=facts.status in TERMINAL):
            return None
        owner = subscriptions.owner_of(tx, facts.customer, facts.id)
        if owner is None:
            context.note_stranger(facts.customer, f"subscription {facts.id}")
            save_object(tx, seen.copies[0], tx.now())
            return None
        if paid is not None:
            paid = self._lock_paid(tx, paid)
        now, returned = tx.now(), None
        # An invoice that was paid before is copied by its own events alone: this one may be older.
        copies = seen.copies if seen.paid is None or paid is seen.paid else seen.copies[:1]
        save_objects(tx, copies, now, owner=owner)
        changed = subscriptions.save_subscription(tx, context.rules, facts, owner.id, now)
        if paid is not None:
            bought = subscriptions.save_invoice(tx, context.rules, paid, owner.id, seen.shown, now)
            changed = changed or bought
            returned = plan_returns.note_invoice(tx, context.rules, paid.id)
        purchases.follow_subscription(tx, context.rules, owner.id, facts.id, facts.status)
        if changed or returned is not None:
            note_change(tx, facts.id, because, now)
        if returned is not None:
            return Touched(*returned)
        if not changed:
            return None
        return Touched(owner.id, duplicates.outdate_with(tx, context.rules, owner.id))

    def _lock_paid(self, tx: Transaction, paid: InvoiceFacts) -> InvoiceFacts:
        """Lock the paid invoice that has come inside its subscription; the invoice as it is to be
        written.

        Paid is final: what was fetched before, and is written after, may not undo it. What credit
        notes have given back since is not to be undone by this look either, which had no ticket of
        the invoice's when it was begun: if it was known to be paid, its own looks know better.
        """
        # Taken before any row is written, as everywhere, so that no two transactions wait crosswise
        key = self._context.key("invoice", paid.id)
        ticket = tx.inbox.take_ticket(key)
        known = tx.subscriptions.invoice(paid.id)
        if known is not None and known.status == "paid":
            return replace(paid, credited_minor=known.credited_minor)
        tx.inbox.use_ticket(key, ticket, terminal=True)
        return paid

    async def _bury(
        self, subscription_id: str, fetched: Ticketed, complete: Complete, because: Because
    ) -> None:
        """Write that Stripe has the subscription no more (test data was deleted, say). The stamp
        was confirmed before the fetch, so that it is not just out of this key's sight. Should
        Stripe show it again after all, that counts: only what Stripe says has ended is final."""

        def work(tx: Transaction) -> Touched | None:
            complete(tx)
            known = tx.subscriptions.get(subscription_id)
            if not fetched.may_write(tx, terminal=False):
                return None
            bury_object(tx, "subscription", subscription_id, tx.now())
            if known is None:
                return None
            if not subscriptions.end_subscription(tx, subscription_id, tx.now()):
                return None
            rules = self._context.rules
            purchases.follow_subscription(tx, rules, known.customer, subscription_id, "canceled")
            note_change(tx, subscription_id, because, tx.now())
            logger.warning("subscription %s is gone from Stripe: it has ended", subscription_id)
            version = duplicates.outdate_with(tx, self._context.rules, known.customer)
            return Touched(known.customer, version)

        await self._context.commit(work)


def _latest_invoice(found: Obj) -> InvoiceFacts | None:
    invoice = found.get("latest_invoice")
    return project_invoice(invoice) if isinstance(invoice, dict) else None


def _copies(found: Obj, *, is_paid: bool) -> list[Mirrored]:
    """The subscription, and the paid invoice that has come with it."""
    copies = [project_mirrored(found, "subscription")]
    if is_paid:
        copies.append(project_mirrored(found["latest_invoice"], "invoice"))
    return copies
