from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import ApiError, Settings, Simulator
from tests.testing.stripe.shop import new_payer, subscribe


def pay(client: Any, card: str = "pm_card_visa", **params: Any) -> Any:
    return client.v1.payment_intents.create(
        {"amount": 500, "currency": "eur", "confirm": True, "payment_method": card, **params}
    )


def types(sim: Simulator, since: int = 0) -> list[str]:
    return [event["type"] for event in sim.events()[since:]]


def charge_of(client: Any, payment: Any) -> Any:
    return client.v1.charges.retrieve(str(payment.latest_charge))


def test_a_card_refund_succeeds_at_once(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client)
    before = len(stripe_sim.events())
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 200})
    assert (refund.status, refund.destination_details.card.reference_status) == (
        "succeeded",
        "pending",
    )
    assert types(stripe_sim, before) == ["refund.created", "charge.refunded"]
    changed = client.v1.refunds.update(refund.id, {"metadata": {"a": "1"}})
    assert changed.metadata["a"] == "1"
    assert types(stripe_sim)[-1] == "refund.updated"


def test_a_refund_that_is_pending_at_first(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client, "pm_card_pendingRefund")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    assert charge_of(client, intent).refunded
    before = len(stripe_sim.events())
    stripe_sim.advance(minutes=1)
    settled = client.v1.refunds.retrieve(refund.id)
    assert settled.status == "succeeded"
    assert "pending_reason" not in settled
    assert types(stripe_sim, before) == ["refund.updated", "charge.refund.updated"]


def test_a_refund_that_fails_in_the_end(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client, "pm_card_refundFail")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    before = len(stripe_sim.events())
    stripe_sim.advance(minutes=1)
    failed = client.v1.refunds.retrieve(
        refund.id, {"expand": ["failure_balance_transaction", "balance_transaction"]}
    )
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert (failed.balance_transaction.amount, failed.failure_balance_transaction.amount) == (
        -500,
        500,
    )
    charge = charge_of(client, intent)
    assert (charge.refunded, charge.amount_refunded) == (False, 0)
    assert types(stripe_sim, before) == [
        "refund.updated",
        "charge.refund.updated",
        "refund.failed",
    ]
    assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 500


def test_a_refund_waits_for_the_bank_or_for_the_customer(
    client: Any, stripe_sim: Simulator
) -> None:
    intent = pay(client)
    stripe_sim.stall_refunds(times=2)
    stripe_sim.stall_refunds(status="requires_action")
    one, two, three, four = (
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 100}) for _ in range(4)
    )
    assert [r.status for r in (one, two, three, four)] == [
        "pending",
        "pending",
        "requires_action",
        "succeeded",
    ]
    stripe_sim.advance(days=3)
    assert client.v1.refunds.retrieve(one.id).status == "pending"
    assert stripe_sim.settle_refund(one.id)["status"] == "succeeded"
    assert stripe_sim.fail_refund(two.id, "declined")["failure_reason"] == "declined"
    assert client.v1.refunds.cancel(three.id).status == "canceled"
    assert types(stripe_sim)[-2:] == ["refund.updated", "charge.refund.updated"]
    with pytest.raises(stripe.InvalidRequestError, match="Canceling this refund is unsupported"):
        client.v1.refunds.cancel(four.id)
    assert stripe_sim.cancel_refund(four.id)["status"] == "canceled"
    for end in (stripe_sim.settle_refund, stripe_sim.fail_refund, stripe_sim.cancel_refund):
        with pytest.raises(ApiError, match="that is canceled cannot"):
            end(four.id)
    assert charge_of(client, intent).amount_refunded == 100
    rest = client.v1.refunds.create({"payment_intent": intent.id})
    assert rest.amount == 400
    listed = client.v1.refunds.list({"payment_intent": intent.id}).data
    assert [r.id for r in listed] == [rest.id, four.id, three.id, two.id, one.id]


def test_what_cannot_be_refunded(client: Any, stripe_sim: Simulator) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="One of the following params"):
        client.v1.refunds.create({})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"charge": "ch_none"})
    assert (caught.value.http_status, caught.value.param) == (404, "id")
    prepared = client.v1.payment_intents.create({"amount": 500, "currency": "eur"})
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        client.v1.refunds.create({"payment_intent": prepared.id})
    with pytest.raises(stripe.CardError) as refused:
        pay(client, "pm_card_chargeCustomerFail")
    failed = refused.value.error
    assert failed is not None
    assert failed.payment_intent is not None
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        client.v1.refunds.create({"charge": failed.payment_intent.latest_charge})
    held = pay(client, capture_method="manual")
    with pytest.raises(stripe.InvalidRequestError, match="You must cancel the PaymentIntent"):
        client.v1.refunds.create({"payment_intent": held.id})
    paid = pay(client)
    with pytest.raises(stripe.InvalidRequestError, match=r"\(€5.01\) is greater .* \(€5.00\)"):
        client.v1.refunds.create({"payment_intent": paid.id, "amount": 501})


def test_an_invoice_s_payment_is_refunded_by_its_intent(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    (payment,) = client.v1.invoice_payments.list({"invoice": subscription.latest_invoice}).data
    intent = payment.payment.payment_intent
    refund = client.v1.refunds.create({"payment_intent": intent, "reason": "duplicate"})
    assert (refund.amount, refund.payment_intent) == (999, intent)
    assert client.v1.invoices.retrieve(str(subscription.latest_invoice)).status == "paid"


def test_a_hold_that_is_let_go_is_told_as_a_refund(client: Any, stripe_sim: Simulator) -> None:
    customer = new_payer(client).id
    canceled = pay(client, capture_method="manual", customer=customer)
    before = len(stripe_sim.events())
    client.v1.payment_intents.cancel(canceled.id)
    assert types(stripe_sim, before) == [
        "refund.created",
        "charge.refunded",
        "payment_intent.canceled",
    ]
    (refund,) = client.v1.refunds.list({"payment_intent": canceled.id}).data
    assert (refund.amount, refund.reason, refund.balance_transaction) == (500, None, None)
    lapsed = pay(client, capture_method="manual", customer=customer)
    before = len(stripe_sim.events())
    stripe_sim.advance(days=7)
    assert types(stripe_sim, before) == [
        "refund.created",
        "charge.expired",
        "payment_intent.canceled",
    ]
    (refund,) = client.v1.refunds.list({"payment_intent": lapsed.id}).data
    assert refund.reason == "expired_uncaptured_charge"


def test_a_charge_can_be_described(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client)
    found = client.v1.charges.update(
        str(intent.latest_charge), {"description": "a pack", "metadata": {"a": "1"}}
    )
    assert (found.description, found.metadata["a"]) == ("a pack", "1")
    assert types(stripe_sim)[-1] == "charge.updated"
    refund = client.v1.refunds.create({"charge": found.id, "expand": ["balance_transaction"]})
    assert refund.balance_transaction.description == "REFUND FOR CHARGE (a pack)"


class TestLater:
    """What Stripe adds after the fact."""

    @pytest.fixture
    def stripe_sim_settings(self) -> Settings:
        return Settings(seed=1, ticking=False, booking_seconds=1, refund_reference_seconds=3_600)

    def test_a_charge_is_booked_and_a_refund_is_named_later(
        self, client: Any, stripe_sim: Simulator
    ) -> None:
        intent = pay(client)
        assert charge_of(client, intent).balance_transaction is None
        stripe_sim.advance(seconds=1)
        assert charge_of(client, intent).balance_transaction is not None
        (told,) = stripe_sim.events("charge.updated")
        assert told["data"]["previous_attributes"] == {"balance_transaction": None}
        refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
        gone = client.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
        stripe_sim.fail_refund(gone.id)
        before = len(stripe_sim.events())
        stripe_sim.advance(hours=1)
        named = client.v1.refunds.retrieve(refund.id).destination_details.card
        assert named.reference_status == "available"
        assert types(stripe_sim, before) == ["refund.updated", "charge.refund.updated"]
