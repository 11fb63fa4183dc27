"""Claiming, with two PostgreSQL transactions at once."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from gatekeeper.storage.inbox import MAX_EVENTS_PER_OBJECT
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import NOW, SECOND
from tests.storage.sql.two import two_transactions

pytestmark = pytest.mark.anyio

LEASE = timedelta(minutes=5)


def claim(tx: Transaction, limit: int = 10) -> list[str]:
    return [event.key for event in tx.inbox.claim(NOW, NOW + LEASE, limit)]


async def test_what_is_being_claimed_is_skipped_without_waiting(
    migrated_postgres_url: str,
) -> None:
    async with two_transactions(migrated_postgres_url) as (first, second, _):
        await first.do(lambda tx: tx.inbox.insert(samples.event("evt_1", about="sub_1", age=2)))
        await first.do(lambda tx: tx.inbox.insert(samples.event("evt_2", about="sub_2", age=1)))
        await first.commit()
        assert await first.do(lambda tx: claim(tx, limit=1)) == ["evt_1"]
        assert await second.do(claim) == ["evt_2"]
        await first.commit()
        await second.commit()


async def test_an_event_that_comes_while_its_object_is_claimed_is_nobody_elses(
    migrated_postgres_url: str,
) -> None:
    async with two_transactions(migrated_postgres_url) as (first, second, _):
        await first.do(lambda tx: tx.inbox.insert(samples.event("evt_1", age=2)))
        await first.commit()
        assert await first.do(claim) == ["evt_1"]
        await second.do(lambda tx: tx.inbox.insert(samples.event("evt_2", age=1)))
        await second.commit()
        assert await second.do(claim) == []
        await first.commit()
        assert await second.do(claim) == []
        await second.commit()
        await first.do(lambda tx: tx.inbox.settle("evt_1", EventStatus.DONE))
        await first.commit()
        assert await second.do(claim) == ["evt_2"]


async def test_two_events_settled_at_once_free_their_object(migrated_postgres_url: str) -> None:
    async with two_transactions(migrated_postgres_url) as (first, second, observer):
        await first.do(lambda tx: tx.inbox.insert(samples.event("evt_1")))
        await first.do(lambda tx: tx.inbox.insert(samples.event("evt_2")))
        await first.do(claim)
        await first.commit()
        await first.do(lambda tx: tx.inbox.settle("evt_1", EventStatus.DONE))
        waiting = asyncio.create_task(
            second.do(lambda tx: tx.inbox.settle("evt_2", EventStatus.DONE))
        )
        await observer.until_waiting(second, waiting)
        await first.commit()
        await waiting
        await second.commit()
        await first.do(lambda tx: tx.inbox.insert(samples.event("evt_3")))
        assert await first.do(claim) == ["evt_3"]


async def test_an_event_is_stored_while_its_object_is_being_written(
    migrated_postgres_url: str,
) -> None:
    """A webhook's answer never waits for a handler's transaction."""
    async with two_transactions(migrated_postgres_url) as (first, second, _):
        await first.do(lambda tx: tx.inbox.insert(samples.event("evt_1")))
        ticket = await first.do(lambda tx: tx.inbox.take_ticket("subscription:sub_1"))
        await first.commit()
        await first.do(lambda tx: tx.inbox.use_ticket("subscription:sub_1", ticket, terminal=False))
        async with asyncio.timeout(10):
            assert await second.do(lambda tx: tx.inbox.insert(samples.event("evt_2")))
            await second.commit()


async def test_racing_tickets_of_a_new_object_differ(migrated_postgres_url: str) -> None:
    async with two_transactions(migrated_postgres_url) as (first, second, observer):
        one = await first.do(lambda tx: tx.inbox.take_ticket("subscription:new"))
        waiting = asyncio.create_task(
            second.do(lambda tx: tx.inbox.take_ticket("subscription:new"))
        )
        await observer.until_waiting(second, waiting)
        await first.commit()
        assert {one, await waiting} == {1, 2}


async def test_a_message_that_is_being_claimed_is_skipped_and_what_follows_it_waits(
    migrated_postgres_url: str,
) -> None:
    async with two_transactions(migrated_postgres_url) as (first, second, _):
        messages = [
            samples.message("msg_1", age=3),
            samples.message("msg_2", age=2),
            samples.message("msg_3", "bob", age=1),
        ]
        await first.do(lambda tx: tx.outbox.add(messages))
        await first.commit()

        def claim_one(tx: Transaction) -> list[str]:
            return [message.id for message in tx.outbox.claim(NOW, NOW + LEASE, 1)]

        assert await first.do(claim_one) == ["msg_1"]
        assert await second.do(claim_one) == ["msg_3"]
        await second.commit()
        await first.commit()
        await first.do(lambda tx: tx.outbox.sent("msg_1", NOW))
        assert await second.do(claim_one) == []  # not committed yet
        await first.commit()
        assert await second.do(claim_one) == ["msg_2"]


async def test_many_claimers_share_the_events_and_no_object(database_url: str) -> None:
    async with store_for(database_url) as store:

        def fill(tx: Transaction) -> None:
            for number in range(120):
                about = f"sub_{number % 30}"
                tx.inbox.insert(samples.event(f"evt_{number}", about=about, age=200 - number))

        await store.write(fill)
        claimed: list[list[InboxEvent]] = []

        async def work_until_empty() -> None:
            while events := await store.write(lambda tx: tx.inbox.claim(NOW, NOW + LEASE, 4)):
                claimed.append(list(events))

        await asyncio.gather(*(work_until_empty() for _ in range(8)))
        # A claimer that met only locked objects may have gone home early; the rest is for the last.
        await work_until_empty()
        times = Counter(event.key for events in claimed for event in events)
        assert times == {f"evt_{number}": 1 for number in range(120)}
        claims_of = Counter(
            object_key for events in claimed for object_key in {one.object_key for one in events}
        )
        assert set(claims_of.values()) == {1}


async def test_a_claim_brings_a_bounded_part_of_a_flood_and_the_rest_later(
    store: SqlStore,
) -> None:
    total = MAX_EVENTS_PER_OBJECT + 5

    def fill(tx: Transaction) -> None:
        for number in range(total):
            tx.inbox.insert(samples.event(f"evt_{number:03}", age=total - number))

    await store.write(fill)
    first = await store.write(claim)
    assert first == [f"evt_{number:03}" for number in range(MAX_EVENTS_PER_OBJECT)]
    assert await store.write(claim) == []

    def settle_all(tx: Transaction) -> None:
        for key in first:
            tx.inbox.settle(key, EventStatus.DONE)

    await store.write(settle_all)
    assert len(await store.write(claim)) == 5


async def test_a_lapsed_lease_does_not_keep_its_object_when_its_successor_is_settled(
    store: SqlStore,
) -> None:
    """The first claimer died with events that the second one's claim did not bring."""
    total = MAX_EVENTS_PER_OBJECT + 1

    def fill(tx: Transaction) -> None:
        for number in range(1, total):
            tx.inbox.insert(samples.event(f"evt_{number:03}", age=total - number))

    await store.write(fill)
    await store.write(claim)
    await store.write(lambda tx: tx.inbox.insert(samples.event("evt_000", age=total)))
    later = NOW + LEASE + SECOND
    second = await store.write(lambda tx: tx.inbox.claim(later, later + LEASE, 1))
    assert [second[0].key, second[-1].key] == ["evt_000", "evt_099"]

    def settle_all(tx: Transaction) -> None:
        for event in second:
            tx.inbox.settle(event.key, EventStatus.DONE)

    await store.write(settle_all)
    third = await store.write(lambda tx: tx.inbox.claim(later, later + LEASE, 1))
    assert [event.key for event in third] == ["evt_100"]


async def test_an_error_is_kept_within_bounds_and_without_what_cannot_be_stored(
    store: SqlStore,
) -> None:
    await store.write(lambda tx: tx.inbox.insert(samples.event()))
    await store.write(claim)
    error = "bad \x00 and \ud800 " + "x" * 10_000
    await store.write(lambda tx: tx.inbox.settle("evt_1", EventStatus.DEAD, error=error))
    found = await store.read(lambda tx: tx.inbox.get("evt_1"))
    assert found is not None
    assert found.last_error is not None
    assert found.last_error.startswith("bad \N{REPLACEMENT CHARACTER} and ? x")
    assert len(found.last_error) == 2_000


async def test_settling_an_unknown_event_changes_nothing(store: SqlStore) -> None:
    await store.write(lambda tx: tx.inbox.settle("evt_none", EventStatus.DONE))
    assert await store.read(lambda tx: tx.inbox.counts()) == {}
