from datetime import timedelta
from typing import Any, Literal

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import Settings, Simulator
from tests.testing.stripe.shop import new_payer, new_price, subscribe


def types(sim: Simulator, prefix: str = "") -> list[str]:
    return [e["type"] for e in sim.events() if e["type"].startswith(prefix)]


def status(client: Any, subscription: Any) -> str:
    return str(client.v1.subscriptions.retrieve(subscription.id).status)


def test_a_first_payment_activates(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client, expand=["latest_invoice.payments", "customer"])
    assert subscription.status == "active"
    created, updated = stripe_sim.events(
        "customer.subscription.created", "customer.subscription.updated"
    )
    assert created["data"]["object"]["status"] == "incomplete"
    assert updated["data"]["previous_attributes"] == {"status": "incomplete"}
    invoice = subscription.latest_invoice
    assert invoice.object == "invoice"
    line = invoice.lines.data[0]
    assert invoice.parent.subscription_details.subscription == subscription.id
    details = line.parent.subscription_item_details
    assert (details.subscription_item, details.proration) == (
        subscription.items.data[0].id,
        False,
    )
    assert line.pricing.price_details.price == subscription.items.data[0].price.id


def test_without_any_payment_method_it_is_refused(client: Any) -> None:
    customer, price = client.v1.customers.create({}), new_price(client)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    assert caught.value.code == "resource_missing"


def test_a_declined_first_payment_is_incomplete_and_expires_after_23_hours(
    client: Any, stripe_sim: Simulator
) -> None:
    subscription = subscribe(client, "pm_card_chargeCustomerFail")
    assert subscription.status == "incomplete"
    assert "invoice.payment_failed" in types(stripe_sim)
    stripe_sim.advance(hours=22)
    assert status(client, subscription) == "incomplete"
    stripe_sim.advance(hours=2)
    assert status(client, subscription) == "incomplete_expired"
    invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert invoice.status == "void"
    stripe_sim.advance(days=90)
    assert len(client.v1.invoices.list().data) == 1


def test_error_if_incomplete_is_a_402_that_leaves_nothing(
    client: Any, stripe_sim: Simulator
) -> None:
    with pytest.raises(stripe.CardError):
        subscribe(client, "pm_card_chargeCustomerFail", payment_behavior="error_if_incomplete")
    with pytest.raises(stripe.CardError) as caught:
        subscribe(client, "pm_card_authenticationRequired", payment_behavior="error_if_incomplete")
    assert caught.value.code == "subscription_payment_intent_requires_action"
    with pytest.raises(stripe.CardError, match="requires authentication"):
        subscribe(
            client,
            "pm_card_authenticationRequired",
            payment_behavior="error_if_incomplete",
            off_session=True,
        )
    assert not stripe_sim.events("customer.subscription.created", "invoice.created")
    made = subscribe(client, payment_behavior="error_if_incomplete")
    assert made.status == "active"


def test_default_incomplete_waits_for_its_intent(client: Any, stripe_sim: Simulator) -> None:
    customer, price = client.v1.customers.create({}), new_price(client)
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "payment_behavior": "default_incomplete",
            "payment_settings": {"save_default_payment_method": "on_subscription"},
            "expand": ["latest_invoice.confirmation_secret", "latest_invoice.payments"],
        }
    )
    invoice = subscription.latest_invoice
    assert invoice.object == "invoice"
    secret = invoice.confirmation_secret.client_secret
    intent = secret.partition("_secret_")[0]
    with pytest.raises(stripe.InvalidRequestError, match="void the invoice"):
        client.v1.payment_intents.cancel(intent)
    client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    after = client.v1.subscriptions.retrieve(subscription.id)
    assert after.status == "active"
    assert str(after.default_payment_method).startswith("pm_")
    assert stripe_sim.events("invoice.paid")


def test_3d_secure_makes_it_wait(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client, "pm_card_authenticationRequiredOnSetup")
    assert subscription.status == "incomplete"
    assert "invoice.payment_action_required" in types(stripe_sim)
    (payment,) = client.v1.invoice_payments.list({"invoice": subscription.latest_invoice}).data
    httpx.post(
        f"{stripe_sim.url}/3ds/{payment.payment.payment_intent}", data={"outcome": "complete"}
    )
    assert status(client, subscription) == "active"
    stripe_sim.advance(days=31)  # the card has been set up: nobody has to confirm the renewal
    assert status(client, subscription) == "active"


def test_a_card_that_always_asks_fails_off_session(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client, "pm_card_authenticationRequired", trial_period_days=1)
    stripe_sim.advance(days=1, hours=2)
    assert status(client, subscription) == "past_due"
    failed = stripe_sim.events("payment_intent.payment_failed")[-1]["data"]["object"]
    assert failed["last_payment_error"]["code"] == "authentication_required"


def test_periods_renew_with_an_hour_of_draft(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    before = subscription.items.data[0]
    stripe_sim.advance(days=30, minutes=30)
    renewed = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    after, invoice = renewed.items.data[0], renewed.latest_invoice
    assert invoice.object == "invoice"
    assert after.current_period_start == before.current_period_end
    assert (invoice.status, invoice.billing_reason) == ("draft", "subscription_cycle")
    assert invoice.lines.data[0].period.start == after.current_period_start
    changed = stripe_sim.events("customer.subscription.updated")[-1]["data"]["previous_attributes"]
    assert set(changed) == {"items", "latest_invoice"}
    stripe_sim.advance(hours=1)
    paid = client.v1.invoices.retrieve(str(invoice.id))
    assert (paid.status, paid.attempt_count) == ("paid", 1)
    finalized, opened = paid.status_transitions.finalized_at, after.current_period_start
    assert finalized == opened + 3_600
    stripe_sim.advance(days=365)
    assert len(list(client.v1.invoices.list({"limit": 5}).auto_paging_iter())) == 14


def test_a_renewal_that_fails_is_retried_then_canceled(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    client.v1.subscriptions.update(
        subscription.id, {"default_payment_method": _broken(client, subscription)}
    )
    stripe_sim.advance(days=30, hours=2)
    assert status(client, subscription) == "past_due"
    invoice = client.v1.invoices.list({"subscription": subscription.id, "status": "open"}).data[0]
    assert (invoice.attempt_count, invoice.amount_remaining) == (1, 999)
    assert invoice.next_payment_attempt == int(
        (stripe_sim.now + timedelta(days=3, hours=-1)).timestamp()
    )
    stripe_sim.advance(days=16)
    ended = client.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    last = client.v1.invoices.retrieve(str(invoice.id))
    assert (last.attempt_count, last.next_payment_attempt, last.status) == (4, None, "open")
    assert types(stripe_sim).count("invoice.payment_failed") == 4
    assert types(stripe_sim)[-2:] == ["customer.subscription.deleted", "invoice.payment_failed"]


def _broken(client: Any, subscription: Any) -> str:
    """A card that can be kept and cannot be charged, kept by the subscription's customer."""
    kept = client.v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": str(subscription.customer)}
    )
    return str(kept.id)


def test_a_past_due_subscription_recovers_when_its_invoice_is_paid(
    client: Any, stripe_sim: Simulator
) -> None:
    subscription = subscribe(client)
    client.v1.subscriptions.update(
        subscription.id, {"default_payment_method": _broken(client, subscription)}
    )
    stripe_sim.advance(days=31)
    invoice = client.v1.invoices.list({"status": "open"}).data[0]
    with pytest.raises(stripe.CardError):
        client.v1.invoices.pay(str(invoice.id))
    paid = client.v1.invoices.pay(str(invoice.id), {"payment_method": "pm_card_visa"})
    assert paid.status == "paid"
    assert status(client, subscription) == "active"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.invoices.pay(str(invoice.id))
    assert caught.value.code == "invoice_already_paid"


@pytest.mark.parametrize("outcome", ["unpaid", "past_due"])
class TestAfterTheRetries:
    @pytest.fixture
    def stripe_sim_settings(self, outcome: Literal["unpaid", "past_due"]) -> Settings:
        return Settings(seed=1, ticking=False, after_retries=outcome, retry_days=(1,))

    def test_the_setting_decides(self, client: Any, stripe_sim: Simulator, outcome: str) -> None:
        subscription = subscribe(client)
        client.v1.subscriptions.update(
            subscription.id, {"default_payment_method": _broken(client, subscription)}
        )
        stripe_sim.advance(days=35)
        assert status(client, subscription) == outcome
        stripe_sim.advance(days=31)
        latest = client.v1.subscriptions.retrieve(
            subscription.id, {"expand": ["latest_invoice"]}
        ).latest_invoice
        assert latest.object == "invoice"
        assert latest.status == ("draft" if outcome == "unpaid" else "open")
        client.v1.subscriptions.update(subscription.id, {"default_payment_method": "pm_card_visa"})
        assert client.v1.invoices.pay(str(latest.id)).status == "paid"
        assert status(client, subscription) == "active"


def test_cancel_at_period_end_and_its_undoing(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    end = subscription.items.data[0].current_period_end
    leaving = client.v1.subscriptions.update(
        subscription.id,
        {"cancel_at_period_end": True, "cancellation_details": {"feedback": "too_expensive"}},
    )
    assert (leaving.cancel_at, leaving.status) == (end, "active")
    staying = client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    assert (staying.cancel_at, staying.canceled_at) == (None, None)
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    stripe_sim.advance(days=31)
    ended = client.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", end)
    assert types(stripe_sim)[-1] == "customer.subscription.deleted"
    assert len(client.v1.invoices.list().data) == 1
    noted = client.v1.subscriptions.update(
        subscription.id, {"metadata": {"a": "1"}, "cancellation_details": {"comment": "bye"}}
    )
    assert (noted.metadata["a"], noted.cancellation_details.comment) == ("1", "bye")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.subscriptions.update(subscription.id, {"description": "more"})
    assert caught.value.code == "invalid_canceled_subscription_fields"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.subscriptions.cancel(subscription.id)
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


def test_cancel_at_a_moment_and_at_once(client: Any, stripe_sim: Simulator) -> None:
    first, second = subscribe(client), subscribe(client, cancel_at_period_end=True)
    moment = int((stripe_sim.now + timedelta(days=3)).timestamp())
    client.v1.subscriptions.update(first.id, {"cancel_at": moment})
    with pytest.raises(stripe.InvalidRequestError, match="future"):
        client.v1.subscriptions.update(second.id, {"cancel_at": 1})
    canceled = client.v1.subscriptions.cancel(
        second.id, {"cancellation_details": {"comment": "bye"}}
    )
    assert (canceled.status, canceled.cancellation_details.comment) == ("canceled", "bye")
    stripe_sim.advance(days=4)
    assert status(client, first) == "canceled"


def test_a_draft_of_a_canceled_subscription_is_not_collected(
    client: Any, stripe_sim: Simulator
) -> None:
    subscription = subscribe(client)
    stripe_sim.advance(days=30, minutes=5)
    client.v1.subscriptions.cancel(subscription.id)
    stripe_sim.advance(days=1)
    assert [i.status for i in client.v1.invoices.list().data] == ["draft", "paid"]


def test_a_trial_warns_then_bills(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client, trial_period_days=7)
    assert subscription.status == "trialing"
    first = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert (first.status, first.total) == ("paid", 0)
    stripe_sim.advance(days=5)
    (notice,) = stripe_sim.events("customer.subscription.trial_will_end")
    assert notice["created"] == subscription.trial_end - 3 * 86_400
    stripe_sim.advance(days=3)
    after = client.v1.subscriptions.retrieve(subscription.id)
    assert after.status == "active"
    assert after.items.data[0].current_period_start == subscription.trial_end
    assert client.v1.invoices.retrieve(str(after.latest_invoice)).amount_paid == 999


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [("cancel", "canceled"), ("pause", "paused"), ("create_invoice", "past_due")],
)
def test_a_trial_without_a_card(
    client: Any, stripe_sim: Simulator, behavior: str, expected: str
) -> None:
    customer, price = client.v1.customers.create({}), new_price(client)
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "trial_end": int((stripe_sim.now + timedelta(days=1)).timestamp()),
            "trial_settings": {"end_behavior": {"missing_payment_method": behavior}},
        }
    )
    assert types(stripe_sim)[-1] != "customer.subscription.trial_will_end"
    stripe_sim.advance(days=1, hours=2)
    assert "customer.subscription.trial_will_end" in types(stripe_sim)
    assert status(client, subscription) == expected
    if expected == "paused":
        assert "customer.subscription.paused" in types(stripe_sim)
        client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        method = client.v1.payment_methods.list({"customer": customer.id}).data[0]
        client.v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})
        client.v1.subscriptions.resume(subscription.id)
        assert status(client, subscription) == "active"
        assert "customer.subscription.resumed" in types(stripe_sim)
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.subscriptions.resume(subscription.id)


def test_a_trial_can_be_ended_and_begun_by_an_update(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client, trial_period_days=7)
    client.v1.subscriptions.update(subscription.id, {"trial_end": "now"})
    assert status(client, subscription) == "active"
    later = int((stripe_sim.now + timedelta(days=10)).timestamp())
    client.v1.subscriptions.update(subscription.id, {"trial_end": later})
    assert status(client, subscription) == "trialing"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.subscriptions.update(subscription.id, {"trial_end": 5})
    stripe_sim.advance(days=11)
    assert status(client, subscription) == "active"


def test_send_invoice_waits_for_the_due_date(client: Any, stripe_sim: Simulator) -> None:
    customer, price = client.v1.customers.create({}), new_price(client)
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "collection_method": "send_invoice",
            "days_until_due": 10,
        }
    )
    assert subscription.status == "active"
    first = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert (first.status, first.attempt_count, first.number) == ("draft", 0, None)
    stripe_sim.advance(hours=1)
    first = client.v1.invoices.retrieve(first.id)
    assert (first.status, first.attempt_count) == ("open", 0)
    client.v1.invoices.pay(first.id, {"paid_out_of_band": True})
    stripe_sim.advance(days=30, hours=1)
    stripe_sim.advance(days=11)
    assert status(client, subscription) == "past_due"
    assert "invoice.overdue" in types(stripe_sim)
    latest = client.v1.subscriptions.retrieve(subscription.id).latest_invoice
    client.v1.invoices.pay(str(latest), {"paid_out_of_band": True})
    assert status(client, subscription) == "active"


def test_subscriptions_are_listed_by_status_customer_and_price(
    client: Any,
) -> None:
    running, ended = subscribe(client), subscribe(client)
    client.v1.subscriptions.cancel(ended.id)

    def ids(**params: str) -> list[str]:
        return [s.id for s in client.v1.subscriptions.list(params).data]

    assert ids() == [running.id]
    assert ids(status="all") == [ended.id, running.id]
    assert ids(status="ended") == ids(status="canceled") == [ended.id]
    assert ids(customer=str(running.customer)) == [running.id]
    assert ids(price=running.items.data[0].price.id, status="active") == [running.id]
    items = client.v1.subscription_items.list({"subscription": running.id})
    assert [item.id for item in items.data] == [running.items.data[0].id]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"items": []}, "items"),
        ({"items": [{"quantity": 1}]}, "items[0][price]"),
        ({"collection_method": "send_invoice"}, "days_until_due"),
        ({"trial_end": 5}, "trial_end"),
        ({"default_payment_method": "pm_none"}, "default_payment_method"),
        ({"payment_behavior": "hope"}, "payment_behavior"),
    ],
)
def test_bad_subscriptions_are_refused(client: Any, params: dict[str, Any], param: str) -> None:
    customer, price = new_payer(client), new_price(client)
    base = {"customer": customer.id, "items": [{"price": price.id}]}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.subscriptions.create({**base, **params})
    assert caught.value.param == param


def test_prices_of_a_subscription_must_fit(client: Any) -> None:
    monthly, once = new_price(client), new_price(client, recurring=None)
    yearly = new_price(client, recurring={"interval": "year"})
    asleep = new_price(client, active=False)
    for message, prices in (
        ("one_time", [once]),
        ("inactive", [asleep]),
        ("share a currency and an interval", [monthly, yearly]),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=message):
            subscribe(client, items=[{"price": price.id} for price in prices])
    inline = {
        "currency": "eur",
        "product": str(monthly.product),
        "recurring": {"interval": "month"},
        "unit_amount": 5,
    }
    made = subscribe(client, items=[{"price_data": inline, "quantity": 3}])
    assert made.items.data[0].price.unit_amount == 5
