"""The billing routes: who may see what, and every kind of bad input as a 4xx."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from gatekeeper import Gatekeeper, asgi
from gatekeeper.asgi import App, Receive, Scope, Send
from gatekeeper.stripe.checkout import CheckoutLink
from gatekeeper.testing.clock import ManualClock
from tests.adapters.driver import client_of, http_scope
from tests.asgi.apps import by_header
from tests.gates import CUSTOMER, new_gate

pytestmark = pytest.mark.anyio

NOBODY = {"x-customer": "nobody"}


async def _no_app(scope: Scope, receive: Receive, send: Send) -> None:
    pytest.fail("it was not for the app")


@pytest.fixture
def closed_gate(migrated_sqlite_url: str, clock: ManualClock) -> Gatekeeper:
    gate = new_gate(migrated_sqlite_url, clock=clock)
    by_header(gate)
    return gate


@pytest.fixture
def app(closed_gate: Gatekeeper) -> App:
    return asgi.install(
        _no_app,
        closed_gate,
        options=asgi.BillingOptions(success_url="/thanks?from=stripe", cancel_url="/back"),
    )


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as opened:
        yield opened


async def test_me_shows_plans_features_limits_and_balances(
    client: httpx.AsyncClient, closed_gate: Gatekeeper
) -> None:
    await closed_gate.customers.override_plan(CUSTOMER, "team")
    async with closed_gate.reserve(CUSTOMER, "credits", 2):
        answer = await client.get("/billing/me")
    assert answer.headers["cache-control"] == "no-store"
    me = answer.json()
    assert (me["customer"], me["plan"], me["plans"]) == (CUSTOMER, "team", ["free", "pro", "team"])
    assert (me["features"], me["limits"]) == (["downloads", "support"], {})
    shown = {
        unit: (one["available"], one["overage"], one["held"], one["debt"])
        for unit, one in me["balances"].items()
    }
    assert shown == {"credits": (3, 0, 2, 0), "exports": (0, 0, 0, 0)}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/billing/me"),
        ("POST", "/billing/checkout"),
        ("GET", "/billing/checkout/pur_1"),
        ("POST", "/billing/portal"),
    ],
)
async def test_nobody_gets_a_401(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path, headers=NOBODY)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b"{", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"price": "\xff"}', "application/json"),
        (b'{"price": 7}', "application/json"),
        (b'{"price": "x", "quantity": "1"}', "application/json"),
        (b'{"price": "x", "quantity": 1.5}', "application/json"),
        (b'{"price": "x", "quantity": ' + b"9" * 5_000 + b"}", "application/json"),
        (b'{"price": "x", "amount": 1}', "application/json"),
        (b"[" * 10_000, "application/json"),
        (b'{"price": "x"}', "text/plain"),
        (b"price=x", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_is_no_request_is_a_400(
    client: httpx.AsyncClient, content: bytes, content_type: str
) -> None:
    headers = {"content-type": content_type}
    answer = await client.post("/billing/checkout", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_a_body_that_is_too_large_is_a_413(client: httpx.AsyncClient) -> None:
    body = msgspec.json.encode({"price": "x" * 20_000})
    headers = {"content-type": "application/json"}
    answer = await client.post("/billing/checkout", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 4_096

    answer = await client.post("/billing/checkout", content=endless(), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 30, "\u0663"])
async def test_a_content_length_that_is_no_number_is_a_400(
    app: App, client: httpx.AsyncClient, length: str
) -> None:
    headers = {"content-type": "application/json"}
    scope = http_scope("POST", "/billing/checkout", headers=headers)
    scope["headers"].append((b"content-length", length.encode("utf-8")))
    sent: list[Any] = []

    async def receive() -> Any:
        pytest.fail("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_a_client_that_leaves_before_its_body_is_complete_is_no_crash(
    app: App, client: httpx.AsyncClient
) -> None:
    scope = http_scope("POST", "/billing/checkout", headers={"content-type": "application/json"})
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent[0]["status"] == 400


@pytest.mark.parametrize("purchase", ["%00", "a%01b", "x" * 300, "%20a"])
async def test_a_purchase_id_that_can_t_be_one_is_a_400(
    client: httpx.AsyncClient, purchase: str
) -> None:
    answer = await client.get(f"/billing/checkout/{purchase}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_id")


async def test_without_a_key_of_stripes_buying_says_what_is_missing_to_the_log_alone(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/billing/checkout", json={"price": "pro_monthly"})
    assert (answer.status_code, answer.json()["code"]) == (500, "configuration_error")
    assert "STRIPE_SECRET_KEY" not in answer.text


async def test_checkout_and_portal_send_people_back_to_this_origin(
    client: httpx.AsyncClient, closed_gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    async def checkout(customer: str, price: str, **options: Any) -> CheckoutLink:
        asked.append((customer, price, options))
        return CheckoutLink("pur_1", "cs_1", "https://checkout.test/cs_1")

    async def portal(customer: str, **options: Any) -> str:
        asked.append((customer, options))
        return "https://portal.test/1"

    monkeypatch.setattr(closed_gate, "checkout", checkout)
    monkeypatch.setattr(closed_gate, "portal", portal)
    started = await client.post(
        "/billing/checkout",
        json={"price": "pro_monthly", "quantity": 2},
        headers={"idempotency-key": "button-1"},
    )
    url = "https://checkout.test/cs_1"
    assert started.json() == {"checkout": "pur_1", "session": "cs_1", "url": url}
    assert (await client.post("/billing/portal", json={})).json() == {
        "url": "https://portal.test/1"
    }
    assert (await client.post("/billing/portal", json={"customer": "cus_2"})).status_code == 400
    assert asked[0][:2] == (CUSTOMER, "pro_monthly")
    assert asked[0][2]["quantity"] == 2
    assert asked[0][2]["idempotency_key"].startswith("api-")
    assert asked[0][2]["cancel_url"] == "http://host.test/back"
    assert asked[0][2]["success_url"].startswith("http://host.test/thanks?from=stripe")
    assert asked[1] == (CUSTOMER, {"return_url": "http://host.test/back"})
