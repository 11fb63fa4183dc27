from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_payer

CARD = "pm_card_visa"


def held(client: Any, amount: int = 1_000) -> Any:
    return client.v1.payment_intents.create(
        {
            "amount": amount,
            "currency": "eur",
            "customer": new_payer(client).id,
            "payment_method": CARD,
            "capture_method": "manual",
            "confirm": True,
            "return_url": "http://host.test/",
        }
    )


def test_money_is_held_then_captured_once(client: Any, stripe_sim: Simulator) -> None:
    intent = held(client)
    assert (intent.status, intent.amount_capturable, intent.amount_received) == (
        "requires_capture",
        1_000,
        0,
    )
    with pytest.raises(stripe.InvalidRequestError, match="greater than the amount"):
        client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 1_001})
    done = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 400})
    assert (done.status, done.amount_capturable, done.amount_received) == ("succeeded", 0, 400)
    charge = client.v1.charges.retrieve(str(done.latest_charge))
    assert (charge.captured, charge.amount_captured) == (True, 400)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.capture(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"
    told = [e["type"] for e in stripe_sim.events("charge.captured", "payment_intent.succeeded")]
    assert told == ["charge.captured", "payment_intent.succeeded"]
    stripe_sim.advance(days=8)
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_a_hold_can_be_canceled(client: Any, stripe_sim: Simulator) -> None:
    intent = client.v1.payment_intents.cancel(held(client).id)
    assert (intent.status, intent.amount_capturable) == ("canceled", 0)
    charge = client.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.captured, charge.refunded, charge.amount_captured) == (False, True, 0)


def test_a_hold_lapses_after_a_week(client: Any, stripe_sim: Simulator) -> None:
    intent = held(client)
    stripe_sim.advance(days=7)
    assert client.v1.payment_intents.retrieve(intent.id).cancellation_reason == "automatic"
    assert len(stripe_sim.events("charge.expired")) == 1
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.capture(intent.id)
