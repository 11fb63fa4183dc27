"""What is told of webhooks: their intake, their dispatch, and the link between the two."""

from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from gatekeeper.errors import OverloadedError, SignatureError
from gatekeeper.stripe.webhooks import WebhookEvent, WebhookReceiver
from gatekeeper.stripe.webhooks import telling as told
from gatekeeper.stripe.webhooks.carrier import Carrier
from gatekeeper.stripe.webhooks.commits import IntakeLimits
from gatekeeper.telemetry import metrics, spans
from gatekeeper.testing import events
from tests.stripe.world import World
from tests.telemetry.listening import Listener

pytestmark = pytest.mark.anyio

CUSTOMER = {"id": "cus_1", "object": "customer"}


def event(type_: str = "customer.updated", event_id: str = "evt_1", **fields: Any) -> events.Obj:
    about = {**CUSTOMER, "id": f"cus_{event_id}"}
    return events.make_event(type_, about, id=event_id) | fields


def receiver(world: World, listener: Listener, **options: Any) -> WebhookReceiver:
    return world.new_receiver(telemetry=listener.telemetry, projectors={}, **options)


async def take_in(world: World, taking: WebhookReceiver, *sent: events.Obj) -> None:
    for one in sent:
        await taking.receive(*events.signed(one, at=world.clock.now))


async def test_each_webhook_is_counted_by_what_became_of_it(
    memory_world: World, listener: Listener
) -> None:
    taking = receiver(memory_world, listener)
    await take_in(memory_world, taking, event(), event(), event(event_id="evt_2", livemode=True))
    with pytest.raises(SignatureError):
        await taking.receive(b"{}", "t=1,v1=00")
    tight = receiver(memory_world, listener, limits=IntakeLimits(max_waiting=0))
    with pytest.raises(OverloadedError):
        await take_in(memory_world, tight, event(event_id="evt_3"))
    found = {
        attributes[metrics.OUTCOME]: value
        for attributes, value in listener.points(metrics.INTAKE_EVENTS)
    }
    assert found == {
        "accepted": 1,
        "duplicate": 1,
        "other_mode": 1,
        "signature_invalid": 1,
        "overloaded": 1,
    }
    durations = listener.points(metrics.INTAKE_DURATION)
    assert {attributes[metrics.OUTCOME] for attributes, _ in durations} == set(found)
    first, *_, refused, _ = listener.spans(spans.INTAKE.name)
    assert first.attributes == {
        metrics.EVENT_TYPE: "customer.updated",
        spans.EVENT_ID: "evt_1",
        metrics.OUTCOME: "accepted",
    }
    assert refused.attributes == {
        metrics.OUTCOME: "signature_invalid",
        metrics.ERROR_TYPE: "signature_invalid",
    }
    assert refused.status.status_code is StatusCode.ERROR


async def test_a_dispatch_is_timed_and_linked_to_its_intake(
    memory_world: World, listener: Listener
) -> None:
    taking = receiver(memory_world, listener)
    await take_in(memory_world, taking, event("customer.updated"))
    assert await taking.drain() == 1
    assert listener.points(metrics.DISPATCH_DURATION) == [
        ({metrics.EVENT_TYPE: "customer.updated", metrics.OUTCOME: "done"}, 1)
    ]
    (intake,), (dispatch,) = listener.spans(spans.INTAKE.name), listener.spans(spans.DISPATCH.name)
    assert [link.context for link in dispatch.links] == [intake.context]
    assert dispatch.attributes == {
        spans.OBJECT: "customer",
        metrics.EVENT_TYPE: "customer.updated",
        spans.EVENT_ID: "evt_1",
        spans.ATTEMPT: 1,
        metrics.OUTCOME: "done",
    }


async def test_a_type_that_nobody_here_knows_has_no_name_in_metrics(
    memory_world: World, listener: Listener
) -> None:
    @memory_world.registry.on("issuing_card.updated")
    async def known(event: WebhookEvent) -> None: ...

    taking = receiver(memory_world, listener)
    sent = event("issuing_card.updated"), event("someone.invented_this", "evt_2")
    await take_in(memory_world, taking, *sent)
    await taking.drain()
    types = {found[metrics.EVENT_TYPE] for found, _ in listener.points(metrics.DISPATCH_DURATION)}
    assert types == {"issuing_card.updated", metrics.OTHER}


async def test_what_failed_and_what_is_dead_is_told_apart(
    memory_world: World, listener: Listener
) -> None:
    @memory_world.registry.on("customer.updated")
    async def fails(event: WebhookEvent) -> None:
        raise RuntimeError("sk_test_do_not_tell")

    memory_world.policy = memory_world.policy.__class__(max_attempts=2)
    taking = receiver(memory_world, listener, policy=memory_world.policy)
    await take_in(memory_world, taking, event())
    await taking.drain()
    memory_world.clock.advance(hours=1)
    await taking.drain()
    outcomes = [found[metrics.OUTCOME] for found, _ in listener.points(metrics.DISPATCH_DURATION)]
    assert sorted(outcomes) == ["dead", "retry"]
    first, second = listener.spans(spans.DISPATCH.name)
    assert (first.attributes or {})[metrics.OUTCOME] == "retry"
    assert (second.attributes or {})[spans.ATTEMPT] == 2
    assert second.status.status_code is StatusCode.ERROR
    assert "do_not_tell" not in first.to_json() + second.to_json()


async def test_an_event_that_is_left_to_its_lease_is_lost(
    memory_world: World, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking = receiver(memory_world, listener)
    await take_in(memory_world, taking, event())

    async def gone(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Carrier, "carry_out", gone)
    assert await taking.run_once() == 1
    (found,) = listener.points(metrics.DISPATCH_DURATION)
    assert found[0][metrics.OUTCOME] == "lost"


async def test_where_events_came_in_is_remembered_of_so_many_and_no_more(
    memory_world: World, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "MAX_CONTEXTS", 1)
    taking = receiver(memory_world, listener)
    await take_in(memory_world, taking, event(), event(event_id="evt_2"))
    await taking.drain()
    links = {
        (span.attributes or {})[spans.EVENT_ID]: len(span.links)
        for span in listener.spans(spans.DISPATCH.name)
    }
    assert links == {"evt_1": 0, "evt_2": 1}
