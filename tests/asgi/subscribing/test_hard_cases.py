"""The hard cases of buying, through the API: what a browser may do, and Stripe at once."""

from typing import Any

import anyio
import httpx
import pytest

from tests.asgi.subscribing.conftest import Page

pytestmark = pytest.mark.anyio


async def test_case_27_two_checkout_tabs_both_paid_are_one_plan_and_one_is_given_back(
    durable: Page,
) -> None:
    page = durable
    tabs = [
        await page.post("/checkout", {"price": price}) for price in ("team_monthly", "team_monthly")
    ]
    assert tabs[0] == tabs[1]  # the same tab twice is one checkout
    in_page = await page.post("/subscriptions", {"price": "team_monthly"}, status=201)
    page.sim.pay_checkout(tabs[0]["session"])
    page.confirm(in_page["secret"])
    await page.settle()
    for name in (tabs[0]["checkout"], in_page["checkout"]):
        assert (await page.get(f"/checkout/{name}"))["status"] == "paid"
    assert await page.available() == 5_005
    (flagged,) = await page.gate.duplicate_purchases("ada")
    assert flagged.id in (tabs[0]["checkout"], in_page["checkout"])
    await page.gate.work()
    await page.settle()
    shown = (await page.get("/subscriptions"))["data"]
    assert sorted(one["status"] for one in shown) == ["active", "canceled"]
    assert len(page.sim.events("charge.refunded")) == 1
    assert await page.available() == 5_005


async def test_case_31_a_bank_debit_is_pending_until_it_has_come(durable: Page) -> None:
    page = durable
    good, bad = [await page.post("/checkout", {"price": "topup_100"}) for _ in range(2)]
    page.sim.pay_checkout(good["session"], iban="DE89370400440532013000")
    page.sim.pay_checkout(bad["session"], iban="DE62370400440532013001")
    await page.settle()
    for link in (good, bad):
        assert (await page.get(f"/checkout/{link['checkout']}"))["status"] == "pending"
    assert await page.available() == 5
    page.sim.advance(minutes=10)
    await page.settle()
    assert (await page.get(f"/checkout/{good['checkout']}"))["status"] == "paid"
    assert (await page.get(f"/checkout/{bad['checkout']}"))["status"] == "failed"
    assert await page.available() == 105


async def test_case_32_the_return_page_and_the_webhook_race(durable: Page) -> None:
    page = durable
    link = await page.post("/checkout", {"price": "topup_100"})
    page.sim.pay_checkout(link["session"])

    async def look() -> None:
        found = await page.get(f"/checkout/{link['session']}")  # {CHECKOUT_SESSION_ID}
        assert found["checkout"] == link["checkout"]

    async with anyio.create_task_group() as group:
        group.start_soon(page.settle)
        for _ in range(3):
            group.start_soon(look)
    await page.settle()
    assert (await page.get(f"/checkout/{link['checkout']}"))["status"] == "paid"
    assert await page.available() == 105


async def test_case_33_one_purchase_of_three_events_is_granted_once(durable: Page) -> None:
    page = durable
    link = await page.post("/checkout", {"price": "team_monthly"})
    page.sim.pay_checkout(link["session"])
    kinds = ("checkout.session.completed", "payment_intent.succeeded", "invoice.paid")
    for kind in kinds:
        (event,) = page.sim.events(kind)
        page.sim.redeliver(event["id"])
    page.sim.shuffle()
    await page.settle()
    assert await page.available() == 5_005


async def test_case_40_two_requests_at_once_make_one_stripe_customer(durable: Page) -> None:
    page = durable
    asked: tuple[tuple[str, Any], ...] = (
        ("/checkout", {"price": "topup_100"}),
        ("/subscriptions", {"price": "team_monthly"}),
        ("/payment-methods/setup", {}),
        ("/portal", {}),
    )
    statuses: list[int] = []

    async def ask(path: str, body: Any) -> None:
        status, _ = await page.ask("POST", path, body)
        statuses.append(status)

    async with anyio.create_task_group() as group:
        for path, body in asked:
            group.start_soon(ask, path, body)
    assert set(statuses) <= {200, 201, 503}  # 503: Stripe is at work on the same key; try again
    assert len(page.sim.events("customer.created")) == 1


@pytest.mark.parametrize(
    ("path", "at_stripe", "body", "kind"),
    [
        ("/checkout", "/v1/checkout/sessions", {"price": "topup_100"}, "checkout.session"),
        ("/subscriptions", "/v1/subscriptions", {"price": "team_monthly"}, "subscription"),
        ("/payment-methods/setup", "/v1/setup_intents", {}, "setup_intent"),
    ],
)
async def test_case_41_a_post_that_timed_out_after_it_succeeded_is_done_once(
    durable: Page,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    at_stripe: str,
    body: Any,
    kind: str,
) -> None:
    page, send = durable, httpx.AsyncClient.request
    lost: list[str] = []

    async def lose_one(self: httpx.AsyncClient, method: str, url: Any, **options: Any) -> Any:
        answer = await send(self, method, url, **options)
        if method.upper() == "POST" and str(url).endswith(at_stripe) and not lost:
            lost.append(str(url))
            raise httpx.ReadTimeout("the answer was lost")
        return answer

    monkeypatch.setattr(httpx.AsyncClient, "request", lose_one)
    problem = await page.post(path, body, key="button-1", status=503)
    assert problem["code"] == "stripe_unavailable"
    made = 200 if path == "/checkout" else 201
    again = await page.post(path, body, key="button-1", status=made)
    assert again == await page.post(path, body, key="button-1", status=made)
    assert len(page.sim.state.store.all(kind)) == 1


FORGED: list[tuple[str, str, Any]] = [
    ("POST", "/checkout", {"price": "team_monthly", "amount": 1}),
    ("POST", "/checkout", {"price": "team_monthly", "amount_minor": 1}),
    ("POST", "/checkout", {"price": "team_monthly", "currency": "jpy"}),
    ("POST", "/checkout", {"price": "team_monthly", "customer": "bob"}),
    ("POST", "/checkout", {"price": "team_monthly", "livemode": True}),
    ("POST", "/checkout", {"price": "team_monthly", "metadata": {"plan": "team"}}),
    ("POST", "/checkout", {"price": "team_monthly", "success_url": "https://evil.example/"}),
    ("POST", "/checkout", {"price": "team_monthly", "coupon": "FREE"}),
    ("POST", "/checkout", {"price": "price_1"}),
    ("POST", "/subscriptions", {"price": "team_monthly", "amount_minor": 1}),
    ("POST", "/subscriptions", {"price": "team_monthly", "customer": "bob"}),
    ("POST", "/subscriptions", {"price": "team_monthly", "trial_days": 365}),
    ("POST", "/subscriptions", {"price": "team_monthly", "coupon": "FREE"}),
    ("POST", "/subscriptions", {"price": "price_1"}),
    ("POST", "/portal", {"customer": "cus_1"}),
    ("POST", "/portal", {"return_url": "//evil.example"}),
    ("POST", "/subscriptions/{own}/change", {"price": "price_1"}),
    ("POST", "/subscriptions/{own}/change", {"quantity": 2, "proration_date": 1}),
    ("POST", "/subscriptions/{own}/change", {"quantity": 2, "amount_minor": 1}),
    ("POST", "/subscriptions/{own}/pause", {"resumes_at": 1}),
]


async def test_case_50_what_a_browser_forges_is_refused_and_changes_nothing(durable: Page) -> None:
    page = durable
    own = await page.subscribed()
    stripe = page.sim.client().v1
    coupon: Any = {"id": "FREE", "percent_off": 100, "duration": "forever"}
    stripe.coupons.create(coupon)
    # A price of Stripe's that is not the catalogue's, and cheap.
    price: Any = {
        "currency": "eur",
        "unit_amount": 1,
        "recurring": {"interval": "month"},
        "product_data": {"name": "Cheap"},
    }
    cheap = stripe.prices.create(price).id
    before = await page.get(f"/subscriptions/{own}")
    for method, path, body in FORGED:
        sent = {name: cheap if value == "price_1" else value for name, value in body.items()}
        status, problem = await page.ask(method, path.replace("{own}", own), sent)
        assert status == 400, (path, body, problem)
        assert problem["code"] in {
            *("invalid_request", "unknown_name", "discount_invalid", "return_url_refused"),
        }
    # An instant of one's own choosing, by which the rest of the period would cost nothing.
    end = before["period_end"]
    status, problem = await page.ask(
        "POST", f"/subscriptions/{own}/change", {"quantity": 9, "as_of": end}
    )
    assert (status, problem["code"]) == (409, "conflict")
    assert await page.get(f"/subscriptions/{own}") == before
    assert len(page.sim.events("checkout.session.completed")) == 0
    assert len(page.sim.events("customer.subscription.created")) == 1
