"""The gateway over the real `stripe` package, against the simulator."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.errors import (
    AuthenticationRequiredError,
    CardDeclinedError,
    ConfigurationError,
    IdempotencyConflictError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.stripe.client import API_VERSION, StripeGateway, livemode_of
from gatekeeper.stripe.refusals import refusal_of
from gatekeeper.telemetry.redaction import redact
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.settings import API_VERSION as SIMULATED_VERSION
from tests.stripe.shop import make_price

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gateway(stripe_sim: Simulator) -> AsyncIterator[StripeGateway]:
    async with StripeGateway(
        stripe_sim.settings.api_key, api_base=stripe_sim.url, max_network_retries=0
    ) as opened:
        yield opened


async def make_customer(gateway: StripeGateway, params: dict[str, Any], key: str) -> dict[str, Any]:
    return await gateway.post("/v1/customers", params, what="customers create", idempotency_key=key)


async def make_session(gateway: StripeGateway, params: dict[str, Any], key: str) -> dict[str, Any]:
    return await gateway.post(
        "/v1/checkout/sessions", params, what="sessions create", idempotency_key=key
    )


@pytest.mark.parametrize(
    ("key", "live"),
    [("sk_live_1", True), ("rk_live_1", True), ("sk_test_1", False), ("rk_test_1", False)],
)
async def test_the_key_tells_the_mode(key: str, live: bool) -> None:
    assert livemode_of(key) is live
    assert "1" not in repr(StripeGateway(key))


@pytest.mark.parametrize("key", ["pk_live_123", "whsec_123", "", "sk_org_live_1"])
async def test_what_is_no_secret_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        StripeGateway(key)
    assert "123" not in str(caught.value)


async def test_the_version_is_the_one_that_the_installed_package_and_simulator_speak() -> None:
    assert API_VERSION == SIMULATED_VERSION


async def test_the_account_is_asked_for_once(gateway: StripeGateway, stripe_sim: Simulator) -> None:
    asked: list[str] = []
    stripe_sim.on_exchange(lambda exchange: asked.append(exchange.operation))
    assert (await gateway.account()).id == stripe_sim.settings.account_id
    assert not (await gateway.account()).livemode
    assert asked == ["/v1/account"]


async def test_a_wrong_key_is_a_mistake_in_the_configuration(stripe_sim: Simulator) -> None:
    async with StripeGateway("sk_test_wrong", api_base=stripe_sim.url) as gateway:
        with pytest.raises(ConfigurationError, match="STRIPE_SECRET_KEY") as caught:
            await gateway.account()
        assert "sk_test_wrong" not in str(caught.value)
        with pytest.raises(StripeRequestError) as refused:
            await gateway.fetch("invoice", "in_1")
    assert "sk_test_wrong" not in str(refused.value)
    assert refused.value.params["stripe_status"] == 401


async def test_what_comes_out_is_plain_and_what_is_not_there_is_none(
    gateway: StripeGateway,
) -> None:
    made = await make_customer(gateway, {"email": "a@example.com"}, "key-1")
    found = await gateway.fetch("customer", made["id"])
    assert type(found) is dict
    assert found["email"] == "a@example.com"
    for kind in ("customer", "subscription", "invoice", "checkout.session", "price", "product"):
        assert await gateway.fetch(kind, "nothing_1") is None
        assert await gateway.fetch(kind, "../account") is None  # an id never leaves its place


async def test_case_41_the_same_key_makes_one_object_and_another_body_is_a_conflict(
    gateway: StripeGateway,
) -> None:
    first = await make_customer(gateway, {"name": "A"}, "key-1")
    again = await make_customer(gateway, {"name": "A"}, "key-1")
    assert first["id"] == again["id"]
    with pytest.raises(IdempotencyConflictError):
        await make_customer(gateway, {"name": "B"}, "key-1")


async def test_case_41_the_packages_own_retry_repeats_the_key(
    stripe_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    send = httpx.AsyncClient.request

    async def lose_the_first_answer(self: httpx.AsyncClient, *args: Any, **options: Any) -> Any:
        answer = await send(self, *args, **options)
        sent.append(options["headers"]["Idempotency-Key"])
        if len(sent) == 1:
            raise httpx.ReadTimeout("the answer was lost")
        return answer

    monkeypatch.setattr(httpx.AsyncClient, "request", lose_the_first_answer)
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)
    key = stripe_sim.settings.api_key
    async with StripeGateway(key, api_base=stripe_sim.url, max_network_retries=1) as gateway:
        made = await make_customer(gateway, {"name": "A"}, "key-1")
    assert sent == ["key-1", "key-1"]
    assert [event["data"]["object"]["id"] for event in stripe_sim.events("customer.created")] == [
        made["id"]
    ]


async def test_a_refusal_says_why(gateway: StripeGateway) -> None:
    with pytest.raises(StripeRequestError) as caught:
        await make_session(gateway, {"mode": "payment"}, "key-1")
    error = caught.value
    assert error.params["stripe_code"] == "parameter_missing"
    assert error.params["stripe_param"] == "line_items"
    assert str(error.params["request_id"]).startswith("req_")
    assert "Missing required param" in str(error)
    assert (error.__cause__, error.status) == (None, 502)


async def test_nobody_there_is_a_503(free_port: int) -> None:
    base = f"http://127.0.0.1:{free_port}"
    async with StripeGateway("sk_test_1", api_base=base, max_network_retries=0) as gateway:
        with pytest.raises(StripeUnavailableError) as caught:
            await gateway.fetch("invoice", "in_1")
    assert caught.value.status == 503


async def test_a_gateway_can_be_closed_and_used_again(gateway: StripeGateway) -> None:
    await gateway.aclose()
    await gateway.aclose()
    assert await gateway.fetch("invoice", "in_1") is None
    await gateway.aclose()
    assert await gateway.meters() == []


async def test_prices_are_found_by_any_number_of_lookup_keys(gateway: StripeGateway) -> None:
    for number in range(12):
        await make_price(gateway, lookup_key=f"key_{number}")
    keys = [f"key_{number}" for number in range(14)]
    found = await gateway.prices_by_lookup_key(keys)
    assert sorted(found) == sorted(keys[:12])


async def test_long_lists_are_complete(gateway: StripeGateway, stripe_sim: Simulator) -> None:
    price = await make_price(gateway, recurring={"interval": "month"}, lookup_key="pro")
    customer = await make_customer(gateway, {"email": "a@example.com"}, "key-1")
    session = await make_session(
        gateway,
        {
            "mode": "subscription",
            "customer": customer["id"],
            "line_items": [{"price": price["id"], "quantity": 1}],
            "success_url": "https://app.test/",
        },
        "key-2",
    )
    stripe_sim.pay_checkout(session["id"])
    found = await gateway.fetch("checkout.session", session["id"])
    assert found is not None
    assert found["line_items"]["data"][0]["price"]["id"] == price["id"]
    whole = await gateway.fetch("subscription", found["subscription"])
    assert whole is not None
    item, line = whole["items"]["data"][0], whole["latest_invoice"]["lines"]["data"][0]

    # What Stripe embeds is the first page of a list; the simulator has no second one to leave out.
    whole["items"].update(data=[], has_more=True)
    whole["latest_invoice"]["lines"].update(data=[], has_more=True)
    await gateway._complete_lists(whole, None)
    assert [found["id"] for found in whole["items"]["data"]] == [item["id"]]
    assert [found["id"] for found in whole["latest_invoice"]["lines"]["data"]] == [line["id"]]
    assert not whole["items"]["has_more"]


class Broken:
    """An error of the `stripe` package's, as far as it is looked at."""

    def __init__(self, status: int | None, body: object = None) -> None:
        self.http_status = status
        self.json_body = body
        self.request_id = None
        self.code = None


@pytest.mark.parametrize("status", [None, 200, 409, 424, 429, 500, 503])
async def test_what_may_be_tried_again_is_unavailable(status: int | None) -> None:
    assert isinstance(refusal_of(Broken(status), "asking"), StripeUnavailableError)  # type: ignore[arg-type]


async def test_a_refusal_without_reasons_is_still_one() -> None:
    for body in (None, {"error": "no"}, {"error": {"type": "x"}}):
        error = refusal_of(Broken(400, body), "asking")  # type: ignore[arg-type]
        assert str(error) == "Stripe refused asking: it gave no reason"
        assert error.params == {"stripe_status": 400}


async def test_a_declined_card_tells_its_decline_code_and_no_key() -> None:
    details = {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "message": "Declined for sk_live_51ABCdef and whsec_abcDEF0123, rk_test_9",
    }
    error = refusal_of(Broken(402, {"error": details}), "paying")  # type: ignore[arg-type]
    assert error.params["decline_code"] == "insufficient_funds"
    text = json.dumps([str(error), {k: str(v) for k, v in error.params.items()}])
    assert "51ABC" not in text
    assert "abcDEF" not in text
    assert redact("see sk_live_abc") == "see sk_..."


@pytest.mark.parametrize(
    ("type", "code", "decline_code", "kind"),
    [
        ("card_error", "card_declined", "generic_decline", CardDeclinedError),
        ("card_error", "expired_card", None, CardDeclinedError),
        ("card_error", "incorrect_cvc", None, CardDeclinedError),
        ("card_error", "authentication_required", None, AuthenticationRequiredError),
        ("card_error", "card_declined", "authentication_required", AuthenticationRequiredError),
        ("invalid_request_error", "authentication_required", None, AuthenticationRequiredError),
        ("invalid_request_error", "payment_method_provider_decline", None, CardDeclinedError),
        ("invalid_request_error", "payment_intent_authentication_failure", None, CardDeclinedError),
        ("invalid_request_error", "parameter_missing", None, StripeRequestError),
        ("invalid_request_error", None, None, StripeRequestError),
    ],
)
async def test_a_refused_payment_is_known_from_a_refused_request(
    type: str, code: str | None, decline_code: str | None, kind: type[StripeRequestError]
) -> None:
    intent = {"id": "pi_1", "client_secret": "pi_1_secret_2"}
    details = {"type": type, "code": code, "decline_code": decline_code, "payment_intent": intent}
    error = refusal_of(Broken(402, {"error": details}), "paying")  # type: ignore[arg-type]
    assert error.__class__ is kind
    assert error.params["payment_intent"] == "pi_1"
    secret = "pi_1_secret_2" if kind is AuthenticationRequiredError else None
    assert error.params.get("client_secret") == secret


async def test_a_confirmation_without_its_intent_has_no_secret() -> None:
    details = {"type": "card_error", "code": "authentication_required", "setup_intent": {"id": "s"}}
    error = refusal_of(Broken(402, {"error": details}), "saving")  # type: ignore[arg-type]
    assert isinstance(error, AuthenticationRequiredError)
    assert "client_secret" not in error.params
