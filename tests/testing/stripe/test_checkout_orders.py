"""Checkout of orders (prices made on the spot), held payments, and mode setup."""

from typing import Any

import httpx
import pytest

from gatekeeper.testing.stripe import ApiError, Simulator
from gatekeeper.testing.stripe.billing import checkout
from tests.testing.stripe.shop import SUCCESS, new_payer, new_session

CARD = {"card_expiry": "12 / 34", "card_cvc": "123", "email": "a@b.c", "country": "IE"}


def line(name: str, amount: int, quantity: int = 1, currency: str = "eur") -> dict[str, Any]:
    data = {"currency": currency, "unit_amount": amount, "product_data": {"name": name}}
    return {"price_data": data, "quantity": quantity}


def test_an_order_of_prices_made_on_the_spot(client: Any, stripe_sim: Simulator) -> None:
    seller = client.v1.accounts.create({"capabilities": {"transfers": {"requested": True}}})
    stripe_sim.onboard(seller.id)
    session = new_session(
        client,
        mode="payment",
        line_items=[line("Mug", 1_200, 2), line("Pen", 250)],
        payment_intent_data={
            "application_fee_amount": 265,
            "transfer_data": {"destination": seller.id},
            "transfer_group": "order_1",
            "receipt_email": "ada@example.com",
            "statement_descriptor_suffix": "MUGS",
            "metadata": {"order": "1"},
        },
    )
    assert session.amount_total == 2_650
    shown = httpx.get(session.url)
    assert all(word in shown.text for word in ("Mug", "Qty 2", "€24.00", "€26.50"))
    stripe_sim.pay_checkout(session.id)
    done = client.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["payment_intent.latest_charge"]}
    )
    intent = done.payment_intent
    assert (intent.metadata.order, intent.transfer_group) == ("1", "order_1")
    assert intent.statement_descriptor_suffix == "MUGS"
    charge = intent.latest_charge
    assert (charge.application_fee_amount, charge.receipt_email) == (265, "ada@example.com")
    receipt = httpx.get(charge.receipt_url)
    assert (receipt.status_code, "€26.50" in receipt.text) == (200, True)
    assert httpx.get(f"{stripe_sim.url}/receipts/ch_none").status_code == 404


def test_a_held_checkout_is_paid_when_it_is_captured(client: Any, stripe_sim: Simulator) -> None:
    session = new_session(client, mode="payment", payment_intent_data={"capture_method": "manual"})
    done = stripe_sim.pay_checkout(session.id)
    assert (done["status"], done["payment_status"]) == ("complete", "unpaid")
    intent = client.v1.payment_intents.retrieve(done["payment_intent"])
    assert intent.status == "requires_capture"
    client.v1.payment_intents.capture(intent.id)
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert not stripe_sim.events("checkout.session.async_payment_succeeded")


@pytest.mark.parametrize("known", [True, False])
def test_a_payment_method_is_set_up(client: Any, stripe_sim: Simulator, known: bool) -> None:
    customer = new_payer(client) if known else None
    params = {"customer": customer.id} if customer else {}
    session = client.v1.checkout.sessions.create(
        {
            "mode": "setup",
            "currency": "eur",
            "success_url": SUCCESS,
            "setup_intent_data": {"metadata": {"why": "card"}},
            **params,
        }
    )
    assert (session.amount_total, session.payment_intent) == (None, None)
    assert "Save" in httpx.get(session.url).text
    refused = httpx.post(session.url, data={"card_number": "4000000000000002", **CARD})
    assert (refused.status_code, "declined" in refused.text) == (402, True)
    asked = httpx.post(session.url, data={"card_number": "4000002500003155", **CARD})
    assert asked.headers["location"].endswith("/authenticate")
    there = f"{session.url}/authenticate"
    assert "€0.00" in httpx.get(there).text
    assert "unable to authenticate" in httpx.post(there, data={"outcome": "fail"}).text
    httpx.post(session.url, data={"card_number": "4000002500003155", **CARD})
    done = httpx.post(there, data={"outcome": "complete"})
    assert done.headers["location"] == SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id)
    after = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert (after.status, after.payment_status) == ("complete", "no_payment_required")
    intent = after.setup_intent
    assert (intent.status, intent.metadata.why) == ("succeeded", "card")
    method = client.v1.payment_methods.retrieve(intent.payment_method)
    assert method.customer == (customer.id if customer else None)


def test_a_setup_that_nobody_finishes(client: Any, stripe_sim: Simulator) -> None:
    session = client.v1.checkout.sessions.create(
        {"mode": "setup", "payment_method_types": ["card"], "success_url": SUCCESS}
    )
    stored = stripe_sim.state.store.get("checkout.session", session.id)
    with pytest.raises(ApiError, match="nothing to authenticate"):
        checkout.authenticate(stripe_sim.state, stored, True)
    stripe_sim.advance(days=2)
    after = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert (after.status, after.setup_intent.status) == ("expired", "canceled")


def test_a_page_within_the_host_s_own(client: Any) -> None:
    session = new_session(
        client, ui_mode="embedded_page", success_url=None, cancel_url=None, return_url=SUCCESS
    )
    assert session.url is None
    assert session.client_secret.startswith(f"{session.id}_secret_")
