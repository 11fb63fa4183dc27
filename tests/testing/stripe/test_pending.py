"""Changes that wait for their payment: pending updates and resumptions."""

from datetime import timedelta
from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_price, subscribe
from tests.testing.stripe.test_changes import item_of, lines
from tests.testing.stripe.test_refunds import types

EXPIRED = "customer.subscription.pending_update_expired"
APPLIED = "customer.subscription.pending_update_applied"


def broke(client: Any, customer: object) -> str:
    """From now on the customer's card declines."""
    card = client.v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": str(customer)}
    )
    client.v1.customers.update(
        str(customer), {"invoice_settings": {"default_payment_method": card.id}}
    )
    return str(card.id)


def upgrade(client: Any, subscription: Any, **params: Any) -> Any:
    return client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item_of(subscription), "quantity": 3}],
            "payment_behavior": "pending_if_incomplete",
            "proration_behavior": "always_invoice",
            "expand": ["latest_invoice"],
            **params,
        },
    )


def now_of(client: Any, subscription: Any) -> Any:
    return client.v1.subscriptions.retrieve(subscription.id)


def test_a_paid_update_is_applied_at_once(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    before = len(stripe_sim.events())
    changed = upgrade(client, subscription)
    assert (changed.pending_update, changed.items.data[0].quantity) == (None, 3)
    assert changed.latest_invoice.status == "paid"
    told = types(stripe_sim, before)
    assert told.count("customer.subscription.updated") == 1
    assert APPLIED not in told


def test_an_unpaid_update_waits_and_is_applied_when_paid(
    client: Any, stripe_sim: Simulator
) -> None:
    subscription = subscribe(client)
    stripe_sim.advance(days=15)
    broke(client, subscription.customer)
    waiting = upgrade(client, subscription)
    assert (waiting.status, waiting.items.data[0].quantity) == ("active", 1)
    update = waiting.pending_update
    assert update.subscription_items[0].quantity == 3
    assert update.expires_at == int((stripe_sim.now + timedelta(hours=23)).timestamp())
    assert waiting.latest_invoice.status == "open"
    assert stripe_sim.events("invoice.payment_failed")
    before = len(stripe_sim.events())
    client.v1.invoices.pay(waiting.latest_invoice.id, {"payment_method": "pm_card_visa"})
    after = now_of(client, subscription)
    assert (after.pending_update, after.items.data[0].quantity) == (None, 3)
    assert [t for t in types(stripe_sim, before) if t.startswith("customer.")] == [
        "customer.subscription.updated",
        APPLIED,
    ]
    stripe_sim.advance(days=1)
    assert not stripe_sim.events(EXPIRED)


def test_an_update_that_nobody_pays_expires_and_the_old_plan_stays(
    client: Any, stripe_sim: Simulator
) -> None:
    subscription = subscribe(client)
    card = broke(client, subscription.customer)
    waiting = upgrade(client, subscription)
    with pytest.raises(stripe.CardError):
        client.v1.invoices.pay(waiting.latest_invoice.id, {"payment_method": card})
    stripe_sim.advance(hours=23)
    after = now_of(client, subscription)
    assert (after.status, after.pending_update) == ("active", None)
    assert after.items.data[0].quantity == 1
    assert client.v1.invoices.retrieve(waiting.latest_invoice.id).status == "void"
    assert len(stripe_sim.events(EXPIRED)) == 1


def test_the_end_of_the_period_comes_first(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    end = subscription.items.data[0].current_period_end
    stripe_sim.advance(days=29, hours=12)
    broke(client, subscription.customer)
    assert upgrade(client, subscription).pending_update.expires_at == end


def test_an_update_is_given_up(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    broke(client, subscription.customer)
    first = upgrade(client, subscription)
    client.v1.invoices.void_invoice(first.latest_invoice.id)
    assert now_of(client, subscription).pending_update is None
    second = upgrade(client, subscription)
    changed = client.v1.subscriptions.update(subscription.id, {"metadata": {"a": "1"}})
    assert changed.pending_update is None
    assert client.v1.invoices.retrieve(second.latest_invoice.id).status == "void"
    upgrade(client, subscription)
    ended = client.v1.subscriptions.cancel(subscription.id)
    assert (ended.status, ended.pending_update) == ("canceled", None)
    stripe_sim.advance(days=1)
    assert len(stripe_sim.events(EXPIRED)) == 2


def test_what_cannot_wait(client: Any) -> None:
    subscription = subscribe(client)
    with pytest.raises(stripe.InvalidRequestError, match="unsupported param: metadata"):
        upgrade(client, subscription, metadata={"a": "1"})
    later = upgrade(client, subscription, proration_behavior="create_prorations")
    assert later.items.data[0].quantity == 3
    assert later.latest_invoice.id == subscription.latest_invoice


def test_an_update_that_cannot_be_paid_is_refused(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    broke(client, subscription.customer)
    before = len(stripe_sim.events())
    with pytest.raises(stripe.CardError):
        upgrade(client, subscription, payment_behavior="error_if_incomplete")
    assert now_of(client, subscription).items.data[0].quantity == 1
    assert types(stripe_sim, before) == []
    down = [{"id": item_of(subscription), "quantity": 0}]
    less = upgrade(client, subscription, payment_behavior="error_if_incomplete", items=down)
    assert less.items.data[0].quantity == 0


def paused(client: Any, stripe_sim: Simulator) -> Any:
    customer = client.v1.customers.create({})
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": new_price(client, unit_amount=3_000).id}],
            "trial_end": int((stripe_sim.now + timedelta(days=10)).timestamp()),
            "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
        }
    )
    stripe_sim.advance(days=20)
    return now_of(client, subscription)


def pay_by(client: Any, customer: object, card: str) -> None:
    method = client.v1.payment_methods.attach(card, {"customer": str(customer)})
    client.v1.customers.update(
        str(customer), {"invoice_settings": {"default_payment_method": method.id}}
    )


def test_a_resumption_waits_for_its_invoice(client: Any, stripe_sim: Simulator) -> None:
    subscription = paused(client, stripe_sim)
    asked = client.v1.subscriptions.resume(subscription.id)
    assert (asked.status, asked.pending_update.billing_cycle_anchor) == (
        "paused",
        int(stripe_sim.now.timestamp()),
    )
    stripe_sim.advance(hours=23)
    after = now_of(client, subscription)
    assert (after.status, after.pending_update) == ("paused", None)
    assert client.v1.invoices.retrieve(str(asked.latest_invoice)).status == "void"
    assert not stripe_sim.events("customer.subscription.resumed", EXPIRED)
    again = client.v1.subscriptions.resume(subscription.id)
    client.v1.invoices.pay(str(again.latest_invoice), {"payment_method": "pm_card_visa"})
    assert now_of(client, subscription).status == "active"
    assert len(stripe_sim.events("customer.subscription.resumed")) == 1


def test_a_resumption_that_is_given_up_is_one(client: Any, stripe_sim: Simulator) -> None:
    subscription = paused(client, stripe_sim)
    asked = client.v1.subscriptions.resume(subscription.id)
    client.v1.invoices.mark_uncollectible(str(asked.latest_invoice))
    assert now_of(client, subscription).status == "active"


@pytest.mark.parametrize(
    ("behavior", "billed"),
    [("create_prorations", []), ("always_invoice", [(2_000, True)]), ("none", [])],
)
def test_a_resumption_in_the_old_cycle(
    client: Any, stripe_sim: Simulator, behavior: str, billed: list[tuple[int, bool]]
) -> None:
    subscription = paused(client, stripe_sim)
    pay_by(client, subscription.customer, "pm_card_visa")
    old = subscription.billing_cycle_anchor
    resumed = client.v1.subscriptions.resume(
        subscription.id, {"billing_cycle_anchor": "unchanged", "proration_behavior": behavior}
    )
    assert (resumed.status, resumed.billing_cycle_anchor) == ("active", old)
    if billed:
        assert lines(client, resumed.latest_invoice) == billed
    stripe_sim.advance_to(
        stripe_sim.now.fromtimestamp(
            resumed.items.data[0].current_period_end, stripe_sim.now.tzinfo
        )
    )
    latest = now_of(client, subscription).latest_invoice
    prorated = [(2_000, True)] if behavior == "create_prorations" else []
    assert lines(client, latest) == [*prorated, (3_000, False)]


def test_what_is_paid_by_bank_debit_cannot_wait(client: Any) -> None:
    subscription = subscribe(client)
    debit = client.v1.payment_methods.create(
        {
            "type": "sepa_debit",
            "sepa_debit": {"iban": "DE89370400440532013000"},
            "billing_details": {"name": "Ada", "email": "ada@example.com"},
        }
    )
    client.v1.payment_methods.attach(debit.id, {"customer": str(subscription.customer)})
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": debit.id})
    with pytest.raises(stripe.InvalidRequestError, match="bank debit"):
        upgrade(client, subscription)
