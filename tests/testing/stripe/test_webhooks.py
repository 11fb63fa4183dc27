from typing import Any

import httpx
import pytest
import stripe
from starlette.types import Receive, Scope, Send

from gatekeeper.testing.stripe import Settings, Simulator
from gatekeeper.testing.stripe.core.signature import sign
from tests.testing.stripe.receiver import URL, Receiver
from tests.testing.stripe.shop import new_session, subscribe

pytestmark = pytest.mark.anyio


async def test_events_are_signed_and_delivered_in_order(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    session = new_session(client)
    await stripe_sim.complete_checkout(session.id)
    sent = await stripe_sim.deliver_pending()
    assert sent == len(receiver.events) == len(stripe_sim.events())
    assert receiver.types == [event["type"] for event in stripe_sim.events()]
    assert receiver.refused == 0
    first = receiver.events[0]
    assert (first.api_version, first.livemode) == ("2026-10-28.endive", False)
    assert first.pending_webhooks == 1
    assert client.v1.events.retrieve(first.id).pending_webhooks == 0
    assert await stripe_sim.deliver_pending() == 0


async def test_the_signature_is_stripe_s(stripe_sim: Simulator, receiver: Receiver) -> None:
    receiver.endpoint["secret"] = "whsec_other"
    stripe_sim.client().v1.customers.create({})
    await stripe_sim.deliver_pending()
    assert receiver.refused == 1
    header = sign(b"{}", "whsec_a", 1)
    assert header.startswith("t=1,v1=")
    assert len(header) == len("t=1,v1=") + 64


async def test_only_the_wanted_types_arrive(client: Any, stripe_sim: Simulator) -> None:
    picky = Receiver(stripe_sim, "invoice.paid", "customer.created", url="http://a.test/webhooks")
    all_of_them = Receiver(stripe_sim, url="http://b.test:81/webhooks")
    subscribe(client)
    await stripe_sim.deliver_pending()
    assert picky.types == ["customer.created", "invoice.paid"]
    assert len(all_of_them.events) == len(stripe_sim.events())
    assert {e.pending_webhooks for e in picky.events} == {2}
    assert {e.pending_webhooks for e in all_of_them.events} == {1}


async def test_a_failure_is_tried_again_later_and_later(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    receiver.statuses = [500, 302, 404]
    client.v1.customers.create({})
    assert await stripe_sim.deliver_pending() == 1
    assert await stripe_sim.deliver_pending() == 0
    stripe_sim.advance(hours=1)
    assert await stripe_sim.deliver_pending() == 2
    (waiting,) = stripe_sim.undelivered()
    assert waiting.attempts == 3
    stripe_sim.advance(days=1)
    assert await stripe_sim.deliver_pending() == 1
    log = stripe_sim.delivery_log
    assert [(a.number, a.status, a.succeeded) for a in log] == [
        (1, 500, False),
        (2, 302, False),
        (3, 404, False),
        (4, 200, True),
    ]
    assert [a.at - log[0].at for a in log] == [0, 300, 2_100, 9_300]
    assert not stripe_sim.undelivered()


async def test_after_the_last_attempt_an_event_is_lost(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 100
    client.v1.customers.create({})
    stripe_sim.advance(days=10)
    attempts = len(stripe_sim.settings.webhook_retry_seconds) + 1
    assert await stripe_sim.deliver_pending() == attempts
    assert not stripe_sim.undelivered()
    pending = client.v1.events.list({"delivery_success": False}).data
    assert [e.type for e in pending] == ["customer.created"]


async def test_nobody_there(client: Any, stripe_sim: Simulator) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("nobody answers", request=request)

    stripe_sim.webhook_endpoint("http://gone.test/webhooks")
    stripe_sim.state.postman.transports["http://gone.test"] = httpx.MockTransport(refuse)
    client.v1.customers.create({})
    await stripe_sim.deliver_pending()
    (attempt,) = stripe_sim.delivery_log
    assert (attempt.status, attempt.error) == (None, "ConnectTimeout: nobody answers")
    assert len(stripe_sim.undelivered()) == 1


async def test_a_crashing_receiver_leaves_the_event_waiting(
    client: Any, stripe_sim: Simulator
) -> None:
    async def crash(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken app")

    stripe_sim.webhook_endpoint(URL, app=crash)
    client.v1.customers.create({})
    with pytest.raises(RuntimeError, match="broken app"):
        await stripe_sim.deliver_pending()
    assert len(stripe_sim.undelivered()) == 1


async def test_held_events_wait_and_can_leave_out_of_turn(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    stripe_sim.hold()
    subscribe(client)
    assert await stripe_sim.deliver_pending() == 0
    last = stripe_sim.undelivered()[-1].event["id"]
    (attempt,) = await stripe_sim.deliver(last)
    assert attempt.event_id == last
    assert [e.id for e in receiver.events] == [last]
    stripe_sim.release()
    await stripe_sim.deliver_pending()
    assert len(receiver.events) == len(stripe_sim.events())


async def test_events_can_be_repeated_lost_and_shuffled(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    subscribe(client)
    lost, kept = stripe_sim.events()[:2]
    assert stripe_sim.drop(lost["id"]) == 1
    assert stripe_sim.drop(lost["id"]) == 0
    assert stripe_sim.redeliver(kept["id"], times=3) == 3
    in_order = [d.event["id"] for d in stripe_sim.undelivered()]
    stripe_sim.shuffle()
    await stripe_sim.deliver_pending()
    arrived = [e.id for e in receiver.events]
    assert arrived != in_order
    assert sorted(arrived) == sorted(in_order)
    assert arrived.count(kept["id"]) == 4
    assert lost["id"] not in arrived
    with pytest.raises(Exception, match="No such event"):
        stripe_sim.redeliver("evt_none")


async def test_time_can_be_played_with_its_deliveries(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    subscription = subscribe(client)
    await stripe_sim.deliver_pending()
    receiver.statuses = [500]
    end = subscription.items.data[0].current_period_end
    await stripe_sim.play(days=31)
    renewal = [a for a in stripe_sim.delivery_log if a.at >= end]
    assert (renewal[0].at, renewal[0].status) == (end, 500)
    assert renewal[-1].event_type == "invoice.payment_succeeded"
    retried = next(a for a in renewal if a.number == 2)
    assert retried.at == end + 300
    assert [a.at for a in renewal] == sorted(a.at for a in renewal)


def test_synchronous_tests_drain(client: Any, stripe_sim: Simulator, receiver: Receiver) -> None:
    client.v1.customers.create({})
    assert stripe_sim.drain() == 1
    assert receiver.types == ["customer.created"]


async def test_endpoints_are_managed_by_the_api(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    made = client.v1.webhook_endpoints.create(
        {
            "url": "http://host.test/webhooks",
            "enabled_events": ["customer.created"],
            "api_version": "2026-10-28.endive",
            "metadata": {"a": "1"},
        }
    )
    assert str(made.secret).startswith("whsec_")
    found = client.v1.webhook_endpoints.retrieve(made.id)
    assert "secret" not in found.to_dict()
    client.v1.webhook_endpoints.update(
        made.id, {"enabled_events": ["*"], "metadata": {"b": "2"}, "url": "http://host.test/x"}
    )
    assert [e.id for e in client.v1.webhook_endpoints.list().data] == [
        made.id,
        receiver.endpoint["id"],
    ]
    own = receiver.endpoint["id"]
    client.v1.customers.create({})
    client.v1.webhook_endpoints.update(own, {"disabled": True})
    assert client.v1.webhook_endpoints.delete(made.id).deleted is True
    client.v1.customers.create({})
    assert await stripe_sim.deliver_pending() == 2
    assert [a.error for a in stripe_sim.delivery_log] == ["the endpoint is gone"] * 2
    assert receiver.events == []
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.webhook_endpoints.retrieve(made.id)
    for url in ("ftp://x", "nonsense"):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.webhook_endpoints.update(own, {"url": url})


class TestTheSigningClock:
    @pytest.fixture
    def stripe_sim_settings(self) -> Settings:
        return Settings(seed=1, ticking=False, signing_clock=lambda: 1_000.0)

    async def test_it_is_a_setting(
        self, client: Any, stripe_sim: Simulator, receiver: Receiver
    ) -> None:
        client.v1.customers.create({})
        await stripe_sim.deliver_pending()
        assert receiver.refused == 1  # a signature of 1970


class TestFewEventsAreKept:
    @pytest.fixture
    def stripe_sim_settings(self) -> Settings:
        return Settings(seed=1, ticking=False, event_limit=3)

    def test_the_oldest_leave(self, client: Any, stripe_sim: Simulator) -> None:
        names = [client.v1.customers.create({"name": str(n)}).name for n in range(5)]
        kept = [e["data"]["object"]["name"] for e in stripe_sim.events()]
        assert kept == names[2:]
        assert len(client.v1.events.list().data) == 3
