from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_price, subscribe


@pytest.fixture
def unpaid(client: Any) -> Any:
    """The open invoice of an incomplete subscription."""
    customer, price = client.v1.customers.create({"email": "a@b.c"}), new_price(client)
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "payment_behavior": "default_incomplete",
            "expand": ["latest_invoice.payments"],
        }
    )
    assert subscription.latest_invoice.object == "invoice"
    return subscription.latest_invoice


def test_an_invoice_without_a_method_fails_to_be_paid(
    client: Any, stripe_sim: Simulator, unpaid: Any
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        client.v1.invoices.pay(str(unpaid.id))
    assert stripe_sim.events("invoice.payment_failed")
    paid = client.v1.invoices.pay(str(unpaid.id), {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.amount_remaining, paid.attempt_count) == ("paid", 0, 2)


def test_voiding_ends_what_it_was_for(client: Any, stripe_sim: Simulator, unpaid: Any) -> None:
    void = client.v1.invoices.void_invoice(str(unpaid.id))
    assert (void.status, void.status_transitions.voided_at) == (
        "void",
        int(stripe_sim.now.timestamp()),
    )
    assert stripe_sim.events("invoice.voided", "payment_intent.canceled")
    (subscription,) = client.v1.subscriptions.list({"status": "incomplete_expired"}).data
    assert subscription.latest_invoice == unpaid.id
    payments = client.v1.invoice_payments.list({"invoice": str(unpaid.id)}).data
    assert [p.status for p in payments] == ["canceled"]
    for act in (client.v1.invoices.void_invoice, client.v1.invoices.mark_uncollectible):
        with pytest.raises(stripe.InvalidRequestError):
            act(str(unpaid.id))
    with pytest.raises(stripe.InvalidRequestError, match="cannot be paid"):
        client.v1.invoices.pay(str(unpaid.id))
    with pytest.raises(stripe.InvalidRequestError, match="already finalized"):
        client.v1.invoices.finalize_invoice(str(unpaid.id))


def test_an_invoice_paid_elsewhere(client: Any, stripe_sim: Simulator, unpaid: Any) -> None:
    client.v1.invoices.mark_uncollectible(str(unpaid.id))
    paid = client.v1.invoices.pay(str(unpaid.id), {"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid_off_stripe) == ("paid", 999)
    assert client.v1.subscriptions.list({"status": "active"}).data


def test_which_payment_paid_which_invoice(client: Any, unpaid: Any) -> None:
    (payment,) = unpaid.payments.data
    intent = str(payment.payment.payment_intent)
    client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    (found,) = client.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": intent}, "status": "paid"}
    ).data
    assert (found.invoice, found.amount_paid) == (unpaid.id, 999)
    one = client.v1.invoice_payments.retrieve(found.id, {"expand": ["payment.payment_intent"]})
    assert one.payment.payment_intent.object == "payment_intent"


def test_a_draft_can_be_changed_finalised_and_paid_early(
    client: Any, stripe_sim: Simulator
) -> None:
    first, second = subscribe(client), subscribe(client)
    stripe_sim.advance(days=30, minutes=1)
    drafts = client.v1.invoices.list({"status": "draft"}).data
    assert {i.parent.subscription_details.subscription for i in drafts} == {first.id, second.id}
    early, later = str(drafts[0].id), str(drafts[1].id)
    client.v1.invoices.update(early, {"metadata": {"a": "1"}, "description": "Thanks"})
    assert stripe_sim.events("invoice.updated")
    done = client.v1.invoices.finalize_invoice(early, {"auto_advance": True})
    assert (done.status, done.description) == ("paid", "Thanks")
    assert client.v1.invoices.pay(later).status == "paid"
    stripe_sim.advance(hours=3)
    assert len(stripe_sim.events("invoice.paid")) == 4


def test_an_invoice_is_read_on_its_page(stripe_sim: Simulator, unpaid: Any) -> None:
    page = httpx.get(str(unpaid.hosted_invoice_url))
    assert "€9.99" in page.text
    assert str(unpaid.number) in page.text
    assert httpx.get(f"{stripe_sim.url}/i/in_none").status_code == 404


def test_invoices_are_listed_and_expanded(client: Any, unpaid: Any) -> None:
    subscription = unpaid.parent.subscription_details.subscription
    found = client.v1.invoices.list(
        {
            "subscription": str(subscription),
            "customer": str(unpaid.customer),
            "expand": [
                "data.customer",
                "data.parent.subscription_details.subscription",
                "data.payments.data.payment.payment_intent",
                "data.lines.data.pricing.price_details.price",
            ],
        }
    ).data[0]
    assert found.customer.object == "customer"
    assert found.parent.subscription_details.subscription.object == "subscription"
    assert found.payments.data[0].payment.payment_intent.object == "payment_intent"
    assert found.lines.data[0].pricing.price_details.price.unit_amount == 999
