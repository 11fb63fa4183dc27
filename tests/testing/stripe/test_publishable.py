"""The publishable key: what a browser may do with it, and what it sees."""

from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_payer

PUBLIC = {"authorization": "Bearer pk_test_simulator", "origin": "http://host.test"}


@pytest.fixture
def made(client: Any) -> Any:
    return client.v1.payment_intents.create(
        {"amount": 500, "currency": "eur", "metadata": {"cost": "3"}}
    )


def test_a_browser_reads_its_intent(stripe_sim: Simulator, made: Any) -> None:
    url = f"{stripe_sim.url}/v1/payment_intents/{made.id}"
    answer = httpx.get(url, params={"client_secret": made.client_secret}, headers=PUBLIC)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json()["amount"] == 500
    assert not {"metadata", "customer", "latest_charge", "transfer_data"} & set(answer.json())


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({}, 400, "parameter_missing"),
        ({"client_secret": "pi_1_secret_2"}, 400, "resource_missing"),
        ({"off_session": "true"}, 401, "secret_key_required"),
        ({"payment_method": "pm_card_chargeDeclined"}, 402, "card_declined"),
        ({"payment_method": "pm_card_visa"}, 200, None),
    ],
)
def test_a_browser_confirms_its_intent(
    stripe_sim: Simulator, made: Any, params: dict[str, str], status: int, code: str | None
) -> None:
    data = dict(params)
    if params and "client_secret" not in params:
        data["client_secret"] = made.client_secret
    url = f"{stripe_sim.url}/v1/payment_intents/{made.id}/confirm"
    answer = httpx.post(url, data=data, headers=PUBLIC)
    assert answer.status_code == status
    error = answer.json().get("error", {})
    assert error.get("code") == code
    if code == "card_declined":
        assert error["payment_intent"]["id"] == made.id
        assert "metadata" not in error["payment_intent"]


def test_a_browser_does_nothing_else(stripe_sim: Simulator, client: Any, made: Any) -> None:
    customer = new_payer(client)
    for method, path in (
        ("GET", "/v1/customers"),
        ("GET", f"/v1/customers/{customer.id}"),
        ("POST", "/v1/payment_intents"),
        ("POST", f"/v1/payment_intents/{made.id}"),
        ("POST", f"/v1/payment_intents/{made.id}/cancel"),
        ("POST", "/v1/refunds"),
        ("GET", "/v1/events"),
    ):
        answer = httpx.request(method, f"{stripe_sim.url}{path}", headers=PUBLIC)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "secret_key_required")


def test_a_browser_asks_first(stripe_sim: Simulator) -> None:
    answer = httpx.options(f"{stripe_sim.url}/v1/payment_methods")
    assert answer.status_code == 204
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    without = httpx.get(f"{stripe_sim.url}/v1/events", headers={"authorization": "Bearer x"})
    assert "access-control-allow-origin" not in without.headers


def test_another_s_card_cannot_be_used(client: Any, made: Any) -> None:
    other = new_payer(client).invoice_settings.default_payment_method
    with pytest.raises(stripe.InvalidRequestError, match="another customer"):
        client.v1.payment_intents.confirm(
            made.id, {"payment_method": other, "client_secret": made.client_secret}
        )
