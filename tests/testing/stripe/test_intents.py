"""Payment intents as orders need them: amounts, shares, saved cards, held money."""

from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.billing import amounts
from gatekeeper.testing.stripe.core.errors import ApiError
from tests.testing.stripe.shop import new_payer, new_price


def intent(client: Any, **params: Any) -> Any:
    return client.v1.payment_intents.create({"amount": 2_000, "currency": "eur", **params})


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "eur", "amount_too_small"),
        (50, "eur", ""),
        (29, "gbp", "amount_too_small"),
        (30, "gbp", ""),
        (49, "jpy", "amount_too_small"),
        (50, "jpy", ""),
        (17_499, "huf", "amount_too_small"),
        (99_999_999, "usd", ""),
        (100_000_000, "usd", "amount_too_large"),
        (100_000_000, "idr", ""),
        (5_120, "kwd", ""),
        (5_124, "kwd", None),
        (500, "isk", ""),
        (550, "isk", None),
        (550, "ugx", None),
        (1, "xaf", ""),
    ],
)
def test_amounts_of_a_charge(amount: int, currency: str, code: str | None) -> None:
    if code == "":
        amounts.check(amount, currency)
        return
    with pytest.raises(ApiError) as caught:
        amounts.check(amount, currency)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, "amount")


def test_an_amount_is_checked_wherever_it_is_said(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=r"at least €0\.50 eur") as caught:
        intent(client, amount=10)
    assert caught.value.code == "amount_too_small"
    made = intent(client)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.update(made.id, {"amount": 10})
    assert caught.value.code == "amount_too_small"
    assert client.v1.payment_intents.retrieve(made.id).amount == 2_000
    changed = client.v1.payment_intents.update(made.id, {"currency": "jpy", "amount": 300})
    assert (changed.amount, changed.currency) == (300, "jpy")


def test_a_changed_amount_is_asked_for_again(client: Any) -> None:
    made = intent(client, payment_method="pm_card_threeDSecure2Required", confirm=True)
    assert made.status == "requires_action"
    same = client.v1.payment_intents.update(made.id, {"metadata": {"a": "b"}})
    assert same.status == "requires_action"
    changed = client.v1.payment_intents.update(made.id, {"amount": 3_000})
    assert (changed.status, changed.next_action) == ("requires_confirmation", None)


@pytest.mark.parametrize(
    ("card", "code", "decline"),
    [
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
def test_a_saved_card_that_fails_off_session(
    client: Any, card: str, code: str, decline: str
) -> None:
    customer = new_payer(client, card)
    method = customer.invoice_settings.default_payment_method
    with pytest.raises(stripe.CardError) as caught:
        intent(client, customer=customer.id, payment_method=method, off_session=True, confirm=True)
    error: Any = caught.value.error
    assert (error.code, error.decline_code) == (code, decline)
    assert error.payment_intent["status"] == "requires_payment_method"
    assert error.payment_method["id"] == method
    assert error.charge == error.payment_intent["latest_charge"]
    with pytest.raises(stripe.InvalidRequestError, match="unless `confirm`"):
        intent(client, customer=customer.id, payment_method=method, off_session=True)


def test_a_card_is_kept_for_the_next_payment(client: Any) -> None:
    customer = client.v1.customers.create({})
    made = intent(client, customer=customer.id, setup_future_usage="off_session")
    method = client.v1.payment_methods.create(
        {
            "type": "card",
            "card": {"number": "4242424242424242", "exp_month": 1, "exp_year": 40},
            "billing_details": {"name": "Ada"},
        }
    )
    done = client.v1.payment_intents.confirm(
        made.id,
        {
            "payment_method": method.id,
            "receipt_email": "ada@example.com",
            "client_secret": made.client_secret,
        },
    )
    assert (done.status, done.receipt_email) == ("succeeded", "ada@example.com")
    (kept,) = client.v1.customers.payment_methods.list(customer.id).data
    assert (kept.id, kept.billing_details.name) == (done.payment_method, "Ada")
    again = intent(
        client, customer=customer.id, payment_method=kept.id, off_session=True, confirm=True
    )
    assert again.status == "succeeded"


def test_a_client_secret_must_be_the_intent_s(client: Any) -> None:
    made = intent(client)
    assert client.v1.payment_intents.retrieve(made.id, {"client_secret": made.client_secret})
    with pytest.raises(stripe.InvalidRequestError, match="No such payment intent"):
        client.v1.payment_intents.retrieve(made.id, {"client_secret": "pi_1_secret_2"})
    with pytest.raises(stripe.InvalidRequestError, match="No such payment intent"):
        client.v1.payment_intents.confirm(made.id, {"client_secret": "pi_1_secret_2"})


def test_held_money_is_captured_in_part(client: Any, stripe_sim: Simulator) -> None:
    seller = client.v1.accounts.create({"capabilities": {"transfers": {"requested": True}}})
    stripe_sim.onboard(seller.id)
    shared = {"application_fee_amount": 200, "transfer_data": {"destination": seller.id}}
    held = intent(
        client,
        capture_method="manual",
        payment_method="pm_card_visa",
        confirm=True,
        transfer_group="order_1",
        **shared,
    )
    with pytest.raises(stripe.InvalidRequestError, match="final_capture"):
        client.v1.payment_intents.capture(held.id, {"final_capture": False})
    done = client.v1.payment_intents.capture(
        held.id,
        {
            "amount_to_capture": 1_500,
            "application_fee_amount": 150,
            "final_capture": True,
            "metadata": {"shipped": "3 of 4"},
            "expand": ["latest_charge.transfer"],
        },
    )
    assert (done.status, done.amount_received, done.metadata.shipped) == (
        "succeeded",
        1_500,
        "3 of 4",
    )
    charge = done.latest_charge
    assert (charge.amount_captured, charge.application_fee_amount) == (1_500, 150)
    assert (charge.transfer.amount, charge.transfer.transfer_group) == (1_500, "order_1")


def test_the_share_of_an_intent_can_be_changed(client: Any, stripe_sim: Simulator) -> None:
    seller = client.v1.accounts.create({"capabilities": {"transfers": {"requested": True}}})
    stripe_sim.onboard(seller.id)
    made = intent(client, transfer_data={"destination": seller.id, "amount": 1_800})
    changed = client.v1.payment_intents.update(
        made.id, {"transfer_data": {"amount": 900}, "amount": 1_000, "transfer_group": "g"}
    )
    assert changed.transfer_data.to_dict() == {"destination": seller.id, "amount": 900}
    with pytest.raises(stripe.InvalidRequestError, match="has none"):
        client.v1.payment_intents.update(intent(client).id, {"transfer_data": {"amount": 900}})
    held = intent(
        client,
        capture_method="manual",
        payment_method="pm_card_visa",
        confirm=True,
        transfer_data={"destination": seller.id, "amount": 1_800},
    )
    done = client.v1.payment_intents.capture(
        held.id,
        {
            "amount_to_capture": 1_000,
            "transfer_data": {"amount": 900},
            "expand": ["latest_charge.transfer"],
        },
    )
    assert done.latest_charge.transfer.amount == 900


@pytest.mark.parametrize("reason", ["abandoned", "duplicate", "requested_by_customer"])
def test_held_money_is_given_back(client: Any, reason: str) -> None:
    held = intent(client, capture_method="manual", payment_method="pm_card_visa", confirm=True)
    gone = client.v1.payment_intents.cancel(held.id, {"cancellation_reason": reason})
    assert (gone.status, gone.cancellation_reason) == ("canceled", reason)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.capture(held.id)
    assert caught.value.code == "payment_intent_unexpected_state"


def test_what_pays_a_first_invoice_is_kept(client: Any) -> None:
    customer = client.v1.customers.create({})
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": new_price(client).id}],
            "payment_behavior": "default_incomplete",
            "payment_settings": {
                "save_default_payment_method": "on_subscription",
                "payment_method_types": ["card"],
            },
            "expand": ["latest_invoice.confirmation_secret"],
        }
    )
    secret = subscription.latest_invoice.confirmation_secret.client_secret
    done = client.v1.payment_intents.confirm(
        secret.partition("_secret_")[0],
        {"payment_method": "pm_card_visa", "client_secret": secret},
    )
    assert done.setup_future_usage == "off_session"
    assert done.payment_method_types == ["card"]
    after = client.v1.subscriptions.retrieve(
        subscription.id, {"expand": ["default_payment_method"]}
    )
    assert (after.status, after.default_payment_method.customer) == ("active", customer.id)
