"""Hosted invoices, their PDFs, receipts, and the portal's change of plan."""

import re
from typing import Any

import httpx
import pytest

from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.pages.pdf import MOST_LINES, pdf
from tests.testing.stripe.shop import new_payer, new_price, subscribe

CARD = {"card_expiry": "12 / 34", "card_cvc": "123"}


@pytest.fixture
def invoice(client: Any) -> Any:
    """The open invoice of a first payment that has failed."""
    customer = new_payer(client, "pm_card_chargeCustomerFail")
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": new_price(client).id}],
            "expand": ["latest_invoice"],
        }
    )
    assert subscription.latest_invoice.status == "open"
    return subscription.latest_invoice


def test_an_open_invoice_is_paid_on_its_page(client: Any, invoice: Any) -> None:
    there = invoice.hosted_invoice_url
    assert "Pay this invoice" in httpx.get(there).text
    refused = httpx.post(there, data={"card_number": "4000000000009995", **CARD})
    assert (refused.status_code, "insufficient funds" in refused.text) == (402, True)
    paid = httpx.post(
        there, data={"card_number": "4242424242424242", **CARD}, follow_redirects=True
    )
    assert "Pay this invoice" not in paid.text
    assert client.v1.invoices.retrieve(invoice.id).status == "paid"
    again = httpx.post(there, data={"card_number": "4242424242424242", **CARD})
    assert again.headers["location"] == f"/i/{invoice.id}"


def test_the_bank_may_ask_about_an_invoice(client: Any, invoice: Any) -> None:
    there = invoice.hosted_invoice_url
    asked = httpx.post(there, data={"card_number": "4000002760003184", **CARD})
    bank = str(httpx.URL(there).join(asked.headers["location"]))
    done = httpx.post(bank, data={"outcome": "complete"})
    assert done.headers["location"].startswith(f"{there}?payment_intent=pi_")
    assert client.v1.invoices.retrieve(invoice.id).status == "paid"


def test_an_invoice_as_a_pdf(client: Any, stripe_sim: Simulator) -> None:
    made = client.v1.coupons.create({"percent_off": 50, "duration": "once"})
    subscription = subscribe(client, discounts=[{"coupon": made.id}], expand=["latest_invoice"])
    invoice = subscription.latest_invoice
    answer = httpx.get(invoice.invoice_pdf)
    assert answer.headers["content-type"] == "application/pdf"
    assert f'filename="Invoice-{invoice.number}.pdf"' in answer.headers["content-disposition"]
    for said in (b"Discount: -\x805.00", b"Total: \x804.99", b"1 \xd7 Pro \\(at"):
        assert said in answer.content
    shown = httpx.get(invoice.hosted_invoice_url)
    assert "Discount" in shown.text
    for path in ("/i/in_none", "/i/in_none/pdf"):
        assert httpx.get(f"{stripe_sim.url}{path}").status_code == 404
    assert httpx.post(f"{stripe_sim.url}/i/in_none").status_code == 404


def test_a_pdf_says_where_its_parts_are() -> None:
    made = pdf(["(a) \\ b", "漢"] + ["x"] * 99)
    start = int(re.search(rb"startxref\n(\d+)", made)[1])  # type: ignore[index]
    assert made[start : start + 4] == b"xref"
    places = re.findall(rb"(\d{10}) 00000 n ", made)
    assert len(places) == 5
    for number, place in enumerate(places, 1):
        assert made[int(place) :].startswith(b"%d 0 obj" % number)
    text = made[made.index(b"stream\n") + 7 : made.index(b"\nendstream")]
    assert int(re.search(rb"/Length (\d+)", made)[1]) == len(text)  # type: ignore[index]
    assert text.count(b"Tj") == MOST_LINES
    assert rb"(\(a\) \\ b) Tj" in text
    assert b"(?) Tj" in text


def test_a_plan_is_changed_in_the_portal(client: Any, stripe_sim: Simulator) -> None:
    subscription = subscribe(client)
    big = new_price(client, unit_amount=2_999, product_data={"name": "Team"})
    new_price(client, currency="usd")
    old = new_price(client, product_data={"name": "Old"})
    client.v1.prices.update(old.id, {"active": False})
    customer = str(subscription.customer)
    portal = client.v1.billing_portal.sessions.create({"customer": customer}).url
    shown = httpx.get(portal).text
    assert re.findall(r'<option value="(\w+)">([^<]+)', shown) == [
        (big.id, "Team (€29.99 / month)")
    ]
    form = {"subscription": subscription.id, "action": "change"}
    refused = httpx.post(portal, data={**form, "price": old.id})
    assert (refused.status_code, "no such plan" in refused.text) == (400, True)
    assert httpx.post(portal, data={**form, "price": big.id}).status_code == 303
    changed = client.v1.subscriptions.retrieve(subscription.id)
    assert changed.items.data[0].price.id == big.id
    assert stripe_sim.events("customer.subscription.updated")


def test_the_bank_asks_about_a_seller_s_own_payment(client: Any, stripe_sim: Simulator) -> None:
    seller = client.v1.accounts.create({})
    stripe_sim.onboard(seller.id)
    made = client.v1.payment_intents.create(
        {
            "amount": 500,
            "currency": "eur",
            "payment_method": "pm_card_threeDSecure2Required",
            "confirm": True,
            "return_url": "http://host.test/back?a=b",
        },
        {"stripe_account": seller.id},
    )
    there = made.next_action.redirect_to_url.url
    assert "€5.00" in httpx.get(there).text
    done = httpx.post(there, data={"outcome": "fail"})
    assert done.headers["location"] == (
        f"http://host.test/back?a=b&payment_intent={made.id}&payment_intent_client_secret="
        f"{made.client_secret}&redirect_status=failed"
    )
    assert httpx.get(there).status_code == 404
