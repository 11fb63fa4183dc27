"""The quick way's connections: kept, lost, refused, given back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from gatekeeper.errors import StoreUnavailableError
from gatekeeper.ledger import Account, Reserve, apply
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.postings import Posting, posting_of
from gatekeeper.storage.quick import NotReadError, NotWrittenError, QuickLedger
from gatekeeper.storage.sql.arrivals import ARRIVE_ALONE, ARRIVING
from gatekeeper.storage.sql.postgresql_quick import PostgresqlQuick
from gatekeeper.storage.sql.postgresql_runner import MIN_POOL_FOR_QUICK, PostgresqlOptions
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.testing.clock import ManualClock
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW, SECOND
from tests.services.postgres import PostgresServer, PrivatePostgres, database_name
from tests.storage.sql.two import connection_of, two_transactions

pytestmark = pytest.mark.anyio

ADA = ("ada", "credits")


@pytest.fixture
async def store(migrated_postgres_url: str) -> AsyncIterator[SqlStore]:
    async with store_for(migrated_postgres_url) as opened:
        yield opened


@pytest.fixture
async def quick(store: SqlStore) -> QuickLedger:
    """Ada has 100 credits, and is a customer."""
    return await prepared(store)


async def prepared(store: SqlStore) -> QuickLedger:
    await store.write(lambda tx: tx.customers.insert(samples.customer()))
    await store.write(partial(samples.fund, amount=100))
    assert store.quick is not None
    return store.quick


async def account(store: SqlStore) -> Account:
    return await store.read(lambda tx: tx.ledger.account(*ADA, lock=False))


def reserve(before: Account, hold_id: str = "hold_1", amount: int = 1) -> Posting:
    command = Reserve(hold_id, amount, NOW + HOUR)
    return posting_of(before, apply(before, command, NOW))


async def write(quick: QuickLedger, *postings: Posting) -> set[Any]:
    await quick.read([ADA], [])
    now = quick.now()
    assert now is not None
    return await quick.write(postings, now)


# -- reading --------------------------------------------------------------------------------------


async def test_what_is_there_is_read(quick: QuickLedger, store: SqlStore) -> None:
    hold = (await store.write(samples.hold)).hold
    found = await quick.read(
        [ADA, ("ada", "nothing"), ("nobody", "credits")], [("ada", "hold_1"), ("ada", "unknown")]
    )
    assert found.accounts == {ADA: await account(store)}
    assert found.versions == {"ada": 0}
    assert found.holds == {("ada", "hold_1"): hold}
    await store.write(lambda tx: tx.customers.touch("ada"))
    assert (await quick.read([ADA], [])).versions == {"ada": 1}


async def test_a_deleted_or_unknown_customer_has_no_version(
    quick: QuickLedger, store: SqlStore
) -> None:
    await store.write(lambda tx: tx.customers.save(samples.customer(deleted_at=NOW)))
    await store.write(partial(samples.fund, amount=1, customer_id="stranger"))
    found = await quick.read([ADA, ("stranger", "credits")], [])
    assert found.accounts.keys() == {ADA, ("stranger", "credits")}
    assert found.versions == {}


async def test_the_databases_time_is_known_once_something_was_read(
    quick: QuickLedger, store: SqlStore
) -> None:
    assert quick.now() is None
    await quick.read([("nobody", "credits")], [])
    assert quick.now() is None
    await quick.read([ADA], [])
    told, there = quick.now(), await store.read(lambda tx: tx.now())
    assert told is not None
    assert abs(there - told) < timedelta(seconds=1)


async def test_a_clock_of_the_tests_takes_its_place(migrated_postgres_url: str) -> None:
    clock = ManualClock()
    async with store_for(migrated_postgres_url, clock=clock) as store:
        quick = await prepared(store)
        assert quick.now() == clock()
        clock.advance(days=400)
        before = await account(store)
        assert await quick.write([reserve(before)], clock()) == {ADA}


@pytest.mark.parametrize("damage", ["grants = 'no json'", "received = '[]'", "standing = '[1]'"])
async def test_a_damaged_account_can_not_be_read(
    quick: QuickLedger, store: SqlStore, damage: str
) -> None:
    def break_it(tx: Transaction) -> None:
        connection_of(tx).execute(text(f"UPDATE gatekeeper_accounts SET {damage}"))

    await store.write(break_it)
    with pytest.raises(NotReadError):
        await quick.read([ADA], [])


async def test_a_damaged_hold_can_not_be_read(quick: QuickLedger, store: SqlStore) -> None:
    await store.write(samples.hold)
    for damage in ("allocations = '7'", "formula = '[[]]'"):

        def break_it(tx: Transaction, damage: str = damage) -> None:
            connection_of(tx).execute(text(f"UPDATE gatekeeper_holds SET {damage}"))

        await store.write(break_it)
        with pytest.raises(NotReadError):
            await quick.read([ADA], [("ada", "hold_1")])


# -- writing --------------------------------------------------------------------------------------


async def test_only_what_is_as_it_was_read_is_written(quick: QuickLedger, store: SqlStore) -> None:
    await store.write(partial(samples.fund, amount=100, customer_id="bob"))
    ada = await account(store)
    bob = await store.read(lambda tx: tx.ledger.account("bob", "credits", lock=False))
    await store.write(partial(samples.fund, amount=1, customer_id="bob", grant_id="later"))
    assert await write(quick, reserve(ada), reserve(bob)) == {ADA}
    assert (await account(store)).held == 1
    assert await store.read(lambda tx: tx.ledger.find_hold("hold_1", customer="bob")) is None
    assert await write(quick, reserve(ada, "hold_2")) == set()


async def test_a_hold_id_that_was_used_takes_all_back(quick: QuickLedger, store: SqlStore) -> None:
    await store.write(partial(samples.fund, amount=100, customer_id="bob"))
    await store.write(samples.hold)
    ada = await account(store)
    bob = await store.read(lambda tx: tx.ledger.account("bob", "credits", lock=False))
    with pytest.raises(NotWrittenError):
        await write(quick, reserve(bob), reserve(ada))
    assert await account(store) == ada
    assert await write(quick, reserve(bob)) == {("bob", "credits")}


async def test_text_that_can_not_be_stored_is_refused(quick: QuickLedger, store: SqlStore) -> None:
    before = await account(store)
    for reference in ("a\x00b", "\ud800"):
        command = Reserve("hold_1", 1, NOW + HOUR, reference=reference)
        posting = posting_of(before, apply(before, command, NOW))
        with pytest.raises(NotWrittenError):
            await write(quick, posting)
    assert await account(store) == before


async def test_nothing_is_written_by_a_clock_that_is_off(
    quick: QuickLedger, store: SqlStore
) -> None:
    before = await account(store)
    await quick.read([ADA], [])
    now = quick.now()
    assert now is not None
    for off in (-2 * SECOND, 2 * SECOND):
        assert await quick.write([reserve(before)], now + off) == set()
    assert await quick.write([reserve(before)], now) == {ADA}


# -- connections that break -----------------------------------------------------------------------


async def test_a_connection_that_dies_while_it_writes_leaves_the_outcome_unknown(
    quick: QuickLedger,
    store: SqlStore,
    migrated_postgres_url: str,
    postgres_server: PostgresServer,
) -> None:
    """A write waits, since somebody has inserted the same hold; its backend is ended."""
    before = await account(store)
    await quick.read([ADA], [])
    async with two_transactions(migrated_postgres_url) as (other, _, _):
        await other.do(partial(samples.fund, amount=9, unit="masters", grant_id="other"))
        await other.do(partial(samples.hold, hold_id="hold_1", amount=1, unit="masters"))
        writing = asyncio.create_task(write(quick, reserve(before)))
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not (  # noqa: ASYNC110 -- see below
            pid := postgres_server.sql(waiting, database=database_name(migrated_postgres_url))
        ):
            await asyncio.sleep(0)  # the database sends no event
        postgres_server.sql(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(StoreUnavailableError) as lost:
            await writing
        assert lost.value.params["outcome"] == "unknown"
        await other.rollback()
    assert await write(quick, reserve(before)) == {ADA}


async def test_an_answer_that_does_not_come_in_time_leaves_the_outcome_unknown(
    migrated_postgres_url: str,
) -> None:
    options = PostgresqlOptions(command_timeout_seconds=0.2)
    async with store_for(migrated_postgres_url, postgresql=options) as store:
        quick = await prepared(store)
        before = await account(store)
        async with two_transactions(migrated_postgres_url) as (other, _, _):
            await other.do(partial(samples.fund, amount=9, unit="masters", grant_id="other"))
            await other.do(partial(samples.hold, hold_id="hold_1", amount=1, unit="masters"))
            with pytest.raises(StoreUnavailableError) as lost:
                await write(quick, reserve(before))
            assert lost.value.params["outcome"] == "unknown"
            await other.rollback()
        assert await account(store) == before


async def test_connections_that_have_died_meanwhile_are_replaced(
    quick: QuickLedger,
    store: SqlStore,
    migrated_postgres_url: str,
    postgres_server: PostgresServer,
) -> None:
    """Those that are kept, and those of the pool."""
    for n in range(3):
        await quick.read([ADA], [])
        await asyncio.gather(*(account(store) for _ in range(4)))
        postgres_server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            database=database_name(migrated_postgres_url),
        )
        if n:  # the first time nobody knows it yet
            await _until_known_to_be_closed(quick)
        with _suppressed():
            assert ADA in (await quick.read([ADA], [])).accounts
        assert await write(quick, reserve(await account(store), f"hold_{n}")) == {ADA}


async def _until_known_to_be_closed(quick: QuickLedger) -> None:
    kept = quick._idle  # type: ignore[attr-defined] # that of PostgreSQL
    while not all(one.driver.is_closed() for one in kept):  # noqa: ASYNC110 -- no event tells
        await asyncio.sleep(0)


def _suppressed() -> suppress:
    """A connection that nobody knows to be broken yet can't be read from; that is all."""
    return suppress(NotReadError)


async def test_without_a_connection_nothing_is_read_or_written(migrated_postgres_url: str) -> None:
    options = PostgresqlOptions(pool_size=MIN_POOL_FOR_QUICK, pool_timeout_seconds=0.05)
    async with store_for(migrated_postgres_url, postgresql=options) as store:
        quick = await prepared(store)
        before = await account(store)
        engine = store._runner.engine  # type: ignore[attr-defined] # that of PostgreSQL
        taken = [await engine.connect() for _ in range(MIN_POOL_FOR_QUICK)]
        with pytest.raises(NotReadError):
            await quick.read([ADA], [])
        with pytest.raises(NotWrittenError):
            await quick.write([reserve(before)], NOW)
        for connection in taken:
            await connection.close()
        assert await write(quick, reserve(before)) == {ADA}


async def test_a_server_that_was_started_again_is_found_again(
    private_postgres: PrivatePostgres,
) -> None:
    url = private_postgres.server.create_database()
    await asyncio.to_thread(upgrade, url)
    async with store_for(url) as store:
        quick = await prepared(store)
        await quick.read([ADA], [])
        before = await account(store)
        private_postgres.stop()
        with pytest.raises(NotReadError):
            await quick.read([ADA], [])
        with pytest.raises(NotWrittenError):
            await quick.write([reserve(before)], NOW)
        private_postgres.start()
        with _suppressed():
            await quick.read([ADA], [])
        assert await write(quick, reserve(before)) == {ADA}


# -- when there is a quick way --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "there_is"),
    [
        (PostgresqlOptions(), True),
        (PostgresqlOptions(pool_size=MIN_POOL_FOR_QUICK), True),
        (PostgresqlOptions(pool_size=MIN_POOL_FOR_QUICK - 1), False),
        (PostgresqlOptions(pgbouncer=True), False),
    ],
)
async def test_there_is_a_quick_way_where_connections_can_be_kept(
    migrated_postgres_url: str, options: PostgresqlOptions, there_is: bool
) -> None:
    store = store_for(migrated_postgres_url, postgresql=options)
    assert store.quick is None
    async with store:
        assert (store.quick is not None) is there_is
    assert store.quick is None


async def test_its_connections_are_kept_and_given_back(quick: QuickLedger, store: SqlStore) -> None:
    pool = store._runner.engine.pool  # type: ignore[attr-defined] # that of PostgreSQL
    assert pool.checkedout() == 0
    for _ in range(3):
        await quick.read([ADA], [])
    assert pool.checkedout() == 1
    await asyncio.gather(quick.read([ADA], []), quick.read([ADA], []))
    assert pool.checkedout() == 2
    await quick.close()
    assert pool.checkedout() == 0
    assert ADA in (await quick.read([ADA], [])).accounts


async def test_a_cancelled_read_gives_its_connection_up(
    quick: QuickLedger, store: SqlStore
) -> None:
    pool = store._runner.engine.pool  # type: ignore[attr-defined] # that of PostgreSQL
    await quick.read([ADA], [])
    reading = asyncio.create_task(quick.read([ADA], []))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert pool.checkedout() == 0
    assert ADA in (await quick.read([ADA], [])).accounts


async def test_what_arrives_is_looked_for_by_its_key_though_the_tables_are_small(
    store: SqlStore,
) -> None:
    quick = store.quick
    assert isinstance(quick, PostgresqlQuick)
    async with quick._connection() as connection:
        await connection.execute(
            "INSERT INTO gatekeeper_inbox_objects SELECT n::text, NULL, 0, 0, false "
            "FROM generate_series(1, 3000) n"
        )
        await connection.execute("ANALYZE gatekeeper_inbox_objects")
        events = [samples.event(f"evt_{n}") for n in range(50)]
        columns = ([getattr(event, name) for event in events] for name in ARRIVING)
        plan = await connection.fetch(f"EXPLAIN {ARRIVE_ALONE}", None, *columns)
    lines = "\n".join(row[0] for row in plan)
    assert "Index Only Scan using pk_gatekeeper_inbox_objects" in lines
    assert "Seq Scan" not in lines
