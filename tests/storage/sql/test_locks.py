"""What two PostgreSQL transactions at once see of each other."""

import asyncio
from functools import partial

import pytest

from gatekeeper.errors import TransactionConflictError
from gatekeeper.ledger import Reserve, apply
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW
from tests.storage.sql.two import two_transactions

pytestmark = pytest.mark.anyio


async def test_a_waiter_sees_the_account_and_its_grants_as_the_other_left_them(
    migrated_postgres_url: str,
) -> None:
    """The trap of READ COMMITTED: a waiter's statement began before the other's commit."""
    async with two_transactions(migrated_postgres_url) as (first, second, observer):
        await first.do(lambda tx: samples.fund(tx, 100))
        await first.commit()
        await first.do(lambda tx: samples.hold(tx, amount=60))
        waiting = asyncio.create_task(
            second.do(lambda tx: tx.ledger.account("ada", "credits", lock=True))
        )
        await observer.until_waiting(second, waiting)
        await first.do(lambda tx: samples.fund(tx, 7, grant_id="grant_2"))
        await first.commit()

        seen = await waiting
        assert (seen.posted, seen.held, seen.version) == (107, 60, 3)
        assert {grant.id: (grant.remaining, grant.held) for grant in seen.grants} == {
            "grant_1": (40, 60),
            "grant_2": (7, 0),
        }
        change = apply(seen, Reserve("hold_2", 47, NOW + HOUR), NOW)
        await second.do(lambda tx: tx.ledger.save(seen, change))
        await second.commit()


async def test_two_first_commands_meet_on_the_new_row(migrated_postgres_url: str) -> None:
    async with two_transactions(migrated_postgres_url) as (first, second, observer):
        await first.do(lambda tx: samples.fund(tx, 100))
        waiting = asyncio.create_task(
            second.do(lambda tx: samples.fund(tx, 1, grant_id="grant_2").account.posted)
        )
        await observer.until_waiting(second, waiting)
        await first.commit()
        assert await waiting == 101
        await second.commit()


async def test_a_first_command_that_rolls_back_leaves_the_row_to_the_waiter(
    migrated_postgres_url: str,
) -> None:
    async with two_transactions(migrated_postgres_url) as (first, second, observer):
        await first.do(lambda tx: samples.fund(tx, 100))
        waiting = asyncio.create_task(
            second.do(lambda tx: samples.fund(tx, 1, grant_id="grant_2").account.posted)
        )
        await observer.until_waiting(second, waiting)
        await first.rollback()
        assert await waiting == 1
        await second.commit()


async def test_an_account_read_without_the_lock_can_not_be_saved_over_a_newer_one(
    migrated_postgres_url: str,
) -> None:
    async with two_transactions(migrated_postgres_url) as (first, second, _):
        await first.do(lambda tx: samples.fund(tx, 100))
        await first.commit()
        stale = await second.do(lambda tx: tx.ledger.account("ada", "credits", lock=False))
        await first.do(lambda tx: samples.hold(tx, amount=60))
        await first.commit()
        change = apply(stale, Reserve("hold_2", 60, NOW + HOUR), NOW)
        with pytest.raises(TransactionConflictError):
            await second.do(lambda tx: tx.ledger.save(stale, change))


async def test_the_clock_moves_on_inside_a_transaction(migrated_postgres_url: str) -> None:
    async with two_transactions(migrated_postgres_url) as (first, _, _):
        assert await first.do(lambda tx: tx.now()) < await first.do(lambda tx: tx.now())


async def test_a_deadlock_is_run_again_until_both_are_done(migrated_postgres_url: str) -> None:
    async with store_for(migrated_postgres_url) as store:
        for one in ("ada", "bob"):
            await store.write(partial(samples.fund, amount=100, customer_id=one))
        runs: list[str] = []
        locked: set[str] = set()

        def lock_both(tx: Transaction, first: str, second: str) -> None:
            runs.append(first)
            tx.ledger.account(first, "credits", lock=True)
            locked.add(first)
            wait_for_both(tx)
            samples.fund(tx, 1, first, grant_id=f"from_{first}")
            samples.fund(tx, 1, second, grant_id=f"from_{first}")

        def wait_for_both(tx: Transaction) -> None:
            """Until each transaction has its first lock (the database is asked, since the
            greenlets of one loop can't wait for each other)."""
            while len(locked) < 2:
                tx.now()

        await asyncio.gather(
            store.write(lambda tx: lock_both(tx, "ada", "bob")),
            store.write(lambda tx: lock_both(tx, "bob", "ada")),
        )
        assert len(runs) > 2, "they never met"
        accounts = await store.read(
            lambda tx: [tx.ledger.account(one, "credits", lock=False) for one in ("ada", "bob")]
        )
        assert [account.posted for account in accounts] == [102, 102]


async def test_a_read_sees_one_moment_only(database_url: str) -> None:
    """Both databases: a read that began before a write does not see it, however often it looks."""
    async with store_for(database_url) as store, store_for(database_url) as other:
        await store.write(lambda tx: tx.customers.insert(samples.customer()))
        loop = asyncio.get_running_loop()

        def look_twice(tx: Transaction) -> tuple[object, object]:
            before = tx.customers.get("ada")
            done = asyncio.run_coroutine_threadsafe(change(), loop)
            while not done.done():
                tx.customers.get("bob")  # gives the loop its turn, where we are on it
            done.result()
            return before, tx.customers.get("ada")

        async def change() -> None:
            await other.write(lambda tx: tx.customers.touch("ada"))

        before, after = await store.read(look_twice)
        assert before == after
        assert (await store.read(lambda tx: tx.customers.get("ada"))) != before
