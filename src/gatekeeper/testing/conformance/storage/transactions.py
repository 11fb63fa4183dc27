"""Transactions: all or nothing, one after another, and callbacks only for what was committed."""

import asyncio
import logging
from datetime import UTC, timedelta
from functools import partial

import pytest

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, Stamp
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import NOW


class Boom(Exception):
    """What a failing piece of work raises."""


class TransactionConformance:
    """What every store must do with a transaction. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_write_returns_what_the_work_returns(self, store: Store) -> None:
        assert await store.write(lambda tx: ("answer", 42)) == ("answer", 42)

    async def test_what_was_written_can_be_read(self, store: Store) -> None:
        await store.write(lambda tx: tx.customers.insert(samples.customer()))
        assert await store.read(lambda tx: tx.customers.get("ada")) == samples.customer()

    async def test_a_transaction_sees_its_own_writes(self, store: Store) -> None:
        def work(tx: Transaction) -> object:
            tx.customers.insert(samples.customer())
            tx.customers.touch("ada")
            found = tx.customers.get("ada")
            return found and found.version

        assert await store.write(work) == 1

    async def test_an_error_undoes_everything(self, store: Store) -> None:
        await store.write(_write_one_of_each)
        before = await store.read(_all_of_it)

        def fail(tx: Transaction) -> None:
            _change_one_of_each(tx)
            raise Boom

        with pytest.raises(Boom):
            await store.write(fail)
        assert await store.read(_all_of_it) == before

    async def test_after_an_error_the_same_work_can_succeed(self, store: Store) -> None:
        def fail(tx: Transaction) -> None:
            _write_one_of_each(tx)
            raise Boom

        with pytest.raises(Boom):
            await store.write(fail)
        await store.write(_write_one_of_each)
        assert (await store.read(_all_of_it))[0] is not None

    async def test_an_error_gives_back_the_ids_that_it_had_taken(self, store: Store) -> None:
        def fail(tx: Transaction) -> None:
            samples.fund(tx, 10, source_key="in_1")
            tx.inbox.insert(samples.event())
            raise Boom

        with pytest.raises(Boom):
            await store.write(fail)
        assert await store.read(lambda tx: tx.ledger.grant_by_source("in_1")) is None
        assert await store.write(lambda tx: tx.inbox.insert(samples.event()))
        await store.write(lambda tx: samples.fund(tx, 10, source_key="in_1"))

    async def test_callbacks_run_in_order_after_the_commit(self, store: Store) -> None:
        called: list[str] = []

        def work(tx: Transaction) -> None:
            called.clear()  # the work may be run again
            tx.customers.insert(samples.customer())
            tx.after_commit(lambda: called.append("first"))
            tx.after_commit(lambda: called.append("second"))
            assert called == []

        await store.write(work)
        assert called == ["first", "second"]
        await store.write(lambda tx: None)
        assert called == ["first", "second"]

    async def test_callbacks_do_not_run_after_an_error(self, store: Store) -> None:
        called: list[str] = []

        def fail(tx: Transaction) -> None:
            tx.after_commit(lambda: called.append("never"))
            raise Boom

        with pytest.raises(Boom):
            await store.write(fail)
        await store.write(lambda tx: None)
        assert called == []

    async def test_a_failing_callback_does_not_look_like_a_failed_write(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        called: list[str] = []

        def fail() -> None:
            raise Boom

        def work(tx: Transaction) -> str:
            tx.customers.insert(samples.customer())
            tx.after_commit(fail)
            tx.after_commit(lambda: called.append("the next"))
            return "written"

        with caplog.at_level(logging.ERROR):
            assert await store.write(work) == "written"
        assert called == ["the next"]
        assert any(record.exc_info for record in caplog.records)

    async def test_the_clock_is_aware_and_in_utc(self, store: Store) -> None:
        now = await store.write(lambda tx: tx.now())
        assert now.tzinfo is UTC
        assert now.utcoffset() == timedelta(0)

    async def test_concurrent_writes_all_take_effect(self, store: Store) -> None:
        ids = [f"customer {number}" for number in range(20)]
        inserted = await asyncio.gather(*(_insert(store, one) for one in ids))
        assert all(inserted)

        def found(tx: Transaction) -> list[bool]:
            return [tx.customers.get(one) is not None for one in ids]

        assert all(await store.read(found))

    async def test_one_failing_write_leaves_its_neighbours_alone(self, store: Store) -> None:
        def fail(tx: Transaction) -> bool:
            tx.customers.insert(samples.customer("failing"))
            raise Boom

        results = await asyncio.gather(
            *(_insert(store, one) for one in "abc"),
            store.write(fail),
            *(_insert(store, one) for one in "def"),
            return_exceptions=True,
        )
        assert [result for result in results if result is not True] == [results[3]]
        assert isinstance(results[3], Boom)
        assert await store.read(lambda tx: tx.customers.get("failing")) is None

    async def test_a_read_does_not_write(self, store: Store) -> None:
        with pytest.raises(Exception, match=r".") as caught:  # its class is the database's affair
            await store.read(lambda tx: tx.customers.insert(samples.customer()))
        assert not isinstance(caught.value, AssertionError)
        assert await store.read(lambda tx: tx.customers.get("ada")) is None

    async def test_the_first_stamp_stays(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.stamp()) is None
        first = Stamp(account="acct_1", livemode=False)
        await store.write(lambda tx: tx.put_stamp(first))
        await store.write(lambda tx: tx.put_stamp(Stamp(account="acct_2", livemode=True)))
        assert await store.read(lambda tx: tx.stamp()) == first

    async def test_racing_stamps_agree_on_one(self, store: Store) -> None:
        def stamp(tx: Transaction, account: str) -> Stamp | None:
            tx.put_stamp(Stamp(account=account, livemode=True))
            return tx.stamp()

        await asyncio.gather(*(store.write(partial(stamp, account=f"acct_{n}")) for n in range(8)))
        seen = {(await store.read(lambda tx: tx.stamp())) for _ in range(2)}
        assert len(seen) == 1
        assert None not in seen


def _write_one_of_each(tx: Transaction) -> None:
    tx.customers.insert(samples.customer(stripe_id="cus_1"))
    tx.subscriptions.save(samples.subscription(), [samples.item()])
    tx.subscriptions.add_paid_lines("ada", [samples.paid_line()])
    tx.subscriptions.save_invoice(samples.invoice())
    samples.fund(tx, 100)
    samples.hold(tx)
    tx.purchases.insert(samples.purchase(checkout_session_id="cs_1"))
    tx.inbox.insert(samples.event())
    tx.outbox.add([samples.message()])


def _change_one_of_each(tx: Transaction) -> None:
    tx.customers.save(samples.customer(stripe_id="cus_2", email="ada@example.org"))
    tx.customers.touch("ada")
    tx.subscriptions.save(samples.subscription(status="canceled", ended_at=NOW), [])
    tx.subscriptions.set_unpaid_since("sub_1", NOW)
    tx.subscriptions.add_paid_lines("ada", [samples.paid_line("il_2")])
    tx.subscriptions.save_invoice(samples.invoice(status="paid"))
    samples.fund(tx, 5, grant_id="grant_2")
    samples.hold(tx, "hold_2")
    tx.purchases.save(samples.purchase(checkout_session_id="cs_2"))
    tx.inbox.settle("evt_1", EventStatus.DONE)
    tx.inbox.insert(samples.event("evt_2"))
    tx.inbox.complete("evt_1", "handler", NOW)
    tx.outbox.sent("msg_1", NOW)
    tx.put_stamp(Stamp(account="acct_1", livemode=True))


def _all_of_it(tx: Transaction) -> tuple[object, ...]:
    return (
        tx.customers.get("ada"),
        tx.customers.by_stripe_id("cus_1"),
        tx.customers.by_stripe_id("cus_2"),
        tx.customers.state("ada"),
        tx.subscriptions.get("sub_1"),
        tx.subscriptions.oldest_unpaid("sub_1"),
        tx.ledger.accounts("ada"),
        tx.ledger.entries("ada", "credits", 0, 100),
        tx.ledger.open_holds("ada", "credits"),
        tx.purchases.by_session("cs_1"),
        tx.purchases.by_session("cs_2"),
        tx.inbox.get("evt_1"),
        tx.inbox.get("evt_2"),
        tx.inbox.completed("evt_1"),
        tx.stamp(),
    )


async def _insert(store: Store, customer_id: str) -> bool:
    return await store.write(lambda tx: tx.customers.insert(samples.customer(customer_id)))
