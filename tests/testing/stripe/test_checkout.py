from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import ApiError, Simulator
from tests.testing.stripe.shop import CANCEL, SUCCESS, new_payer, new_price, new_session

pytestmark = pytest.mark.anyio

CARD = {
    "method": "card",
    "email": "ada@example.com",
    "name": "Ada",
    "country": "ie",
    "card_number": "4242 4242 4242 4242",
    "card_expiry": "12 / 34",
    "card_cvc": "123",
}
DEBIT = {"method": "sepa_debit", "email": "ada@example.com", "iban": "DE89 3704 0044 0532 0130 00"}


def types(sim: Simulator) -> list[str]:
    return [event["type"] for event in sim.events()]


def test_a_subscription_is_bought_on_the_page(client: Any, stripe_sim: Simulator) -> None:
    price = new_price(client)
    session = new_session(
        client,
        line_items=[{"price": price.id, "quantity": 2}],
        client_reference_id="org_42",
        metadata={"a": "1"},
        subscription_data={"metadata": {"org": "42"}},
    )
    page = httpx.get(str(session.url))
    assert page.status_code == 200
    assert "€19.98" in page.text
    assert CANCEL in page.text
    before = len(stripe_sim.events())
    done = httpx.post(str(session.url), data=CARD)
    assert done.status_code == 303
    assert done.headers["location"] == SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id)
    paid = client.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["subscription.latest_invoice.payments", "line_items", "customer"]}
    )
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert paid.client_reference_id == "org_42"
    assert paid.customer_details.email == "ada@example.com"
    subscription = paid.subscription
    assert subscription.object == "subscription"
    assert (subscription.status, subscription.metadata["org"]) == ("active", "42")
    item = subscription.items.data[0]
    assert (item.price.id, item.quantity) == (price.id, 2)
    assert item.current_period_end - item.current_period_start == 30 * 86_400  # November
    invoice = subscription.latest_invoice
    assert invoice.object == "invoice"
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == (
        "paid",
        1_998,
        "subscription_create",
    )
    assert invoice.payments.data[0].status == "paid"
    assert paid.line_items.data[0].amount_total == 1_998
    assert paid.customer.object == "customer"
    assert types(stripe_sim)[before:] == [
        "customer.created",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "payment_method.attached",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "checkout.session.completed",
    ]
    assert "completed" in httpx.get(str(session.url)).text
    assert httpx.post(str(session.url), data=CARD).status_code == 200
    assert len(client.v1.subscriptions.list().data) == 1


def test_a_pack_is_bought_by_a_guest(client: Any, stripe_sim: Simulator) -> None:
    session = new_session(
        client,
        mode="payment",
        payment_intent_data={"metadata": {"pack": "100"}},
        line_items=[
            {
                "price_data": {
                    "currency": "jpy",
                    "unit_amount": 500,
                    "product_data": {"name": "Pack <1>"},
                },
                "quantity": 3,
            }
        ],
    )
    page = httpx.get(str(session.url)).text
    assert "¥1,500" in page
    assert "Pack &lt;1&gt;" in page
    httpx.post(str(session.url), data=CARD)
    paid = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (paid.customer, paid.payment_status) == (None, "paid")
    assert paid.payment_intent.object == "payment_intent"
    assert paid.payment_intent.metadata["pack"] == "100"
    found = client.v1.checkout.sessions.list({"payment_intent": paid.payment_intent.id})
    assert [s.id for s in found.data] == [session.id]
    by_email = client.v1.checkout.sessions.list(
        {"customer_details": {"email": "ada@example.com"}, "status": "complete"}
    )
    assert [s.id for s in by_email.data] == [session.id]
    assert types(stripe_sim)[-2:] == ["payment_intent.succeeded", "checkout.session.completed"]


def test_payment_mode_makes_a_customer_when_told_and_keeps_the_card(
    client: Any, stripe_sim: Simulator
) -> None:
    session = new_session(
        client,
        mode="payment",
        customer_creation="always",
        payment_intent_data={"setup_future_usage": "off_session"},
        customer_email="typed@example.com",
    )
    stripe_sim.pay_checkout(session.id)
    paid = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["customer"]})
    assert paid.customer.object == "customer"
    assert paid.customer.email == "typed@example.com"
    kept = client.v1.customers.payment_methods.list(paid.customer.id)
    assert len(kept.data) == 1


def test_a_decline_keeps_the_page_and_another_card_pays(client: Any, stripe_sim: Simulator) -> None:
    customer = new_payer(client)
    session = new_session(client, customer=customer.id)
    url = str(session.url)
    declined = httpx.post(url, data={**CARD, "card_number": "4000000000009995"})
    assert declined.status_code == 402
    assert 'role="alert">Your card has insufficient funds.' in declined.text
    assert "4000000000009995" in declined.text
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert "checkout.session.completed" not in types(stripe_sim)
    assert httpx.post(url, data=CARD).status_code == 303
    assert types(stripe_sim).count("payment_intent.created") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"card_number": ""}, "number is incomplete"),
        ({"card_number": "1234"}, "number is incorrect"),
        ({"card_expiry": "13/30"}, "expiration date"),
        ({"card_expiry": "soon"}, "expiration date"),
        ({"card_cvc": "1"}, "security code"),
        ({"email": ""}, "email is required"),
        ({"method": "sepa_debit", "iban": "DE00"}, "IBAN"),
    ],
)
def test_an_incomplete_form_is_shown_again(
    client: Any, change: dict[str, str], message: str
) -> None:
    session = new_session(client)
    answer = httpx.post(str(session.url), data={**CARD, **change})
    assert answer.status_code in (400, 402)
    assert message in answer.text


def test_3d_secure_on_the_page(client: Any) -> None:
    session = new_session(client)
    secure = {**CARD, "card_number": "4000002500003155"}
    asked = httpx.post(str(session.url), data=secure, follow_redirects=True)
    assert asked.url.path.endswith("/authenticate")
    assert 'value="complete"' in asked.text
    failed = httpx.post(asked.url, data={"outcome": "fail"})
    assert failed.status_code == 402
    assert "unable to authenticate" in failed.text
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    asked = httpx.post(str(session.url), data=secure, follow_redirects=True)
    assert httpx.post(asked.url, data={"outcome": "complete"}).status_code == 303
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    closed = httpx.post(asked.url, data={"outcome": "complete"})
    assert "completed" in closed.text
    assert "completed" in httpx.get(asked.url).text


def test_authenticating_without_a_question_is_refused(client: Any) -> None:
    session = new_session(client)
    answer = httpx.post(f"{session.url}/authenticate", data={"outcome": "complete"})
    assert answer.status_code == 400
    assert "nothing to authenticate" in answer.text


@pytest.mark.parametrize(
    ("iban", "event", "status"),
    [
        ("DE89370400440532013000", "checkout.session.async_payment_succeeded", "paid"),
        ("DE62370400440532013001", "checkout.session.async_payment_failed", "unpaid"),
    ],
)
@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_a_bank_debit_completes_unpaid_and_is_decided_later(
    client: Any,
    stripe_sim: Simulator,
    mode: str,
    iban: str,
    event: str,
    status: str,
) -> None:
    session = new_session(client, mode=mode)
    assert httpx.post(str(session.url), data={**DEBIT, "iban": iban}).status_code == 303
    waiting = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert (waiting.status, waiting.payment_status) == ("complete", "unpaid")
    if mode == "subscription":
        assert waiting.subscription.status == "incomplete"
    stripe_sim.advance(days=2)
    later = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert later.payment_status == status
    assert [e["type"] for e in stripe_sim.events() if "session" in e["type"]] == [
        "checkout.session.completed",
        event,
    ]
    if mode == "subscription":
        expected = "active" if status == "paid" else "incomplete_expired"
        assert later.subscription.status == expected


def test_a_trial_takes_a_card_and_no_money(client: Any, stripe_sim: Simulator) -> None:
    session = new_session(
        client,
        subscription_data={
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}},
        },
    )
    assert "€0.00" in httpx.get(str(session.url)).text
    with pytest.raises(ApiError):
        stripe_sim.pay_checkout(session.id, card="4000000000000002")
    stripe_sim.pay_checkout(session.id)
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert done.payment_status == "no_payment_required"
    assert done.subscription.status == "trialing"
    assert "charge.succeeded" not in types(stripe_sim)


def test_a_session_expires_by_the_clock_or_by_hand(client: Any, stripe_sim: Simulator) -> None:
    first, second = new_session(client), new_session(client)
    declined = {**CARD, "card_number": "4000000000000002"}
    httpx.post(str(first.url), data=declined)
    client.v1.checkout.sessions.expire(first.id)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.expire(first.id)
    stripe_sim.advance(hours=25)
    assert client.v1.checkout.sessions.retrieve(second.id).status == "expired"
    assert types(stripe_sim)[-3:] == [
        "payment_intent.canceled",
        "checkout.session.expired",
        "checkout.session.expired",
    ]
    page = httpx.get(str(first.url))
    assert page.status_code == 410
    assert CANCEL in page.text
    assert httpx.post(str(first.url), data=CARD).status_code == 410


def test_a_page_that_never_was(stripe_sim: Simulator) -> None:
    for path in ("/c/pay/cs_none", "/c/pay/cs_none/authenticate"):
        assert httpx.get(stripe_sim.url + path).status_code == 404
        assert httpx.post(stripe_sim.url + path, data=CARD).status_code == 404


def test_a_huge_form_is_refused(client: Any) -> None:
    session = new_session(client)
    assert httpx.post(str(session.url), data={"email": "x" * 70_000}).status_code == 413


def test_metadata_and_line_items_of_a_session(client: Any) -> None:
    prices = [new_price(client).id for _ in range(3)]
    rows = [{"price": price, "quantity": 1} for price in prices]
    session = new_session(client, line_items=rows, metadata={"a": "1"})
    changed = client.v1.checkout.sessions.update(session.id, {"metadata": {"b": "2"}})
    assert changed.metadata.to_dict() == {"a": "1", "b": "2"}
    page = client.v1.checkout.sessions.line_items.list(session.id, {"limit": 2})
    assert page.has_more
    assert [row.price.id for row in page.auto_paging_iter()] == prices


async def test_the_shortcut_pays_without_a_page(client: Any, stripe_sim: Simulator) -> None:
    session = new_session(client)
    paid = await stripe_sim.complete_checkout(session.id, card="4000002500003155")
    assert paid["payment_status"] == "paid"
    other = new_session(client, mode="payment")
    with pytest.raises(ApiError) as caught:
        await stripe_sim.complete_checkout(
            other.id, card="4000002500003155", authenticate=False, email="x@y.z"
        )
    assert caught.value.code == "payment_intent_authentication_failure"


CENTS = {"currency": "eur", "unit_amount": 49, "product_data": {"name": "Sweet"}}


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"mode": None}, "mode"),
        ({"mode": "setup"}, "line_items"),
        ({"mode": "setup", "line_items": None}, "currency"),
        ({"setup_intent_data": {"description": "x"}}, "setup_intent_data"),
        ({"line_items": []}, "line_items"),
        ({"line_items": [{"quantity": 1}]}, "line_items[0][price]"),
        ({"line_items": [{"price": "price_no", "quantity": 1}]}, "line_items[0][price]"),
        ({"success_url": None}, "success_url"),
        ({"customer": "cus_no"}, "customer"),
        ({"payment_intent_data": {"description": "x"}}, "payment_intent_data"),
        ({"mode": "payment", "subscription_data": {"description": "x"}}, "subscription_data"),
        ({"customer_creation": "always"}, "customer_creation"),
        ({"expires_at": 1}, "expires_at"),
        ({"currency": "usd"}, "currency"),
        ({"ui_mode": "embedded_page"}, "return_url"),
        ({"ui_mode": "elements", "return_url": SUCCESS}, "success_url"),
        ({"mode": "payment", "line_items": [{"quantity": 1, "price_data": CENTS}]}, "line_items"),
    ],
)
def test_bad_sessions_are_refused(client: Any, params: dict[str, Any], param: str) -> None:
    base: dict[str, Any] = {"mode": "subscription", "success_url": SUCCESS}
    if "line_items" not in params:
        once = params.get("mode") == "payment"
        price = new_price(client, recurring=None) if once else new_price(client)
        base["line_items"] = [{"price": price.id, "quantity": 1}]
    given = {k: v for k, v in {**base, **params}.items() if v is not None}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.checkout.sessions.create(given)
    assert (caught.value.http_status, caught.value.param) == (400, param)


def test_prices_must_fit_the_mode(client: Any) -> None:
    monthly, once = new_price(client), new_price(client, recurring=None)
    asleep = new_price(client, active=False)
    euros, yen = new_price(client), new_price(client, currency="jpy")
    customer = new_payer(client)

    def refused(message: str, *prices: Any, **params: Any) -> None:
        rows = [{"price": price.id, "quantity": 1} for price in prices]
        with pytest.raises(stripe.InvalidRequestError, match=message):
            new_session(client, line_items=rows, **params)

    refused("recurring price", monthly, mode="payment")
    refused("recurring prices only", once)
    refused("inactive", asleep)
    refused("same currency", euros, yen)
    refused("one of these parameters", monthly, customer=customer.id, customer_email="a@b.c")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        new_session(client, line_items=[{"price": monthly.id}])
    assert caught.value.param == "line_items[0][quantity]"
