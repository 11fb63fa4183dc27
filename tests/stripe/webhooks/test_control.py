"""What an operator does with events: shown, found, tried again, given up, and forgotten in time."""

from datetime import timedelta
from typing import Any

import pytest

from gatekeeper.errors import (
    DependencyMissingError,
    InvalidInputError,
    PermanentError,
    StripeUnavailableError,
)
from gatekeeper.services.credits import Credits
from gatekeeper.services.ledger.batcher import Batcher
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.services.upkeep import Upkeep
from gatekeeper.storage.desk import EventSelection
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import ErrorKind, EventStatus
from gatekeeper.stripe.webhooks import PROJECTION, DispatchPolicy, WebhookEvent, control
from gatekeeper.testing.events import invoice, make_event, thin_event
from tests.stripe.world import World

pytestmark = pytest.mark.anyio

DEAD = EventSelection(status=EventStatus.DEAD)


def charge(number: int, type_: str = "charge.succeeded", **fields: Any) -> dict[str, Any]:
    return make_event(type_, {"id": f"ch_{number}", "object": "charge"}, **fields)


async def kill(world: World, *events: dict[str, Any], kind: ErrorKind, error: str = "why") -> None:
    """Make dead letters of them."""

    def work(tx: Transaction) -> None:
        for event in events:
            tx.inbox.settle(f"/{event['id']}", EventStatus.DEAD, error=error, kind=kind)

    await world.send(*events)
    await world.store.write(work)


async def test_everything_known_of_an_event_is_shown(world: World) -> None:
    await world.customer()
    world.stripe.put(invoice(of_subscription=None, lines=[]))

    @world.registry.on("invoice.paid", name="steady")
    async def steady(event: WebhookEvent) -> None:
        """Done."""

    @world.registry.on("invoice.paid", name="shaky")
    async def shaky(event: WebhookEvent) -> None:
        raise ValueError("not today")

    event = make_event("invoice.paid", invoice())
    await world.send(event)
    shown = await world.receiver.events.show(event["id"])
    assert shown is not None
    assert (shown.completions, shown.outstanding) == ({}, (PROJECTION, "steady", "shaky"))
    await world.receiver.drain()
    shown = await world.receiver.events.show(event["id"])
    assert shown is not None
    assert shown.event == await world.stored(event)
    assert shown.event.payload is not None
    assert (shown.event.last_error, shown.event.error_kind) == (
        "ValueError: not today",
        ErrorKind.TRANSIENT,
    )
    assert shown.completions == dict.fromkeys([PROJECTION, "steady"], world.clock.now)
    assert shown.outstanding == ("shaky",)
    assert await world.receiver.events.show("evt_nothing") is None


async def test_what_is_given_up_or_ignored_has_nothing_outstanding(memory_world: World) -> None:
    discarded, ignored = charge(1), charge(2, livemode=True)
    await memory_world.send(discarded, ignored)
    assert await memory_world.receiver.events.discard(discarded["id"])
    for event in (discarded, ignored):
        shown = await memory_world.receiver.events.show(event["id"])
        assert shown is not None
        assert shown.outstanding == ()


async def test_a_thin_event_shows_what_was_done_for_its_twin(memory_world: World) -> None:
    @memory_world.registry.on("charge.succeeded", name="thank_you")
    async def thank_you(event: WebhookEvent) -> None:
        """Done."""

    snapshot = charge(1)
    thin = thin_event(
        "v1.charge.succeeded", object_type="charge", object_id="ch_1", snapshot=snapshot
    )
    receiver = memory_world._receiver = memory_world.new_receiver(projectors={})
    await memory_world.deliver(snapshot)
    await memory_world.send(thin)
    shown = await receiver.events.show(thin["id"])
    assert shown is not None
    assert list(shown.completions) == ["thank_you"]
    assert shown.outstanding == ()


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([PermanentError], ErrorKind.PERMANENT),
        ([DependencyMissingError], ErrorKind.DEPENDENCY),
        ([DependencyMissingError, StripeUnavailableError], ErrorKind.DEPENDENCY),
        ([StripeUnavailableError], ErrorKind.TRANSIENT),
        ([RuntimeError], ErrorKind.TRANSIENT),
        ([PermanentError, RuntimeError], ErrorKind.TRANSIENT),
        ([DependencyMissingError, RuntimeError], ErrorKind.TRANSIENT),
        ([PermanentError, DependencyMissingError], ErrorKind.TRANSIENT),
    ],
)
async def test_the_kind_of_a_failure_is_told(
    memory_world: World, errors: list[type[Exception]], kind: ErrorKind
) -> None:
    for number, error in enumerate(errors):

        @memory_world.registry.on("charge.succeeded", name=str(number))
        async def handler(event: WebhookEvent, error: type[Exception] = error) -> None:
            raise error

    event = charge(1)
    await memory_world.deliver(event)
    stored = await memory_world.stored(event)
    assert stored.error_kind is kind
    assert (stored.status is EventStatus.DEAD) is (kind is ErrorKind.PERMANENT)


async def test_what_waited_in_vain_is_a_dead_letter_that_says_so(memory_world: World) -> None:
    memory_world.policy = DispatchPolicy(max_attempts=1, dependency_wait_seconds=60)

    @memory_world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        raise DependencyMissingError

    event = charge(1)
    await memory_world.send(event)
    memory_world.clock.advance(minutes=2)
    await memory_world.receiver.drain()
    stored = await memory_world.stored(event)
    assert (stored.status, stored.error_kind) == (EventStatus.DEAD, ErrorKind.DEPENDENCY)


async def test_dead_letters_are_retried_by_choice_and_walked_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than one portion, of events that fail again at once."""
    monkeypatch.setattr(control, "PORTION", 2)
    handled: list[str] = []

    @world.registry.on("charge.succeeded", "charge.failed")
    async def handler(event: WebhookEvent) -> None:
        handled.append(event.id)
        raise PermanentError

    chosen = [charge(number) for number in range(5)]
    other_type = charge(7, "charge.failed")
    other_kind = charge(8)
    await kill(world, *chosen, other_type, kind=ErrorKind.PERMANENT)
    await kill(world, other_kind, kind=ErrorKind.TRANSIENT)
    world.clock.advance(minutes=1)
    younger = charge(9)
    await kill(world, younger, kind=ErrorKind.PERMANENT)
    events = world.receiver.events
    selection = EventSelection(
        type="charge.succeeded", until=world.clock.now, error="why", kind=ErrorKind.PERMANENT
    )
    assert await events.count(selection) == 5
    assert await events.retry_all(selection) == 5
    assert await events.count(DEAD) == 3
    assert await world.receiver.drain() == 5
    assert sorted(handled) == sorted(event["id"] for event in chosen)
    assert await events.count(DEAD) == 8
    assert await events.retry_all() == 8


async def test_a_retry_of_what_dies_again_meanwhile_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each portion is dead again before the next one is looked for."""
    monkeypatch.setattr(control, "PORTION", 1)
    chosen = [charge(number) for number in range(3)]
    await kill(world, *chosen, kind=ErrorKind.PERMANENT)
    plain = world.store.write

    async def and_die(work: Any) -> Any:
        result = await plain(work)
        await plain(lambda tx: [tx.inbox.settle(f"/{e['id']}", EventStatus.DEAD) for e in chosen])
        return result

    monkeypatch.setattr(world.store, "write", and_die)
    assert await world.receiver.events.retry_all() == 3


async def test_events_are_discarded_by_choice(world: World) -> None:
    dead, waiting, done = charge(1), charge(2, "charge.failed"), charge(3)
    await world.deliver(done)
    await kill(world, dead, kind=ErrorKind.TRANSIENT)
    await world.send(waiting)
    events = world.receiver.events
    assert await events.discard_all(EventSelection(type="charge.failed")) == 0  # none is dead
    assert await events.discard_all() == 1
    selection = EventSelection(type="charge.failed", status=EventStatus.PENDING)
    assert await events.discard_all(selection) == 1
    assert await world.counts() == {EventStatus.DISCARDED: 2, EventStatus.DONE: 1}


async def test_bulk_actions_are_not_for_what_is_done(memory_world: World) -> None:
    events = memory_world.receiver.events
    for status in (EventStatus.DONE, EventStatus.IGNORED, EventStatus.DISCARDED):
        with pytest.raises(InvalidInputError, match="dead"):
            await events.discard_all(EventSelection(status=status))
    with pytest.raises(InvalidInputError, match="in bulk to events that are dead"):
        await events.retry_all(EventSelection(status=EventStatus.PENDING))


async def test_what_a_handler_is_at_work_on_is_not_discarded(world: World) -> None:
    refused: list[bool] = []

    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        refused.append(await world.receiver.events.discard(event.id))

    event = charge(1)
    await world.deliver(event)
    assert refused == [False]
    assert await world.status_of(event) is EventStatus.DONE


# -- retention ------------------------------------------------------------------------------------


def upkeep_of(world: World, payload_days: int = 1, event_days: int = 31) -> Upkeep:
    return Upkeep(
        world.store,
        Credits(world.store, world.rules, Batcher(Ways(world.store, world.rules))),
        payload_retention=timedelta(days=payload_days),
        event_retention=timedelta(days=event_days),
    )


async def test_an_event_that_stripe_can_still_send_has_no_second_effect(world: World) -> None:
    """Stripe sends an event again for up to 30 days; by then its payload is purged long since."""
    seen: list[str] = []

    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        seen.append(event.id)

    upkeep = upkeep_of(world, event_days=1)  # less than is allowed: the floor holds
    event = charge(1)
    await world.deliver(event)
    for day in range(1, 31):
        world.clock.advance(days=1)
        await upkeep.prune()
        assert await world.send(event) == [False], day
        await world.receiver.drain()
    assert seen == [event["id"]]
    assert (await world.stored(event)).payload is None
    world.clock.advance(days=2)
    assert await upkeep.prune() == 1
    assert await world.counts() == {}
    assert await upkeep.prune() == 0


async def test_dead_letters_outlive_every_retention(world: World) -> None:
    dead, waiting = charge(1), charge(2)
    await kill(world, dead, kind=ErrorKind.TRANSIENT)
    await world.send(waiting)
    world.clock.advance(days=4_000)
    await upkeep_of(world).prune()
    assert await world.counts() == {EventStatus.DEAD: 1, EventStatus.PENDING: 1}


async def test_an_event_is_kept_as_long_as_its_payload(memory_world: World) -> None:
    event = charge(1)
    await memory_world.deliver(event)
    upkeep = upkeep_of(memory_world, payload_days=100, event_days=40)
    memory_world.clock.advance(days=99)
    assert await upkeep.prune() == 0
    assert (await memory_world.stored(event)).payload is not None
    memory_world.clock.advance(days=2)
    assert await upkeep.prune() == 2  # the payload, then the row
    assert await memory_world.counts() == {}


@pytest.mark.parametrize("is_thin", [False, True])
async def test_a_handler_that_did_it_wrong_runs_again_and_no_other(
    world: World, is_thin: bool
) -> None:
    ran: list[str] = []

    @world.registry.on("charge.updated", name="mail")
    async def mail(event: WebhookEvent) -> None:
        ran.append("mail")

    @world.registry.on("charge.updated", name="count")
    async def count(event: WebhookEvent) -> None:
        event.write(lambda tx: ran.append("count"))

    snapshot = make_event("charge.updated", {"id": "ch_1", "object": "charge"})
    thin = thin_event(
        "v1.charge.updated", object_type="charge", object_id="ch_1", snapshot=snapshot
    )
    await world.deliver(snapshot, thin)
    assert ran == ["mail", "count"]
    event = thin if is_thin else snapshot
    with pytest.raises(InvalidInputError, match="has no handler post"):
        await world.receiver.events.retry(event["id"], again=["mail", "post"])
    assert await world.receiver.events.retry(event["id"], again=["count"])
    assert not await world.receiver.events.retry(event["id"], again=["mail"])  # it waits already
    await world.receiver.drain()
    assert ran == ["mail", "count", "count"]
    assert await world.receiver.events.retry(event["id"])
    await world.receiver.drain()
    assert ran == ["mail", "count", "count"]
    assert not await world.receiver.events.retry("evt_nobodys", again=["mail"])


async def test_a_portion_in_which_others_were_faster_is_not_noted() -> None:
    noted: list[int] = []

    def note(tx: Transaction, count: int) -> None:
        noted.append(count)

    def portions(tx: Transaction) -> list[int]:
        return [control._noted(tx, count, note) for count in (0, 2)]

    async with MemoryStore() as store:
        assert await store.write(portions) == [0, 2]
    assert noted == [2]
