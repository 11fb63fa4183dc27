from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import ApiError, Simulator
from tests.testing.stripe.test_refunds import pay, types


def set_up(client: Any, card: str, **params: Any) -> Any:
    customer = client.v1.customers.create({}).id
    return client.v1.setup_intents.create(
        {"customer": customer, "payment_method": card, "confirm": True, **params}
    )


def off_session(client: Any, intent: Any) -> Any:
    return pay(client, str(intent.payment_method), customer=str(intent.customer), off_session=True)


def test_a_card_is_kept_for_later(client: Any, stripe_sim: Simulator) -> None:
    intent = set_up(client, "pm_card_visa", usage="on_session")
    assert (intent.status, intent.usage, intent.last_setup_error) == (
        "succeeded",
        "off_session",
        None,
    )
    assert types(stripe_sim)[-3:] == [
        "setup_intent.created",
        "payment_method.attached",
        "setup_intent.succeeded",
    ]
    assert off_session(client, intent).status == "succeeded"
    found = client.v1.setup_intents.list({"customer": intent.customer}).data
    assert [one.id for one in found] == [intent.id]
    own = client.v1.customers.payment_methods.list(str(intent.customer)).data
    assert [one.id for one in own] == [intent.payment_method]


def test_a_card_that_asks_once_asks_at_the_set_up(client: Any, stripe_sim: Simulator) -> None:
    intent = set_up(
        client, "pm_card_authenticationRequiredOnSetup", return_url="http://host.test/back"
    )
    assert intent.status == "requires_action"
    url = intent.next_action.redirect_to_url.url
    assert "3-D Secure" in httpx.get(url).text
    back = httpx.post(url, data={"outcome": "complete"})
    assert back.headers["location"] == (
        f"http://host.test/back?setup_intent={intent.id}"
        f"&setup_intent_client_secret={intent.client_secret}&redirect_status=succeeded"
    )
    assert httpx.get(url).status_code == 404
    done = client.v1.setup_intents.retrieve(intent.id)
    assert (done.status, done.next_action) == ("succeeded", None)
    assert off_session(client, done).status == "succeeded"
    assert "setup_intent.requires_action" in types(stripe_sim)


@pytest.mark.parametrize(
    ("card", "kept"),
    [
        ("pm_card_authenticationRequired", False),
        ("pm_card_authenticationRequiredSetupForOffSession", True),
        ("pm_card_chargeCustomerFail", False),
    ],
)
def test_what_a_set_up_is_worth_later(
    client: Any, stripe_sim: Simulator, card: str, kept: bool
) -> None:
    intent = set_up(client, card)
    if intent.status == "requires_action":
        assert stripe_sim.authenticate(intent.id)["status"] == "succeeded"
        intent = client.v1.setup_intents.retrieve(intent.id)
    assert intent.status == "succeeded"
    if kept:
        assert off_session(client, intent).status == "succeeded"
        here = pay(client, str(intent.payment_method), customer=str(intent.customer))
        assert here.status == "requires_action"
        assert stripe_sim.authenticate(here.id)["status"] == "succeeded"
        with pytest.raises(ApiError, match="nothing to authenticate"):
            stripe_sim.authenticate(here.id)
    else:
        with pytest.raises(stripe.CardError):
            off_session(client, intent)


def test_a_set_up_fails(client: Any, stripe_sim: Simulator) -> None:
    with pytest.raises(stripe.CardError) as caught:
        set_up(client, "pm_card_chargeDeclined")
    error: Any = caught.value.error
    assert error is not None
    intent = client.v1.setup_intents.retrieve(error.setup_intent.id)
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert intent.last_setup_error.decline_code == "generic_decline"
    assert types(stripe_sim)[-1] == "setup_intent.setup_failed"
    asked = client.v1.setup_intents.confirm(
        intent.id, {"payment_method": "pm_card_threeDSecure2Required"}
    )
    assert asked.next_action.type == "use_stripe_sdk"
    refused = stripe_sim.authenticate(asked.id, success=False)
    assert refused["last_setup_error"]["code"] == "setup_intent_authentication_failure"


def test_a_set_up_is_prepared_changed_and_canceled(client: Any, stripe_sim: Simulator) -> None:
    intents = client.v1.setup_intents
    made = intents.create({"automatic_payment_methods": {"enabled": True}})
    assert made.status == "requires_payment_method"
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        intents.confirm(made.id)
    changed = intents.update(
        made.id,
        {"payment_method": "pm_card_visa", "description": "card", "metadata": {"a": "1"}},
    )
    assert (changed.status, changed.description) == ("requires_confirmation", "card")
    gone = intents.cancel(made.id, {"cancellation_reason": "abandoned"})
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned")
    for again in (intents.cancel, intents.confirm):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            again(made.id)
        assert caught.value.code == "setup_intent_unexpected_state"
    assert types(stripe_sim) == ["setup_intent.created", "setup_intent.canceled"]


def test_a_bank_account_is_set_up(client: Any) -> None:
    method = client.v1.payment_methods.create(
        {
            "type": "sepa_debit",
            "sepa_debit": {"iban": "DE89370400440532013000"},
            "billing_details": {"email": "a@b.c", "address": {"country": "DE"}},
        }
    )
    assert set_up(client, method.id).status == "succeeded"
