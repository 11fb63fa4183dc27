"""One claimer for each object, its events in order, and a lease that runs out."""

import asyncio
from collections import Counter
from datetime import datetime

import pytest

from gatekeeper.storage.inbox import MAX_EVENTS_PER_OBJECT
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.inbox.steps import claim, insert
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND

LEASE = NOW + HOUR


class ClaimConformance:
    """What every store must do with claims of events. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_claim_leases_what_is_due_oldest_first(self, store: Store) -> None:
        await insert(
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
        await insert(store, *(samples.event(f"evt_{n}", f"sub_{n}", age=9 - n) for n in range(5)))
        assert await claim(store, limit=2) == ["evt_0", "evt_1"]
        assert await claim(store, limit=2) == ["evt_2", "evt_3"]
        assert await claim(store, limit=2) == ["evt_4"]
        assert await claim(store, limit=2) == []

    async def test_the_due_events_of_an_object_come_together_and_in_order(
        self, store: Store
    ) -> None:
        await insert(
            store,
            samples.event("evt_3", "sub_a", age=1),
            samples.event("evt_1", "sub_a", age=9),
            samples.event("evt_other", "sub_b", age=5),
            samples.event("evt_2", "sub_a", age=4),
        )
        claimed = await claim(store, limit=1)  # one object
        assert claimed == ["evt_1", "evt_2", "evt_3"]
        assert await claim(store, limit=1) == ["evt_other"]

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
        assert await claim(store) == ["evt_c", "evt_d", "evt_b", "evt_a"]

    async def test_a_claim_of_one_object_is_bounded(self, store: Store) -> None:
        many = [f"evt_{n:04}" for n in range(MAX_EVENTS_PER_OBJECT + 3)]
        await insert(store, *(samples.event(key, age=999 - n) for n, key in enumerate(many)))
        first = await claim(store)
        assert first == many[:MAX_EVENTS_PER_OBJECT]
        assert await claim(store) == []  # the rest is the same object's

        def settle(tx: Transaction) -> None:
            for key in first:
                tx.inbox.settle(key, EventStatus.DONE)

        await store.write(settle)
        assert await claim(store) == many[MAX_EVENTS_PER_OBJECT:]

    async def test_an_object_with_a_live_lease_is_skipped(self, store: Store) -> None:
        await insert(store, samples.event("evt_1", age=2))
        assert await claim(store) == ["evt_1"]
        await insert(store, samples.event("evt_2", age=1), samples.event("evt_3", "sub_2"))
        assert await claim(store) == ["evt_3"]
        await store.write(lambda tx: tx.inbox.settle("evt_1", EventStatus.DONE))
        assert await claim(store) == ["evt_2"]

    async def test_the_lease_of_an_object_lasts_until_its_last_event_is_settled(
        self, store: Store
    ) -> None:
        await insert(store, samples.event("evt_1", age=2), samples.event("evt_2", age=1))
        assert await claim(store) == ["evt_1", "evt_2"]
        await insert(store, samples.event("evt_3"))
        await store.write(lambda tx: tx.inbox.settle("evt_1", EventStatus.DONE))
        assert await claim(store) == []
        await store.write(lambda tx: tx.inbox.settle("evt_2", EventStatus.DONE))
        assert await claim(store) == ["evt_3"]

    async def test_case_03_a_lease_that_ran_out_is_claimed_anew_and_counted(
        self, store: Store
    ) -> None:
        await insert(store, samples.event("evt_1", age=2), samples.event("evt_2", age=1))
        for attempt in range(1, 4):
            now = NOW + attempt * DAY
            assert await claim(store, now=now, until=now + HOUR) == ["evt_1", "evt_2"]
            assert await claim(store, now=now + HOUR - SECOND) == []
            stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
            assert stored is not None
            assert stored.attempts == attempt

    async def test_racing_claimers_never_share_an_object(self, store: Store) -> None:
        await insert(
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
        rest = [await claim(store, limit=12) for _ in range(2)]
        assert len(keys) + len(rest[0]) == 36
        assert rest[1] == []

    async def test_a_lease_that_is_over_settles_and_renews_nothing(self, store: Store) -> None:
        await insert(store, samples.event("evt_1", age=2), samples.event("evt_2", age=1))
        await claim(store, until=LEASE)
        about, later = samples.event().object_key, LEASE + HOUR
        assert await claim(store, now=LEASE, until=later) == ["evt_1", "evt_2"]

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
        assert await claim(store, now=later + HOUR) == []
        assert await store.write(lambda tx: settle(tx, later + DAY, "evt_2"))
        assert not await store.write(lambda tx: tx.inbox.renew(about, later + DAY, later + 2 * DAY))
