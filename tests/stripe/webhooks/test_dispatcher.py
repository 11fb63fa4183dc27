"""The dispatcher, the registry and the receiver by themselves."""

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gatekeeper.errors import (
    ConfigurationError,
    DependencyMissingError,
    PermanentError,
    RegistrationError,
    StoreUnavailableError,
    StripeUnavailableError,
)
from gatekeeper.services.owned import OwnedTasks
from gatekeeper.storage.desk import EventSelection
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer, EventStatus, InboxEvent
from gatekeeper.stripe.webhooks import (
    EVENT_TYPES,
    Complete,
    DispatchPolicy,
    Projector,
    WebhookEvent,
    WebhookRegistry,
)
from gatekeeper.stripe.webhooks.leases import Lease, LeaseLostError
from gatekeeper.testing.events import (
    DEFAULT_START,
    invoice,
    make_event,
    stripe_customer,
    thin_event,
)
from tests.stripe.world import World

pytestmark = pytest.mark.anyio


async def nothing(event: WebhookEvent) -> None:
    """A handler."""


# -- the registry -------------------------------------------------------------------------------


async def test_the_same_handler_twice_is_an_error_and_a_name_mends_it() -> None:
    registry = WebhookRegistry()
    registry.on("invoice.paid")(nothing)
    with pytest.raises(RegistrationError, match="registered twice"):
        registry.on("invoice.voided")(nothing)
    registry.on("invoice.voided", "invoice.paid", "invoice.voided", name="again")(nothing)
    assert [handler.name for handler in registry.handlers_of("invoice.voided")] == ["again"]
    assert len(registry.handlers_of("invoice.paid")) == 2
    assert registry.types == {"invoice.paid", "invoice.voided"}


@pytest.mark.parametrize("types", [(), ("",), (" invoice.paid",), (3,)], ids=str)
async def test_what_is_no_event_type_is_an_error(types: tuple[str, ...]) -> None:
    with pytest.raises(RegistrationError):
        WebhookRegistry().on(*types)


@pytest.mark.parametrize("name", ["", "x" * 256], ids=len)
async def test_a_name_has_bounds(name: str) -> None:
    with pytest.raises(RegistrationError, match="characters"):
        WebhookRegistry().on("invoice.paid", name=name)(nothing)


async def test_a_handler_that_is_no_coroutine_function_is_refused() -> None:
    class Silent:
        def __call__(self, event: WebhookEvent) -> None:
            """Nothing."""

    def silent(event: WebhookEvent) -> None:
        """Nothing."""

    handlers: list[Any] = [silent, functools.partial(silent), Silent()]
    for handler in handlers:
        with pytest.raises(RegistrationError, match="write `async def`"):
            WebhookRegistry().on("invoice.paid")(handler)
        with pytest.raises(RegistrationError, match="write `async def`"):
            WebhookRegistry().fallback(handler)


async def test_partials_and_objects_that_are_called_are_handlers_too() -> None:
    class Called:
        async def __call__(self, event: WebhookEvent) -> None:
            """Nothing."""

        async def method(self, event: WebhookEvent) -> None:
            """Nothing."""

    registry = WebhookRegistry()
    partial = functools.partial(nothing)
    for handler in (functools.partial(partial), Called(), Called().method):
        registry.on("invoice.paid")(handler)
    names = [handler.name.rpartition(".")[2] for handler in registry.handlers_of("invoice.paid")]
    assert names == ["nothing", "Called", "method"]


async def test_there_is_one_fallback() -> None:
    registry = WebhookRegistry()
    assert registry.handlers_of("a") == ()
    registry.fallback(nothing)
    with pytest.raises(RegistrationError, match="is the fallback already"):
        registry.fallback(nothing)
    assert len(registry.handlers_of("a")) == 1


async def test_the_first_dispatch_closes_the_registry(memory_world: World) -> None:
    assert await memory_world.receiver.run_once() == 0
    with pytest.raises(RegistrationError, match="comes too late"):
        memory_world.registry.on("invoice.paid")(nothing)


# -- the event ----------------------------------------------------------------------------------


async def test_a_handler_sees_the_event_and_whose_it_is(memory_world: World) -> None:
    await memory_world.customer()
    seen: list[WebhookEvent] = []

    @memory_world.registry.fallback
    async def handler(event: WebhookEvent) -> None:
        seen.append(event)

    charge = {"id": "ch_1", "object": "charge", "customer": {"id": "cus_1", "object": "customer"}}
    events = [
        make_event("charge.refunded", charge, created=DEFAULT_START),
        make_event("charge.refunded", {"id": "ch_2", "object": "charge", "customer": "cus_x"}),
        make_event("charge.refunded", {"id": "ch_3", "object": "charge", "customer": 3}),
        make_event("customer.tickled", stripe_customer()),
        thin_event("v1.thing.done", object_type="thing", object_id="th_1"),
    ]
    memory_world.stripe.put(stripe_customer())
    await memory_world.deliver(*events)
    assert [event.customer for event in seen] == ["org_1", None, None, "org_1", None]
    first, thin = seen[0], seen[-1]
    assert (first.snapshot, first.object_id, first.object_type) == (charge, "ch_1", "charge")
    assert (first.created_at, first.attempt, first.livemode) == (DEFAULT_START, 1, False)
    assert (thin.snapshot, thin.body["type"]) == ({}, "v1.thing.done")
    assert "ch_1" in repr(first)


async def test_an_event_whose_payload_was_purged_has_an_empty_body(memory_world: World) -> None:
    event = make_event("invoice.paid", invoice())
    await memory_world.send(event)
    stored = await memory_world.stored(event)
    purged = replace(stored, payload=None)
    assert WebhookEvent(purged).body == {}
    assert WebhookEvent(purged).snapshot == {}


def add(tx: Transaction, customer: str) -> None:
    tx.customers.insert(Customer(id=customer, created_at=tx.now()))


async def test_writes_happen_with_the_completion_or_not_at_all(world: World) -> None:
    @world.registry.on("invoice.paid", name="both")
    async def both(event: WebhookEvent) -> None:
        def write(tx: Transaction) -> None:
            add(tx, f"from_{event.attempt}")
            if event.attempt == 1:
                raise ValueError("after the first write")

        event.write(write)

    @world.registry.on("invoice.paid", name="leaves something behind")
    async def leaves(event: WebhookEvent) -> None:
        if event.attempt == 1:
            event.write(lambda tx: add(tx, "x"))
            raise ValueError("after asking for a write")

    @world.registry.on("invoice.paid", name="comes next")
    async def comes_next(event: WebhookEvent) -> None:
        """What it leaves behind is not written with this one's completion."""

    await world.deliver(make_event("invoice.paid", invoice()))
    world.clock.advance(hours=1)
    await world.receiver.drain()

    def found(tx: Transaction) -> list[bool]:
        return [tx.customers.get(name) is not None for name in ("from_1", "from_2", "x")]

    assert await world.store.read(found) == [False, True, False]


async def test_what_another_dispatcher_has_completed_is_not_written_twice(world: World) -> None:
    """A handler that outlived its lease: it ran twice, its write counts once."""
    wrote: list[str] = []

    @world.registry.on("invoice.paid", name="slow")
    async def slow(event: WebhookEvent) -> None:
        key = f"/{event.id}"
        await world.store.write(lambda tx: none(tx.inbox.complete(key, "slow", tx.now())))
        event.write(lambda tx: wrote.append("again"))

    event = make_event("invoice.paid", invoice())
    await world.deliver(event)
    assert await world.status_of(event) is EventStatus.DONE
    assert wrote == []


def none(result: object) -> None:
    """For a lambda whose result nobody wants."""


# -- the dispatcher -----------------------------------------------------------------------------


class Slow(Projector):
    """A projector that waits until it is let go."""

    event_types = ("invoice.paid",)

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.released = anyio.Event()

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        self.entered.set()
        await self.released.wait()


async def test_a_projection_has_a_time_limit_and_who_keeps_it_waiting_makes_no_dead_letter(
    memory_world: World,
) -> None:
    memory_world.policy = DispatchPolicy(handler_timeout_seconds=0.01)
    receiver = memory_world.new_receiver(projectors={"invoice": Slow()})
    event = make_event("invoice.paid", invoice())
    await memory_world.send(event)
    await receiver.run_once()
    stored = await memory_world.stored(event)
    assert (stored.status, stored.last_error) == (
        EventStatus.PENDING,
        "UnavailableError: Nothing was projected within 0.01 s.",
    )
    assert stored.attempts == 0


async def test_a_dispatcher_that_is_stopped_gives_back_what_it_had(world: World) -> None:
    slow = Slow()
    world.policy = DispatchPolicy(concurrency=1)  # the charge first, then the invoice
    receiver = world.new_receiver(projectors={"invoice": slow})
    done = make_event("charge.succeeded", {"id": "ch_1", "object": "charge"})
    event = make_event("invoice.paid", invoice())
    await world.send(done, event)
    async with anyio.create_task_group() as group:
        group.start_soon(receiver.run)
        await slow.entered.wait()
        group.cancel_scope.cancel()
    stored = await world.stored(event)
    assert (stored.status, stored.leased_until, stored.attempts) == (EventStatus.PENDING, None, 0)
    assert await world.status_of(done) is EventStatus.DONE
    assert await world.new_receiver(projectors={}).run_once() == 1


async def test_what_is_claimed_while_the_dispatcher_is_stopped_is_given_back(
    memory_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = make_event("invoice.paid", invoice())
    await memory_world.send(event)
    plain, claimed, answered = memory_world.store.write, anyio.Event(), anyio.Event()

    async def slow(work: Callable[[Transaction], Any]) -> Any:
        result = await plain(work)
        if result and not claimed.is_set():
            claimed.set()
            await answered.wait()
        return result

    monkeypatch.setattr(memory_world.store, "write", slow)
    running = asyncio.create_task(memory_world.receiver.run_once())
    await claimed.wait()
    running.cancel()
    await asyncio.sleep(0)
    answered.set()
    await asyncio.wait([running])
    assert running.cancelled()
    stored = await memory_world.stored(event)
    assert (stored.status, stored.leased_until) == (EventStatus.PENDING, None)


async def test_a_dispatcher_that_is_stopped_while_the_database_is_away_ends(
    memory_world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = Slow()
    receiver = memory_world.new_receiver(projectors={"invoice": slow})
    await memory_world.send(make_event("invoice.paid", invoice()))

    async def away(work: Callable[[Transaction], Any]) -> Any:
        raise StoreUnavailableError

    with anyio.fail_after(10):
        async with OwnedTasks() as tasks:
            tasks.loop(receiver.run, "dispatcher")
            await slow.entered.wait()
            monkeypatch.setattr(memory_world.store, "write", away)
    assert "when their lease is over" in caplog.text


async def test_run_is_woken_by_intake_and_outlives_an_outage(
    memory_world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.CRITICAL, logger="gatekeeper.webhooks")
    handled = {"c_1": anyio.Event(), "c_2": anyio.Event()}
    memory_world.policy = DispatchPolicy(poll_seconds=60)

    @memory_world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        handled[str(event.object_id)].set()

    receiver = memory_world.receiver
    broken = anyio.Event()
    write = memory_world.store.write

    async def fail_once(work: Callable[[Transaction], Any]) -> Any:
        if not broken.is_set():
            broken.set()
            receiver.dispatcher.nudge()
            raise StoreUnavailableError()
        return await write(work)

    monkeypatch.setattr(memory_world.store, "write", fail_once)
    async with anyio.create_task_group() as group:
        group.start_soon(receiver.run)
        await broken.wait()
        with anyio.fail_after(30):
            for name, done in handled.items():
                charge = {"id": name, "object": "charge"}
                await memory_world.send(make_event("charge.succeeded", charge))
                await done.wait()
        group.cancel_scope.cancel()


def charge(number: int) -> dict[str, Any]:
    return make_event("charge.succeeded", {"id": f"ch_{number}", "object": "charge"})


async def test_a_slow_handler_holds_up_no_other_object(world: World) -> None:
    world.policy = DispatchPolicy(concurrency=2, poll_seconds=60)
    release, others = anyio.Event(), anyio.Event()
    seen: list[str] = []

    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        seen.append(str(event.object_id))
        if event.object_id == "ch_0":
            await release.wait()
        elif len(seen) == 6:
            others.set()

    await world.send(*(charge(number) for number in range(6)))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(world.receiver.run)
            await others.wait()
            release.set()
            group.cancel_scope.cancel()
    assert sorted(seen) == [f"ch_{number}" for number in range(6)]


async def test_no_more_is_claimed_than_is_begun(world: World) -> None:
    world.policy = DispatchPolicy(concurrency=2)
    await world.send(*(charge(number) for number in range(3)))
    assert [await world.receiver.run_once() for _ in range(3)] == [2, 1, 0]


async def test_a_stale_dispatcher_overwrites_nothing_of_the_next_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    other = world.new_receiver()
    ran: list[int] = []

    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        ran.append(event.attempt)
        if event.attempt == 1:
            world.clock.advance(hours=1)  # the lease is over, and somebody else takes the event
            assert await other.run_once() == 1
            raise ValueError("too late")

    event = charge(1)
    await world.send(event)
    await world.receiver.run_once()
    stored = await world.stored(event)
    assert (ran, stored.status, stored.last_error) == ([1, 2], EventStatus.DONE, None)
    assert "left to whoever has it now" in caplog.text


async def test_what_was_done_under_a_lease_that_is_over_is_settled_by_who_has_the_next(
    world: World,
) -> None:
    event = charge(1)
    await world.send(event)

    def claim(tx: Transaction) -> Sequence[InboxEvent]:
        return tx.inbox.claim(tx.now(), tx.now() + timedelta(seconds=30), 1)

    events = await world.store.write(claim)
    lease = Lease(world.store, world.policy, events, anyio.current_time())
    world.clock.advance(minutes=1)
    [again] = await world.store.write(claim)
    with pytest.raises(LeaseLostError):
        await lease.settle_done(events)
    stored = await world.stored(event)
    assert (stored.status, stored.leased_until) == (EventStatus.PENDING, again.leased_until)


@pytest.mark.parametrize("lost", [False, True])
async def test_a_lease_is_renewed_before_each_handler_or_it_does_not_run(
    world: World, lost: bool
) -> None:
    """A lease that is shorter than a handler may take has to be renewed every time."""
    world.policy = DispatchPolicy(lease_seconds=10, handler_timeout_seconds=30)
    other = world.new_receiver()
    ran: list[str] = []

    @world.registry.on("charge.succeeded", name="first")
    async def first(event: WebhookEvent) -> None:
        ran.append(f"first {event.attempt}")
        world.clock.advance(seconds=8)
        if lost and event.attempt == 1:
            world.clock.advance(seconds=8)
            await other.run_once()

    @world.registry.on("charge.succeeded", name="second")
    async def second(event: WebhookEvent) -> None:
        ran.append(f"second {event.attempt}")
        world.clock.advance(seconds=8)
        assert await other.run_once() == 0  # 16 s after the claim it is still ours

    event = charge(1)
    await world.send(event)
    await world.receiver.run_once()
    assert ran == (["first 1", "first 2", "second 2"] if lost else ["first 1", "second 1"])
    assert await world.status_of(event) is EventStatus.DONE


async def test_a_handler_that_awaited_what_was_cancelled_has_failed_and_others_run(
    memory_world: World,
) -> None:
    ran: list[str] = []

    @memory_world.registry.on("charge.succeeded")
    async def unlucky(event: WebhookEvent) -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    @memory_world.registry.on("charge.succeeded")
    async def next_one(event: WebhookEvent) -> None:
        ran.append(event.id)

    event = charge(1)
    await memory_world.deliver(event)
    stored = await memory_world.stored(event)
    assert ran == [event["id"]]
    assert (stored.status, stored.attempts, stored.leased_until) == (EventStatus.PENDING, 1, None)
    assert stored.last_error == "RuntimeError: it awaited something that had been cancelled"
    assert stored.due_at > memory_world.clock.now


async def test_an_outage_makes_no_dead_letter_and_the_waits_still_grow(world: World) -> None:
    world.policy = DispatchPolicy(max_attempts=2, max_backoff_seconds=600)

    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        if event.body["data"]["object"]["id"] == "ch_2":
            raise ValueError
        raise StripeUnavailableError

    event, bad = charge(1), charge(2)
    await world.send(event, bad)
    waits = []
    for _ in range(12):
        await world.receiver.drain()
        waits.append((await world.stored(event)).due_at - world.clock.now)
        world.clock.advance(hours=1)
    stored = await world.stored(event)
    assert (stored.status, stored.attempts) == (EventStatus.PENDING, 0)
    assert waits[0] <= timedelta(seconds=2)
    assert timedelta(seconds=300) <= waits[-1] <= timedelta(seconds=600)
    assert await world.status_of(bad) is EventStatus.DEAD


async def test_a_dead_letter_that_is_delivered_again_is_tried_again(world: World) -> None:
    world.policy = DispatchPolicy(max_attempts=1)
    mended: list[str] = []

    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        if not mended:
            raise ValueError

    event = charge(1)
    await world.deliver(event)
    assert await world.status_of(event) is EventStatus.DEAD
    mended.append("yes")
    nudged = world.receiver.dispatcher._wake = anyio.Event()
    assert await world.send(event) == [False]
    assert nudged.is_set()
    assert await world.status_of(event) is EventStatus.PENDING
    await world.receiver.drain()
    assert await world.status_of(event) is EventStatus.DONE


async def test_retry_brings_back_the_dead_or_one_event_with_its_projection(world: World) -> None:
    await world.customer()
    world.policy = DispatchPolicy(max_attempts=1)
    paid = invoice(of_subscription=None, lines=[])
    world.stripe.put(paid)
    done, dead = make_event("invoice.paid", paid), charge(1)
    mended: list[str] = []

    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        if not mended:
            raise ValueError

    await world.deliver(done, dead)
    mended.append("yes")
    fetches = len(world.stripe.fetches)
    assert not await world.receiver.events.retry("evt_nothing")
    assert await world.receiver.events.retry_all() == 1
    assert await world.receiver.events.retry(f"/{done['id']}")
    assert await world.counts() == {EventStatus.PENDING: 2}
    await world.receiver.drain()
    assert await world.counts() == {EventStatus.DONE: 2}
    assert len(world.stripe.fetches) > fetches


async def test_what_cannot_even_be_noted_is_put_back_when_the_database_is_there_again(
    memory_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Not when its lease is over, which takes minutes."""
    projected = []

    class Closing(Slow):
        async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
            projected.append(events)
            if len(projected) == 1:
                await memory_world.store.close()  # the database goes away in the middle of it
                raise StoreUnavailableError()
            await memory_world.store.write(complete)

    receiver = memory_world.new_receiver(projectors={"invoice": Closing()})
    event = make_event("invoice.paid", invoice())
    await memory_world.send(event)
    assert await receiver.run_once() == 1
    assert "will be put back, and tried again" in caplog.text
    with pytest.raises(StoreUnavailableError):
        await receiver.run_once()
    await memory_world.store.open()
    assert await receiver.run_once() == 0
    stored = await memory_world.stored(event)
    assert (stored.leased_until, stored.attempts) == (None, 0)
    memory_world.clock.advance(seconds=memory_world.policy.backoff_seconds)
    assert await receiver.run_once() == 1
    assert await memory_world.status_of(event) is EventStatus.DONE


async def test_what_somebody_else_has_by_now_is_not_put_back(memory_world: World) -> None:
    class Closing(Slow):
        async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
            await memory_world.store.close()
            raise StoreUnavailableError()

    receiver = memory_world.new_receiver(projectors={"invoice": Closing()})
    other = memory_world.new_receiver(projectors={"invoice": Slow()})
    event = make_event("invoice.paid", invoice())
    await memory_world.send(event)
    await receiver.run_once()
    await memory_world.store.open()
    memory_world.clock.advance(hours=1)
    (lease,) = await other.dispatcher._claim(1)
    assert await receiver.run_once() == 0
    stored = await memory_world.stored(event)
    assert stored.leased_until == lease.events[0].leased_until
    assert stored.attempts == 2


async def test_a_projection_that_fails_does_not_hold_up_handlers_that_wait(world: World) -> None:
    """An event whose projection was done waits for its handler, another for the projection."""
    await world.customer()
    ran: list[int] = []

    @world.registry.on("invoice.paid")
    async def handler(event: WebhookEvent) -> None:
        ran.append(event.attempt)
        if event.attempt == 1:
            raise ValueError

    world.stripe.put(invoice(of_subscription=None, lines=[]))
    old, new = (make_event("invoice.paid", invoice()) for _ in range(2))
    await world.deliver(old)
    world.clock.advance(hours=1)
    await world.send(new)
    world.stripe.failure = ConnectionError("no way")
    await world.receiver.drain()
    assert ran == [1, 2]
    assert await world.status_of(old) is EventStatus.DONE
    assert (await world.stored(new)).last_error == "ConnectionError: no way"


async def test_the_waits_double_up_to_a_bound() -> None:
    policy = DispatchPolicy(backoff_seconds=2, max_backoff_seconds=60)
    for attempts, ceiling in ((1, 2), (2, 4), (5, 32), (6, 60), (4_000, 60)):
        wait = policy.delay(attempts)
        assert timedelta(seconds=ceiling / 2) <= wait <= timedelta(seconds=ceiling)


# -- the receiver -------------------------------------------------------------------------------


async def test_a_receiver_needs_neither_a_catalogue_nor_stripe(memory_world: World) -> None:
    seen: list[str] = []

    @memory_world.registry.on("invoice.paid")
    async def handler(event: WebhookEvent) -> None:
        seen.append(event.type)

    receiver = memory_world.new_receiver(projectors={}, livemode=None)
    await memory_world.send(make_event("invoice.paid", invoice()))
    assert await receiver.drain() == 1
    assert seen == ["invoice.paid"]
    assert memory_world.stripe.fetches == []


async def test_projectors_need_the_mode_of_the_endpoint(memory_world: World) -> None:
    with pytest.raises(ConfigurationError, match="mode"):
        memory_world.new_receiver(livemode=None)


async def test_inline_dispatch_handles_the_event_before_the_answer(memory_world: World) -> None:
    seen: list[str] = []

    @memory_world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        seen.append(event.id)

    memory_world._receiver = memory_world.new_receiver(inline=True)
    event = make_event("charge.succeeded", {"id": "ch_1", "object": "charge"})
    assert await memory_world.send(event) == [True]
    assert seen == [event["id"]]


async def test_inline_dispatch_delivers_what_was_written_by_it(memory_world: World) -> None:
    receiver = memory_world._receiver = memory_world.new_receiver(inline=True)
    delivered: list[EventStatus] = []
    event = make_event("charge.succeeded", {"id": "ch_1", "object": "charge"})

    async def deliver() -> None:
        delivered.append(await memory_world.status_of(event))

    receiver.afterwards = deliver
    assert await memory_world.send(event) == [True]
    assert delivered == [EventStatus.DONE]


async def test_inline_dispatch_that_breaks_is_no_reason_to_refuse_the_event(
    memory_world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = memory_world._receiver = memory_world.new_receiver(inline=True)

    async def broken() -> int:
        raise StoreUnavailableError

    monkeypatch.setattr(receiver.dispatcher, "run_once", broken)
    event = make_event("charge.succeeded", {"id": "ch_1", "object": "charge"})
    assert await memory_world.send(event) == [True]
    assert "the event waits for the next one" in caplog.text


async def test_the_types_that_the_library_needs_are_listed() -> None:
    assert "customer.subscription.updated" in EVENT_TYPES
    assert "checkout.session.async_payment_succeeded" in EVENT_TYPES
    assert len(EVENT_TYPES) == len(set(EVENT_TYPES))


async def test_what_a_handler_gives_up_is_a_dead_letter_at_once(world: World) -> None:
    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        raise PermanentError("this charge is nobody's")

    event = charge(1)
    await world.deliver(event)
    stored = await world.stored(event)
    assert (stored.status, stored.attempts) == (EventStatus.DEAD, 1)
    assert stored.last_error == "PermanentError: this charge is nobody's"


async def test_one_handler_giving_up_does_not_give_up_the_others(world: World) -> None:
    @world.registry.on("charge.succeeded", name="first")
    async def first(event: WebhookEvent) -> None:
        raise PermanentError

    @world.registry.on("charge.succeeded", name="second")
    async def second(event: WebhookEvent) -> None:
        raise ValueError

    event = charge(1)
    await world.deliver(event)
    assert await world.status_of(event) is EventStatus.PENDING


async def test_what_is_not_there_yet_is_waited_for_without_counting_up_to_a_bound(
    world: World,
) -> None:
    world.policy = DispatchPolicy(max_attempts=1, dependency_wait_seconds=600)

    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        raise DependencyMissingError("its order is not there yet")

    event = charge(1)
    await world.send(event)
    for _ in range(9):
        await world.receiver.drain()
        stored = await world.stored(event)
        assert (stored.status, stored.attempts) == (EventStatus.PENDING, 0)
        assert timedelta() < stored.due_at - world.clock.now <= timedelta(seconds=60)
        world.clock.advance(seconds=65)
    world.clock.advance(seconds=65)
    await world.receiver.drain()
    assert await world.status_of(event) is EventStatus.DEAD


async def test_an_event_is_discarded_and_brought_back(world: World) -> None:
    dead, waiting, done = charge(1), charge(2), charge(3)
    await world.deliver(done)
    await world.send(dead, waiting)
    await world.store.write(
        lambda tx: tx.inbox.settle(f"/{dead['id']}", EventStatus.DEAD, error="why")
    )
    for event in (dead, waiting):
        assert await world.receiver.events.discard(event["id"])
        assert not await world.receiver.events.discard(event["id"])
    assert not await world.receiver.events.discard(done["id"])
    assert not await world.receiver.events.discard("evt_nothing")
    assert await world.receiver.drain() == 0
    assert await world.send(dead) == [False]  # Stripe's own retry does not bring it back
    found = await world.receiver.events.find(EventSelection(status=EventStatus.DISCARDED))
    assert {event.last_error for event in found} == {"why", None}
    assert await world.receiver.events.retry_all() == 0
    assert await world.receiver.events.retry(dead["id"])
    assert await world.status_of(dead) is EventStatus.PENDING


async def test_events_whose_bodies_were_purged_name_nobody(world: World) -> None:
    seen: list[str | None] = []

    @world.registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        seen.append(event.customer)

    event = charge(1)
    await world.deliver(event)

    def purge(tx: Transaction) -> int:
        return tx.inbox.purge_payloads(tx.now() + timedelta(seconds=1), 10)

    assert await world.store.write(purge) == 1
    assert await world.receiver.events.retry(event["id"])
    await world.receiver.drain()
    assert seen == [None]  # nor does its handler run again


async def test_what_is_left_while_two_claim_at_once_is_put_back_by_the_next(
    memory_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher, store = memory_world.receiver.dispatcher, memory_world.store
    await memory_world.send(charge(1), charge(2))
    first, second = await dispatcher._claim(2)
    dispatcher._left = [first]
    plain = store.write

    async def meet_another(work: Callable[[Transaction], Any]) -> Any:
        monkeypatch.setattr(store, "write", plain)
        result = await plain(work)
        await dispatcher._claim(1)  # it puts back the same one
        dispatcher._left.append(second)
        return result

    monkeypatch.setattr(store, "write", meet_another)
    await dispatcher._claim(1)
    assert dispatcher._left == [second]
