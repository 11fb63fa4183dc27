"""The history of subscriptions: each real change once, with what caused it."""

from datetime import timedelta

import pytest

from gatekeeper.services.history import Because, HeldItem, HistoryEntry, state_of
from gatekeeper.services.history import history as read_history
from gatekeeper.storage.mirror import SubscriptionChange
from gatekeeper.testing.events import (
    DEFAULT_START,
    checkout_session,
    invoice,
    invoice_line,
    make_event,
    price,
    subscription,
    subscription_item,
)
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
    end = DEFAULT_START + timedelta(days=31)
    assert state.items == (HeldItem("price_pro", 1, "pro", end, end),)


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
    first, paid = await history(world)
    assert (first.cause, paid.cause) == ("invoice", "invoice")
    assert (state_of(first).items[0].paid_until, state_of(paid).items[0].paid_until) == (
        None,
        DEFAULT_START + timedelta(days=31),
    )


async def entries(world: World, limit: int = 9) -> list[HistoryEntry]:
    return await world.store.read(lambda tx: list(read_history(tx, "org_1", limit)))


async def test_the_history_tells_what_changed_and_by_which_event(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    created = make_event("customer.subscription.created", subscription())
    await world.deliver(created)
    world.clock.advance(days=3)
    world.stripe.put(subscription(items=[subscription_item(quantity=3)]))
    await world.projections.subscriptions.refresh("sub_1", because=Because("backfill"))
    newest, first = await entries(world)
    assert (first.cause, first.event_id, first.before) == ("event", created["id"], None)
    assert (newest.cause, newest.event_id) == ("backfill", None)
    assert newest.at - first.at == timedelta(days=3)
    ((name, (was, now)),) = newest.changed.items()
    assert (name, was[0].quantity, now[0].quantity) == ("items", 1, 3)
    (alone,) = await entries(world, limit=1)  # what was before is on the next page
    assert alone == newest
    rest = await world.store.read(lambda tx: list(read_history(tx, "org_1", 9, newest.place)))
    assert rest == [first]


async def test_what_changes_nothing_that_access_depends_on_leaves_no_line(world: World) -> None:
    await world.customer()
    for name in ("in_1", "in_2"):
        world.stripe.put(subscription(latest_invoice=name))
        await world.deliver(make_event("customer.subscription.updated", subscription()))
    assert len(await history(world)) == 1


async def test_an_unpaid_invoice_and_its_payment_are_in_the_history(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription())
    await world.deliver(make_event("customer.subscription.created", subscription()))
    for status, name in (("open", "invoice.finalized"), ("paid", "invoice.paid")):
        world.stripe.put(invoice(status=status))
        await world.deliver(make_event(name, invoice(status=status)))
    paid, unpaid, _ = await entries(world)
    assert (unpaid.cause, list(unpaid.changed)) == ("invoice", ["unpaid_since"])
    assert list(paid.changed) == ["unpaid_since", "items"]


async def test_a_checkout_says_so_and_by_which_event(world: World) -> None:
    await world.customer()
    session = checkout_session(mode="subscription", subscription="sub_1", of_price=price())
    world.stripe.put(session, subscription(latest_invoice=invoice()))
    done = make_event("checkout.session.completed", session)
    await world.deliver(done)
    (found,) = await entries(world)
    assert (found.cause, found.event_id) == ("checkout", done["id"])


async def test_an_item_that_was_taken_out_long_before_the_end_is_not_in_the_last_state(
    world: World,
) -> None:
    await world.customer()
    team = subscription_item("si_2", of_price=price("price_team", lookup_key="team_monthly"))
    world.stripe.put(subscription(items=[subscription_item(), team]))
    await world.projections.subscriptions.refresh("sub_1")
    world.clock.advance(days=1)
    world.stripe.put(subscription(items=[subscription_item()]))
    await world.projections.subscriptions.refresh("sub_1")
    world.clock.advance(days=1)
    world.stripe.put(subscription(items=[subscription_item()], status="canceled"))
    await world.projections.subscriptions.refresh("sub_1")
    plans = [[item.plan for item in one.state.items] for one in await entries(world)]
    assert plans == [["pro"], ["pro"], ["pro", "team"]]


async def test_an_invoice_of_two_subscriptions_is_in_the_history_of_both(world: World) -> None:
    await world.customer()
    lines = [
        invoice_line(),
        invoice_line("il_2", item="si_2", of_subscription="sub_2"),
    ]
    second = subscription("sub_2", items=[subscription_item("si_2")])
    world.stripe.put(subscription(), second, invoice(lines=lines))
    for name in ("sub_1", "sub_2"):
        await world.projections.subscriptions.refresh(name)
    paid = make_event("invoice.paid", invoice(lines=lines))
    await world.deliver(paid)
    newest = [one for one in await entries(world) if one.event_id == paid["id"]]
    assert sorted(one.subscription_id for one in newest) == ["sub_1", "sub_2"]
