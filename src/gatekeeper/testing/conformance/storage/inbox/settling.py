"""What becomes of an event: completions, failures, another try, and what is kept of it."""

import asyncio
from functools import partial

import pytest
from msgspec.structs import replace

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.inbox.steps import AFRESH, claim, get, insert
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND


class SettlingConformance:
    """What every store must do with the ends of events. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_case_13_a_failed_event_waits_and_others_go_on(self, store: Store) -> None:
        await insert(store, samples.event("evt_1", "sub_1", age=2))
        await claim(store)
        await store.write(
            lambda tx: tx.inbox.settle(
                "evt_1", EventStatus.PENDING, due_at=NOW + HOUR, error="it failed"
            )
        )
        await insert(store, samples.event("evt_2", "sub_2", age=1))
        assert await claim(store) == ["evt_2"]
        await store.write(lambda tx: tx.inbox.settle("evt_2", EventStatus.DONE))
        stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
        assert stored is not None
        assert (stored.due_at, stored.last_error, stored.attempts) == (NOW + HOUR, "it failed", 1)
        assert stored.status is EventStatus.PENDING
        assert await claim(store, now=NOW + HOUR) == ["evt_1"]

    @pytest.mark.parametrize("end", [EventStatus.DONE, EventStatus.DEAD, EventStatus.IGNORED])
    async def test_an_ended_event_is_not_claimed_again(
        self, store: Store, end: EventStatus
    ) -> None:
        await insert(store, samples.event())
        await claim(store)
        await store.write(lambda tx: tx.inbox.settle("evt_1", end, error="why"))
        assert await claim(store, now=NOW + 9 * DAY) == []
        stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
        assert stored is not None
        assert (stored.status, stored.last_error) == (end, "why")

    async def test_a_dead_event_can_be_brought_back(self, store: Store) -> None:
        await insert(store, samples.event(status=EventStatus.DEAD, last_error="it failed"))
        await store.write(lambda tx: tx.inbox.settle("evt_1", EventStatus.PENDING, due_at=NOW))
        assert await claim(store) == ["evt_1"]
        stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
        assert stored is not None
        assert stored.last_error is None

    async def test_an_attempt_can_be_taken_back(self, store: Store) -> None:
        await insert(store, samples.event())
        for counted, attempts in ((True, 1), (False, 1), (True, 2)):
            await claim(store)
            await store.write(partial(_put_back, counted=counted))
            stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
            assert stored is not None
            assert stored.attempts == attempts

    async def test_one_event_that_is_over_is_retried(self, store: Store) -> None:
        ended = {
            "evt_1": EventStatus.DEAD,
            "evt_2": EventStatus.DISCARDED,
            "evt_3": EventStatus.DONE,
            "evt_4": EventStatus.IGNORED,
            "evt_5": EventStatus.PENDING,
        }
        events = {
            key: samples.event(key, f"sub_{key}", status=status, attempts=7, last_error="why")
            for key, status in ended.items()
        }
        await insert(store, *events.values())
        for name in ("ours", "theirs"):
            await store.write(partial(_complete, name=name))
        found = {"evt_1", "evt_2", "evt_3"}
        for key in (*events, "evt_6"):
            retried = await store.write(partial(_retry, key=key))
            assert retried == (key in found)
        for key, event in events.items():
            again = key in found
            expected = replace(event, **AFRESH, due_at=NOW + SECOND) if again else event
            assert await store.read(partial(get, key=key)) == expected
        assert await store.read(lambda tx: tx.inbox.completed("evt_3")) == {"theirs"}
        await store.write(lambda tx: tx.inbox.settle("evt_3", EventStatus.DONE))
        assert await store.write(lambda tx: tx.inbox.retry("evt_3", NOW))
        assert await store.read(lambda tx: tx.inbox.completed("evt_3")) == {"theirs"}

    async def test_case_14_a_completion_is_recorded_once(self, store: Store) -> None:
        await insert(store, samples.event(), samples.event("evt_2"))
        assert await store.read(lambda tx: tx.inbox.completed("evt_1")) == frozenset()
        racing = await asyncio.gather(
            *(store.write(lambda tx: tx.inbox.complete("evt_1", "grant", NOW)) for _ in range(8))
        )
        assert racing.count(True) == 1
        assert await store.write(lambda tx: tx.inbox.complete("evt_1", "thank_you", NOW))
        found = await store.read(lambda tx: tx.inbox.completed("evt_1"))
        assert found == {"grant", "thank_you"}
        assert await store.read(lambda tx: tx.inbox.completed("evt_2")) == frozenset()

    async def test_a_completion_is_taken_off_one_event_and_one_handler(self, store: Store) -> None:
        def work(tx: Transaction) -> list[object]:
            for key in ("evt_1", "evt_2"):
                tx.inbox.insert(samples.event(key))
                for handler in ("grant", "mail", "tell"):
                    tx.inbox.complete(key, handler, NOW)
            taken = tx.inbox.uncomplete("evt_1", ["mail", "grant", "unknown"])
            return [taken, tx.inbox.uncomplete("evt_1", ()), tx.inbox.uncomplete("evt_9", ["mail"])]

        assert await store.write(work) == [2, 0, 0]
        assert await store.read(lambda tx: tx.inbox.completed("evt_1")) == {"tell"}
        assert await store.read(lambda tx: tx.inbox.completed("evt_2")) == {"grant", "mail", "tell"}

    async def test_events_are_counted_and_listed_by_status(self, store: Store) -> None:
        assert not any((await store.read(lambda tx: tx.inbox.counts())).values())
        await insert(
            store,
            samples.event("evt_1", age=1),
            samples.event("evt_2", age=3, status=EventStatus.DEAD),
            samples.event("evt_3", age=4, status=EventStatus.DEAD),
            samples.event("evt_4", age=2, status=EventStatus.DEAD),
        )
        counts = await store.read(lambda tx: tx.inbox.counts())
        assert {status: count for status, count in counts.items() if count} == {
            EventStatus.PENDING: 1,
            EventStatus.DEAD: 3,
        }
        listed = await store.read(lambda tx: tx.inbox.by_status(EventStatus.DEAD, 2))
        assert [one.key for one in listed] == ["evt_3", "evt_2"]
        assert list(await store.read(lambda tx: tx.inbox.by_status(EventStatus.DONE, 2))) == []

    async def test_old_payloads_of_settled_events_are_purged_in_portions(
        self, store: Store
    ) -> None:
        await insert(
            store,
            samples.event("evt_1", age=5, status=EventStatus.DONE),
            samples.event("evt_2", age=4, status=EventStatus.IGNORED),
            samples.event("evt_3", age=3, status=EventStatus.DONE),
            samples.event("evt_waiting", age=9),
            samples.event("evt_young", status=EventStatus.DONE),
        )
        purged = [await store.write(lambda tx: tx.inbox.purge_payloads(NOW, 2)) for _ in range(3)]
        assert purged == [2, 1, 0]

        def payloads(tx: Transaction) -> list[str]:
            keys = ["evt_1", "evt_2", "evt_3", "evt_waiting", "evt_young"]
            events = [tx.inbox.get(key) for key in keys]
            return [one.key for one in events if one is not None and one.payload is not None]

        assert await store.read(payloads) == ["evt_waiting", "evt_young"]
        expected = replace(samples.event("evt_1", age=5, status=EventStatus.DONE), payload=None)
        assert await store.read(lambda tx: tx.inbox.get("evt_1")) == expected


def _retry(tx: Transaction, key: str) -> bool:
    return tx.inbox.retry(key, NOW + SECOND, forget="ours")


def _put_back(tx: Transaction, *, counted: bool) -> bool:
    return tx.inbox.settle("evt_1", EventStatus.PENDING, due_at=NOW, counted=counted)


def _complete(tx: Transaction, name: str) -> bool:
    return tx.inbox.complete("evt_3", name, NOW)
