"""Events are stored once, however often and at once they arrive."""

import asyncio
from datetime import datetime
from functools import partial

import pytest
from msgspec.structs import replace

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import ErrorKind, EventStatus, InboxEvent
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.inbox.steps import AFRESH, claim, get, insert
from gatekeeper.testing.conformance.storage.samples import NOW, SECOND


class ArrivalConformance:
    """What every store must do with events that arrive. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_an_event_comes_back_as_inserted(self, store: Store) -> None:
        full = samples.event(
            account="acct_1",
            livemode=True,
            payload=bytes(range(256)),
            status=EventStatus.DEAD,
            attempts=3,
            last_error="it failed",
            error_kind=ErrorKind.DEPENDENCY,
            twin="acct_1/evt_snapshot",
        )
        bare = samples.event(
            "evt_2", api_version=None, object_type=None, object_id=None, payload=None
        )
        assert await store.write(lambda tx: tx.inbox.insert(full))
        assert await store.write(lambda tx: tx.inbox.insert(bare))
        assert await store.read(lambda tx: tx.inbox.get("evt_1")) == full
        assert await store.read(lambda tx: tx.inbox.get("evt_2")) == bare
        assert await store.read(lambda tx: tx.inbox.get("evt_3")) is None

    async def test_case_01_of_fifty_racing_inserts_exactly_one_is_new(self, store: Store) -> None:
        racers = [samples.event(attempts=number) for number in range(50)]
        new = await asyncio.gather(*(_insert_one(store, one) for one in racers))
        assert new.count(True) == 1
        assert await store.read(lambda tx: tx.inbox.get("evt_1")) == racers[new.index(True)]

    async def test_many_are_inserted_as_one_after_the_other_would_be(self, store: Store) -> None:
        dead = samples.event("evt_dead", status=EventStatus.DEAD, attempts=9, last_error="why")
        done = samples.event("evt_done", status=EventStatus.DONE)
        await insert(store, dead, done)
        again = samples.event("evt_dead", payload=b"again", due_at=NOW + SECOND)
        twice = samples.event("evt_new", "sub_2"), samples.event("evt_new", "sub_2", attempts=1)
        ignored = samples.event("evt_ignored", "sub_3", status=EventStatus.IGNORED)
        many = [twice[0], again, done, ignored, twice[1], samples.event("evt_a", "sub_2")]
        new = await store.write(lambda tx: tx.inbox.insert_many(many))
        assert list(new) == [True, False, False, True, False, True]
        assert await store.write(lambda tx: list(tx.inbox.insert_many([]))) == []
        assert list(await store.write(lambda tx: tx.inbox.insert_many(many))) == [False] * 6
        expected = {
            "evt_new": twice[0],
            "evt_dead": replace(dead, **AFRESH, due_at=NOW + SECOND, payload=b"again"),
            "evt_done": done,
            "evt_ignored": ignored,
        }
        for key, event in expected.items():
            assert await store.read(partial(get, key=key)) == event
        claimed = await claim(store, now=NOW + SECOND)
        assert sorted(claimed) == ["evt_a", "evt_dead", "evt_new"]

    async def test_case_01_of_racing_batches_each_event_is_new_to_one(self, store: Store) -> None:
        keys = [f"evt_{number:02}" for number in range(20)]

        def work(tx: Transaction, *, turned: bool) -> list[bool]:
            events = [samples.event(key, f"sub_{key}") for key in keys]
            new = tx.inbox.insert_many(events[::-1] if turned else events)
            return list(new)[::-1] if turned else list(new)

        racing = await asyncio.gather(
            *(store.write(partial(work, turned=bool(number % 2))) for number in range(6))
        )
        assert [sum(each) for each in zip(*racing, strict=True)] == [1] * len(keys)

    async def test_what_arrives_together_is_stored_once_and_due_at_once(self, store: Store) -> None:
        """Committed by the store itself, and received by the store's clock."""
        dead = samples.event("evt_dead", "sub_1", status=EventStatus.DEAD, attempts=9)
        done = samples.event("evt_done", "sub_1", status=EventStatus.DONE)
        await insert(store, dead, done)
        full = samples.event(
            "evt_a", "sub_2", account="acct_1", livemode=True, twin="acct_1/evt_snapshot"
        )
        bare = samples.event("evt_b", "sub_2", api_version=None, object_type=None, object_id=None)
        other = samples.event("evt_c", "sub_3", status=EventStatus.IGNORED)
        given = [bare, full, full, other, done, replace(dead, status=EventStatus.PENDING)]

        def make(now: datetime) -> list[InboxEvent]:
            return [replace(e, received_at=now, due_at=now, attempts=0) for e in given]

        before = await store.read(lambda tx: tx.now())
        new = await store.arrive(make)
        after = await store.read(lambda tx: tx.now())
        assert list(new) == [True, True, False, True, False, False]
        assert list(await store.arrive(make)) == [False] * 6
        assert list(await store.arrive(lambda now: [])) == []
        for event in (bare, full, other):
            stored = await store.read(partial(get, key=event.key))
            assert stored is not None
            assert before <= stored.received_at <= after
            assert stored == replace(
                event, received_at=stored.received_at, due_at=stored.received_at
            )
        assert await store.read(partial(get, key="evt_done")) == done
        found = await store.read(partial(get, key="evt_dead"))
        assert found is not None
        assert found == replace(dead, **AFRESH, due_at=found.due_at)
        assert sorted(await claim(store, now=after)) == ["evt_a", "evt_b", "evt_dead"]

    async def test_case_01_of_racing_arrivals_each_event_is_new_to_one(self, store: Store) -> None:
        keys = [f"evt_{number:02}" for number in range(20)]

        async def arrive(*, turned: bool) -> list[bool]:
            events = [samples.event(key, f"sub_{key[-1]}") for key in keys]
            new = list(await store.arrive(lambda now: events[::-1] if turned else events))
            return new[::-1] if turned else new

        racing = await asyncio.gather(*(arrive(turned=bool(number % 2)) for number in range(6)))
        assert [sum(each) for each in zip(*racing, strict=True)] == [1] * len(keys)

    async def test_a_duplicate_of_a_finished_event_stays_finished(self, store: Store) -> None:
        await insert(store, samples.event())
        await store.write(lambda tx: tx.inbox.settle("evt_1", EventStatus.DONE))
        assert not await store.write(lambda tx: tx.inbox.insert(samples.event()))
        assert await claim(store) == []

    async def test_a_duplicate_brings_a_dead_event_back_and_takes_its_body(
        self, store: Store
    ) -> None:
        dead = samples.event(
            status=EventStatus.DEAD, attempts=25, last_error="it failed", payload=None
        )
        await insert(store, dead)
        again = samples.event(due_at=NOW + SECOND)
        ignored = replace(again, status=EventStatus.IGNORED)
        assert not await store.write(lambda tx: tx.inbox.insert(ignored))
        assert await store.read(lambda tx: tx.inbox.get("evt_1")) == dead
        assert not await store.write(lambda tx: tx.inbox.insert(again))
        expected = replace(dead, **AFRESH, due_at=NOW + SECOND, payload=again.payload)
        assert await store.read(lambda tx: tx.inbox.get("evt_1")) == expected
        assert await claim(store, now=NOW + SECOND) == ["evt_1"]
        assert not await store.write(lambda tx: tx.inbox.insert(again))  # leased, it stays so
        assert await claim(store, now=NOW + SECOND) == []


async def _insert_one(store: Store, event: InboxEvent) -> bool:
    return await store.write(lambda tx: tx.inbox.insert(event))
