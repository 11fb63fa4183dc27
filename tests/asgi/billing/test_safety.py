"""Who may ask, from where, and how often; where people are sent back to; keys used twice."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from gatekeeper import Gatekeeper
from gatekeeper.asgi import BillingOptions, RateLimits, billing_routes, install
from gatekeeper.asgi.billing.operations import Operation
from gatekeeper.asgi.billing.options import origin_of
from gatekeeper.asgi.billing.rate_limits import RateLimiter
from gatekeeper.errors import (
    ConfigurationError,
    ConflictError,
    RateLimitedError,
    ReturnUrlError,
)
from gatekeeper.services.owned import OwnedTasks
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.stripe.checkout import CheckoutLink
from tests.adapters.driver import client_of
from tests.asgi.apps import by_header
from tests.gates import new_gate

pytestmark = pytest.mark.anyio

FRIEND = "https://www.friend.test"
CHECKOUT = {"price": "pro_monthly"}


async def _nothing(_: object) -> None:
    """Answers nothing."""


READ = Operation("GET", "/", _nothing, summary="Reads.")


@pytest.fixture
def asked(closed_gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of the gate's checkout, which is not gone through with."""
    calls: list[dict[str, Any]] = []

    async def checkout(customer: str, price: str, **options: Any) -> CheckoutLink:
        calls.append({"customer": customer, "price": price, **options})
        return CheckoutLink("pur_1", "cs_1", "https://checkout.test/cs_1")

    monkeypatch.setattr(closed_gate, "checkout", checkout)
    return calls


@pytest.fixture
def closed_gate() -> Gatekeeper:
    gate = new_gate("sqlite:///unused", store=MemoryStore())
    by_header(gate)
    return gate


Serve = Callable[[BillingOptions], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serve(closed_gate: Gatekeeper) -> Serve:
    @asynccontextmanager
    async def serving(options: BillingOptions) -> AsyncIterator[httpx.AsyncClient]:
        async with client_of(install(_no_app, closed_gate, options=options)) as client:
            yield client

    return serving


async def _no_app(*_: Any) -> None:
    pytest.fail("it was not for the app")


# -- other sites ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser: it has nobody's cookies
        ({"origin": "http://host.test"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "http://host.test"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "https://evil.test"}, 403),
        ({"origin": "https://host.test"}, 403),  # another scheme is another origin
        ({"origin": "http://host.test.evil.test"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "https://evil.test"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://other.host.test"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": FRIEND, "sec-fetch-site": "cross-site"}, 200),
    ],
)
async def test_pages_of_other_sites_change_nothing(
    serve: Serve, asked: list[dict[str, Any]], headers: dict[str, str], status: int
) -> None:
    async with serve(BillingOptions(origins=(FRIEND,))) as client:
        answer = await client.post("/billing/checkout", json=CHECKOUT, headers=headers)
        assert answer.status_code == status
        assert len(asked) == (1 if status == 200 else 0)
        if status == 403:
            assert answer.json()["code"] == "origin_refused"
        assert (await client.get("/billing/me", headers=headers)).status_code == 200


async def test_other_sites_read_nothing_unless_they_are_named(serve: Serve) -> None:
    preflight = {"origin": FRIEND, "access-control-request-method": "POST"}
    async with serve(BillingOptions()) as client:
        answer = await client.get("/billing/me", headers={"origin": FRIEND})
        assert "access-control-allow-origin" not in answer.headers
        assert (await client.options("/billing/checkout", headers=preflight)).status_code == 405
    async with serve(BillingOptions(origins=(FRIEND,))) as client:
        answer = await client.get("/billing/me", headers={"origin": FRIEND})
        assert answer.headers["access-control-allow-origin"] == FRIEND
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert (await client.options("/billing/checkout", headers=preflight)).status_code == 200
        stranger = {**preflight, "origin": "https://evil.test"}
        assert (await client.options("/billing/checkout", headers=stranger)).status_code == 400


# -- where people are sent back to ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        (None, "https://stripe.example/thanks"),
        ("/thanks?a=1#b", "http://host.test/thanks?a=1#b"),
        ("thanks", "http://host.test/thanks"),
        ("http://host.test/x", "http://host.test/x"),
        ("http://HOST.test/x", "http://HOST.test/x"),
        (f"{FRIEND}/y", f"{FRIEND}/y"),
        ("https://evil.test", None),
        ("//evil.test/x", None),
        ("/\\evil.test", None),
        ("\\\\evil.test", None),
        ("https:evil.test", None),
        ("javascript:alert(1)", None),
        ("http://host.test@evil.test/", None),
        ("http://host.test:8000/", None),
        ("http://host.test:x/", None),
        ("http://[::1", None),
        (f"{FRIEND}.evil.test/", None),
    ],
)
def test_people_are_sent_back_to_where_the_host_allows(
    wanted: str | None, leads_to: str | None
) -> None:
    options = BillingOptions(origins=(FRIEND,))
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"host", b"host.test")],
    }
    default = "https://stripe.example/thanks"
    if leads_to is None:
        with pytest.raises(ReturnUrlError):
            options.return_url(Request(scope), wanted, default)
    else:
        assert options.return_url(Request(scope), wanted, default) == leads_to


def test_the_app_s_own_origin_can_be_said() -> None:
    options = BillingOptions(base_url="https://app.example")
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    assert options.return_url(Request(scope), "/x", "/") == "https://app.example/x"


@pytest.mark.parametrize("origin", ["friend.test", "https://friend.test/", "*", "https://a@b", ""])
def test_an_origin_that_is_none_is_named_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="is no origin"):
        BillingOptions(origins=(origin,))
    assert origin_of("https://Friend.test/x") == "https://friend.test"


# -- how often ------------------------------------------------------------------------------------


async def test_who_asks_too_often_is_told_when_to_come_again(
    serve: Serve, asked: list[dict[str, Any]]
) -> None:
    limits = RateLimits(reads="3/day", writes="1/day", strangers=None)
    async with serve(BillingOptions(rate_limits=limits)) as client:
        reads = [(await client.get("/billing/me")).status_code for _ in range(4)]
        assert reads == [200, 200, 200, 429]
        posts = [await client.post("/billing/checkout", json=CHECKOUT) for _ in range(2)]
        assert [one.status_code for one in posts] == [200, 429]
        refused = posts[1]
        assert refused.json()["code"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 86_400
        assert refused.headers["retry-after"] in refused.json()["detail"]
        other = {"x-customer": "another"}
        assert (await client.get("/billing/me", headers=other)).status_code == 200
        assert (await client.get("/billing/openapi.json")).status_code == 200


async def test_strangers_are_counted_by_their_address(serve: Serve) -> None:
    async with serve(BillingOptions(rate_limits=RateLimits(strangers="2/day"))) as client:
        page = [(await client.get("/billing/openapi.json")).status_code for _ in range(3)]
        assert page == [200, 200, 429]


async def test_several_processes_count_together_in_redis(
    redis_url: str,
) -> None:
    limits = RateLimits(reads="2/day")
    async with OwnedTasks() as tasks:
        one, other = (RateLimiter(limits, tasks, redis_url) for _ in range(2))
        await one.check(READ, nobodys_request(), "ada")
        await other.check(READ, nobodys_request(), "ada")
        for limiter in (one, other):
            with pytest.raises(RateLimitedError):
                await limiter.check(READ, nobodys_request(), "ada")
        await one.check(READ, nobodys_request(), "bob")
    async with tasks:  # the gate is opened again
        await one.check(READ, nobodys_request(), "bob")


async def test_without_redis_s_answer_nobody_is_refused_and_it_is_told_once(
    free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with OwnedTasks() as tasks:
        url = f"redis://127.0.0.1:{free_port}/0"
        limiter = RateLimiter(RateLimits(reads="1/day"), tasks, url)
        for _ in range(3):
            await limiter.check(READ, nobodys_request(), "ada")
    assert [one.levelname for one in caplog.records] == ["WARNING"]


def nobodys_request() -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": []})


def test_a_limit_that_is_none_is_named_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="'often' is no rate limit"):
        RateLimits(reads="often")


# -- the client's keys ----------------------------------------------------------------------------


async def test_one_key_is_for_one_request(serve: Serve, asked: list[dict[str, Any]]) -> None:
    async with serve(BillingOptions()) as client:

        async def post(body: dict[str, Any], key: str, **headers: str) -> httpx.Response:
            headers = {"idempotency-key": key, **headers}
            return await client.post("/billing/checkout", json=body, headers=headers)

        first, again = await post(CHECKOUT, "k"), await post(CHECKOUT, "k")
        assert (first.status_code, again.status_code) == (200, 200)
        assert asked[0]["idempotency_key"] == asked[1]["idempotency_key"]
        other = await post({"price": "pro_yearly"}, "k")
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        theirs = await post({"price": "pro_yearly"}, "k", **{"x-customer": "another"})
        assert theirs.status_code == 200
        assert asked[2]["idempotency_key"] != asked[0]["idempotency_key"]
        assert (await post(CHECKOUT, "x" * 256)).status_code == 400
        twice = [("idempotency-key", "a"), ("idempotency-key", "b")]
        answer = await client.post("/billing/checkout", json=CHECKOUT, headers=twice)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_id")


async def test_a_refused_request_leaves_its_key_free(
    serve: Serve, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(BillingOptions()) as client:
        key = {"idempotency-key": "k"}
        nothing = {"price": "pro_monthly", "quantity": 0}
        assert (
            await client.post("/billing/checkout", json=nothing, headers=key)
        ).status_code == 400
        answer = await client.post("/billing/portal", json={}, headers=key)
        assert answer.status_code == 500  # there is no key of Stripe's: a fault, no refusal
        mended = await client.post("/billing/checkout", json=CHECKOUT, headers=key)
        assert mended.status_code == 200


async def test_a_request_that_was_refused_by_its_work_leaves_its_key_free(
    serve: Serve, closed_gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any, **__: Any) -> CheckoutLink:
        raise ConflictError("Not now.")

    monkeypatch.setattr(closed_gate, "checkout", refused)
    async with serve(BillingOptions()) as client:

        async def post(price: str) -> Any:
            headers = {"idempotency-key": "k"}
            answer = await client.post("/billing/checkout", json={"price": price}, headers=headers)
            return answer.json()["code"]

        assert [await post("pro_monthly"), await post("pro_yearly")] == ["conflict"] * 2


# -- what is not there ----------------------------------------------------------------------------


async def test_what_is_not_there_is_a_problem_too(serve: Serve) -> None:
    async with serve(BillingOptions()) as client:
        answer = await client.get("/billing/nothing")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        answer = await client.delete("/billing/checkout")
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"
        assert (await client.head("/billing/me")).status_code == 200
        for query in ("x=1", "a=1&a=2", "q=" + "x" * 5_000):
            assert (await client.get(f"/billing/me?{query}")).status_code == 400


def test_the_back_office_is_not_there_unless_it_is_opened(closed_gate: Gatekeeper) -> None:
    routes = {getattr(one, "path", "") for one in billing_routes(closed_gate).routes}
    assert not [path for path in routes if path.startswith("/admin")]
