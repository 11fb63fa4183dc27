"""Customers of Stripe's: changed, deleted, and replaced by another."""

import pytest
from msgspec.structs import replace

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer, EventStatus
from gatekeeper.testing.events import (
    invoice,
    make_event,
    stripe_customer,
    subscription,
)
from tests.stripe.world import World

pytestmark = pytest.mark.anyio


async def stored(world: World) -> Customer:
    found = await world.store.read(lambda tx: tx.customers.get("org_1"))
    assert found is not None
    return found


async def test_what_the_host_has_not_said_is_filled_in(world: World) -> None:
    await world.customer()
    world.stripe.put(stripe_customer(email="a@example.com"))
    event = make_event("customer.updated", stripe_customer())
    await world.deliver(event)
    assert (await stored(world)).email == "a@example.com"
    world.stripe.put(stripe_customer(email="b@example.com", name="B"))
    await world.deliver(make_event("customer.updated", stripe_customer()))
    found = await stored(world)
    assert (found.email, found.name) == ("a@example.com", "B")
    assert found.version == 0  # nobody's access depends on it


async def test_a_deleted_customers_subscriptions_end(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event("customer.subscription.created", subscription()))
    ended = subscription(status="canceled")
    world.stripe.put({"id": "cus_1", "object": "customer", "deleted": True}, ended)
    await world.deliver(make_event("customer.deleted", stripe_customer()))
    assert not (await world.entitlements()).has_plan("pro")
    assert (await stored(world)).stripe_id == "cus_1"
    late = make_event("customer.updated", stripe_customer())
    world.stripe.put(stripe_customer(email="late@example.com"))
    await world.deliver(late)
    assert (await stored(world)).email is None
    assert await world.counts() == {EventStatus.DONE: 3}


async def test_a_subscription_of_a_customer_who_was_replaced_is_still_known(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event("customer.subscription.created", subscription()))

    def renew(tx: Transaction) -> None:
        row = tx.customers.get("org_1")
        assert row is not None
        tx.customers.save(replace(row, stripe_id="cus_2"))

    await world.store.write(renew)
    world.stripe.put(subscription(status="canceled"))
    await world.deliver(make_event("customer.subscription.deleted", subscription()))
    assert not (await world.entitlements()).has_plan("pro")


async def test_a_strangers_customer_has_no_effect(world: World) -> None:
    world.stripe.put(stripe_customer("cus_x"))
    event = make_event("customer.updated", stripe_customer("cus_x"))
    gone = make_event("customer.deleted", stripe_customer("cus_y"))
    await world.deliver(event, gone)
    assert await world.counts() == {EventStatus.DONE: 2}


async def test_a_customer_whom_the_host_has_deleted_is_not_filled_in_again(world: World) -> None:
    await world.customer()
    await world.store.write(
        lambda tx: tx.customers.save(
            Customer(id="org_1", created_at=tx.now(), stripe_id="cus_1", deleted_at=tx.now())
        )
    )
    world.stripe.put(stripe_customer(email="a@example.com"))
    await world.deliver(make_event("customer.updated", stripe_customer()))
    assert (await stored(world)).email is None
