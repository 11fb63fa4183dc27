"""What is the memory store's own: threads, no joining, and what outlives a close."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gatekeeper.errors import (
    ConflictError,
    HostTransactionError,
    StoreUnavailableError,
    TransactionConflictError,
)
from gatekeeper.ledger import Change
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.port import Transaction
from gatekeeper.testing.conformance.storage import samples

pytestmark = pytest.mark.anyio


async def test_writers_of_several_threads_lose_no_update() -> None:
    store = MemoryStore()
    await store.open()
    await store.write(lambda tx: tx.customers.insert(samples.customer()))
    start = threading.Barrier(8)

    def run() -> None:
        start.wait()
        for _ in range(25):
            asyncio.run(store.write(lambda tx: tx.customers.touch("ada")))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    stored = await store.read(lambda tx: tx.customers.get("ada"))
    assert stored is not None
    assert stored.version == 200


async def test_it_can_not_join_a_hosts_transaction() -> None:
    async with MemoryStore() as store:
        with pytest.raises(HostTransactionError):
            store.join(object())
        with pytest.raises(HostTransactionError):
            store.join_sync(object())


async def test_it_answers_only_while_it_is_open_and_forgets_nothing_meanwhile() -> None:
    store = MemoryStore()
    with pytest.raises(StoreUnavailableError):
        await store.write(lambda tx: None)
    async with store:
        await store.write(lambda tx: tx.customers.insert(samples.customer()))
    with pytest.raises(StoreUnavailableError):
        await store.read(lambda tx: None)
    async with store:
        assert await store.read(lambda tx: tx.customers.get("ada")) == samples.customer()


async def test_a_transaction_inside_a_transaction_is_refused() -> None:
    async with MemoryStore() as store:

        def nested(tx: Transaction) -> None:
            tx.customers.insert(samples.customer())
            store.write(lambda inner: None).send(None)

        with pytest.raises(RuntimeError, match="another one"):
            await store.write(nested)
        assert await store.read(lambda tx: tx.customers.get("ada")) is None


async def test_its_clock_can_be_set_and_is_told_in_utc() -> None:
    there = datetime(2026, 3, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    async with MemoryStore(clock=lambda: there) as store:
        now = await store.read(lambda tx: tx.now())
    assert (now, now.tzinfo) == (datetime(2026, 3, 1, tzinfo=UTC), UTC)


async def test_an_entry_of_a_number_that_is_taken_is_refused() -> None:
    async with MemoryStore() as store:
        funded = await store.write(lambda tx: samples.fund(tx, 5))
        again = Change(funded.account, funded.entries)
        with pytest.raises(TransactionConflictError):
            await store.write(lambda tx: tx.ledger.save(funded.account, again))


async def test_what_is_not_there_is_not_changed() -> None:
    def change(tx: Transaction) -> None:
        tx.customers.save(samples.customer())
        tx.purchases.save(samples.purchase())
        tx.subscriptions.set_unpaid_since("sub_1", samples.NOW)
        tx.subscriptions.set_unpaid_since("sub_1", None)
        tx.inbox.settle("evt_1", samples.event().status)
        tx.outbox.sent("msg_1", samples.NOW)
        tx.outbox.failed("msg_1", "error", due_at=None)

    def found(tx: Transaction) -> list[object]:
        return [tx.customers.get("ada"), tx.purchases.get("pur_1"), tx.inbox.get("evt_1")]

    async with MemoryStore() as store:
        await store.write(change)
        assert await store.read(found) == [None, None, None]


async def test_a_stripe_id_that_is_taken_refuses_an_insert_too() -> None:
    async with MemoryStore() as store:
        await store.write(lambda tx: tx.customers.insert(samples.customer(stripe_id="cus_1")))
        other = samples.customer("bob", stripe_id="cus_1")
        with pytest.raises(ConflictError):
            await store.write(lambda tx: tx.customers.insert(other))


def test_rolling_back_undoes_puts_and_deletes_in_reverse() -> None:
    journal = Journal()
    table: Table[str, int] = Table(journal)
    with journal.transaction():
        table.put("kept", 1)
        table.put("gone", 2)

    def fail() -> None:
        with journal.transaction():
            table.put("kept", 3)
            table.put("kept", 4)
            assert table.delete("gone")
            assert not table.delete("gone")
            assert table.insert("gone", 5)
            assert not table.insert("gone", 6)
            table.put("new", 7)
            table.delete("new")
            table.put("new", 8)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert dict(table.items()) == {"kept": 1, "gone": 2}
    with pytest.raises(RuntimeError, match="can't write"):
        table.put("kept", 9)
