"""Previews of invoices, held against the invoices that come; and ends with what is still open."""

from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_payer, new_price, subscribe


def shape(invoice: Any) -> list[tuple[int, bool, str]]:
    return [
        (line.amount, line.parent.subscription_item_details.proration, line.description)
        for line in invoice.lines.data
    ]


@pytest.mark.parametrize("behavior", ["always_invoice", "create_prorations", "none"])
@pytest.mark.parametrize("percent", [None, 50])
def test_a_preview_is_what_the_change_will_cost(
    client: Any, stripe_sim: Simulator, behavior: str, percent: int | None
) -> None:
    small, big = new_price(client, unit_amount=1_000), new_price(client, unit_amount=3_000)
    discounts = []
    if percent:
        made = client.v1.coupons.create({"percent_off": percent, "duration": "forever"})
        discounts = [{"coupon": made.id}]
    subscription = subscribe(client, price=small.id, discounts=discounts)
    stripe_sim.advance(days=15)
    events = len(stripe_sim.events())
    change = {
        "items": [{"id": subscription.items.data[0].id, "price": big.id, "quantity": 2}],
        "proration_behavior": behavior,
        "proration_date": int(stripe_sim.now.timestamp()),
    }
    preview = client.v1.invoices.create_preview(
        {"subscription": subscription.id, "subscription_details": change}
    )
    assert len(stripe_sim.events()) == events
    assert preview.id.startswith("upcoming_in_")
    details = preview.parent.subscription_details.to_dict()
    prorated = None if behavior == "none" else change["proration_date"]
    assert details.get("subscription_proration_date") == prorated
    assert (preview.billing_reason, preview.status) == ("upcoming", "draft")
    assert client.v1.subscriptions.retrieve(subscription.id).items.data[0].price.id == small.id
    changed = client.v1.subscriptions.update(subscription.id, change)
    if behavior == "always_invoice":
        assert preview.next_payment_attempt == preview.created == int(stripe_sim.now.timestamp())
    else:
        stripe_sim.advance(days=15, hours=2)
        assert preview.next_payment_attempt == preview.created + 3_600
        changed = client.v1.subscriptions.retrieve(subscription.id)
    invoice = client.v1.invoices.retrieve(str(changed.latest_invoice))
    assert shape(preview) == shape(invoice)
    assert (preview.total, preview.amount_due) == (invoice.total, invoice.amount_paid)
    assert (preview.period_start, preview.period_end) == (invoice.period_start, invoice.period_end)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.retrieve(preview.id)


@pytest.mark.parametrize("duration", ["once", "forever"])
@pytest.mark.parametrize("behavior", ["always_invoice", "create_prorations"])
def test_a_change_with_a_discount_of_its_own(
    client: Any, stripe_sim: Simulator, behavior: str, duration: str
) -> None:
    small, big = new_price(client, unit_amount=1_000), new_price(client, unit_amount=3_000)
    half = client.v1.coupons.create({"percent_off": 50, "duration": duration})
    subscription = subscribe(client, price=small.id)
    stripe_sim.advance(days=15)
    change = {
        "items": [{"id": subscription.items.data[0].id, "price": big.id}],
        "proration_behavior": behavior,
    }
    discounts = [{"coupon": half.id}]
    preview = client.v1.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": change,
            "discounts": discounts,
        }
    )
    client.v1.subscriptions.update(subscription.id, {**change, "discounts": discounts})
    if behavior == "create_prorations":
        stripe_sim.advance(days=15, hours=2)
    after = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert shape(preview) == shape(after.latest_invoice)
    assert preview.total == after.latest_invoice.total
    # 500 of the old price is credited, 750 of the new one is due, and 1,500 of a whole month.
    assert preview.total == (250 if behavior == "always_invoice" else 1_750)
    assert len(after.discounts) == (0 if duration == "once" else 1)


def test_the_next_invoice_as_things_are(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    stripe_sim.advance(days=3)
    code = client.v1.coupons.create({"percent_off": 10, "duration": "once"})

    def preview(**params: Any) -> Any:
        return client.v1.invoices.create_preview({"subscription": subscription.id, **params})

    assert [amount for amount, _, _ in shape(preview())] == [999]
    off = preview(discounts=[{"coupon": code.id}], expand=["discounts", "lines"])
    assert (off.subtotal, off.total, off.total_discount_amounts[0].amount) == (999, 899, 100)
    assert off.discounts[0].source.coupon == code.id
    assert client.v1.coupons.retrieve(code.id).times_redeemed == 0
    seats = {"items": [{"id": subscription.items.data[0].id, "quantity": 5}]}
    both = preview(subscription_details=seats)
    assert [proration for _, proration, _ in shape(both)] == [True, True, False]
    only = preview(subscription_details=seats, preview_mode="recurring")
    assert [amount for amount, _, _ in shape(only)] == [4_995]
    yearly = new_price(client, unit_amount=9_900, recurring={"interval": "year"})
    other = preview(
        subscription_details={
            "items": [{"id": subscription.items.data[0].id, "price": yearly.id}],
        }
    )
    assert [amount for amount, _, _ in shape(other)] == [-899, 9_900]
    with pytest.raises(stripe.InvalidRequestError, match="does not belong"):
        preview(customer=new_payer(client).id)


def test_nothing_comes_after_the_end(client: Any) -> None:
    subscription = subscribe(client)
    ending = {"subscription_details": {"cancel_at_period_end": True}}
    for params in (ending, {}):
        if not params:
            client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.invoices.create_preview({"subscription": subscription.id, **params})
        assert (caught.value.code, caught.value.http_status) == ("invoice_upcoming_none", 404)
    client.v1.subscriptions.cancel(subscription.id)
    with pytest.raises(stripe.InvalidRequestError, match="No upcoming"):
        client.v1.invoices.create_preview({"subscription": subscription.id})


def test_a_new_subscription_can_be_previewed(client: Any, stripe_sim: Simulator) -> None:
    customer, price = new_payer(client), new_price(client)
    made = client.v1.coupons.create({"amount_off": 99, "currency": "eur", "duration": "once"})

    def preview(**details: Any) -> Any:
        return client.v1.invoices.create_preview(
            {
                "customer": customer.id,
                "discounts": [{"coupon": made.id}],
                "subscription_details": {"items": [{"price": price.id, "quantity": 2}], **details},
            }
        )

    assert (preview().subtotal, preview().amount_due, preview().parent) == (1_998, 1_899, None)
    later = int(stripe_sim.now.timestamp()) + 86_400
    assert preview(trial_end=later).amount_due == 0
    for params, param in (
        ({"subscription_details": {"items": [{"price": price.id}]}}, "customer"),
        ({"customer": customer.id}, "subscription_details[items]"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.invoices.create_preview(params)
        assert caught.value.param == param


def test_previews_of_a_trial_and_of_a_paused_subscription(
    client: Any, stripe_sim: Simulator
) -> None:
    customer = client.v1.customers.create({})
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": new_price(client).id}],
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
        }
    )

    def preview(**details: Any) -> Any:
        return client.v1.invoices.create_preview(
            {"subscription": subscription.id, "subscription_details": details}
        )

    now = int(stripe_sim.now.timestamp())
    assert preview().created == subscription.trial_end
    assert (preview(trial_end="now").created, preview(trial_end="now").total) == (now, 999)
    stripe_sim.advance(days=8)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "paused"
    assert preview(resume_at="now").total == 999


def test_an_end_with_what_is_open(client: Any, stripe_sim: Simulator) -> None:
    meter = client.v1.billing.meters.create(
        {
            "display_name": "Calls",
            "event_name": "calls",
            "default_aggregation": {"formula": "sum"},
        }
    )
    metered = new_price(
        client,
        unit_amount=100,
        recurring={"interval": "month", "meter": meter.id, "usage_type": "metered"},
    )
    flat = new_price(client, unit_amount=3_000)
    subscription = subscribe(client, items=[{"price": flat.id}, {"price": metered.id}])
    payload = {"stripe_customer_id": str(subscription.customer), "value": "40"}
    stripe_sim.advance(days=15)
    client.v1.billing.meter_events.create({"event_name": "calls", "payload": payload})
    stripe_sim.advance(seconds=1)
    preview = client.v1.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": {"cancel_now": True, "proration_behavior": "none"},
        }
    )
    assert [amount for amount, _, _ in shape(preview)] == [4_000]
    usual = client.v1.invoices.create_preview({"subscription": subscription.id})
    assert [amount for amount, _, _ in shape(usual)] == [3_000, 4_000]
    last = {"subscription_details": {"cancel_at_period_end": True}}
    ending = client.v1.invoices.create_preview({"subscription": subscription.id, **last})
    assert [amount for amount, _, _ in shape(ending)] == [4_000]
    ended = client.v1.subscriptions.cancel(
        subscription.id, {"invoice_now": True, "prorate": True, "expand": ["latest_invoice"]}
    )
    assert ended.status == "canceled"
    assert [amount for amount, _, _ in shape(ended.latest_invoice)] == [-1_500, 4_000]
    assert (ended.latest_invoice.status, ended.latest_invoice.amount_paid) == ("paid", 2_500)
    plain = subscribe(client)
    ended = client.v1.subscriptions.cancel(plain.id, {"invoice_now": True})
    assert ended.latest_invoice == plain.latest_invoice


def test_a_change_waits_for_the_customer_to_confirm_it(client: Any) -> None:
    subscription = subscribe(client)
    changed = client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": subscription.items.data[0].id, "quantity": 3}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "default_incomplete",
            "expand": ["latest_invoice.confirmation_secret"],
        },
    )
    assert (changed.status, changed.latest_invoice.status) == ("past_due", "open")
    secret = changed.latest_invoice.confirmation_secret
    intent = secret.client_secret.partition("_secret_")[0]
    client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_a_trial_asks_for_a_payment_method_by_a_setup_intent(
    client: Any, stripe_sim: Simulator
) -> None:
    customer = client.v1.customers.create({})
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": new_price(client).id}],
            "trial_period_days": 7,
            "payment_behavior": "default_incomplete",
            "payment_settings": {
                "save_default_payment_method": "on_subscription",
                "payment_method_types": ["card"],
            },
            "expand": ["pending_setup_intent"],
        }
    )
    assert subscription.status == "trialing"
    intent = subscription.pending_setup_intent
    assert intent.client_secret.startswith(intent.id)
    assert intent.payment_method_types == ["card"]
    done = client.v1.setup_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    after = client.v1.subscriptions.retrieve(subscription.id)
    assert after.pending_setup_intent is None
    assert after.default_payment_method == done.payment_method
    stripe_sim.advance(days=7, hours=2)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
