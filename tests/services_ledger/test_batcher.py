"""The queues by themselves: turns, bounds, cancellation, closing."""

import asyncio
import logging

import pytest

from gatekeeper.errors import (
    ConflictError,
    OverloadedError,
    ShuttingDownError,
    StoreUnavailableError,
)
from gatekeeper.services.ledger import batcher as batcher_module
from gatekeeper.services.ledger.batch import AGAIN
from gatekeeper.services.ledger.batcher import Batcher, BatchLimits
from gatekeeper.services.ledger.parking import Item
from tests.services_ledger.scripted import Note, ScriptedWays, settle_down

pytestmark = pytest.mark.anyio

Task = asyncio.Task[str]


class Queues:
    """A batcher on scripted ways."""

    def __init__(self, *, lanes: int = 1, depth: int = 1, **limits: int) -> None:
        self.ways = ScriptedWays(lanes=lanes, depth=depth)
        self.batcher = Batcher(self.ways, BatchLimits(**limits))

    def send(self, customer: str, name: str, *, undo: bool = False) -> Task:
        return asyncio.create_task(self.batcher.run(Note(customer, name, undo=undo)))

    def send_many(self, customer: str, count: int) -> list[Task]:
        return [self.send(customer, f"{customer} {n}") for n in range(count)]


async def under_way(queues: Queues) -> list[Task]:
    """One batch is under way, of a customer of its own."""
    tasks = [queues.send("first", "first")]
    await settle_down()
    assert [batch.names for batch in queues.ways.batches] == [["first"]]
    return tasks


# -- turns ----------------------------------------------------------------------------------------


async def test_results_go_to_those_who_asked() -> None:
    queues = Queues()
    tasks = [queues.send(f"org_{n % 3}", f"note {n}") for n in range(30)]
    await settle_down()
    [batch] = queues.ways.batches
    assert sorted(batch.names) == sorted(f"note {n}" for n in range(30))
    batch.end()
    assert await asyncio.gather(*tasks) == [f"note {n}" for n in range(30)]


async def test_a_busy_customer_keeps_no_other_from_the_next_batch() -> None:
    queues = Queues(max_batch=256)
    await under_way(queues)
    busy = queues.send_many("busy", 1_500)
    await settle_down()
    others = [queues.send(f"org_{n}", f"org_{n}") for n in range(40)]
    await settle_down()
    queues.ways.batches[0].end()
    await settle_down()
    second = queues.ways.batches[1]
    assert {f"org_{n}" for n in range(40)} <= set(second.customers)
    assert second.customers.count("busy") == 256 // 41
    second.end()
    await settle_down()
    assert all(task.done() for task in others)
    third = queues.ways.batches[2]
    assert third.customers == ["busy"] * 256  # alone, it gets all the room there is

    late = queues.send("late", "late")
    await settle_down()
    third.end()
    await settle_down()
    fourth = queues.ways.batches[3]
    assert (fourth.customers.count("late"), fourth.customers.count("busy")) == (1, 128)
    queues.ways.by_itself = lambda _: True
    fourth.end()
    assert await late == "late"
    assert await asyncio.gather(*busy) == [f"busy {n}" for n in range(1_500)]
    sizes = [len(batch.names) for batch in queues.ways.batches]
    assert max(sizes) <= 256


async def test_more_customers_than_a_batch_has_room_for_take_turns() -> None:
    queues = Queues(max_batch=10)
    await under_way(queues)
    for n in range(25):
        queues.send_many(f"org_{n}", 3)
    await settle_down()
    queues.ways.by_itself = lambda _: True
    queues.ways.batches[0].end()
    await settle_down()
    firsts = [set(batch.customers) for batch in queues.ways.batches[1:4]]
    assert [len(one) for one in firsts] == [10, 10, 10]
    assert firsts[0] | firsts[1] | firsts[2] == {f"org_{n}" for n in range(25)}


async def test_an_account_is_in_one_batch_at_a_time() -> None:
    queues = Queues(lanes=2)
    one = queues.send("org", "one")
    await settle_down()
    two = queues.send("org", "two")
    other = queues.send("other", "other")
    await settle_down()
    assert [batch.names for batch in queues.ways.batches] == [["one"], ["other"]]
    queues.ways.batches[0].end()
    await settle_down()
    assert queues.ways.batches[2].names == ["two"]
    for batch in queues.ways.batches[1:]:
        batch.end()
    assert [await one, await two, await other] == ["one", "two", "other"]


async def test_where_batches_build_on_one_another_it_is_in_as_many_as_there_are_lanes() -> None:
    queues = Queues(lanes=2, depth=2)
    sent = []
    for n in range(3):
        sent.append(queues.send("org", str(n)))
        await settle_down()
    assert [batch.names for batch in queues.ways.batches] == [["0"], ["1"]]
    queues.ways.batches[1].end()
    await settle_down()
    assert queues.ways.batches[2].names == ["2"]


async def test_what_waits_is_shared_among_idle_lanes() -> None:
    queues = Queues(lanes=2, depth=2)
    queues.send_many("org", 10)
    await settle_down()
    assert [len(batch.names) for batch in queues.ways.batches] == [5, 5]


# -- decided anew ---------------------------------------------------------------------------------


async def test_what_is_to_be_decided_anew_is_the_first_of_the_next_batch() -> None:
    queues = Queues()
    early = queues.send_many("org", 3)
    await settle_down()
    late = queues.send("org", "late")
    await settle_down()
    queues.ways.batches[0].end("org 0", AGAIN, AGAIN)
    await settle_down()
    assert await early[0] == "org 0"
    assert queues.ways.batches[1].names == ["org 1", "org 2", "late"]
    queues.ways.batches[1].end()
    assert await asyncio.gather(*early, late) == ["org 0", "org 1", "org 2", "late"]
    assert queues.batcher._waiting == 0
    assert not queues.batcher._queues


async def test_of_two_batches_that_are_decided_anew_the_first_stays_the_first() -> None:
    queues = Queues(lanes=2, depth=2, max_batch=2)
    tasks = []
    for name in ("a", "b", "c"):
        tasks.append(queues.send("org", name))
        await settle_down()
    assert [batch.names for batch in queues.ways.batches] == [["a"], ["b"]]
    queues.ways._depth = 1  # others write the account
    queues.ways.batches[0].end(AGAIN)
    await settle_down()
    queues.ways.batches[1].end(AGAIN)
    await settle_down()
    assert queues.ways.batches[2].names == ["a", "b"]
    queues.ways.by_itself = lambda _: True
    queues.ways.batches[2].end()
    assert await asyncio.gather(*tasks) == ["a", "b", "c"]


async def test_what_is_to_be_decided_anew_takes_up_room_until_then() -> None:
    queues = Queues(max_waiting_for_account=3, max_batch=1)
    tasks = queues.send_many("org", 3)
    await settle_down()
    tasks.append(queues.send("org", "more"))
    await settle_down()
    queues.ways.batches[0].end(AGAIN)
    await settle_down()
    assert queues.ways.batches[1].names == ["org 0"]
    with pytest.raises(OverloadedError):
        await queues.batcher.run(Note("org", "one too many"))
    queues.ways.by_itself = lambda _: True
    queues.ways.batches[1].end()
    assert await asyncio.gather(*tasks) == ["org 0", "org 1", "org 2", "more"]


async def test_who_is_gone_before_it_is_decided_anew_leaves_nothing_to_undo() -> None:
    queues = Queues()
    gone, stays = queues.send("org", "gone", undo=True), queues.send("org", "stays")
    await settle_down()
    gone.cancel()
    await settle_down()
    queues.ways.batches[0].end(AGAIN, AGAIN)
    await settle_down()
    assert queues.ways.batches[1].names == ["stays"]
    queues.ways.batches[1].end()
    assert await stays == "stays"
    assert len(queues.ways.batches) == 2


async def test_closing_waits_for_what_is_to_be_decided_anew() -> None:
    queues = Queues()
    async with queues.batcher:
        task = queues.send("org", "one")
        await settle_down()
        closing = asyncio.create_task(queues.batcher.__aexit__(None, None, None))
        await settle_down()
        queues.ways.batches[0].end(AGAIN)
        await settle_down()
        queues.ways.batches[1].end()
        assert await task == "one"
        await closing


# -- bounds ---------------------------------------------------------------------------------------


async def test_a_full_queue_refuses_and_loses_nothing() -> None:
    queues = Queues(max_waiting=20, max_waiting_for_account=15)
    first = await under_way(queues)
    accepted = queues.send_many("a", 15)
    await settle_down()
    with pytest.raises(OverloadedError) as refused:
        await queues.batcher.run(Note("a", "one too many of one account"))
    assert (refused.value.status, refused.value.retry_after_seconds) == (503, 1)
    accepted += queues.send_many("b", 5)
    await settle_down()
    with pytest.raises(OverloadedError):
        await queues.batcher.run(Note("c", "one too many of all"))
    queues.ways.by_itself = lambda _: True
    queues.ways.batches[0].end()
    assert await asyncio.gather(*first, *accepted) == [
        "first",
        *(f"a {n}" for n in range(15)),
        *(f"b {n}" for n in range(5)),
    ]
    assert await queues.batcher.run(Note("a", "there is room again")) == "there is room again"


async def test_what_is_undone_needs_no_room() -> None:
    """A hold that nobody waits for is released however full the queue is, and harms no other."""
    queues = Queues(max_waiting=2, max_waiting_for_account=2)
    cancelled = queues.send("org", "held", undo=True)
    neighbour = queues.send("neighbour", "neighbour")
    await settle_down()
    cancelled.cancel()
    waiting = queues.send_many("org", 2)
    await settle_down()
    queues.ways.by_itself = lambda _: True
    queues.ways.batches[0].end()
    assert await neighbour == "neighbour"
    assert await asyncio.gather(*waiting) == ["org 0", "org 1"]
    await queues.batcher.drained()
    assert [name for batch in queues.ways.batches for name in batch.names].count("undo held") == 1


# -- cancellation ---------------------------------------------------------------------------------


async def test_a_command_that_waits_is_dropped_when_it_is_cancelled() -> None:
    queues = Queues()
    await under_way(queues)
    tasks = queues.send_many("org", 3)
    await settle_down()
    tasks[1].cancel()
    queues.ways.by_itself = lambda _: True
    queues.ways.batches[0].end()
    await asyncio.wait(tasks)
    assert tasks[1].cancelled()
    assert queues.ways.batches[1].names == ["org 0", "org 2"]


async def test_an_account_of_which_all_commands_were_cancelled_is_forgotten() -> None:
    queues = Queues()
    [first] = await under_way(queues)
    tasks = queues.send_many("org", 3)
    await settle_down()
    for task in tasks:
        task.cancel()
    queues.ways.batches[0].end()
    await first
    await queues.batcher.drained()
    assert len(queues.ways.batches) == 1
    assert not queues.batcher._queues
    assert queues.batcher._waiting == 0


async def test_what_is_cancelled_while_it_is_under_way_is_undone() -> None:
    queues = Queues()
    kept = queues.send("org", "kept", undo=True)
    dropped = queues.send("org", "dropped", undo=True)
    without = queues.send("org", "stands")
    await settle_down()
    dropped.cancel()
    without.cancel()
    await settle_down()
    queues.ways.batches[0].end()
    assert await kept == "kept"
    await settle_down()
    assert [batch.names for batch in queues.ways.batches[1:]] == [["undo dropped"]]


async def test_what_is_cancelled_right_after_its_result_was_set_is_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queues = Queues()
    task = queues.send("org", "held", undo=True)
    await settle_down()
    deliver = queues.batcher._deliver

    def deliver_and_cancel(item: Item, outcome: object) -> None:
        deliver(item, outcome)
        assert not task.done()  # its result is there, and it has not gone on yet
        task.cancel()

    monkeypatch.setattr(queues.batcher, "_deliver", deliver_and_cancel)
    queues.ways.batches[0].end()
    await asyncio.wait([task])
    monkeypatch.undo()
    await settle_down()
    assert task.cancelled()
    assert [one.names for one in queues.ways.batches[1:]] == [["undo held"]]


async def test_a_refusal_is_nothing_to_undo() -> None:
    queues = Queues()
    task = queues.send("org", "refused", undo=True)
    await settle_down()
    task.cancel()
    await settle_down()
    queues.ways.batches[0].end(ConflictError())
    await queues.batcher.drained()
    assert len(queues.ways.batches) == 1


async def test_an_undoing_that_fails_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    queues = Queues()
    task = queues.send("org", "held", undo=True)
    await settle_down()
    task.cancel()
    await settle_down()
    queues.ways.batches[0].end()
    await settle_down()
    queues.ways.batches[1].fail(ConflictError("it has ended"))
    await queues.batcher.drained()
    assert "could not be undone: it has ended" in caplog.text


# -- failures -------------------------------------------------------------------------------------


async def test_outcomes_are_told_to_those_whom_they_belong_to() -> None:
    queues = Queues()
    tasks = queues.send_many("org", 3)
    await settle_down()
    queues.ways.batches[0].end("fine", ConflictError("not you"), StoreUnavailableError("nor you"))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes[0] == "fine"
    assert [type(one) for one in outcomes[1:]] == [ConflictError, StoreUnavailableError]


async def test_a_bug_in_a_batch_is_told_to_all_of_it_and_stops_nothing() -> None:
    queues = Queues()
    tasks = queues.send_many("org", 2)
    await settle_down()
    tasks[0].cancel()
    await settle_down()
    queues.ways.batches[0].fail(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await tasks[1]
    queues.ways.by_itself = lambda _: True
    assert await queues.batcher.run(Note("org", "next")) == "next"


async def test_a_batch_that_ends_unlike_any_batch_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = Queues()
    task = queues.send("org", "one")
    await settle_down()

    def broken(key: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(queues.batcher, "_free", broken)
    queues.ways.batches[0].end()
    assert await task == "one"
    await settle_down()
    assert "a batch failed" in caplog.text


# -- closing --------------------------------------------------------------------------------------


async def test_closing_lets_what_was_taken_on_come_to_its_end_and_refuses_the_rest() -> None:
    queues = Queues(max_batch=5)
    async with queues.batcher:
        tasks = queues.send_many("org", 12)
        await settle_down()
        closing = asyncio.create_task(queues.batcher.__aexit__(None, None, None))
        await settle_down()
        with pytest.raises(ShuttingDownError):
            await queues.batcher.run(Note("org", "too late"))
        for n in range(3):
            assert not closing.done()
            queues.ways.batches[n].end()
            await settle_down()
        await closing
        assert await asyncio.gather(*tasks) == [f"org {n}" for n in range(12)]
    assert queues.ways.closed == 2


async def test_what_was_sent_and_has_not_begun_is_carried_out_while_closing() -> None:
    queues = Queues()
    queues.ways.by_itself = lambda _: True
    async with queues.batcher:
        task = queues.send("org", "just in time")
        await asyncio.sleep(0)  # it is in the queue; no batch has begun
        assert not queues.ways.batches
    assert await task == "just in time"


async def test_a_hold_of_somebody_who_went_while_the_gate_closes_is_released() -> None:
    queues = Queues()
    async with queues.batcher:
        task = queues.send("org", "held", undo=True)
        await settle_down()
        task.cancel()
        closing = asyncio.create_task(queues.batcher.__aexit__(None, None, None))
        await settle_down()
        queues.ways.batches[0].end()
        await settle_down()
        assert queues.ways.batches[1].names == ["undo held"]
        queues.ways.batches[1].end()
        await closing


async def test_what_does_not_end_is_given_up_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "DRAIN_SECONDS", 0.0)
    queues = Queues()
    async with queues.batcher:
        begun = queues.send("org", "begun")
        await settle_down()
        waiting = queues.send("org", "waiting")
        gone = queues.send("org", "gone")
        await settle_down()
        gone.cancel()
    with pytest.raises(StoreUnavailableError) as unknown:
        await begun
    assert unknown.value.params["outcome"] == "unknown"
    with pytest.raises(ShuttingDownError):
        await waiting
    assert len(queues.ways.batches) == 1
    assert queues.batcher._waiting == 0

    monkeypatch.undo()
    queues.ways.by_itself = lambda _: True
    async with queues.batcher:  # and a second opening works
        assert await queues.batcher.run(Note("org", "again")) == "again"


async def test_a_batch_that_was_to_begin_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "DRAIN_SECONDS", 0.0)
    queues = Queues()
    async with queues.batcher:
        task = queues.send("org", "about to begin")
        await asyncio.sleep(0)
        queues.batcher._start()  # its task has not had its first turn
    with pytest.raises(StoreUnavailableError):
        await task
    assert not queues.ways.batches


async def test_after_closing_nothing_is_undone_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    queues = Queues()
    async with queues.batcher:
        pass
    queues.batcher._undo(Note("org", "held", undo=True), "held")
    await settle_down()
    assert not queues.ways.batches


async def test_it_can_be_opened_again_on_another_loop() -> None:
    """As by a test client that runs each lifespan in a loop of its own."""
    queues = Queues()
    queues.ways.by_itself = lambda _: True
    queues.batcher._woken = True  # the loop stopped before it came to it

    async def use() -> str:
        async with queues.batcher:
            return await queues.batcher.run(Note("org", "one"))

    for _ in range(2):
        assert await asyncio.to_thread(asyncio.run, use()) == "one"
