"""The inbox: stored once, one claimer for each object, in order, and nothing forgotten."""

import asyncio
from collections import Counter
from datetime import datetime
from functools import partial
from typing import Any, Final

import pytest
from msgspec.structs import replace

from gatekeeper.storage.inbox import MAX_EVENTS_PER_OBJECT
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import ErrorKind, EventStatus, InboxEvent
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND

LEASE = NOW + HOUR

_AFRESH: Final[dict[str, Any]] = {
    "status": EventStatus.PENDING,
    "attempts": 0,
    "last_error": None,
    "error_kind": None,
    "leased_until": None,
}


class InboxConformance:
    """What every store must do with received events. Provide an opened `store` as a fixture."""

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
        await _insert(store, dead, done)
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
            "evt_dead": replace(dead, **_AFRESH, due_at=NOW + SECOND, payload=b"again"),
            "evt_done": done,
            "evt_ignored": ignored,
        }
        for key, event in expected.items():
            assert await store.read(partial(_get, key=key)) == event
        claimed = await _claim(store, now=NOW + SECOND)
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
        await _insert(store, dead, done)
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
            stored = await store.read(partial(_get, key=event.key))
            assert stored is not None
            assert before <= stored.received_at <= after
            assert stored == replace(
                event, received_at=stored.received_at, due_at=stored.received_at
            )
        assert await store.read(partial(_get, key="evt_done")) == done
        found = await store.read(partial(_get, key="evt_dead"))
        assert found is not None
        assert found == replace(dead, **_AFRESH, due_at=found.due_at)
        assert sorted(await _claim(store, now=after)) == ["evt_a", "evt_b", "evt_dead"]

    async def test_case_01_of_racing_arrivals_each_event_is_new_to_one(self, store: Store) -> None:
        keys = [f"evt_{number:02}" for number in range(20)]

        async def arrive(*, turned: bool) -> list[bool]:
            events = [samples.event(key, f"sub_{key[-1]}") for key in keys]
            new = list(await store.arrive(lambda now: events[::-1] if turned else events))
            return new[::-1] if turned else new

        racing = await asyncio.gather(*(arrive(turned=bool(number % 2)) for number in range(6)))
        assert [sum(each) for each in zip(*racing, strict=True)] == [1] * len(keys)

    async def test_a_duplicate_of_a_finished_event_stays_finished(self, store: Store) -> None:
        await _insert(store, samples.event())
        await store.write(lambda tx: tx.inbox.settle("evt_1", EventStatus.DONE))
        assert not await store.write(lambda tx: tx.inbox.insert(samples.event()))
        assert await _claim(store) == []

    async def test_a_claim_leases_what_is_due_oldest_first(self, store: Store) -> None:
        await _insert(
            store,
            samples.event("evt_a", "sub_a", age=1),
            samples.event("evt_b", "sub_b", age=3),
            samples.event("evt_c", "sub_c", age=2),
            samples.event("evt_future", "sub_d", due_at=NOW + SECOND),
            samples.event("evt_done", "sub_e", status=EventStatus.DONE),
        )
        claimed = await store.write(lambda tx: tx.inbox.claim(NOW, LEASE, 10))
        assert [one.key for one in claimed] == ["evt_b", "evt_c", "evt_a"]
        stored = await store.read(lambda tx: tx.inbox.get("evt_b"))
        assert stored is not None
        assert stored == claimed[0]
        assert (stored.attempts, stored.status) == (1, EventStatus.PENDING)

    async def test_a_claim_is_limited(self, store: Store) -> None:
        await _insert(store, *(samples.event(f"evt_{n}", f"sub_{n}", age=9 - n) for n in range(5)))
        assert await _claim(store, limit=2) == ["evt_0", "evt_1"]
        assert await _claim(store, limit=2) == ["evt_2", "evt_3"]
        assert await _claim(store, limit=2) == ["evt_4"]
        assert await _claim(store, limit=2) == []

    async def test_the_due_events_of_an_object_come_together_and_in_order(
        self, store: Store
    ) -> None:
        await _insert(
            store,
            samples.event("evt_3", "sub_a", age=1),
            samples.event("evt_1", "sub_a", age=9),
            samples.event("evt_other", "sub_b", age=5),
            samples.event("evt_2", "sub_a", age=4),
        )
        claimed = await _claim(store, limit=1)  # one object
        assert claimed == ["evt_1", "evt_2", "evt_3"]
        assert await _claim(store, limit=1) == ["evt_other"]

    async def test_events_of_an_object_that_were_stored_together_come_as_stripe_made_them(
        self, store: Store
    ) -> None:
        made = [
            samples.event(key, "sub_a", created_at=NOW + seconds * SECOND)
            for key, seconds in (("evt_b", 1), ("evt_a", 2), ("evt_d", 0), ("evt_c", 0))
        ]

        def store_all(tx: Transaction) -> list[bool]:
            return list(tx.inbox.insert_many(made))

        assert all(await store.write(store_all))
        assert await _claim(store) == ["evt_c", "evt_d", "evt_b", "evt_a"]

    async def test_a_claim_of_one_object_is_bounded(self, store: Store) -> None:
        many = [f"evt_{n:04}" for n in range(MAX_EVENTS_PER_OBJECT + 3)]
        await _insert(store, *(samples.event(key, age=999 - n) for n, key in enumerate(many)))
        first = await _claim(store)
        assert first == many[:MAX_EVENTS_PER_OBJECT]
        assert await _claim(store) == []  # the rest is the same object's

        def settle(tx: Transaction) -> None:
            for key in first:
                tx.inbox.settle(key, EventStatus.DONE)

        await store.write(settle)
        assert await _claim(store) == many[MAX_EVENTS_PER_OBJECT:]

    async def test_an_object_with_a_live_lease_is_skipped(self, store: Store) -> None:
        await _insert(store, samples.event("evt_1", age=2))
        assert await _claim(store) == ["evt_1"]
        await _insert(store, samples.event("evt_2", age=1), samples.event("evt_3", "sub_2"))
        assert await _claim(store) == ["evt_3"]
        await store.write(lambda tx: tx.inbox.settle("evt_1", EventStatus.DONE))
        assert await _claim(store) == ["evt_2"]

    async def test_the_lease_of_an_object_lasts_until_its_last_event_is_settled(
        self, store: Store
    ) -> None:
        await _insert(store, samples.event("evt_1", age=2), samples.event("evt_2", age=1))
        assert await _claim(store) == ["evt_1", "evt_2"]
        await _insert(store, samples.event("evt_3"))
        await store.write(lambda tx: tx.inbox.settle("evt_1", EventStatus.DONE))
        assert await _claim(store) == []
        await store.write(lambda tx: tx.inbox.settle("evt_2", EventStatus.DONE))
        assert await _claim(store) == ["evt_3"]

    async def test_case_03_a_lease_that_ran_out_is_claimed_anew_and_counted(
        self, store: Store
    ) -> None:
        await _insert(store, samples.event("evt_1", age=2), samples.event("evt_2", age=1))
        for attempt in range(1, 4):
            now = NOW + attempt * DAY
            assert await _claim(store, now=now, until=now + HOUR) == ["evt_1", "evt_2"]
            assert await _claim(store, now=now + HOUR - SECOND) == []
            stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
            assert stored is not None
            assert stored.attempts == attempt

    async def test_racing_claimers_never_share_an_object(self, store: Store) -> None:
        await _insert(
            store,
            *(
                samples.event(f"evt_{n:02}_{k}", f"sub_{n}", age=99 - n - k)
                for n in range(12)
                for k in range(3)
            ),
        )
        claims = await asyncio.gather(
            *(store.write(lambda tx: tx.inbox.claim(NOW, LEASE, 4)) for _ in range(8))
        )
        owners = [
            (one.object_key, number) for number, claimed in enumerate(claims) for one in claimed
        ]
        keys = Counter(one.key for claimed in claims for one in claimed)
        assert max(keys.values()) == 1
        assert all(count == 3 for count in Counter(owners).values())
        assert len({owner[0] for owner in set(owners)}) == len(set(owners))
        rest = [await _claim(store, limit=12) for _ in range(2)]
        assert len(keys) + len(rest[0]) == 36
        assert rest[1] == []

    async def test_case_13_a_failed_event_waits_and_others_go_on(self, store: Store) -> None:
        await _insert(store, samples.event("evt_1", "sub_1", age=2))
        await _claim(store)
        await store.write(
            lambda tx: tx.inbox.settle(
                "evt_1", EventStatus.PENDING, due_at=NOW + HOUR, error="it failed"
            )
        )
        await _insert(store, samples.event("evt_2", "sub_2", age=1))
        assert await _claim(store) == ["evt_2"]
        await store.write(lambda tx: tx.inbox.settle("evt_2", EventStatus.DONE))
        stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
        assert stored is not None
        assert (stored.due_at, stored.last_error, stored.attempts) == (NOW + HOUR, "it failed", 1)
        assert stored.status is EventStatus.PENDING
        assert await _claim(store, now=NOW + HOUR) == ["evt_1"]

    @pytest.mark.parametrize("end", [EventStatus.DONE, EventStatus.DEAD, EventStatus.IGNORED])
    async def test_an_ended_event_is_not_claimed_again(
        self, store: Store, end: EventStatus
    ) -> None:
        await _insert(store, samples.event())
        await _claim(store)
        await store.write(lambda tx: tx.inbox.settle("evt_1", end, error="why"))
        assert await _claim(store, now=NOW + 9 * DAY) == []
        stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
        assert stored is not None
        assert (stored.status, stored.last_error) == (end, "why")

    async def test_a_dead_event_can_be_brought_back(self, store: Store) -> None:
        await _insert(store, samples.event(status=EventStatus.DEAD, last_error="it failed"))
        await store.write(lambda tx: tx.inbox.settle("evt_1", EventStatus.PENDING, due_at=NOW))
        assert await _claim(store) == ["evt_1"]
        stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
        assert stored is not None
        assert stored.last_error is None

    async def test_a_duplicate_brings_a_dead_event_back_and_takes_its_body(
        self, store: Store
    ) -> None:
        dead = samples.event(
            status=EventStatus.DEAD, attempts=25, last_error="it failed", payload=None
        )
        await _insert(store, dead)
        again = samples.event(due_at=NOW + SECOND)
        ignored = replace(again, status=EventStatus.IGNORED)
        assert not await store.write(lambda tx: tx.inbox.insert(ignored))
        assert await store.read(lambda tx: tx.inbox.get("evt_1")) == dead
        assert not await store.write(lambda tx: tx.inbox.insert(again))
        expected = replace(dead, **_AFRESH, due_at=NOW + SECOND, payload=again.payload)
        assert await store.read(lambda tx: tx.inbox.get("evt_1")) == expected
        assert await _claim(store, now=NOW + SECOND) == ["evt_1"]
        assert not await store.write(lambda tx: tx.inbox.insert(again))  # leased, it stays so
        assert await _claim(store, now=NOW + SECOND) == []

    async def test_a_lease_that_is_over_settles_and_renews_nothing(self, store: Store) -> None:
        await _insert(store, samples.event("evt_1", age=2), samples.event("evt_2", age=1))
        await _claim(store, until=LEASE)
        about, later = samples.event().object_key, LEASE + HOUR
        assert await _claim(store, now=LEASE, until=later) == ["evt_1", "evt_2"]

        def settle(tx: Transaction, lease: datetime, key: str = "evt_1") -> bool:
            return tx.inbox.settle(key, EventStatus.DONE, lease=lease)

        assert not await store.write(lambda tx: settle(tx, LEASE))
        assert not await store.write(lambda tx: settle(tx, LEASE, "evt_unknown"))
        assert not await store.write(lambda tx: tx.inbox.renew(about, LEASE, later + DAY))
        assert not await store.write(lambda tx: tx.inbox.renew("unknown", LEASE, later))
        stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
        assert stored is not None
        assert (stored.status, stored.leased_until) == (EventStatus.PENDING, later)
        assert await store.write(lambda tx: settle(tx, later))
        assert await store.write(lambda tx: tx.inbox.renew(about, later, later + DAY))
        assert await _claim(store, now=later + HOUR) == []
        assert await store.write(lambda tx: settle(tx, later + DAY, "evt_2"))
        assert not await store.write(lambda tx: tx.inbox.renew(about, later + DAY, later + 2 * DAY))

    async def test_an_attempt_can_be_taken_back(self, store: Store) -> None:
        await _insert(store, samples.event())
        for counted, attempts in ((True, 1), (False, 1), (True, 2)):
            await _claim(store)
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
        await _insert(store, *events.values())
        for name in ("ours", "theirs"):
            await store.write(partial(_complete, name=name))
        found = {"evt_1", "evt_2", "evt_3"}
        for key in (*events, "evt_6"):
            retried = await store.write(partial(_retry, key=key))
            assert retried == (key in found)
        for key, event in events.items():
            again = key in found
            expected = replace(event, **_AFRESH, due_at=NOW + SECOND) if again else event
            assert await store.read(partial(_get, key=key)) == expected
        assert await store.read(lambda tx: tx.inbox.completed("evt_3")) == {"theirs"}
        await store.write(lambda tx: tx.inbox.settle("evt_3", EventStatus.DONE))
        assert await store.write(lambda tx: tx.inbox.retry("evt_3", NOW))
        assert await store.read(lambda tx: tx.inbox.completed("evt_3")) == {"theirs"}

    async def test_case_14_a_completion_is_recorded_once(self, store: Store) -> None:
        await _insert(store, samples.event(), samples.event("evt_2"))
        assert await store.read(lambda tx: tx.inbox.completed("evt_1")) == frozenset()
        racing = await asyncio.gather(
            *(store.write(lambda tx: tx.inbox.complete("evt_1", "grant", NOW)) for _ in range(8))
        )
        assert racing.count(True) == 1
        assert await store.write(lambda tx: tx.inbox.complete("evt_1", "thank_you", NOW))
        found = await store.read(lambda tx: tx.inbox.completed("evt_1"))
        assert found == {"grant", "thank_you"}
        assert await store.read(lambda tx: tx.inbox.completed("evt_2")) == frozenset()

    async def test_events_are_counted_and_listed_by_status(self, store: Store) -> None:
        assert not any((await store.read(lambda tx: tx.inbox.counts())).values())
        await _insert(
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
        await _insert(
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


async def _insert(store: Store, *events: InboxEvent) -> None:
    def work(tx: Transaction) -> list[bool]:
        return [tx.inbox.insert(one) for one in events]

    assert all(await store.write(work))


async def _claim(
    store: Store, *, now: datetime = NOW, until: datetime | None = None, limit: int = 10
) -> list[str]:
    lease_until = until or now + HOUR
    claimed = await store.write(lambda tx: tx.inbox.claim(now, lease_until, limit))
    return [one.key for one in claimed]


async def _insert_one(store: Store, event: InboxEvent) -> bool:
    return await store.write(lambda tx: tx.inbox.insert(event))


def _retry(tx: Transaction, key: str) -> bool:
    return tx.inbox.retry(key, NOW + SECOND, forget="ours")


def _get(tx: Transaction, key: str) -> InboxEvent | None:
    return tx.inbox.get(key)


def _put_back(tx: Transaction, *, counted: bool) -> bool:
    return tx.inbox.settle("evt_1", EventStatus.PENDING, due_at=NOW, counted=counted)


def _complete(tx: Transaction, name: str) -> bool:
    return tx.inbox.complete("evt_3", name, NOW)
