"""Accounts that somebody else has locked: a few wait in the database, the others look again."""

import asyncio

import pytest

from gatekeeper.errors import ConflictError, StoreUnavailableError, TransactionConflictError
from gatekeeper.services.ledger import batcher as batcher_module
from gatekeeper.services.ledger import parking
from gatekeeper.services.ledger.batch import SKIPPED
from gatekeeper.services.ledger.batcher import Batcher
from tests.services_ledger.scripted import Batch, Note, ScriptedWays, settle_down

pytestmark = pytest.mark.anyio


class Lot:
    """A batcher whose accounts `org_n` are all locked, and `count` commands for each of them."""

    def __init__(self, accounts: int, count: int = 1) -> None:
        self.ways = ScriptedWays()
        self.batcher = Batcher(self.ways)
        self.tasks = {
            (n, i): asyncio.create_task(self.batcher.run(Note(f"org_{n}", f"{n}.{i}", undo=True)))
            for n in range(accounts)
            for i in range(count)
        }

    async def skip_all(self) -> None:
        await settle_down()
        self.ways.batches[0].skip()
        await settle_down()

    @property
    def waiters(self) -> list[Batch]:
        return [batch for batch in self.ways.batches if batch.wait]

    @property
    def looks(self) -> list[Batch]:
        return [batch for batch in self.ways.batches[1:] if not batch.wait]

    async def until_looks(self, count: int) -> Batch:
        while len(self.looks) < count:  # noqa: ASYNC110 -- the next look comes by the clock
            await asyncio.sleep(0.001)
        return self.looks[count - 1]


async def test_a_locked_account_waits_for_its_lock_and_its_neighbour_does_not() -> None:
    lot = Lot(2, count=2)
    await settle_down()
    [batch] = lot.ways.batches
    outcomes = [SKIPPED if name.startswith("0") else name for name in batch.names]
    batch.end(*outcomes)
    await settle_down()
    assert [await lot.tasks[1, i] for i in range(2)] == ["1.0", "1.1"]
    [waiter] = lot.waiters
    assert waiter.names == ["0.0", "0.1"]
    waiter.end()
    assert [await lot.tasks[0, i] for i in range(2)] == ["0.0", "0.1"]


async def test_a_few_wait_and_the_others_look_again_together() -> None:
    lot = Lot(10, count=2)
    await lot.skip_all()
    assert [set(one.customers) for one in lot.waiters] == [{f"org_{n}"} for n in range(4)]
    look = await lot.until_looks(1)
    assert set(look.customers) == {f"org_{n}" for n in range(4, 10)}
    free = {"org_5", "org_9"}
    outcomes = [
        name if customer in free else SKIPPED
        for name, customer in zip(look.names, look.customers, strict=True)
    ]
    look.end(*outcomes)
    assert [await lot.tasks[n, i] for n in (5, 9) for i in range(2)] == ["5.0", "5.1", "9.0", "9.1"]
    look = await lot.until_looks(2)
    assert set(look.customers) == {"org_4", "org_6", "org_7", "org_8"}
    look.skip()
    await settle_down()
    lot.waiters[2].end()  # a place is free: whoever has waited longest gets it
    await settle_down()
    assert lot.waiters[4].customers == ["org_4"] * 2
    lot.ways.by_itself = lambda _: True
    for waiter in lot.waiters:
        if waiter is not lot.waiters[2]:
            waiter.end()
    await asyncio.gather(*lot.tasks.values())


async def test_an_account_of_which_a_part_was_carried_out_keeps_the_rest() -> None:
    lot = Lot(5, count=2)
    await lot.skip_all()
    look = await lot.until_looks(1)
    look.end("4.0", SKIPPED)
    assert await lot.tasks[4, 0] == "4.0"
    look = await lot.until_looks(2)
    assert look.names == ["4.1"]
    look.end()
    assert await lot.tasks[4, 1] == "4.1"
    lot.ways.by_itself = lambda _: True
    again = await lot.batcher.run(Note("org_4", "free again"))
    assert again == "free again"
    for waiter in lot.waiters:
        waiter.end()


async def test_no_more_look_at_once_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "MAX_LOOKS", 3)
    lot = Lot(10)
    await lot.skip_all()
    looked: list[str] = []
    for n in (1, 2):
        look = await lot.until_looks(n)
        assert len(look.names) == 3
        looked += look.names
        look.skip()
        await settle_down()
    assert sorted(looked) == [str(float(n)) for n in range(4, 10)]
    lot.ways.by_itself = lambda _: True
    for waiter in lot.waiters:
        waiter.end()
    await asyncio.gather(*lot.tasks.values())


async def test_whoever_has_looked_for_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "PATIENCE_SECONDS", 0.0)
    lot = Lot(5)
    await lot.skip_all()
    (await lot.until_looks(1)).skip()
    with pytest.raises(TransactionConflictError):
        await lot.tasks[4, 0]
    for waiter in lot.waiters:
        waiter.end(TransactionConflictError("the lock was not to be had"))
    outcomes = await asyncio.gather(*lot.tasks.values(), return_exceptions=True)
    assert {type(one) for one in outcomes} == {TransactionConflictError}


async def test_what_was_cancelled_while_it_was_parked_is_undone() -> None:
    lot = Lot(5)
    await lot.skip_all()
    lot.tasks[0, 0].cancel()
    lot.tasks[4, 0].cancel()
    await settle_down()
    look = await lot.until_looks(1)
    lot.ways.by_itself = lambda _: True
    for batch in (look, *lot.waiters):
        batch.end()
    await lot.batcher.drained()
    names = [name for batch in lot.ways.batches for name in batch.names]
    assert {"undo 0.0", "undo 4.0"} <= set(names)
    assert "undo 1.0" not in names


async def test_a_bug_is_told_to_whom_it_belongs(caplog: pytest.LogCaptureFixture) -> None:
    lot = Lot(6)
    await lot.skip_all()
    lot.waiters[0].fail(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await lot.tasks[0, 0]
    await settle_down()
    assert lot.waiters[4].customers == ["org_4"]
    (await lot.until_looks(1)).fail(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await lot.tasks[5, 0]
    assert "commands of locked accounts failed" in caplog.text
    lot.ways.by_itself = lambda _: True
    for waiter in lot.waiters[1:]:
        waiter.end(ConflictError())
    await asyncio.wait(lot.tasks.values())
    assert await lot.batcher.run(Note("org_5", "after it")) == "after it"


async def test_parking_is_given_up_when_the_gate_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "DRAIN_SECONDS", 0.0)
    lot = Lot(6)
    async with lot.batcher:
        await lot.skip_all()
        await lot.until_looks(1)
    outcomes = await asyncio.gather(*lot.tasks.values(), return_exceptions=True)
    assert [type(one) for one in outcomes] == [StoreUnavailableError] * 6


async def test_closing_waits_for_what_is_parked() -> None:
    lot = Lot(6)
    await lot.skip_all()
    closing = asyncio.create_task(lot.batcher.__aexit__(None, None, None))
    lot.ways.by_itself = lambda _: True
    for waiter in lot.waiters:
        waiter.end()
    await closing
    assert await asyncio.gather(*lot.tasks.values()) == [f"{n}.0" for n in range(6)]


async def test_a_place_that_is_free_once_all_is_decided_is_nobodys() -> None:
    lot = Lot(5)
    await lot.skip_all()
    look = await lot.until_looks(1)
    for waiter in lot.waiters:
        waiter.end()
    await settle_down()
    look.end()
    await lot.batcher.drained()
    assert len(lot.ways.batches) == 6
