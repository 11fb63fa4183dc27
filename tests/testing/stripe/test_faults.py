"""A bad day of Stripe's, as rules."""

import time
from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import Fault, Simulator, WebhookFault
from tests.testing.stripe.receiver import Receiver

pytestmark = pytest.mark.anyio

CUSTOMERS = "/v1/customers"


def names(client: Any) -> list[str]:
    return [customer.name for customer in client.v1.customers.list().data]


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("rate_limited", stripe.RateLimitError, 429),
        ("server_error", stripe.APIError, 500),
        ("unavailable", stripe.APIError, 503),
        ("dropped", stripe.APIConnectionError, None),
    ],
)
def test_a_request_that_is_refused_has_done_nothing(
    client: Any, stripe_sim: Simulator, kind: Any, error: type[Exception], status: int | None
) -> None:
    fault = stripe_sim.misbehave(kind, path=CUSTOMERS, method="POST")
    with pytest.raises(error) as caught:
        client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k"})
    assert getattr(caught.value, "http_status", None) == status
    assert names(client) == []
    client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k"})
    assert (names(client), fault.met) == (["Ada"], 1)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("lost", stripe.APIConnectionError), ("lost_with_500", stripe.APIError)],
)
def test_a_lost_answer_is_found_again_under_its_key(
    client: Any, stripe_sim: Simulator, kind: Any, error: type[Exception]
) -> None:
    stripe_sim.misbehave(kind, method="POST")
    with pytest.raises(error):
        client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k"})
    assert names(client) == ["Ada"]
    again = client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k"})
    assert names(client) == ["Ada"]
    assert client.v1.customers.list().data[0].id == again.id
    assert again.last_response.headers["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})


def test_a_500_that_is_kept_is_the_answer_of_its_key_for_a_day(
    client: Any, stripe_sim: Simulator
) -> None:
    stripe_sim.misbehave("kept_500", method="POST")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k"})
        assert caught.value.http_status == 500
    assert names(client) == ["Ada"]
    stripe_sim.advance(hours=25)
    client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k"})
    assert names(client) == ["Ada", "Ada"]


def test_a_refusal_is_still_a_refusal_when_its_answer_is_lost(
    client: Any, stripe_sim: Simulator
) -> None:
    stripe_sim.misbehave("lost_with_500", path="/v1/subscriptions")
    with pytest.raises(stripe.APIError):
        client.v1.subscriptions.create({"customer": "cus_none"})
    assert not stripe_sim.events("customer.subscription.created")


def test_the_client_s_own_retries_meet_the_rules_one_after_the_other(
    stripe_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    stripe_sim.misbehave("lost", path=CUSTOMERS)
    stripe_sim.misbehave("unavailable", path=CUSTOMERS)
    patient: Any = stripe_sim.client(max_network_retries=3)
    made = patient.v1.customers.create({"name": "Ada"})
    assert [c.id for c in patient.v1.customers.list().data] == [made.id]
    assert len(slept) >= 2


async def test_retry_after_stands_in_the_header(stripe_sim: Simulator) -> None:
    stripe_sim.misbehave("rate_limited", retry_after=7)
    stripe_sim.misbehave("rate_limited", retry_after=None)
    headers = {"authorization": f"Bearer {stripe_sim.settings.api_key}"}
    async with httpx.AsyncClient(base_url=stripe_sim.url, headers=headers) as http:
        first, second, third = [await http.get(CUSTOMERS) for _ in range(3)]
    assert (first.status_code, first.headers["retry-after"]) == (429, "7")
    assert first.json()["error"]["code"] == "rate_limit"
    assert (second.status_code, "retry-after" in second.headers) == (429, False)
    assert third.status_code == 200


async def test_a_slow_answer_runs_into_the_callers_timeout(stripe_sim: Simulator) -> None:
    stripe_sim.misbehave("slow", seconds=0.2)
    headers = {"authorization": f"Bearer {stripe_sim.settings.api_key}"}
    async with httpx.AsyncClient(base_url=stripe_sim.url, headers=headers) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(CUSTOMERS, timeout=0.02)
        assert (await http.get(CUSTOMERS)).status_code == 200


async def test_in_process_a_broken_connection_is_an_error_of_the_app(stripe_sim: Simulator) -> None:
    stripe_sim.misbehave("dropped")
    transport = httpx.ASGITransport(stripe_sim.app)
    async with httpx.AsyncClient(base_url="http://sim.test", transport=transport) as http:
        with pytest.raises(ConnectionResetError):
            await http.get(CUSTOMERS)


def test_a_rule_says_what_it_meets_how_often_and_when(client: Any, stripe_sim: Simulator) -> None:
    fault = Fault("server_error", path="/v1/customers/*", times=None, after=1)
    stripe_sim.faults.add(fault)
    made = client.v1.customers.create({})
    client.v1.customers.retrieve(made.id)
    for _ in range(3):
        with pytest.raises(stripe.APIError):
            client.v1.customers.retrieve(made.id)
    assert fault.met == 3
    stripe_sim.faults.clear()
    client.v1.customers.retrieve(made.id)


async def test_webhooks_are_doubled_and_lost_by_rule(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    stripe_sim.misdeliver("duplicated", type="customer.*", copies=2)
    lost = stripe_sim.misdeliver("dropped", type="customer.*", times=1, after=1)
    first, second, third = [client.v1.customers.create({}) for _ in range(3)]
    await stripe_sim.deliver_pending()
    arrived = [event.data.object["id"] for event in receiver.events]
    assert arrived == [first.id, first.id, first.id, second.id]
    assert lost.met == 1
    (event,) = [e for e in stripe_sim.events() if e["data"]["object"]["id"] == third.id]
    assert stripe_sim.redeliver(event["id"]) == 1
    await stripe_sim.deliver_pending()
    assert receiver.events[-1].data.object["id"] == third.id


async def test_a_webhook_is_late_by_rule_and_by_hand(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    stripe_sim.misdeliver("delayed", seconds=3 * 86_400)
    late, put_off, punctual = [client.v1.customers.create({}).id for _ in range(3)]
    event = stripe_sim.events()[1]["id"]
    assert stripe_sim.delay(event, seconds=3_600) == 1
    await stripe_sim.play(minutes=1)
    assert [e.data.object["id"] for e in receiver.events] == [punctual]
    await stripe_sim.play(hours=1)
    assert [e.data.object["id"] for e in receiver.events] == [punctual, put_off]
    assert stripe_sim.delay(event, seconds=1) == 0
    await stripe_sim.play(days=3)
    assert [e.data.object["id"] for e in receiver.events] == [punctual, put_off, late]


async def test_webhooks_lose_their_order_by_rule(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    stripe_sim.faults.add(WebhookFault("reordered", times=None))
    made = [client.v1.customers.create({}).id for _ in range(12)]
    await stripe_sim.deliver_pending()
    arrived = [event.data.object["id"] for event in receiver.events]
    assert arrived != made
    assert sorted(arrived) == sorted(made)


async def test_a_rule_can_be_for_one_endpoint(client: Any, stripe_sim: Simulator) -> None:
    one = Receiver(stripe_sim, url="http://one.test/webhooks")
    two = Receiver(stripe_sim, url="http://two.test/webhooks")
    stripe_sim.misdeliver("dropped", endpoint=two.endpoint["id"], times=None)
    client.v1.customers.create({})
    await stripe_sim.deliver_pending()
    assert (one.types, two.types) == (["customer.created"], [])
