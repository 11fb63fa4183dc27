"""The hosted pages in a real browser, found by their labels and without a line of script."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_payer, new_session, subscribe

pytestmark = pytest.mark.unmeasured


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False)

    def host(route: Route) -> None:
        route.fulfill(body="<h1>The host's own page</h1>", content_type="text/html")

    context.route(re.compile(r"^http://host\.test/"), host)
    yield context.new_page()
    context.close()


def test_a_person_is_declined_then_pays_with_3d_secure(client: Any, page: Page) -> None:
    session = new_session(client, mode="subscription")
    page.goto(session.url)
    expect(page.get_by_text("Simulated payments")).to_be_visible()
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Card number").fill("4000 0000 0000 0002")
    page.get_by_label("Expiry").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    page.get_by_label("Card number").fill("4000 0025 0000 3155")
    page.get_by_label("CVC").fill("123")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_text("Your bank asks")).to_contain_text("€9.99")
    page.get_by_role("button", name="Complete").click()
    expect(page.get_by_text("The host's own page")).to_be_visible()
    assert page.url == f"http://host.test/welcome?session={session.id}"
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_a_person_changes_their_mind(client: Any, page: Page) -> None:
    session = new_session(client, mode="payment", customer=new_payer(client).id)
    page.goto(session.url)
    expect(page.get_by_label("Email")).to_have_value("ada@example.com")
    page.get_by_role("link", name="Cancel").click()
    assert page.url == "http://host.test/pricing"
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"


def test_a_person_pays_by_bank_debit(client: Any, stripe_sim: Simulator, page: Page) -> None:
    session = new_session(client, mode="payment")
    page.goto(session.url)
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Bank debit").check()
    page.get_by_label("IBAN").fill("DE89 3704 0044 0532 0130 00")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_text("The host's own page")).to_be_visible()
    stripe_sim.advance(minutes=5)
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_a_person_cancels_in_the_portal(client: Any, page: Page) -> None:
    subscription = subscribe(client)
    portal = client.v1.billing_portal.sessions.create({"customer": subscription.customer})
    page.goto(portal.url)
    page.get_by_role("button", name="Cancel plan").click()
    expect(page.get_by_role("button", name="Do not cancel")).to_be_visible()
    assert client.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end
