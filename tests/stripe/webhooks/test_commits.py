"""Group commit of what comes in: one commit for what is there, and every caller for itself."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import anyio
import pytest

from gatekeeper.errors import OverloadedError, StoreUnavailableError
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe.webhooks import IntakeLimits
from gatekeeper.stripe.webhooks.commits import GroupCommit, MakeRow
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.events import invoice, make_event, signed
from tests.stripe.world import ManualClock, World

T = TypeVar("T")

pytestmark = pytest.mark.anyio


class GatedStore(MemoryStore):
    """A store whose writes wait until they are let through; counts them."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.gate = asyncio.Event()
        self.writes = 0

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self.writes += 1
        await self.gate.wait()
        return await super().write(work)


@asynccontextmanager
async def gated(**limits: Any) -> AsyncIterator[tuple[GatedStore, GroupCommit]]:
    async with GatedStore(ManualClock()) as store:
        yield store, GroupCommit(store, IntakeLimits(**limits))


def row(key: str, **changes: Any) -> MakeRow:
    return lambda now: samples.event(key, f"sub_{key}", **changes)


def bad(now: datetime) -> Any:
    raise ValueError("this row can't be made")


async def answers(
    commits: GroupCommit, rows: Sequence[MakeRow], size: int = 1
) -> list[bool | BaseException]:
    tasks = [asyncio.create_task(commits.insert(make, size)) for make in rows]
    return await asyncio.gather(*tasks, return_exceptions=True)


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_arrives_during_a_commit_shares_the_next() -> None:
    async with gated() as (store, commits):
        first = asyncio.create_task(commits.insert(row("evt_0"), 1))
        await settled()
        rest = asyncio.create_task(answers(commits, [row(f"evt_{n}") for n in range(1, 40)]))
        await settled()
        assert (store.writes, commits.waiting) == (1, 39)
        assert not first.done()  # nobody is answered before the commit
        store.gate.set()
        assert await first
        assert await rest == [True] * 39
        assert (store.writes, commits.waiting) == (2, 0)


async def test_a_batch_is_bounded_in_events_and_bytes() -> None:
    async with gated(max_batch=10) as (store, commits):
        store.gate.set()
        assert await answers(commits, [row(f"evt_{n}") for n in range(25)]) == [True] * 25
        assert store.writes == 3
    async with gated(max_batch_bytes=10) as (store, commits):
        store.gate.set()
        assert await answers(commits, [row(f"evt_{n}") for n in range(6)], 4) == [True] * 6
        assert store.writes == 3
        assert await commits.insert(row("evt_big"), 99)  # a large one goes alone


@pytest.mark.parametrize("limits", [{"max_waiting": 2}, {"max_waiting_bytes": 20}])
async def test_a_full_queue_is_a_503_and_takes_more_when_there_is_room(
    limits: dict[str, int],
) -> None:
    async with gated(**limits) as (store, commits):
        under_way = asyncio.create_task(commits.insert(row("evt_0"), 10))
        await settled()
        waiting = asyncio.create_task(answers(commits, [row("evt_1"), row("evt_2")], 10))
        await settled()
        with pytest.raises(OverloadedError) as caught:
            await commits.insert(row("evt_3"), 10)
        assert (caught.value.status, caught.value.retry_after_seconds) == (503, 1)
        store.gate.set()
        assert (await under_way, await waiting) == (True, [True, True])
        assert await commits.insert(row("evt_3"), 10)


async def test_one_bad_row_fails_alone(store: Store) -> None:
    commits = GroupCommit(store)
    found = await answers(commits, [row("evt_1"), bad, row("evt_2")])
    assert (found[0], found[2]) == (True, True)
    assert isinstance(found[1], ValueError)
    counts = await store.read(lambda tx: tx.inbox.counts())
    assert counts == {EventStatus.PENDING: 2}


async def test_a_row_that_the_database_refuses_fails_alone(store_url: str | None) -> None:
    if store_url is None:
        return  # memory takes everything
    text = "\ud800" if store_url.startswith("sqlite") else "a\x00b"
    async with store_for(store_url) as store:
        found = await answers(GroupCommit(store), [row("evt_1"), row("evt_2", type=text)])
    assert found[0] is True
    assert isinstance(found[1], Exception)


async def test_a_caller_who_goes_away_harms_nobody() -> None:
    async with gated() as (store, commits):
        first = asyncio.create_task(commits.insert(row("evt_0"), 1))
        await settled()
        leaving = asyncio.create_task(commits.insert(row("evt_1"), 5))
        staying = asyncio.create_task(commits.insert(row("evt_2"), 5))
        await settled()
        first.cancel()  # its commit is under way, and goes on
        leaving.cancel()  # its own has not begun, and does not
        await settled()
        assert commits.waiting == 1
        store.gate.set()
        assert await staying
        assert (first.cancelled(), leaving.cancelled()) == (True, True)
        stored = await store.read(
            lambda tx: [tx.inbox.get(f"evt_{n}") is not None for n in range(3)]
        )
        assert stored == [True, False, True]


async def test_a_caller_who_goes_away_in_mid_commit_harms_no_neighbour() -> None:
    async with gated() as (store, commits):
        tasks = [asyncio.create_task(commits.insert(row(f"evt_{n}"), 1)) for n in range(3)]
        await settled()
        tasks[1].cancel()
        await settled()
        store.gate.set()
        assert await tasks[0]
        assert await tasks[2]
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]


async def test_a_neighbour_who_has_gone_is_not_told_of_a_failure() -> None:
    async with gated() as (store, commits):
        tasks = [asyncio.create_task(commits.insert(bad, 1)) for _ in range(2)]
        await settled()
        tasks[0].cancel()
        await settled()
        store.gate.set()
        with pytest.raises(ValueError, match="can't be made"):
            await tasks[1]


class OneStuck(MemoryStore):
    """A store whose first write waits, while others go on."""

    locks_rows = True

    def __init__(self) -> None:
        super().__init__(clock=ManualClock())
        self.gate = asyncio.Event()
        self.writes = 0

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self.writes += 1
        if self.writes == 1:
            await self.gate.wait()
        return await super().write(work)


async def test_a_commit_that_is_stuck_keeps_no_bodies_of_those_that_were_answered() -> None:
    async with OneStuck() as store:
        commits = GroupCommit(store)
        stuck = asyncio.create_task(commits.insert(row("evt_0"), 1))
        await settled()
        make = row("evt_1")
        kept = weakref.ref(make)
        assert await asyncio.create_task(commits.insert(make, 1))
        del make
        await settled()
        gc.collect()
        assert not stuck.done()
        assert kept() is None
        store.gate.set()
        assert await stuck


async def test_who_is_stuck_is_told_in_time_and_who_was_answered_behind_it_is_forgotten() -> None:
    async with OneStuck() as store:
        commits = GroupCommit(store)
        stuck = asyncio.create_task(commits.insert(row("evt_0"), 1))
        await settled()
        assert await asyncio.create_task(commits.insert(row("evt_1"), 1))
        commits._unanswered[0] = (0.0, commits._unanswered[0][1])  # its time is over
        commits._expire()
        with pytest.raises(StoreUnavailableError, match="within 10 s"):
            await stuck
        assert not commits._unanswered
        store.gate.set()


async def test_the_timer_of_those_who_were_answered_does_not_end_who_came_later() -> None:
    async with gated(timeout_seconds=60.0) as (store, commits):
        store.gate.set()
        assert await commits.insert(row("evt_0"), 1)
        store.gate.clear()
        later = asyncio.create_task(commits.insert(row("evt_1"), 1))
        await settled()
        commits._expire()  # as the timer of the first one does
        assert not later.done()
        assert commits._timer is not None
        store.gate.set()
        assert await later


def test_an_endpoint_outlives_its_event_loop() -> None:
    """As it does in a host that runs one loop for each request."""
    store = MemoryStore(clock=ManualClock())
    commits = GroupCommit(store)

    async def once(key: str) -> bool:
        async with store:
            return await commits.insert(row(key), 1)

    assert asyncio.run(once("evt_0"))
    assert asyncio.run(once("evt_1"))
    assert not asyncio.run(once("evt_0"))


async def test_case_61_what_takes_too_long_is_a_503_and_the_next_is_stored() -> None:
    async with gated(timeout_seconds=0.02) as (store, commits):
        found = await answers(commits, [row("evt_0"), row("evt_1")])
        assert [type(one) for one in found] == [StoreUnavailableError] * 2
        store.gate.set()
        assert await commits.insert(row("evt_0"), 1)


async def test_case_61_an_outage_is_told_to_everyone() -> None:
    async with MemoryStore(clock=ManualClock()) as store:
        commits = GroupCommit(store)
    found = await answers(commits, [row("evt_1"), row("evt_2")])
    assert [type(one) for one in found] == [StoreUnavailableError] * 2


async def test_when_the_loop_is_stopped_those_who_wait_are_told() -> None:
    async with gated() as (_store, commits):
        task = asyncio.create_task(commits.insert(row("evt_0"), 1))
        await settled()
        (under_way,) = commits._tasks
        under_way.cancel()
        with pytest.raises(StoreUnavailableError, match="stopping"):
            await task


async def test_case_01_a_burst_with_duplicates_is_stored_once_each(world: World) -> None:
    events = [make_event("invoice.paid", invoice(f"in_{n % 3}"), id=f"evt_{n}") for n in range(30)]
    found: list[bool] = []

    async def deliver(event: dict[str, Any]) -> None:
        found.append(await world.receiver.receive(*signed(event, at=world.clock.now)))

    async with anyio.create_task_group() as group:
        for event in (*events, *events[:6]):
            group.start_soon(deliver, event)
    assert (found.count(True), found.count(False)) == (30, 6)
    assert await world.counts() == {EventStatus.PENDING: 30}
    claimed = await world.store.write(lambda tx: tx.inbox.claim(tx.now(), tx.now(), 10))
    assert len(claimed) == 30  # every object has its row
