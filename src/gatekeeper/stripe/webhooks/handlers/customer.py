"""Customers of Stripe's: what they are called there, and that they are gone."""

from collections.abc import Sequence
from typing import ClassVar

from msgspec.structs import replace

from gatekeeper.entitlements import TERMINAL
from gatekeeper.projection import CustomerFacts, project_customer
from gatekeeper.projection.mirrored import project_mirrored
from gatekeeper.services import top_ups
from gatekeeper.services.history import Because
from gatekeeper.services.mirror import bury_object, save_object
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer, InboxEvent
from gatekeeper.stripe.webhooks.handlers.context import Context, Touched
from gatekeeper.stripe.webhooks.handlers.subscription import SubscriptionProjector
from gatekeeper.stripe.webhooks.projecting import Complete, Projector


class CustomerProjector(Projector):
    """Projects customers.

    A deleted customer's subscriptions end with them, so they are looked at again. The host's
    customer keeps the id of the deleted one until the next checkout makes another: by it, late
    events of what they had are still known to be theirs.
    """

    event_types: ClassVar[tuple[str, ...]] = (
        "customer.created",
        "customer.deleted",
        "customer.updated",
    )

    def __init__(self, context: Context, subscriptions: SubscriptionProjector) -> None:
        self._context = context
        self._subscriptions = subscriptions

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        stripe_id = str(events[0].object_id)
        fetched = await self._context.fetch("customer", stripe_id)
        facts = None if fetched.found is None else project_customer(fetched.found)
        gone = facts is None or facts.deleted
        copy = project_mirrored(fetched.found, "customer") if fetched.found and not gone else None
        if gone:
            for subscription_id in await self._live_subscriptions(stripe_id):
                await self._subscriptions.refresh(
                    subscription_id, because=Because("event", events[-1].key)
                )

        def work(tx: Transaction) -> Touched | None:
            complete(tx)
            customer = tx.customers.by_stripe_id(stripe_id)
            if customer is None:
                self._context.note_stranger(stripe_id, "an event")
            if not fetched.may_write(tx, terminal=gone):
                return None
            if copy is None:
                bury_object(tx, "customer", stripe_id, tx.now())
            else:
                save_object(tx, copy, tx.now())
            if customer is not None and facts is not None:
                _fill_in(tx, customer, facts)
                top_ups.note_card(tx, customer.id)
            return None

        await self._context.commit(work)

    async def _live_subscriptions(self, stripe_id: str) -> list[str]:
        def work(tx: Transaction) -> list[str]:
            customer = tx.customers.by_stripe_id(stripe_id)
            state = None if customer is None else tx.customers.state(customer.id)
            items = () if state is None else state.items
            return sorted({item.subscription_id for item in items if item.status not in TERMINAL})

        return await self._context.store.read(work)


def _fill_in(tx: Transaction, customer: Customer, facts: CustomerFacts) -> None:
    """Note what the host has not said itself: the host knows its customers best."""
    locked = tx.customers.get(customer.id, lock=True)  # the host may be deleting them just now
    if locked is None or locked.deleted_at is not None:
        return
    known = replace(locked, email=locked.email or facts.email, name=locked.name or facts.name)
    if known != locked:
        tx.customers.save(known)
