from datetime import timedelta
from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_payer, new_price, subscribe
from tests.testing.stripe.test_changes import lines
from tests.testing.stripe.test_refunds import types

SCHEDULE = "subscription_schedule"


def told(sim: Simulator) -> list[str]:
    return [t.rpartition(".")[2] for t in types(sim) if t.startswith(f"{SCHEDULE}.")]


def prices(client: Any, subscription: object) -> list[tuple[int, int]]:
    found = client.v1.subscriptions.retrieve(str(subscription))
    return [(item.price.unit_amount, item.quantity) for item in found.items.data]


def scheduled(client: Any, *phases: dict[str, Any], **params: Any) -> Any:
    return client.v1.subscription_schedules.create(
        {
            "customer": new_payer(client).id,
            "start_date": "now",
            "phases": list(phases),
            **params,
        }
    )


def phase(client: Any, amount: int, quantity: int = 1, **params: Any) -> dict[str, Any]:
    price = new_price(client, unit_amount=amount)
    return {"items": [{"price": price.id, "quantity": quantity}], **params}


def test_phases_change_the_subscription_as_time_goes(client: Any, stripe_sim: Simulator) -> None:
    made = scheduled(
        client,
        phase(client, 1_000),
        phase(client, 2_000, 2, metadata={"phase": "2"}),
        phase(client, 3_000, duration={"interval": "month", "interval_count": 2}),
        metadata={"a": "1"},
    )
    assert (made.status, made.current_phase.start_date) == (
        "active",
        int(stripe_sim.now.timestamp()),
    )
    assert prices(client, made.subscription) == [(1_000, 1)]
    first = client.v1.subscriptions.retrieve(made.subscription, {"expand": ["schedule"]})
    assert (first.status, first.schedule.id) == ("active", made.id)
    stripe_sim.advance(days=30)
    second = client.v1.subscriptions.retrieve(made.subscription)
    assert prices(client, made.subscription) == [(2_000, 2)]
    assert second.metadata["phase"] == "2"
    assert lines(client, second.latest_invoice) == [(4_000, False)]
    stripe_sim.advance(days=31)
    assert prices(client, made.subscription) == [(3_000, 1)]
    stripe_sim.advance(days=62)
    after = client.v1.subscription_schedules.retrieve(made.id)
    assert (after.status, after.released_subscription) == ("released", made.subscription)
    free = client.v1.subscriptions.retrieve(made.subscription)
    assert (free.status, free.schedule) == ("active", None)
    assert prices(client, made.subscription) == [(3_000, 1)]
    assert told(stripe_sim) == ["created", "updated", "updated", "updated", "expiring", "released"]


def test_a_schedule_can_end_its_subscription(client: Any, stripe_sim: Simulator) -> None:
    made = scheduled(client, phase(client, 1_000), end_behavior="cancel")
    assert told(stripe_sim)[:2] == ["created", "updated"]
    stripe_sim.advance(days=30)
    assert client.v1.subscription_schedules.retrieve(made.id).status == "completed"
    ended = client.v1.subscriptions.retrieve(made.subscription)
    assert ended.status == "canceled"
    assert len(client.v1.invoices.list({"subscription": ended.id}).data) == 1
    assert told(stripe_sim)[-2:] == ["expiring", "completed"]
    with pytest.raises(stripe.InvalidRequestError, match="`completed` status"):
        client.v1.subscription_schedules.release(made.id)


def test_a_schedule_can_renew_itself(client: Any, stripe_sim: Simulator) -> None:
    made = scheduled(client, phase(client, 1_000), end_behavior="renew")
    stripe_sim.advance(days=70)
    after = client.v1.subscription_schedules.retrieve(made.id)
    assert (after.status, len(after.phases)) == ("active", 3)


def test_a_schedule_begins_later(client: Any, stripe_sim: Simulator) -> None:
    start = int((stripe_sim.now + timedelta(days=3)).timestamp())
    made = scheduled(client, phase(client, 1_000), start_date=start)
    assert (made.status, made.subscription, made.current_phase) == ("not_started", None, None)
    found = client.v1.subscription_schedules.list({"scheduled": True}).data
    assert [one.id for one in found] == [made.id]
    stripe_sim.advance(days=3)
    begun = client.v1.subscription_schedules.retrieve(made.id, {"expand": ["subscription"]})
    assert (begun.status, begun.subscription.status) == ("active", "active")
    assert begun.subscription.start_date == start
    listed = client.v1.subscription_schedules.list({"customer": made.customer}).data
    assert [one.id for one in listed] == [made.id]


def test_a_schedule_that_never_began_is_canceled(client: Any, stripe_sim: Simulator) -> None:
    start = int((stripe_sim.now + timedelta(days=3)).timestamp())
    made = scheduled(client, phase(client, 1_000), start_date=start)
    assert client.v1.subscription_schedules.cancel(made.id).status == "canceled"
    stripe_sim.advance(days=4)
    assert not stripe_sim.events("customer.subscription.created")


def test_a_downgrade_at_the_end_of_the_period(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client, price=new_price(client, unit_amount=3_000).id)
    made = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    (running,) = made.phases
    items = [{"price": running["items"][0].price, "quantity": 1}]
    small = phase(client, 1_000)
    client.v1.subscription_schedules.update(
        made.id,
        {
            "phases": [
                {"items": items, "start_date": running.start_date, "end_date": running.end_date},
                small,
            ]
        },
    )
    for problem, params in (
        ("managed by the subscription schedule", {"cancel_at_period_end": True}),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=problem):
            client.v1.subscriptions.update(subscription.id, params)
    assert prices(client, subscription.id) == [(3_000, 1)]
    stripe_sim.advance(days=30, hours=2)
    after = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert prices(client, subscription.id) == [(1_000, 1)]
    assert (after.latest_invoice.billing_reason, after.latest_invoice.amount_paid) == (
        "subscription_cycle",
        1_000,
    )


def test_the_current_phase_can_be_changed(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client, price=new_price(client, unit_amount=3_000).id)
    made = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    stripe_sim.advance(days=15)
    (running,) = made.phases
    item = {"price": running["items"][0].price, "quantity": 2}
    update = client.v1.subscription_schedules.update
    now = {"items": [item], "start_date": running.start_date, "end_date": running.end_date}
    update(made.id, {"phases": [now], "proration_behavior": "always_invoice"})
    latest = client.v1.subscriptions.retrieve(subscription.id).latest_invoice
    assert lines(client, latest) == [(-1_500, True), (3_000, True)]
    changed = update(made.id, {"end_behavior": "cancel", "metadata": {"a": "1"}})
    assert (changed.end_behavior, changed.metadata["a"]) == ("cancel", "1")
    yearly = new_price(client, unit_amount=9_999, recurring={"interval": "year"})
    later = {"items": [{"price": yearly.id}], "billing_cycle_anchor": "phase_start"}
    update(made.id, {"phases": [{**now, "end_date": "now"}, later]})
    assert prices(client, subscription.id) == [(9_999, 1)]
    for wrong, problem in (
        ([{"items": [item]}], "missing at least one phase"),
        ([{"items": [item], "start_date": running.start_date + 1}], "can not modify the start"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=problem):
            update(made.id, {"phases": wrong})


def test_a_schedule_lets_go(client: Any, stripe_sim: Simulator) -> None:
    made = scheduled(client, phase(client, 1_000), phase(client, 2_000))
    released = client.v1.subscription_schedules.release(made.id)
    assert (released.status, released.subscription) == ("released", None)
    assert types(stripe_sim)[-2:] == [f"{SCHEDULE}.released", "customer.subscription.updated"]
    stripe_sim.advance(days=31)
    assert prices(client, made.subscription) == [(1_000, 1)]


def test_schedule_and_subscription_end_together(client: Any, stripe_sim: Simulator) -> None:
    one, two, three = (scheduled(client, phase(client, 1_000)) for _ in range(3))
    assert client.v1.subscription_schedules.cancel(one.id).status == "canceled"
    assert client.v1.subscriptions.retrieve(one.subscription).status == "canceled"
    client.v1.subscriptions.cancel(two.subscription)
    assert client.v1.subscription_schedules.retrieve(two.id).status == "canceled"
    broken = client.v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": three.customer}
    )
    client.v1.subscriptions.update(three.subscription, {"default_payment_method": broken.id})
    last = {"start_date": three.current_phase.start_date, "items": [{"price": _price(three)}]}
    year = {"interval": "year", "interval_count": 1}
    client.v1.subscription_schedules.update(three.id, {"phases": [{**last, "duration": year}]})
    stripe_sim.advance(days=60)
    assert client.v1.subscription_schedules.retrieve(three.id).status == "canceled"
    assert told(stripe_sim)[-1] == "aborted"


def _price(schedule: Any) -> str:
    return str(schedule.phases[0]["items"][0].price)


def test_schedules_that_make_no_sense(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    create = client.v1.subscription_schedules.create
    create({"from_subscription": subscription.id})
    past = int(stripe_sim.now.timestamp()) - 1
    once = new_price(client, recurring=None)
    customer = new_payer(client).id
    whole = {"customer": customer, "start_date": "now", "phases": [phase(client, 1)]}
    for params, problem in (
        ({"from_subscription": subscription.id}, "already attached"),
        ({"from_subscription": "sub_x", "customer": customer}, "cannot set `customer`"),
        ({}, "Missing required param: customer"),
        ({**whole, "start_date": past}, "in the past"),
        ({**whole, "phases": [{"items": [{"price": once.id}]}]}, "not a recurring price"),
        ({**whole, "phases": [phase(client, 1, end_date=past)]}, "must end after"),
        ({**whole, "phases": [phase(client, 1, end_date=past + 1)]}, "must end after"),
        ({**whole, "phases": [{"items": ""}]}, r"Missing required param: phases\[0\]\[items\]"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=problem):
            create(params)
    client.v1.subscriptions.cancel(subscription.id)
    with pytest.raises(stripe.InvalidRequestError, match="that has ended"):
        create({"from_subscription": subscription.id})
