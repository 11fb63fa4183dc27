"""Paying once, through the billing API."""

from typing import Any

import anyio
import pytest

from gatekeeper.testing.stripe import Simulator
from tests.asgi.orders.conftest import browse, ordered, paid
from tests.asgi.subscribing.conftest import Page

pytestmark = pytest.mark.anyio


async def test_a_basket_is_priced_by_the_host_and_paid_by_the_webhook_only(page: Page) -> None:
    order = await ordered(page, {"cup": 2, "pot": 1})
    assert (order["status"], order["amount_minor"], order["currency"]) == ("pending", 3_250, "eur")
    intent = await page.post("/payment-intents", {"order": order["order"]})
    browse(page, intent)
    name = f"/orders/{order['order']}"
    assert (await page.get(name))["status"] == "pending"  # the browser's word does not count
    await page.settle()
    done = await page.get(name)
    assert (done["status"], done["captured_minor"]) == ("paid", 3_250)
    assert done["payment_intent"] == intent["id"]
    refused = await page.post("/payment-intents", {"order": order["order"]}, status=409)
    assert (refused["code"], refused["status"]) == ("order_closed", 409)
    receipt = await page.get(f"{name}/receipt")
    assert receipt["url"].startswith("http")
    assert receipt["captured_minor"] == 3_250


async def test_an_order_is_changed_and_its_payment_with_it(page: Page) -> None:
    order = await ordered(page)
    name = f"/orders/{order['order']}"
    first = await page.post("/payment-intents", {"order": order["order"]})
    changed = await page.post(name, {"items": {"pot": 1}})
    assert (changed["amount_minor"], changed["items"]) == (2_000, {"pot": 1})
    body = {"order": order["order"], "receipt_email": "ada@example.com", "save_card": "on_session"}
    again = await page.post("/payment-intents", body)
    assert (again["id"], again["client_secret"]) == (first["id"], first["client_secret"])
    assert again["amount_minor"] == 2_000
    canceled = await page.post(f"/payment-intents/{first['id']}/cancel", {"reason": "abandoned"})
    assert (canceled["status"], canceled["payment_intent"]) == ("pending", None)
    assert (await page.post(f"{name}/cancel", {}))["status"] == "canceled"
    assert (await page.post(name, {"items": {"pot": 2}}, status=409))["code"] == "order_closed"


async def test_failures_and_another_card(page: Page) -> None:
    order = await ordered(page)
    name = f"/orders/{order['order']}"
    intent = await page.post("/payment-intents", {"order": order["order"]})
    confirm = f"/payment-intents/{intent['id']}/confirm"
    status, problem = await page.ask("POST", confirm, {"payment_method": "pm_card_chargeDeclined"})
    assert (status, problem["code"]) == (402, "card_declined")
    failed = await page.get(name)
    assert (failed["status"], failed["failure"]) == ("failed", "card_declined")
    body = {"payment_method": "pm_card_authenticationRequired", "return_url": "/back"}
    asked = await page.post(confirm, body)
    assert (asked["status"], asked["next_action"]) == ("requires_action", "redirect_to_url")
    page.sim.authenticate(intent["id"])
    assert (await page.get(f"{name}?refresh=true"))["status"] == "paid"
    looked = await page.get(f"/payment-intents/{intent['id']}")
    assert (looked["status"], looked["client_secret"]) == ("succeeded", None)


async def test_orders_are_listed_page_by_page(page: Page) -> None:
    made = [(await ordered(page, {"cup": count}))["order"] for count in (1, 2, 3)]
    await ordered(page, customer="eve")
    first = await page.get("/orders?limit=2")
    assert len(first["data"]) == 2
    rest = await page.get(f"/orders?limit=2&cursor={first['next_cursor']}")
    assert rest["next_cursor"] is None
    assert sorted(one["order"] for one in [*first["data"], *rest["data"]]) == sorted(made)
    assert (await page.get("/orders?cursor=x", status=400))["code"] == "invalid_request"


async def test_an_order_is_made_once_by_its_key_and_by_its_reference(page: Page) -> None:
    body = {"items": {"cup": 2}, "reference": "basket 7"}
    first = await page.post("/orders", body, status=201, key="one")
    again = await page.post("/orders", body, status=201, key="one")
    assert again["order"] == first["order"]
    other = {"items": {"pot": 1}, "reference": "basket 7"}
    assert (await page.post("/orders", other, status=409))["code"] == "conflict"
    assert (await page.post("/orders", other, status=409, key="one"))["status"] == 409


async def test_an_order_is_paid_on_stripes_own_page(page: Page) -> None:
    order = await ordered(page)
    intent = await page.post("/payment-intents", {"order": order["order"]})
    link = await page.post("/checkout", {"order": order["order"]})
    assert link["checkout"] == order["order"]
    assert await page.post("/checkout", {"order": order["order"]}) == link
    assert page.sim.client().v1.payment_intents.retrieve(intent["id"]).status == "canceled"
    assert (await page.get(f"/orders/{order['order']}"))["status"] == "pending"
    page.sim.pay_checkout(link["session"])
    for name in (link["checkout"], link["session"]):
        shown = await page.get(f"/checkout/{name}")
        assert (shown["status"], shown["order"], shown["price"]) == ("paid", order["order"], None)
        assert (await page.get(f"/checkout/{name}", status=404, customer="eve"))["status"] == 404
    await page.settle()
    assert (await page.get(f"/orders/{order['order']}"))["captured_minor"] == 1_250
    refused = await page.post("/checkout", {"order": order["order"]}, status=409)
    assert refused["code"] == "order_closed"
    for wrong in (
        {},
        {"order": order["order"], "price": "topup_100"},
        {"order": order["order"], "quantity": 2},
        {"order": order["order"], "coupon": "half"},
    ):
        assert (await page.post("/checkout", wrong, status=400))["status"] == 400


async def test_one_way_of_paying_ends_the_other(page: Page) -> None:
    order = await ordered(page)
    link = await page.post("/checkout", {"order": order["order"]})
    await page.post(f"/orders/{order['order']}", {"items": {"pot": 1}})
    changed = await page.post("/checkout", {"order": order["order"]})
    sessions = page.sim.client().v1.checkout.sessions
    assert sessions.retrieve(link["session"]).status == "expired"
    assert sessions.retrieve(changed["session"]).amount_total == 2_000
    intent = await page.post("/payment-intents", {"order": order["order"]})
    assert sessions.retrieve(changed["session"]).status == "expired"
    browse(page, intent)
    await page.settle()
    assert (await page.get(f"/orders/{order['order']}"))["status"] == "paid"
    late = await ordered(page)
    link = await page.post("/checkout", {"order": late["order"]})
    page.sim.pay_checkout(link["session"])
    refused = await page.post("/payment-intents", {"order": late["order"]}, status=409)
    assert refused["code"] in ("payment_state", "order_closed")
    assert (await page.get(f"/orders/{late['order']}"))["status"] == "paid"


async def test_a_seller_captures_and_a_buyer_can_not(page: Page, stripe_sim: Simulator) -> None:
    await page.gate.sellers.ensure("bob", "IE")
    seller = await page.gate.sellers.state("bob")
    assert seller.account_id is not None
    terms: Any = page.terms  # type: ignore[attr-defined]
    terms.update(capture="manual", seller="bob", commission_minor=250)
    order = await ordered(page)
    early = await page.post("/payment-intents", {"order": order["order"]}, status=409)
    assert early["code"] == "seller_not_ready"
    stripe_sim.onboard(seller.account_id)
    await page.gate.sellers.state("bob", refresh=True)
    intent = await page.post("/payment-intents", {"order": order["order"]})
    browse(page, intent)
    await page.settle()
    assert (await page.get(f"/orders/{order['order']}"))["authorized_minor"] == 1_250
    capture = f"/payment-intents/{intent['id']}/capture"
    for customer in ("ada", "eve"):
        assert (await page.post(capture, {}, customer=customer, status=404))["status"] == 404
    taken = await page.post(capture, {"amount_minor": 1_000}, customer="bob")
    assert (taken["status"], taken["captured_minor"]) == ("paid", 1_000)
    again = await page.post(capture, {}, customer="bob", status=409)
    assert again["code"] == "payment_state"
    (sent,) = stripe_sim.client().v1.transfers.list({"destination": seller.account_id}).data
    assert sent.amount == 1_000
    assert (await page.get("/orders", customer="bob"))["data"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/orders/{order}", None),
        ("GET", "/orders/{order}?refresh=true", None),
        ("POST", "/orders/{order}", {"items": {"cup": 1}}),
        ("POST", "/orders/{order}/cancel", {}),
        ("GET", "/orders/{order}/receipt", None),
        ("POST", "/payment-intents", {"order": "{order}"}),
        ("POST", "/checkout", {"order": "{order}"}),
        ("GET", "/checkout/{order}", None),
        ("GET", "/payment-intents/{payment}", None),
        ("POST", "/payment-intents/{payment}/confirm", {}),
        ("POST", "/payment-intents/{payment}/capture", {}),
        ("POST", "/payment-intents/{payment}/cancel", {}),
    ],
)
async def test_another_customers_are_not_there(
    page: Page, method: str, path: str, body: Any
) -> None:
    order = await ordered(page)
    intent = await page.post("/payment-intents", {"order": order["order"]})
    names = {"order": order["order"], "payment": intent["id"]}
    asked = {"order": order["order"]} if body == {"order": "{order}"} else body
    status, problem = await page.ask(method, path.format(**names), asked, customer="eve")
    assert (status, problem["code"]) == (404, "not_found")
    kept = await page.get(f"/orders/{order['order']}")
    assert (kept["status"], kept["payment_intent"]) == ("pending", intent["id"])


@pytest.mark.parametrize("currency", ["jpy", "kwd", "isk"])
async def test_case_29_an_order_has_stripes_minor_units(durable: Page, currency: str) -> None:
    amount = {"jpy": 1_000, "kwd": 5_120, "isk": 90_000}[currency]
    terms: Any = durable.terms  # type: ignore[attr-defined]
    terms.update(currency=currency, amount_minor=amount)
    done = await paid(durable)
    assert (done["captured_minor"], done["currency"], done["status"]) == (amount, currency, "paid")
    terms.update(amount_minor=amount * 1_000_000)
    refused = await durable.post("/orders", {"items": {"cup": 1}}, status=400)
    assert refused["code"] == "amount_not_chargeable"
    assert refused["maximum_minor"] == 99_999_999


async def test_case_34_refunds_in_any_order_are_shown(durable: Page) -> None:
    done = await paid(durable)
    refunds = durable.sim.client().v1.refunds
    for amount in (375, 250):
        refunds.create({"payment_intent": done["payment_intent"], "amount": amount})
    durable.sim.shuffle()
    await durable.settle()
    shown = await durable.get(f"/orders/{done['order']}")
    assert (shown["status"], shown["refunded_minor"]) == ("paid", 625)
    last = refunds.create({"payment_intent": done["payment_intent"]})
    await durable.settle()
    assert (await durable.get(f"/orders/{done['order']}"))["status"] == "refunded"
    durable.sim.fail_refund(last.id)  # case 35
    await durable.settle()
    again = await durable.get(f"/orders/{done['order']}")
    assert (again["status"], again["refunded_minor"]) == ("paid", 625)


async def test_case_41_a_click_whose_answer_was_lost_pays_once(durable: Page) -> None:
    order = await ordered(durable)
    intent = await durable.post("/payment-intents", {"order": order["order"]})
    path = f"/payment-intents/{intent['id']}/confirm"
    durable.sim.misbehave("lost", path=f"/v1/payment_intents/{intent['id']}/confirm", times=1)
    body = {"payment_method": "pm_card_visa"}
    assert (await durable.post(path, body, key="click", status=503))["status"] == 503
    assert (await durable.post(path, body, key="click"))["status"] == "succeeded"
    assert (await durable.post(path, body, status=409))["code"] == "order_closed"
    await durable.settle()
    shown = await durable.get(f"/orders/{order['order']}")
    assert (shown["status"], shown["captured_minor"]) == ("paid", 1_250)
    assert len(durable.sim.events("charge.succeeded")) == 1


async def test_a_payment_that_ends_while_it_is_confirmed_is_no_fault_of_ours(page: Page) -> None:
    order = await ordered(page)
    intent = await page.post("/payment-intents", {"order": order["order"]})
    looked: list[str] = []

    def be_faster(exchange: Any) -> None:
        if exchange.method == "GET" and not looked:
            looked.append(exchange.operation)
            page.sim.client().v1.payment_intents.cancel(intent["id"])

    page.sim.on_exchange(be_faster)
    path = f"/payment-intents/{intent['id']}/confirm"
    refused = await page.post(path, {"payment_method": "pm_card_visa"}, status=409)
    assert (refused["code"], looked) == ("payment_state", ["/v1/payment_intents/{intent}"])
    assert (await page.get(f"/orders/{order['order']}"))["status"] == "pending"


async def test_case_42_two_clicks_capture_once(durable: Page) -> None:
    await durable.gate.sellers.ensure("bob", "IE")
    seller = await durable.gate.sellers.state("bob")
    durable.sim.onboard(str(seller.account_id))
    await durable.gate.sellers.state("bob", refresh=True)
    terms: Any = durable.terms  # type: ignore[attr-defined]
    terms.update(capture="manual", seller="bob")
    held, late = await paid(durable), await paid(durable)
    path = f"/payment-intents/{held['payment_intent']}/capture"
    answers: list[int] = []

    async def click(amount: int) -> None:
        body = {"amount_minor": amount}
        answers.append((await durable.ask("POST", path, body, customer="bob"))[0])

    async with anyio.create_task_group() as clicks:
        clicks.start_soon(click, 1_000)
        clicks.start_soon(click, 900)
    assert sorted(answers) == [200, 409]
    await durable.settle()
    assert (await durable.get(f"/orders/{held['order']}"))["status"] == "paid"
    durable.sim.advance(days=8)
    path = f"/payment-intents/{late['payment_intent']}/capture"
    refused = await durable.post(path, {}, customer="bob", status=409)
    assert refused["code"] == "payment_state"
    await durable.settle()
    lapsed = await durable.get(f"/orders/{late['order']}")
    assert (lapsed["status"], lapsed["captured_minor"]) == ("failed", 0)
    assert len(durable.sim.events("charge.captured")) == 1


@pytest.mark.parametrize(
    "forged",
    [{"amount_minor": 1}, {"currency": "jpy"}, {"customer": "eve"}, {"livemode": True}],
)
async def test_case_50_what_a_browser_says_of_money_is_refused(
    durable: Page, forged: dict[str, Any]
) -> None:
    body = {"items": {"cup": 2}, **forged}
    assert (await durable.post("/orders", body, status=400))["code"] == "invalid_request"
    order = await ordered(durable)
    for path in ("/payment-intents", "/checkout"):
        asked = {"order": order["order"], **forged}
        assert (await durable.post(path, asked, status=400))["code"] == "invalid_request"
    assert durable.sim.events("payment_intent.created") == []


@pytest.mark.parametrize("items", [{"cup": -2}, {"lot": 1}, {"crumb": 1}, {"cup": 0}])
async def test_what_can_not_be_charged_is_refused_before_anything(page: Page, items: Any) -> None:
    refused = await page.post("/orders", {"items": items}, status=400)
    assert refused["code"] == "amount_not_chargeable"
    assert (refused["minimum_minor"], refused["currency"]) == (50, "eur")
    assert (await page.get("/orders"))["data"] == []
    assert (await page.post("/orders", {"items": {"moon": 1}}, status=400))["status"] == 400
