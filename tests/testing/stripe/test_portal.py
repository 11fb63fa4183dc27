from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import subscribe

BACK = "http://host.test/account"


@pytest.fixture
def subscription(client: Any) -> Any:
    return subscribe(client)


@pytest.fixture
def portal(client: Any, subscription: Any) -> str:
    made = client.v1.billing_portal.sessions.create(
        {"customer": str(subscription.customer), "return_url": BACK}
    )
    return str(made.url)


def test_a_plan_is_canceled_and_resumed(client: Any, portal: str, subscription: Any) -> None:
    page = httpx.get(portal)
    assert page.status_code == 200
    for text in (
        "Pro",
        "Visa ending in 4242",
        "Renews on 01 December 2026",
        BACK,
        "€9.99",
        "Cancel plan",
    ):
        assert text in page.text
    form = {"subscription": subscription.id}
    canceled = httpx.post(portal, data={**form, "action": "cancel"}, follow_redirects=True)
    assert "Ends on 01 December 2026" in canceled.text
    assert client.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end
    resumed = httpx.post(portal, data={**form, "action": "resume"}, follow_redirects=True)
    assert "Renews on" in resumed.text
    assert not client.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end


def test_a_new_card_pays_from_now_on(client: Any, portal: str, subscription: Any) -> None:
    card = {
        "action": "card",
        "card_number": "5555555555554444",
        "card_expiry": "12/34",
        "card_cvc": "123",
    }
    assert httpx.post(portal, data=card).status_code == 303
    changed = client.v1.subscriptions.retrieve(
        subscription.id, {"expand": ["default_payment_method"]}
    )
    assert changed.default_payment_method.card.brand == "mastercard"
    refused = httpx.post(portal, data={**card, "card_number": "4000000000000002"})
    assert refused.status_code == 402
    assert "declined" in refused.text


def test_nobody_touches_another_s_plan(client: Any, stripe_sim: Simulator, portal: str) -> None:
    stranger = subscribe(client)
    for form in (
        {"action": "cancel", "subscription": stranger.id},
        {"action": "cancel", "subscription": "sub_none"},
        {"action": "explode", "subscription": stranger.id},
        {},
    ):
        assert httpx.post(portal, data=form).status_code in (400, 404)
    assert not client.v1.subscriptions.retrieve(stranger.id).cancel_at_period_end
    nowhere = f"{stripe_sim.url}/p/session/bps_none"
    assert httpx.get(nowhere).status_code == httpx.post(nowhere, data={}).status_code == 404
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.billing_portal.sessions.create({"customer": "cus_none"})
