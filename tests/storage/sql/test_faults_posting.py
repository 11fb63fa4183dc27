"""Each thing that a write of an account checks is checked by itself.

What seeded faults (`tests/faults`) take away from the statements one by one is shown here: an
account, its customer or a hold that moved on since it was read, a lock, a clock that is off.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import make_url, text

from gatekeeper.errors import GatekeeperError, TransactionConflictError
from gatekeeper.ledger import (
    Capture,
    Expire,
    Extend,
    Hold,
    Receipt,
    Release,
    Reserve,
    apply,
    settle,
)
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.postings import Posting, posting_of
from gatekeeper.storage.quick import NotWrittenError, QuickLedger
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW, SECOND
from tests.storage.sql.two import connection_of, two_transactions

pytestmark = pytest.mark.anyio

KEY: Final = ("ada", "credits")
WAIT_SECONDS: Final = 20

Write = Callable[[Posting], object]


@pytest.fixture
async def postgres(migrated_postgres_url: str) -> AsyncIterator[SqlStore]:
    async with store_for(migrated_postgres_url) as opened:
        yield opened


def prepare(tx: Transaction) -> Hold:
    """An account with 100, of which a hold has 10, and its customer."""
    tx.customers.insert(samples.customer())
    samples.fund(tx, 100)
    hold = samples.hold(tx).hold
    assert hold is not None
    return hold


def reserved(tx: Transaction, customer: str = "ada") -> Posting:
    """A posting that makes a hold, of the account as it is now; nothing is locked by it."""
    before = tx.ledger.account(customer, "credits", lock=False)
    return posting_of(before, apply(before, Reserve("hold_2", 20, NOW + HOUR), NOW))


def settled(tx: Transaction, hold: Hold) -> Posting:
    """A posting that captures a hold."""
    before = tx.ledger.account(*KEY, lock=False)
    return posting_of(before, settle(before, hold, Capture(), NOW))


def extend(tx: Transaction, hold: Hold) -> None:
    """Move the account on without any entry."""
    before = tx.ledger.account(*KEY, lock=True)
    tx.ledger.save(before, settle(before, hold, Extend(NOW + 2 * HOUR), NOW))


def add_entry_as_the_last_release_does(tx: Transaction, _: Hold) -> None:
    """It knows nothing of revisions: a release runs on the schema of the next one."""
    connection_of(tx).execute(
        text("UPDATE gatekeeper_accounts SET version = version + 1 WHERE customer = 'ada'")
    )


MOVES: Final = [extend, add_entry_as_the_last_release_does]


async def account_and_hold(store: SqlStore, hold_id: str = "hold_2") -> tuple[int, int, bool]:
    """The account's revision and version, and whether a hold was made."""

    def look(tx: Transaction) -> tuple[int, int, bool]:
        account = tx.ledger.account(*KEY, lock=False)
        made = tx.ledger.find_hold(hold_id, customer="ada") is not None
        return account.revision, account.version, made

    return await store.read(look)


@pytest.mark.parametrize("move", MOVES)
async def test_an_account_that_moved_on_in_any_way_is_not_written(
    store: SqlStore, move: Callable[[Transaction, Hold], None]
) -> None:
    hold = await store.write(prepare)
    posting = await store.read(reserved)
    await store.write(lambda tx: move(tx, hold))
    before = await account_and_hold(store)
    with pytest.raises(TransactionConflictError):
        await store.write(lambda tx: tx.ledger.post([posting]))
    assert await account_and_hold(store) == before


async def test_a_key_that_another_request_has_used_meanwhile_is_not_used_again(
    store: SqlStore,
) -> None:
    """As for another unit of the customer, whose account's lock keeps nobody from this one."""
    await store.write(prepare)
    posting = await store.read(reserved)
    posting.receipts.append(Receipt("ada", "key", "this request", "hold_2", NOW))
    earlier = Receipt("ada", "key", "another request", "hold_1", NOW)
    await store.write(lambda tx: tx.ledger.put_receipt(earlier))
    with pytest.raises(TransactionConflictError):
        await store.write(lambda tx: tx.ledger.post([posting]))
    assert await account_and_hold(store) == (2, 2, False)
    assert await store.read(lambda tx: tx.ledger.receipt("ada", "key")) == earlier


async def test_a_transaction_is_not_committed_in_which_one_account_of_several_has_moved_on(
    store: SqlStore,
) -> None:
    hold = await store.write(prepare)
    await store.write(lambda tx: samples.fund(tx, 100, "bob"))
    postings = await store.read(lambda tx: [reserved(tx), reserved(tx, customer="bob")])
    await store.write(lambda tx: extend(tx, hold))
    with pytest.raises(TransactionConflictError):
        await store.write(lambda tx: tx.ledger.post(postings))
    bob = await store.read(lambda tx: tx.ledger.account("bob", "credits", lock=False))
    assert bob == postings[1].before


async def test_a_transaction_that_may_write_has_the_file_before_it_reads(
    migrated_sqlite_url: str,
) -> None:
    """Else it could find, when it writes, that what it has read is overwritten."""
    path = make_url(migrated_sqlite_url).database
    assert path is not None

    def read(tx: Transaction) -> None:
        tx.customers.get("ada")
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

    async with store_for(migrated_sqlite_url) as store:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await store.write(read)


async def test_a_hold_that_ended_is_not_written_though_its_account_is_as_it_was(
    store: SqlStore,
) -> None:
    """A second guard, for what should never be: then an account and its holds disagree already."""
    hold = await store.write(prepare)
    posting = await store.read(lambda tx: settled(tx, hold))
    await store.write(end_behind_the_accounts_back)
    before = await account_and_hold(store)
    with pytest.raises(GatekeeperError):
        await store.write(lambda tx: tx.ledger.post([posting]))
    assert await account_and_hold(store) == before


def end_behind_the_accounts_back(tx: Transaction) -> None:
    connection_of(tx).execute(text("UPDATE gatekeeper_holds SET status = 'released'"))


# -- the quick way --------------------------------------------------------------------------------


async def quick_of(store: SqlStore) -> QuickLedger:
    """The quick way, which knows the database's time once it has read."""
    quick = store.quick
    assert quick is not None
    await quick.read([KEY], [])
    return quick


async def write(quick: QuickLedger, *postings: Posting, off_by: timedelta = 0 * HOUR) -> set[str]:
    """Write postings; returns the customers of those that were written. Nothing ever waits."""
    now = quick.now()
    assert now is not None
    async with asyncio.timeout(WAIT_SECONDS):
        return {customer for customer, _ in await quick.write(postings, now + off_by)}


async def test_the_quick_way_writes_what_has_not_moved(postgres: SqlStore) -> None:
    await postgres.write(prepare)
    quick = await quick_of(postgres)
    posting = await postgres.read(reserved)
    posting.customer_version = (await quick.read([KEY], [])).versions["ada"]
    assert await write(quick, posting) == {"ada"}
    assert await account_and_hold(postgres) == (3, 3, True)
    assert await write(quick, posting) == set()
    assert await account_and_hold(postgres) == (3, 3, True)


@pytest.mark.parametrize("move", MOVES)
async def test_the_quick_way_leaves_an_account_that_moved_on(
    postgres: SqlStore, move: Callable[[Transaction, Hold], None]
) -> None:
    hold = await postgres.write(prepare)
    quick = await quick_of(postgres)
    posting = await postgres.read(reserved)
    await postgres.write(lambda tx: move(tx, hold))
    before = await account_and_hold(postgres)
    assert await write(quick, posting) == set()
    assert await account_and_hold(postgres) == before


async def test_the_quick_way_leaves_the_account_of_a_customer_who_has_changed(
    postgres: SqlStore,
) -> None:
    await postgres.write(prepare)
    quick = await quick_of(postgres)
    posting = await postgres.read(reserved)
    posting.customer_version = (await quick.read([KEY], [])).versions["ada"]
    await postgres.write(lambda tx: tx.customers.touch("ada"))
    assert await write(quick, posting) == set()
    assert await account_and_hold(postgres) == (2, 2, False)


@pytest.mark.parametrize("off_by", [2 * SECOND, -2 * SECOND])
async def test_the_quick_way_writes_nothing_by_a_clock_that_is_off(
    postgres: SqlStore, off_by: timedelta
) -> None:
    await postgres.write(prepare)
    quick = await quick_of(postgres)
    posting = await postgres.read(reserved)
    assert await write(quick, posting, off_by=off_by) == set()
    assert await account_and_hold(postgres) == (2, 2, False)


async def test_the_quick_way_takes_all_back_for_a_hold_that_has_ended(postgres: SqlStore) -> None:
    hold = await postgres.write(prepare)
    quick = await quick_of(postgres)
    posting = await postgres.read(lambda tx: settled(tx, hold))
    await postgres.write(end_behind_the_accounts_back)
    with pytest.raises(NotWrittenError):
        await write(quick, posting)
    assert await account_and_hold(postgres) == (2, 2, False)


async def test_the_quick_way_leaves_what_somebody_has_locked_and_does_not_wait(
    postgres: SqlStore, migrated_postgres_url: str
) -> None:
    await postgres.write(prepare)
    quick = await quick_of(postgres)
    posting = await postgres.read(reserved)
    async with two_transactions(migrated_postgres_url) as (first, _, _):
        await first.do(lambda tx: tx.ledger.account(*KEY, lock=True))
        assert await write(quick, posting) == set()
        await first.rollback()
    assert await write(quick, posting) == {"ada"}


async def test_a_batch_leaves_out_what_somebody_has_locked_and_does_not_wait(
    postgres: SqlStore, migrated_postgres_url: str
) -> None:
    await postgres.write(prepare)
    await postgres.write(lambda tx: samples.fund(tx, 5, "bob"))
    keys = {KEY, ("bob", "credits")}
    async with two_transactions(migrated_postgres_url) as (first, _, _):
        await first.do(lambda tx: tx.ledger.account(*KEY, lock=True))
        async with asyncio.timeout(WAIT_SECONDS):
            found = await postgres.write(lambda tx: tx.ledger.lock(keys, wait=False))
        assert set(found) == {("bob", "credits")}
        await first.rollback()


async def test_a_batch_leaves_out_what_somebody_is_about_to_make_and_does_not_wait(
    postgres: SqlStore, migrated_postgres_url: str
) -> None:
    keys = {KEY, ("bob", "credits")}
    async with two_transactions(migrated_postgres_url) as (first, _, _):
        await first.do(lambda tx: tx.ledger.account(*KEY, lock=True))
        async with asyncio.timeout(WAIT_SECONDS):
            found = await postgres.write(lambda tx: tx.ledger.lock(keys, wait=False))
        assert set(found) == {("bob", "credits")}
        await first.rollback()


# -- holds by their time --------------------------------------------------------------------------


async def test_a_hold_is_overdue_at_the_very_instant_of_its_end(store: SqlStore) -> None:
    hold = await store.write(prepare)
    end, tick = hold.expires_at, timedelta(microseconds=1)

    def look(tx: Transaction) -> list[object]:
        return [
            [one.id for one in tx.ledger.expired_holds(end - tick, 10)],
            [one.id for one in tx.ledger.expired_holds(end, 10)],
            tx.ledger.next_hold_expiry(*KEY, after=end - tick),
            tx.ledger.next_hold_expiry(*KEY, after=end),
        ]

    assert await store.read(look) == [[], [hold.id], end, None]


@pytest.mark.parametrize("command", [Capture(4), Release(), Expire()])
async def test_what_was_used_is_what_open_holds_claim_and_ended_ones_have_spent(
    store: SqlStore, command: Capture | Release | Expire
) -> None:
    def use(tx: Transaction) -> tuple[int, int]:
        tx.customers.insert(samples.customer())
        samples.fund(tx, 100)
        before = tx.ledger.account(*KEY, lock=True)
        change = apply(before, Reserve("h", 10, NOW + HOUR, scope="design/ann"), NOW)
        tx.ledger.save(before, change)
        assert change.hold is not None
        open_ = tx.ledger.used(*KEY, "design", NOW)
        at = NOW + HOUR if isinstance(command, Expire) else NOW
        tx.ledger.save(change.account, settle(change.account, change.hold, command, at))
        others = [tx.ledger.used(*KEY, scope, NOW) for scope in ("desi", "design/an", "other")]
        assert others == [0, 0, 0]
        return open_, tx.ledger.used(*KEY, "design", NOW)

    assert await store.write(use) == (10, 4 if isinstance(command, Capture) else 0)
