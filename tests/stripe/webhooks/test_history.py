"""The history of subscriptions: each real change once, with what caused it."""

import pytest

from gatekeeper.services.history import HeldItem, state_of
from gatekeeper.storage.mirror import SubscriptionChange
from gatekeeper.testing.events import invoice, make_event, subscription
from tests.stripe.world import World

pytestmark = pytest.mark.anyio


async def history(world: World) -> list[SubscriptionChange]:
    return await world.store.read(lambda tx: list(tx.mirror.changes("sub_1")))


async def test_each_change_is_noted_once_with_the_event_that_caused_it(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    created = make_event("customer.subscription.created", subscription())
    again = make_event("customer.subscription.updated", subscription())
    await world.deliver(created, again)
    world.stripe.put(subscription(status="canceled"))
    ended = make_event("customer.subscription.deleted", subscription())
    await world.deliver(ended)
    first, last = await history(world)
    assert (first.sequence, first.status, first.cause) == (1, "active", "event")
    assert (last.sequence, last.status, last.cause) == (2, "canceled", "event")
    assert first.event_key == f"/{created['id']}"
    assert last.event_key == f"/{ended['id']}"
    state = state_of(first)
    assert state.status == "active"
    assert not state.collection_paused
    (held,) = state.items
    assert held == HeldItem(held.price_id, 1)


async def test_a_subscription_that_is_gone_leaves_a_last_line(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription())
    await world.projections.subscriptions.refresh("sub_1")
    world.stripe.remove(subscription())
    await world.projections.subscriptions.refresh("sub_1")
    await world.projections.subscriptions.refresh("sub_1")
    found = await history(world)
    assert [(one.status, one.cause) for one in found] == [
        ("active", "reconciliation"),
        ("canceled", "reconciliation"),
    ]


async def test_what_an_invoice_brought_to_light_is_said_to_be_so(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(), invoice())
    await world.deliver(make_event("invoice.paid", invoice()))
    (found,) = await history(world)
    assert found.cause == "invoice"
