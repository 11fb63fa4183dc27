"""What a subscription is scheduled to become: shown to the host, and given to nobody early."""

from datetime import timedelta
from typing import Any

import pytest

from gatekeeper.services.upcoming import SoldItem, SubscriptionView, Upcoming, subscriptions_of
from gatekeeper.testing.events import (
    DEFAULT_START,
    Obj,
    invoice,
    make_event,
    price,
    subscription,
    subscription_item,
    unix,
)
from tests.stripe.world import World

pytestmark = pytest.mark.anyio

TEAM = price("price_team", lookup_key="team_monthly")
RENEWAL = DEFAULT_START + timedelta(days=31)
LATER = RENEWAL + timedelta(days=31)


def schedule(*phases: Obj, **fields: Any) -> Obj:
    return {
        "id": "sub_sched_1",
        "object": "subscription_schedule",
        "customer": "cus_1",
        "end_behavior": "release",
        "livemode": False,
        "phases": list(phases),
        "status": "active",
        "subscription": "sub_1",
        **fields,
    }


NOW = {
    "start_date": unix(DEFAULT_START),
    "end_date": unix(RENEWAL),
    "items": [{"price": "price_pro", "quantity": 1}],
}
NEXT = {
    "start_date": unix(RENEWAL),
    "end_date": unix(LATER),
    "items": [{"price": "price_team", "quantity": 2}],
}


async def views(world: World) -> list[SubscriptionView]:
    return await world.store.read(lambda tx: list(subscriptions_of(tx, world.rules, "org_1")))


async def plan(world: World, made: Obj) -> SubscriptionView:
    """Stripe has this schedule, and says so; the subscription as it is shown then."""
    world.stripe.put(made)
    await world.deliver(make_event("subscription_schedule.updated", made))
    (found,) = await views(world)
    return found


async def subscribed(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()), TEAM)
    await world.deliver(make_event("customer.subscription.created", subscription()))


async def test_a_change_at_the_end_of_the_period_is_shown_and_gives_nothing_yet(
    world: World,
) -> None:
    await subscribed(world)
    found = await plan(world, schedule(NOW, NEXT))
    assert found.items == (
        SoldItem(price_id="price_pro", plan="pro", quantity=1, price="pro_monthly"),
    )
    later = SoldItem(price_id="price_team", plan="team", quantity=2, price="team_monthly")
    assert found.upcoming == (Upcoming(at=RENEWAL, items=(later,)),)
    assert not (await world.entitlements()).has_plan("team")

    world.clock.now = RENEWAL + timedelta(minutes=1)
    renewed = subscription(items=[subscription_item(of_price=TEAM, quantity=2, start=RENEWAL)])
    world.stripe.put(renewed)
    await world.deliver(make_event("customer.subscription.updated", renewed))
    (found,) = await views(world)
    assert (found.upcoming, found.items) == ((), (later,))
    assert (await world.entitlements()).has_plan("team")


async def test_a_schedule_that_cancels_at_its_end_says_when(memory_world: World) -> None:
    world = memory_world
    await subscribed(world)
    found = await plan(world, schedule(NOW, NEXT, end_behavior="cancel"))
    assert [(one.at, len(one.items)) for one in found.upcoming] == [(RENEWAL, 1), (LATER, 0)]
    assert found.upcoming[0].items[0].plan == "team"


async def test_a_schedule_without_an_end_goes_on_with_what_was_bought_before(
    memory_world: World,
) -> None:
    world = memory_world
    await subscribed(world)
    back = {**NOW, "start_date": unix(LATER), "end_date": None}
    found = await plan(world, schedule(NOW, NEXT, back, end_behavior="cancel"))
    assert [(one.at, one.items[0].plan) for one in found.upcoming] == [
        (RENEWAL, "team"),
        (LATER, "pro"),
    ]


async def test_a_price_that_nobody_knows_is_of_no_plan(memory_world: World) -> None:
    world = memory_world
    await subscribed(world)
    odd = {**NEXT, "items": [{"price": "price_odd"}, {"price": "price_gone"}]}
    world.stripe.put(price("price_odd", lookup_key=None))
    found = await plan(world, schedule(NOW, odd))
    assert [item.plan for item in found.upcoming[0].items] == [None, None]
    assert ("price", "price_gone") in world.stripe.fetches


@pytest.mark.parametrize("end", [{"status": "released"}, {"status": "canceled"}])
async def test_a_schedule_that_is_over_says_nothing(memory_world: World, end: Obj) -> None:
    await subscribed(memory_world)
    assert (await plan(memory_world, schedule(NOW, NEXT))).upcoming
    assert not (await plan(memory_world, schedule(NOW, NEXT, **end))).upcoming


async def test_a_schedule_whose_events_were_lost_is_found_by_its_subscription(
    memory_world: World,
) -> None:
    world = memory_world
    await subscribed(world)
    world.stripe.put(schedule(NOW, NEXT), subscription(schedule="sub_sched_1"))
    await world.deliver(make_event("customer.subscription.updated", subscription()))
    (found,) = await views(world)
    assert [one.at for one in found.upcoming] == [RENEWAL]
    await world.deliver(make_event("customer.subscription.updated", subscription()))
    assert world.stripe.fetches.count(("subscription_schedule", "sub_sched_1")) == 1
    world.clock.advance(seconds=1)
    world.stripe.put(subscription(schedule=None))  # released, and nobody has said so
    await world.deliver(make_event("customer.subscription.updated", subscription()))
    (found,) = await views(world)
    assert not found.upcoming


async def test_a_schedule_that_is_gone_says_nothing(memory_world: World) -> None:
    await subscribed(memory_world)
    await plan(memory_world, schedule(NOW, NEXT))
    memory_world.stripe.remove(schedule())
    await memory_world.deliver(make_event("subscription_schedule.canceled", schedule()))
    (found,) = await views(memory_world)
    assert not found.upcoming


async def test_case_26_a_pending_update_is_shown_and_its_end_leaves_the_old_plan(
    world: World,
) -> None:
    await subscribed(world)
    end = DEFAULT_START + timedelta(hours=23)
    items = [{"id": "si_1", "price": TEAM, "quantity": 1}]
    waiting = {"expires_at": unix(end), "subscription_items": items}
    for pending, name in (
        (waiting, "customer.subscription.updated"),
        (None, "customer.subscription.pending_update_expired"),
    ):
        changed = subscription(pending_update=pending, latest_invoice=invoice())
        world.stripe.put(changed)
        await world.deliver(make_event(name, changed))
        (found,) = await views(world)
        assert found.pending_until == (end if pending else None)
        assert [item.plan for item in found.items] == ["pro"]
        shown = await world.entitlements()
        assert (shown.has_plan("pro"), shown.has_plan("team")) == (True, False)
    assert await world.available() == 1_005


async def test_ended_subscriptions_are_shown_last_and_are_to_become_nothing(
    memory_world: World,
) -> None:
    world = memory_world
    await subscribed(world)
    await plan(world, schedule(NOW, NEXT))
    over = subscription(status="canceled")
    second = subscription("sub_2", items=[subscription_item("si_2")], start=RENEWAL)
    world.stripe.put(over, second)
    await world.deliver(
        make_event("customer.subscription.deleted", over),
        make_event("customer.subscription.created", second),
    )
    newest, ended = await views(world)
    assert (newest.id, newest.status, newest.period_end) == ("sub_2", "active", RENEWAL)
    assert (ended.id, ended.status, ended.upcoming) == ("sub_1", "canceled", ())
    assert [item.plan for item in ended.items] == ["pro"]
