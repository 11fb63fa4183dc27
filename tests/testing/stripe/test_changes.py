from datetime import timedelta
from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_payer, new_price, subscribe


def item_of(subscription: Any) -> str:
    return str(subscription.items.data[0].id)


def lines(client: Any, invoice: object) -> list[tuple[int, bool]]:
    found = client.v1.invoices.line_items.list(str(invoice)).data
    return [(line.amount, line.parent.subscription_item_details.proration) for line in found]


def test_an_upgrade_is_prorated_on_the_next_invoice(client: Any, stripe_sim: Simulator) -> None:
    small, big = new_price(client, unit_amount=1_000), new_price(client, unit_amount=3_000)
    subscription = subscribe(client, price=small.id)
    stripe_sim.advance(days=15)
    changed = client.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item_of(subscription), "price": big.id}]}
    )
    assert changed.items.data[0].price.id == big.id
    assert changed.latest_invoice == subscription.latest_invoice
    stripe_sim.advance(days=15, hours=2)
    latest = client.v1.subscriptions.retrieve(subscription.id).latest_invoice
    assert lines(client, latest) == [(-500, True), (1_500, True), (3_000, False)]
    assert client.v1.invoices.retrieve(str(latest)).amount_paid == 4_000


def test_an_upgrade_can_be_invoiced_at_once(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    stripe_sim.advance(days=10)
    changed = client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item_of(subscription), "quantity": 4, "metadata": {"a": "1"}}],
            "proration_behavior": "always_invoice",
            "expand": ["latest_invoice"],
        },
    )
    invoice = changed.latest_invoice
    assert invoice.object == "invoice"
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert lines(client, invoice.id) == [(-666, True), (2_664, True)]
    updated = stripe_sim.events("customer.subscription.updated")[-1]
    assert set(updated["data"]["previous_attributes"]) == {"items", "latest_invoice"}


def test_a_failed_upgrade_keeps_the_change_and_is_past_due(
    client: Any, stripe_sim: Simulator
) -> None:
    subscription = subscribe(client)
    broken = client.v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": str(subscription.customer)}
    )
    changed = client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item_of(subscription), "quantity": 2}],
            "proration_behavior": "always_invoice",
            "default_payment_method": broken.id,
            "off_session": True,
        },
    )
    assert changed.items.data[0].quantity == 2
    assert changed.status == "past_due"
    invoice = client.v1.invoices.mark_uncollectible(str(changed.latest_invoice))
    assert invoice.status == "uncollectible"
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_another_interval_starts_a_new_period_now(client: Any, stripe_sim: Simulator) -> None:
    yearly = new_price(client, unit_amount=9_999, recurring={"interval": "year"})
    subscription = subscribe(client)
    stripe_sim.advance(days=15)
    changed = client.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item_of(subscription), "price": yearly.id}]}
    )
    item = changed.items.data[0]
    assert item.current_period_start == int(stripe_sim.now.timestamp())
    assert item.current_period_end == int((stripe_sim.now + timedelta(days=365)).timestamp())
    assert lines(client, changed.latest_invoice) == [(-500, True), (9_999, False)]


def test_items_come_and_go_without_proration(client: Any) -> None:
    seats, extra = new_price(client), new_price(client, unit_amount=100)
    subscription = subscribe(client, price=seats.id)
    both = client.v1.subscriptions.update(
        subscription.id,
        {"items": [{"price": extra.id, "quantity": 3}], "proration_behavior": "none"},
    )
    assert [(i.price.id, i.quantity) for i in both.items.data] == [(seats.id, 1), (extra.id, 3)]
    one = client.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item_of(subscription), "deleted": True}]}
    )
    assert [i.price.id for i in one.items.data] == [extra.id]
    with pytest.raises(stripe.InvalidRequestError, match="at least one"):
        client.v1.subscriptions.update(
            subscription.id, {"items": [{"id": item_of(one), "deleted": True}]}
        )


def test_bad_changes_are_refused(client: Any) -> None:
    yearly = new_price(client, recurring={"interval": "year"})
    once = new_price(client, recurring=None)
    subscription = subscribe(client)
    for change, param in (
        ({"id": "si_none", "quantity": 1}, "items[0][id]"),
        ({"quantity": 1}, "items[0][price]"),
        ({"price": once.id}, "items[0][price]"),
        ({"price": yearly.id}, "items"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.subscriptions.update(subscription.id, {"items": [change]})
        assert caught.value.param == param
    assert len(client.v1.subscriptions.retrieve(subscription.id).items.data) == 1


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("keep_as_draft", "draft"), ("void", "void"), ("mark_uncollectible", "uncollectible")],
)
def test_paused_collection(client: Any, stripe_sim: Simulator, behavior: str, status: str) -> None:
    subscription = subscribe(client)
    client.v1.subscriptions.update(
        subscription.id,
        {"pause_collection": {"behavior": behavior}},
    )
    stripe_sim.advance(days=31)
    after = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert after.status == "active"
    assert after.latest_invoice.status == status
    resumed = client.v1.subscriptions.update(subscription.id, {"pause_collection": ""})
    assert resumed.pause_collection is None


def test_metadata_description_and_settings(client: Any) -> None:
    subscription = subscribe(client, metadata={"a": "1"}, description="first")
    changed = client.v1.subscriptions.update(
        subscription.id,
        {
            "metadata": {"b": "2"},
            "description": "second",
            "payment_settings": {"save_default_payment_method": "on_subscription"},
        },
    )
    assert changed.metadata.to_dict() == {"a": "1", "b": "2"}
    assert changed.description == "second"


def test_use_is_billed_after_the_period(client: Any, stripe_sim: Simulator) -> None:
    meter = client.v1.billing.meters.create(
        {
            "display_name": "Calls",
            "event_name": "calls",
            "default_aggregation": {"formula": "sum"},
        }
    )
    metered = new_price(
        client,
        unit_amount=None,
        unit_amount_decimal="0.5",
        recurring={"interval": "month", "meter": meter.id, "usage_type": "metered"},
    )
    customer, flat = new_payer(client), new_price(client)
    with pytest.raises(stripe.InvalidRequestError, match="metered"):
        client.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": metered.id, "quantity": 1}]}
        )
    subscription = client.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": flat.id}, {"price": metered.id}]}
    )
    assert "quantity" not in subscription.items.data[1].to_dict()
    for value in ("100", "25"):
        client.v1.billing.meter_events.create(
            {
                "event_name": "calls",
                "payload": {"stripe_customer_id": customer.id, "value": value},
            }
        )
    stripe_sim.advance(days=31)
    latest = client.v1.subscriptions.retrieve(subscription.id).latest_invoice
    assert sorted(amount for amount, _ in lines(client, latest)) == [63, 999]
    ended = client.v1.subscriptions.update(
        subscription.id, {"items": [{"id": subscription.items.data[1].id, "deleted": True}]}
    )
    assert len(ended.items.data) == 1


@pytest.mark.parametrize(("mode", "credit"), [("flexible", -500), ("classic", -1_500)])
def test_a_credit_is_for_what_was_debited_or_for_the_price(
    client: Any, stripe_sim: Simulator, mode: str, credit: int
) -> None:
    small, big = new_price(client, unit_amount=1_000), new_price(client, unit_amount=3_000)
    subscription = subscribe(client, price=small.id, billing_mode={"type": mode})
    item = item_of(subscription)
    client.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item, "price": big.id}], "proration_behavior": "none"}
    )
    stripe_sim.advance(days=15)
    back = {"items": [{"id": item, "price": small.id}], "proration_behavior": "always_invoice"}
    changed = client.v1.subscriptions.update(subscription.id, back)
    assert lines(client, changed.latest_invoice) == [(credit, True), (500, True)]
    (line, _) = client.v1.invoices.line_items.list(str(changed.latest_invoice)).data
    credited = line.parent.subscription_item_details.proration_details.credited_items
    if mode == "flexible":
        assert credited.invoice == subscription.latest_invoice
        assert len(credited.invoice_line_items) == 1
    else:
        assert credited is None


def test_several_changes_of_one_period_settle_to_the_second(
    client: Any, stripe_sim: Simulator
) -> None:
    subscription = subscribe(client, price=new_price(client, unit_amount=3_000).id)
    item = item_of(subscription)
    for day, quantity in ((10, 3), (10, 2)):
        stripe_sim.advance(days=day)
        client.v1.subscriptions.update(
            subscription.id, {"items": [{"id": item, "quantity": quantity}]}
        )
    stripe_sim.advance(days=11)
    latest = client.v1.subscriptions.retrieve(subscription.id).latest_invoice
    assert lines(client, latest) == [
        (-2_000, True),
        (6_000, True),
        (-3_000, True),
        (2_000, True),
        (6_000, False),
    ]


def test_a_proration_can_be_of_another_moment(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client, price=new_price(client, unit_amount=3_000).id)
    stripe_sim.advance(days=15)
    begun = subscription.items.data[0].current_period_start
    change = {
        "items": [{"id": item_of(subscription), "quantity": 2}],
        "proration_behavior": "always_invoice",
    }
    with pytest.raises(stripe.InvalidRequestError, match="outside of current"):
        client.v1.subscriptions.update(subscription.id, {**change, "proration_date": begun - 1})
    changed = client.v1.subscriptions.update(
        subscription.id, {**change, "proration_date": begun + 10 * 86_400}
    )
    assert lines(client, changed.latest_invoice) == [(-2_000, True), (4_000, True)]


def test_the_cycle_can_begin_anew(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client, price=new_price(client, unit_amount=3_000).id)
    stripe_sim.advance(days=10)
    changed = client.v1.subscriptions.update(subscription.id, {"billing_cycle_anchor": "now"})
    now = int(stripe_sim.now.timestamp())
    assert changed.billing_cycle_anchor == changed.items.data[0].current_period_start == now
    assert lines(client, changed.latest_invoice) == [(-2_000, True), (3_000, False)]


def test_another_price_in_place_of_the_only_one_begins_a_period(
    client: Any, stripe_sim: Simulator
) -> None:
    yearly = new_price(client, unit_amount=9_999, recurring={"interval": "year"})
    subscription = subscribe(client, price=new_price(client, unit_amount=3_000).id)
    stripe_sim.advance(days=15)
    swap = [{"id": item_of(subscription), "deleted": True}, {"price": yearly.id}]
    changed = client.v1.subscriptions.update(subscription.id, {"items": swap})
    assert lines(client, changed.latest_invoice) == [(-1_500, True), (9_999, False)]
    dollars = new_price(client, currency="usd", recurring={"interval": "year"})
    with pytest.raises(stripe.InvalidRequestError, match="share a currency"):
        client.v1.subscriptions.update(subscription.id, {"items": [{"price": dollars.id}]})


def test_collection_resumes_when_it_was_said(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    until = int((stripe_sim.now + timedelta(days=40)).timestamp())
    pause = {"behavior": "void", "resumes_at": until}
    client.v1.subscriptions.update(subscription.id, {"pause_collection": pause})
    stripe_sim.advance(days=31)
    voided = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert voided.latest_invoice.status == "void"
    stripe_sim.advance(days=10)
    after = client.v1.subscriptions.retrieve(subscription.id)
    assert after.pause_collection is None
    told = stripe_sim.events("customer.subscription.updated")[-1]
    assert told["data"]["previous_attributes"]["pause_collection"] == pause
    stripe_sim.advance(days=21)
    paid = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert paid.latest_invoice.status == "paid"
