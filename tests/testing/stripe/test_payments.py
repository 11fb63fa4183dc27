from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_payer


def pay(client: Any, card: str, **params: Any) -> Any:
    return client.v1.payment_intents.create(
        {"amount": 500, "currency": "eur", "confirm": True, "payment_method": card, **params}
    )


def types(sim: Simulator) -> list[str]:
    return [event["type"] for event in sim.events()]


def test_a_good_card_pays(client: Any, stripe_sim: Simulator) -> None:
    customer = new_payer(client)
    intent = pay(
        client,
        "pm_card_mastercard",
        customer=customer.id,
        metadata={"order": "7"},
        setup_future_usage="off_session",
        expand=["latest_charge"],
    )
    assert (intent.status, intent.amount_received) == ("succeeded", 500)
    assert intent.latest_charge.object == "charge"
    assert intent.latest_charge.metadata["order"] == "7"
    kept = client.v1.payment_methods.list({"customer": customer.id, "type": "card"})
    assert [m.card.brand for m in kept.data] == ["mastercard", "visa"]
    assert types(stripe_sim)[-4:] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_method.attached",
        "payment_intent.succeeded",
    ]
    assert [c.id for c in client.v1.charges.list({"payment_intent": intent.id}).data] == [
        intent.latest_charge.id
    ]
    assert client.v1.payment_intents.list({"customer": customer.id}).data[0].id == intent.id


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
def test_a_declined_card_is_a_402_with_the_intent(
    client: Any,
    stripe_sim: Simulator,
    card: str,
    code: str,
    decline_code: str | None,
) -> None:
    with pytest.raises(stripe.CardError) as caught:
        pay(client, card)
    error: Any = caught.value.error
    assert error is not None
    assert caught.value.http_status == 402
    assert (error.code, getattr(error, "decline_code", None)) == (code, decline_code)
    intent = client.v1.payment_intents.retrieve(error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.code == code
    assert types(stripe_sim)[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    done = client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (done.status, done.last_payment_error) == ("succeeded", None)


def test_3d_secure_succeeds_on_the_bank_s_page(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(
        client, "pm_card_authenticationRequiredOnSetup", return_url="http://host.test/back?a=1"
    )
    assert intent.status == "requires_action"
    url = intent.next_action.redirect_to_url.url
    assert "€5.00" in httpx.get(url).text
    back = httpx.post(url, data={"outcome": "complete"})
    assert back.headers["location"].startswith(
        f"http://host.test/back?a=1&payment_intent={intent.id}"
    )
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
    assert "payment_intent.requires_action" in types(stripe_sim)
    assert httpx.get(url).status_code == httpx.post(url, data={}).status_code == 404


def test_3d_secure_fails_on_the_bank_s_page(client: Any) -> None:
    intent = pay(client, "pm_card_threeDSecure2Required")
    url = intent.next_action.use_stripe_sdk["stripe_js"]
    assert "requires_payment_method" in httpx.post(url, data={"outcome": "fail"}).text
    failed = client.v1.payment_intents.retrieve(intent.id).last_payment_error
    assert failed.code == "payment_intent_authentication_failure"


def test_authentication_off_session_or_forbidden_is_a_402(client: Any) -> None:
    customer = new_payer(client)
    for params in ({"off_session": True}, {"error_on_requires_action": True}):
        with pytest.raises(stripe.CardError) as caught:
            pay(client, "pm_card_authenticationRequired", customer=customer.id, **params)
        assert caught.value.code == "authentication_required"


def test_a_bank_debit_is_decided_later(client: Any, stripe_sim: Simulator) -> None:
    def debit(iban: str) -> Any:
        method = client.v1.payment_methods.create(
            {
                "type": "sepa_debit",
                "sepa_debit": {"iban": iban},
                "billing_details": {"email": "a@b.c", "address": {"country": "DE"}},
            }
        )
        return pay(client, method.id)

    good, bad = debit("DE89370400440532013000"), debit("DE62370400440532013001")
    assert (good.status, bad.status) == ("processing", "processing")
    stripe_sim.advance(minutes=4)
    assert client.v1.payment_intents.retrieve(good.id).status == "succeeded"
    assert client.v1.payment_intents.retrieve(bad.id).status == "requires_payment_method"
    assert types(stripe_sim)[-4:] == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.failed",
        "payment_intent.payment_failed",
    ]


def test_an_intent_can_be_prepared_changed_and_canceled(client: Any) -> None:
    intent = client.v1.payment_intents.create(
        {"amount": 100, "currency": "eur", "payment_method_types": ["card"]}
    )
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        client.v1.payment_intents.confirm(intent.id)
    changed = client.v1.payment_intents.update(
        intent.id,
        {"amount": 200, "metadata": {"a": "1"}, "payment_method": "pm_card_visa"},
    )
    assert (changed.amount, changed.status) == (200, "requires_confirmation")
    ended = client.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (ended.status, ended.cancellation_reason) == ("canceled", "abandoned")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert caught.value.code == "payment_intent_unexpected_state"


def test_refunds_give_back_at_most_what_was_paid(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client, "pm_card_visa")
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 200})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 400})
    assert caught.value.param == "amount"
    rest = client.v1.refunds.create(
        {"charge": str(intent.latest_charge), "reason": "requested_by_customer"}
    )
    assert rest.amount == 300
    charge = client.v1.charges.retrieve(str(intent.latest_charge), {"expand": ["refunds"]})
    assert charge.refunded
    assert [r.amount for r in charge.refunds.data] == [300, 200]
    assert client.v1.refunds.list({"charge": charge.id}).data[0].id == rest.id
    assert client.v1.refunds.retrieve(rest.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"charge": charge.id})
    assert caught.value.code == "charge_already_refunded"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({})
    assert caught.value.code is None
    first, second = stripe_sim.events("charge.refunded")
    assert first["data"]["previous_attributes"] == {"amount_refunded": 0}
    assert second["data"]["previous_attributes"] == {"amount_refunded": 200, "refunded": False}


def test_payment_methods_are_made_attached_and_detached(client: Any, stripe_sim: Simulator) -> None:
    customer = new_payer(client)
    method = client.v1.payment_methods.create(
        {"type": "card", "card": {"number": "4242 4242 4242 4242", "exp_month": 1, "exp_year": 31}}
    )
    assert (method.card.exp_year, method.card.last4) == (2031, "4242")
    client.v1.payment_methods.attach(method.id, {"customer": customer.id})
    client.v1.payment_methods.attach(method.id, {"customer": customer.id})  # again is nothing
    client.v1.payment_methods.update(method.id, {"metadata": {"a": "1"}})
    client.v1.customers.update(
        customer.id, {"invoice_settings": {"default_payment_method": method.id}}
    )
    other = client.v1.customers.create({})
    with pytest.raises(stripe.InvalidRequestError, match="another customer"):
        client.v1.payment_methods.attach(method.id, {"customer": other.id})
    own = client.v1.customers.payment_methods.list(customer.id)
    assert own.data[0].id == method.id
    client.v1.payment_methods.detach(method.id)
    settings = client.v1.customers.retrieve(customer.id).invoice_settings
    assert settings.default_payment_method is None
    with pytest.raises(stripe.InvalidRequestError, match="not attached"):
        client.v1.payment_methods.detach(method.id)
    detached = stripe_sim.events("payment_method.detached")[0]
    assert detached["data"]["previous_attributes"] == {"customer": customer.id}
    assert client.v1.payment_methods.retrieve("pm_card_amex").card.brand == "amex"
    assert client.v1.payment_methods.retrieve(method.id).customer is None


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "type"),
        ({"type": "card"}, "card"),
        ({"type": "card", "card": {"number": "4242424242424242"}}, "card[exp_month]"),
        ({"type": "card", "card": {"token": "tok_none"}}, "card[token]"),
        ({"type": "sepa_debit", "sepa_debit": {"iban": "DE00"}}, "iban"),
    ],
)
def test_bad_payment_methods_are_refused(client: Any, params: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_methods.create(params)
    assert caught.value.param == param


def test_tokens_make_cards_and_other_numbers_are_wrong(client: Any) -> None:
    made = client.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    assert made.card.last4 == "4242"
    with pytest.raises(stripe.CardError) as caught:
        client.v1.payment_methods.create(
            {"type": "card", "card": {"number": "1234", "exp_month": 1, "exp_year": 2030}}
        )
    assert caught.value.code == "incorrect_number"
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.payment_methods.list({})
    assert missing.value.param == "customer"
