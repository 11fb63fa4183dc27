"""What is told of subscriptions and payments: once for each change, whatever comes how often."""

import itertools
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import OutboxState
from gatekeeper.testing.events import (
    DEFAULT_START,
    checkout_session,
    invoice,
    make_event,
    subscription,
    subscription_item,
    unix,
)
from tests.stripe.test_purchases import FAILED as ASYNC_FAILED
from tests.stripe.test_purchases import begin
from tests.stripe.world import World

pytestmark = pytest.mark.anyio

UPDATED = "customer.subscription.updated"
OPEN: dict[str, Any] = {"status": "open", "attempt_count": 1, "amount_due": 999}


async def told(world: World, topic: str = "") -> list[dict[str, Any]]:
    def work(tx: Transaction) -> list[dict[str, Any]]:
        return [
            {"topic": one.topic, "customer": one.customer, **msgspec.json.decode(one.body)}
            for one in tx.outbox.listing(OutboxState.WAITING, 99)
            if one.topic.startswith(topic)
        ]

    return await world.store.read(work)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_a_purchase_is_told_once_in_every_order_of_its_events(
    world: World, order: tuple[int, ...]
) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()), invoice())
    events = [
        make_event("customer.subscription.created", subscription()),
        make_event(UPDATED, subscription()),
        make_event("invoice.paid", invoice()),
    ]
    await world.deliver(*(events[index] for index in order))
    (changed,) = await told(world, "subscription")
    assert (changed["customer"], changed["status"]) == ("org_1", "active")
    assert changed["previous_status"] is None
    (item,) = changed["items"]
    assert (item["plan"], item["price"], item["quantity"]) == ("pro", "price_pro", 1)
    assert await told(world, "payment") == [
        {
            "topic": "payment.succeeded",
            "customer": "org_1",
            "invoice": "in_1",
            "subscription": "sub_1",
            "purchase": None,
            "amount_minor": 999,
            "currency": "eur",
        }
    ]


async def test_each_change_is_told_once_and_no_change_is_not(world: World) -> None:
    await world.customer()
    item = subscription_item(quantity=3)
    ended = unix(DEFAULT_START + timedelta(days=9))
    states = [
        subscription(),
        subscription(latest_invoice="in_9"),  # nothing that a person would see
        subscription(items=[item]),
        subscription(items=[item]),
        subscription(status="canceled", items=[item], ended_at=ended),
    ]
    for state in states:
        world.stripe.put(state)
        await world.deliver(make_event(UPDATED, state))
    seen = await told(world, "subscription")
    assert [(one["previous_status"], one["status"]) for one in seen] == [
        (None, "active"),
        ("active", "active"),
        ("active", "canceled"),
    ]
    assert [one["items"][0]["quantity"] for one in seen] == [1, 3, 3]


async def test_a_subscription_that_stripe_has_no_more_is_told_to_have_ended(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription())
    await world.deliver(make_event(UPDATED, subscription()))
    world.stripe.remove(subscription())
    for _ in range(2):
        await world.deliver(make_event("customer.subscription.deleted", subscription()))
    seen = await told(world, "subscription")
    assert [one["status"] for one in seen] == ["active", "canceled"]


async def test_each_failed_attempt_is_told_once_though_its_subscription_is_looked_at_too(
    world: World,
) -> None:
    """The subscription is past due, so that the invoice is fetched under another ticket as well."""
    await world.customer()
    for attempt in (1, 2):
        again = unix(DEFAULT_START + timedelta(days=3))
        unpaid = invoice(**{**OPEN, "attempt_count": attempt, "next_payment_attempt": again})
        world.stripe.put(subscription(status="past_due", latest_invoice=unpaid), unpaid)
        await world.deliver(
            make_event(UPDATED, subscription(status="past_due")),
            make_event("invoice.payment_failed", unpaid),
            make_event("invoice.payment_failed", unpaid),
            make_event("invoice.updated", unpaid),
        )
    seen = await told(world, "payment")
    assert [(one["topic"], one["attempt"], one["amount_minor"]) for one in seen] == [
        ("payment.failed", 1, 999),
        ("payment.failed", 2, 999),
    ]
    assert seen[0]["next_attempt_at"].startswith("2026-")


async def test_a_failure_that_comes_after_the_payment_is_no_news(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()), invoice())
    await world.deliver(
        make_event("invoice.payment_failed", invoice(**OPEN)),
        make_event("invoice.paid", invoice()),
    )
    assert [one["topic"] for one in await told(world, "payment")] == ["payment.succeeded"]


async def test_an_open_invoice_alone_is_no_failure_nor_is_a_strangers(world: World) -> None:
    await world.customer()
    unpaid, other = invoice(**OPEN), invoice("in_2", customer="cus_9", of_subscription=None, **OPEN)
    world.stripe.put(subscription(), unpaid, other)
    await world.deliver(
        make_event("invoice.updated", unpaid), make_event("invoice.payment_failed", other)
    )
    assert await told(world, "payment") == []


async def test_old_payments_and_those_of_nothing_are_no_news(world: World) -> None:
    await world.customer()
    paid = unix(world.clock.now - timedelta(days=8))
    old = invoice(status_transitions={"finalized_at": paid, "paid_at": paid})
    nothing = invoice("in_2", lines=[])
    world.stripe.put(subscription(), old, nothing)
    await world.deliver(make_event("invoice.paid", old), make_event("invoice.paid", nothing))
    assert await told(world, "payment") == []


async def test_a_pack_that_was_paid_is_told_and_a_delayed_payment_that_failed(
    world: World,
) -> None:
    await begin(world)
    unpaid = checkout_session(payment_status="unpaid")
    world.stripe.put(unpaid)
    for _ in range(2):
        await world.deliver(make_event(ASYNC_FAILED, unpaid))
    world.stripe.put(checkout_session())
    for _ in range(2):
        await world.deliver(make_event("checkout.session.completed", checkout_session()))
    seen = await told(world, "payment")
    assert [(one["topic"], one["purchase"], one["amount_minor"]) for one in seen] == [
        ("payment.failed", "pur_1", 500),
        ("payment.succeeded", "pur_1", 500),
    ]


async def test_what_was_paid_and_gives_nothing_is_told_as_neither(world: World) -> None:
    await begin(world)
    other = checkout_session(customer="cus_9")
    world.stripe.put(other)
    await world.deliver(make_event("checkout.session.completed", other))
    assert await told(world, "payment") == []


async def test_a_checkout_for_a_subscription_leaves_the_telling_to_its_invoice(
    world: World,
) -> None:
    await begin(world, lookup_key="pro_monthly", mode="subscription")
    bought = checkout_session(
        mode="subscription", subscription="sub_1", of_price=subscription_item()["price"]
    )
    world.stripe.put(bought, subscription(latest_invoice=invoice()), invoice())
    await world.deliver(make_event("checkout.session.completed", bought))
    assert [one["invoice"] for one in await told(world, "payment")] == ["in_1"]
