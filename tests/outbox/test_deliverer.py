"""The deliverer: at least once, in order for each customer, with dead letters."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from gatekeeper.errors import RegistrationError, StoreUnavailableError, UndeliverableError
from gatekeeper.services.outbox import Deliverer, DeliveryPolicy, Signal, SignalRegistry, tell
from gatekeeper.storage.memory.outbox import MemoryOutbox
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import OutboxCounts, OutboxMessage, OutboxState
from tests.stripe.world import ManualClock

pytestmark = pytest.mark.anyio

LOW, FAILED = "credits.low", "payment.failed"


class Desk:
    """A registry with receivers that note what they get, and fail when they are told to."""

    def __init__(self, store: Store, clock: ManualClock, **policy: Any) -> None:
        self.store, self.clock = store, clock
        self.registry = SignalRegistry()
        self.got: list[tuple[str, str, Any]] = []
        self.failures: dict[str, list[Exception]] = {}
        self.policy = DeliveryPolicy(**policy)

    def receiver(self, name: str, *topics: str) -> None:
        async def receive(signal: Signal) -> None:
            failures = self.failures.get(name)
            self.got.append((name, signal.customer, signal.body.get("n")))
            if failures:
                raise failures.pop(0)

        self.registry.on(*topics, name=name)(receive)

    def deliverer(self, **options: Any) -> Deliverer:
        return Deliverer(self.store, self.registry, self.policy, **options)

    async def tell(self, topic: str, n: int, customer: str = "ada") -> None:
        self.clock.advance(seconds=1)

        def work(tx: Transaction) -> None:
            tell(tx, topic, customer, {"n": n}, tx.now())

        await self.store.write(work)


@pytest.fixture
def desk(store: Store, clock: ManualClock) -> Desk:
    return Desk(store, clock)


async def test_a_signal_reaches_each_receiver_of_its_topic_once(desk: Desk) -> None:
    desk.receiver("a", LOW, FAILED)
    desk.receiver("b", LOW)
    await desk.tell(LOW, 1)
    await desk.tell(FAILED, 2)
    assert await desk.deliverer().drain() == 2 + 3  # shared out, and handed over
    assert await desk.deliverer().drain() == 0
    assert sorted(desk.got) == [("a", "ada", 1), ("a", "ada", 2), ("b", "ada", 1)]
    assert [n for name, _, n in desk.got if name == "a"] == [1, 2]
    assert await desk.deliverer().counts() == OutboxCounts(waiting=0, dead=0)


async def test_a_signal_is_what_was_told(desk: Desk) -> None:
    seen: list[Signal] = []

    @desk.registry.on(LOW)
    async def receive(signal: Signal) -> None:
        seen.append(signal)

    await desk.tell(LOW, 7)
    await desk.deliverer().drain()
    (signal,) = seen
    assert (signal.topic, signal.customer, signal.body) == (LOW, "ada", {"n": 7})
    assert (signal.at, signal.attempt) == (desk.clock.now, 1)
    (written, _) = await desk.deliverer().listing(OutboxState.SENT)
    assert signal.id == written.id


async def test_what_nobody_receives_is_over_at_once(desk: Desk) -> None:
    desk.receiver("a", FAILED)
    await desk.tell(LOW, 1)
    await desk.tell(FAILED, 2)
    deliverer = desk.deliverer()
    await deliverer.drain()
    assert desk.got == [("a", "ada", 2)]
    sent = await deliverer.listing(OutboxState.SENT)
    assert [(one.topic, one.receiver) for one in sent] == [(LOW, ""), (FAILED, ""), (FAILED, "a")]


async def test_a_receiver_that_is_gone_leaves_a_dead_letter_that_says_so(desk: Desk) -> None:
    desk.receiver("a", LOW)
    await desk.tell(LOW, 1)
    assert len((await desk.deliverer()._claim(1)).leases) == 1  # and the process ends
    desk.registry = SignalRegistry()
    desk.policy = DeliveryPolicy(max_attempts=2)
    desk.clock.advance(seconds=desk.policy.lease_seconds)
    await desk.deliverer().drain()
    (dead,) = await desk.deliverer().listing(OutboxState.DEAD)
    assert dead.last_error == "LookupError: there is no receiver 'a' of this topic here"


async def test_a_receiver_that_fails_is_called_again_and_the_others_are_not(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.receiver(name, LOW)
    desk.failures["b"] = [ValueError("no"), ValueError("no again")]
    await desk.tell(LOW, 1)
    deliverer = desk.deliverer()
    await deliverer.drain()
    assert sorted(name for name, _, _ in desk.got) == ["a", "b", "c"]
    (waiting,) = await deliverer.listing(OutboxState.WAITING)
    assert (waiting.attempts, waiting.last_error) == (1, "ValueError: no")
    assert timedelta(seconds=1) <= waiting.due_at - desk.clock.now <= timedelta(seconds=2)
    for seconds in (2, 4):
        assert await deliverer.drain() == 0
        desk.clock.advance(seconds=seconds)
        assert await deliverer.drain() == 1
    assert [name for name, _, _ in desk.got][3:] == ["b", "b"]
    assert (await deliverer.counts()).waiting == 0


async def test_a_message_that_fails_holds_up_the_same_customer_and_receiver_alone(
    desk: Desk,
) -> None:
    desk.receiver("a", LOW, FAILED)
    desk.receiver("b", LOW, FAILED)
    desk.failures["a"] = [ValueError("no")]
    await desk.tell(LOW, 1)
    await desk.tell(FAILED, 2)
    await desk.deliverer().drain()
    await desk.tell(FAILED, 3, "bob")
    await desk.deliverer().drain()
    assert sorted(desk.got) == [
        ("a", "ada", 1),
        ("a", "bob", 3),
        ("b", "ada", 1),
        ("b", "ada", 2),
        ("b", "bob", 3),
    ]
    desk.clock.advance(seconds=2)
    await desk.deliverer().drain()
    assert desk.got[5:] == [("a", "ada", 1), ("a", "ada", 2)]


async def test_what_a_customer_has_waiting_is_shared_out_by_few_claims(
    memory_store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim looks at all that waits: one for each of a thousand messages would be a million."""
    desk = Desk(memory_store, clock)
    desk.receiver("a", LOW)
    for n in range(120):
        await desk.tell(LOW, n)
    await desk.tell(LOW, 0, "bob")
    claims: list[int] = []
    claim = MemoryOutbox.claim

    def counted(self: MemoryOutbox, *args: Any, **options: Any) -> Any:
        found = claim(self, *args, **options)
        claims.append(len(found))
        return found

    monkeypatch.setattr(MemoryOutbox, "claim", counted)
    deliverer = desk.deliverer()
    assert await deliverer.run_once() == 121 + 2
    assert claims == [2, 2]  # what is to be shared, and the first of what it became
    assert desk.got == [("a", "ada", 0), ("a", "bob", 0)]
    await deliverer.drain()
    assert [n for _, customer, n in desk.got if customer == "ada"] == list(range(120))


async def test_a_long_queue_is_shared_out_in_parts(
    memory_store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatekeeper.services.outbox.deliverer._SHARED", 10)
    desk = Desk(memory_store, clock)
    desk.receiver("a", LOW)
    for n in range(25):
        await desk.tell(LOW, n)
    deliverer = desk.deliverer()
    assert await deliverer.run_once() < 25
    await deliverer.drain()
    assert [n for _, _, n in desk.got] == list(range(25))


async def test_a_receiver_that_hangs_holds_up_no_other(desk: Desk) -> None:
    desk.policy = DeliveryPolicy(poll_seconds=0.01, concurrency=2)
    begun: list[str] = []
    delivered = anyio.Event()

    @desk.registry.on(LOW, name="hangs")
    async def hangs(signal: Signal) -> None:
        begun.append(signal.customer)
        await anyio.sleep_forever()

    @desk.registry.on(LOW, name="quick")
    async def quick(signal: Signal) -> None:
        desk.got.append(("quick", signal.customer, signal.body["n"]))
        if len(desk.got) == 9:
            delivered.set()

    for number in range(9):
        await desk.tell(LOW, number, f"customer {number}")
    async with anyio.create_task_group() as group:
        group.start_soon(desk.deliverer().run)
        with anyio.fail_after(20):
            await delivered.wait()
        assert begun == ["customer 0", "customer 1"]
        group.cancel_scope.cancel()


async def test_a_commit_wakes_the_deliverer_without_a_poll(desk: Desk) -> None:
    desk.policy = DeliveryPolicy(poll_seconds=3600)
    delivered = anyio.Event()

    @desk.registry.on(LOW, name="a")
    async def receive(signal: Signal) -> None:
        delivered.set()

    deliverer = desk.deliverer()
    async with anyio.create_task_group() as group:
        group.start_soon(deliverer.run)
        while not desk.store.on_messages:
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        await desk.tell(LOW, 1)
        with anyio.fail_after(20):
            await delivered.wait()
        group.cancel_scope.cancel()
    assert not desk.store.on_messages


async def test_after_enough_attempts_a_message_is_a_dead_letter_that_can_be_tried_again(
    desk: Desk,
) -> None:
    desk.policy = DeliveryPolicy(max_attempts=2)
    desk.receiver("a", LOW)
    desk.receiver("b", LOW)
    desk.failures["b"] = [ValueError("no"), ValueError("never")]
    await desk.tell(LOW, 1)
    await desk.tell(LOW, 2)
    deliverer = desk.deliverer()
    await deliverer.drain()
    desk.clock.advance(seconds=2)
    await deliverer.drain()
    (dead,) = await deliverer.listing(OutboxState.DEAD)
    assert (dead.attempts, dead.last_error) == (2, "ValueError: never")
    assert [n for name, _, n in desk.got if name == "b"] == [1, 1, 2]  # what follows goes on
    assert await deliverer.retry(dead.id) == 1
    assert await deliverer.retry() == 0
    await deliverer.drain()
    assert desk.got[-1] == ("b", "ada", 1)
    assert [n for name, _, n in desk.got if name == "a"] == [1, 2]  # had both at once


async def test_what_can_never_be_delivered_is_a_dead_letter_at_once(desk: Desk) -> None:
    desk.receiver("a", LOW)
    desk.failures["a"] = [UndeliverableError("there is no such address")]
    await desk.tell(LOW, 1)
    deliverer = desk.deliverer()
    await deliverer.drain()
    assert (await deliverer.counts()).dead == 1
    assert await deliverer.discard() == 1
    assert await deliverer.counts() == OutboxCounts(waiting=0, dead=0)


async def test_a_body_that_cannot_be_read_is_a_dead_letter(desk: Desk) -> None:
    desk.receiver("a", LOW)
    now = desk.clock.now
    broken = OutboxMessage(
        id="m", customer="ada", topic=LOW, body="[1]", created_at=now, due_at=now
    )
    await desk.store.write(lambda tx: tx.outbox.add([broken]))
    await desk.deliverer().drain()
    assert desk.got == []
    assert (await desk.deliverer().counts()).dead == 1


async def test_an_outage_makes_no_dead_letter(desk: Desk) -> None:
    desk.policy = DeliveryPolicy(max_attempts=1)
    desk.receiver("a", LOW)
    desk.failures["a"] = [StoreUnavailableError() for _ in range(3)]
    await desk.tell(LOW, 1)
    deliverer = desk.deliverer()
    for _ in range(4):
        assert await deliverer.drain() >= 1
        desk.clock.advance(hours=1)
    assert await deliverer.counts() == OutboxCounts(waiting=0, dead=0)


async def test_killed_between_the_sending_and_its_mark_it_is_sent_again(
    desk: Desk,
) -> None:
    """At least once: what happened outside can't be taken back, so that it happens again."""
    desk.policy = DeliveryPolicy(lease_seconds=10, receiver_timeout_seconds=20)  # always renewed
    desk.receiver("a", LOW)
    await desk.tell(LOW, 1)
    first = desk.deliverer()
    claimed = await first._claim(1)
    await desk.registry.handlers_of(LOW)[0].handler(
        Signal(id="", topic=LOW, customer="ada", at=desk.clock.now, body={"n": 1})
    )
    # Killed here: nothing is marked, and the lease stands.
    second = desk.deliverer()
    assert await second.drain() == 0
    desk.clock.advance(seconds=desk.policy.lease_seconds)
    assert await second.drain() == 1
    assert [n for _, _, n in desk.got] == [1, 1]
    # Were the first one to wake up after all, it could neither bring the message back ...
    await first._deliver(claimed.leases[0])
    assert [n for _, _, n in desk.got] == [1, 1]  # ... nor send it to who has it
    assert (await second.counts()).waiting == 0


async def test_a_lease_that_is_over_is_not_worked_on(desk: Desk) -> None:
    desk.policy = DeliveryPolicy(lease_seconds=10, receiver_timeout_seconds=20)  # always renewed
    desk.receiver("a", LOW)
    await desk.tell(LOW, 1)
    late = await desk.deliverer()._claim(1)
    desk.clock.advance(seconds=10)
    assert len((await desk.deliverer()._claim(1)).leases) == 1
    await desk.deliverer()._deliver(late.leases[0])
    assert desk.got == []


async def test_a_receiver_has_so_much_time_and_a_lease_as_long(desk: Desk) -> None:
    desk.policy = DeliveryPolicy(receiver_timeout_seconds=0.01, lease_seconds=0.005)

    @desk.registry.on(LOW, name="slow")
    async def slow(signal: Signal) -> None:
        await anyio.sleep_forever()

    await desk.tell(LOW, 1)
    await desk.deliverer().run_once()
    (waiting,) = await desk.deliverer().listing(OutboxState.WAITING)
    assert waiting.last_error is not None
    assert waiting.last_error.startswith("TimeoutError")


async def test_when_it_is_stopped_it_gives_back_what_it_has(desk: Desk) -> None:
    begun = anyio.Event()

    @desk.registry.on(LOW, name="slow")
    async def slow(signal: Signal) -> None:
        begun.set()
        await anyio.sleep_forever()

    await desk.tell(LOW, 1)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.deliverer().run)
        await begun.wait()
        group.cancel_scope.cancel()
    (waiting,) = await desk.deliverer().listing(OutboxState.WAITING)
    assert (waiting.attempts, waiting.due_at) == (0, desk.clock.now)
    assert len((await desk.deliverer()._claim(1)).leases) == 1


async def test_in_the_background_it_delivers_what_comes_and_outlives_an_outage(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.policy = DeliveryPolicy(poll_seconds=0.01)
    delivered = anyio.Event()

    @desk.registry.on(LOW, name="a")
    async def receive(signal: Signal) -> None:
        if signal.body["n"] == 3:
            delivered.set()

    deliverer = desk.deliverer()
    claim, outages = deliverer._claim, [StoreUnavailableError()]

    async def claim_or_fail(*of: Any) -> Any:
        if outages:
            raise outages.pop()
        return await claim(*of)

    monkeypatch.setattr(deliverer, "_claim", claim_or_fail)
    for number in (1, 2, 3):
        await desk.tell(LOW, number)
    async with anyio.create_task_group() as group:
        group.start_soon(deliverer.run)
        await delivered.wait()
        group.cancel_scope.cancel()
    assert "delivery was interrupted" in caplog.text


async def test_a_failure_to_note_has_the_message_put_back_with_the_next_claim(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.receiver("a", LOW)
    await desk.tell(LOW, 1)
    deliverer = desk.deliverer()
    claimed = await deliverer._claim(1)

    async def refuse(*_: object) -> None:
        raise StoreUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(desk.store, "write", refuse)
        await deliverer._deliver(claimed.leases[0])
    assert "will be put back, and tried again" in caplog.text
    assert (await deliverer.counts()).waiting == 1
    assert await deliverer._claim(1) == ([], 0)
    desk.clock.advance(seconds=desk.policy.backoff_seconds)  # and not until the lease is over
    (lease,) = (await deliverer._claim(1)).leases
    assert lease.message.attempts == 1  # an outage is no attempt


async def test_what_is_claimed_while_the_deliverer_is_stopped_is_given_back(
    memory_store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(memory_store, clock)
    desk.receiver("a", LOW)
    await desk.tell(LOW, 1)
    plain, claimed, answered = desk.store.write, anyio.Event(), anyio.Event()

    async def slow(work: Callable[[Transaction], Any]) -> Any:
        result = await plain(work)
        if not claimed.is_set():
            claimed.set()
            await answered.wait()
        return result

    monkeypatch.setattr(desk.store, "write", slow)
    running = asyncio.create_task(desk.deliverer().run_once())
    await claimed.wait()
    running.cancel()
    await asyncio.sleep(0)
    answered.set()
    await asyncio.wait([running])
    assert running.cancelled()
    assert await desk.deliverer().drain() == 1  # nor does it wait for any lease
    assert desk.got == [("a", "ada", 1)]


async def test_what_is_left_while_two_claim_at_once_is_put_back_by_the_next(
    memory_store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(memory_store, clock)
    desk.receiver("a", LOW)
    await desk.tell(LOW, 1)
    await desk.tell(LOW, 2, "bob")
    deliverer = desk.deliverer()
    first, second = (await deliverer._claim(2)).leases
    deliverer._left = [first]
    plain = desk.store.write

    async def meet_another(work: Callable[[Transaction], Any]) -> Any:
        monkeypatch.setattr(desk.store, "write", plain)
        result = await plain(work)
        await deliverer._claim(1)  # it puts back the same one
        deliverer._left.append(second)
        return result

    monkeypatch.setattr(desk.store, "write", meet_another)
    await deliverer._claim(1)
    assert deliverer._left == [second]


def test_a_topic_that_there_is_not_is_refused_with_a_hint() -> None:
    registry = SignalRegistry()
    with pytest.raises(RegistrationError, match=r"did you mean 'credits\.low'"):
        registry.on("credits.lo")
    with pytest.raises(RegistrationError, match=r"no topic 'xxxxxxxxxx'\."):
        registry.on("xxxxxxxxxx")
    with pytest.raises(RegistrationError, match="at least one topic"):
        registry.on()


async def test_who_comes_after_the_first_delivery_is_refused(desk: Desk) -> None:
    await desk.deliverer().run_once()
    with pytest.raises(RegistrationError, match="signals are being delivered"):
        desk.receiver("late", LOW)
