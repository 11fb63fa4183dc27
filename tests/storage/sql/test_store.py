"""The store's own transactions: reruns, cancellation, and what a URL may say."""

import asyncio
import sqlite3
import threading
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from gatekeeper.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    LedgerInvariantError,
    SchemaVersionError,
    StoreUnavailableError,
    TransactionConflictError,
)
from gatekeeper.ledger import Account, Change
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import OutboxMessage
from gatekeeper.storage.sql.postgresql_runner import PostgresqlOptions
from gatekeeper.storage.sql.sqlite_runner import SqliteOptions, write_engine
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import NOW
from tests.hasty import with_the_disk
from tests.storage.sql.two import connection_of

pytestmark = pytest.mark.anyio


async def customer_is_there(store: SqlStore, customer: str = "ada") -> bool:
    return await store.read(lambda tx: tx.customers.get(customer)) is not None


# -- reruns ---------------------------------------------------------------------------------------


async def test_a_conflict_is_run_again(store: SqlStore) -> None:
    runs = []

    def work(tx: Transaction) -> str:
        runs.append(tx)
        tx.customers.insert(samples.customer())
        if len(runs) < 3:
            raise TransactionConflictError
        return "done"

    assert await store.write(work) == "done"
    assert len(runs) == 3
    assert await customer_is_there(store)


async def test_a_conflict_that_stays_surfaces_after_a_few_runs(store: SqlStore) -> None:
    runs = Mock(side_effect=TransactionConflictError)
    with pytest.raises(TransactionConflictError) as caught:
        await store.write(runs)
    assert runs.call_count == 5
    assert caught.value.status == 503


async def test_what_a_run_that_was_repeated_wanted_called_is_called_once(store: SqlStore) -> None:
    called: list[int] = []
    runs: list[int] = []

    def work(tx: Transaction) -> None:
        runs.append(1)
        tx.after_commit(partial(called.append, len(runs)))
        if len(runs) == 1:
            raise TransactionConflictError

    await store.write(work)
    assert called == [2]


async def test_a_key_that_is_taken_is_a_conflict_by_name(store: SqlStore) -> None:
    await store.write(lambda tx: tx.purchases.insert(samples.purchase(checkout_session_id="cs_1")))
    with pytest.raises(ConflictError):
        await store.write(
            lambda tx: tx.purchases.insert(samples.purchase("pur_2", checkout_session_id="cs_1"))
        )


async def test_the_check_constraints_hold_against_the_engine_itself(store: SqlStore) -> None:
    await store.write(lambda tx: samples.fund(tx, 100))
    for wrong in (
        Account("ada", "credits", posted=5, held=6, version=2),
        Account("ada", "credits", posted=5, held=-1, version=2),
        Account("ada", "credits", posted=-1, version=2),
        Account("ada", "credits", debt=-1, version=2),
    ):

        def save(tx: Transaction, wrong: Account = wrong) -> None:
            before = tx.ledger.account("ada", "credits", lock=True)
            tx.ledger.save(before, Change(wrong))

        with pytest.raises(LedgerInvariantError):
            await store.write(save)
    account = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
    assert account.posted == 100


async def test_a_value_that_no_column_holds_is_refused_by_name(store: SqlStore) -> None:
    with pytest.raises(InvalidInputError):
        await store.write(lambda tx: tx.customers.insert(samples.customer(name="a\x00b")))
    with pytest.raises(InvalidInputError):
        await store.write(lambda tx: tx.customers.insert(samples.customer(name="a\ud800b")))
    with pytest.raises(InvalidInputError):
        await store.write(lambda tx: tx.customers.insert(samples.customer("a\ud800b")))
    with pytest.raises(InvalidInputError):
        await store.write(lambda tx: tx.customers.insert(samples.customer(version=2**64)))


async def test_what_was_stored_is_in_no_error(store: SqlStore) -> None:
    """Errors are logged; names and addresses must not be."""
    with pytest.raises(Exception, match="created_at") as caught:
        await store.write(
            lambda tx: tx.customers.insert(samples.customer(email="ada@x.org", created_at=None))
        )
    assert "ada@x.org" not in str(caught.value)


async def test_a_naive_datetime_is_refused(store: SqlStore) -> None:
    with pytest.raises(Exception, match="naive"):
        await store.write(
            lambda tx: tx.customers.insert(samples.customer(created_at=NOW.replace(tzinfo=None)))
        )


async def test_a_purchase_that_was_never_inserted_can_not_be_saved(store: SqlStore) -> None:
    with pytest.raises(Exception, match="no purchase 'pur_1'"):
        await store.write(lambda tx: tx.purchases.save(samples.purchase()))


async def test_a_write_inside_read_is_the_callers_mistake(store: SqlStore) -> None:
    with pytest.raises(RuntimeError, match="`write`"):
        await store.read(lambda tx: tx.customers.insert(samples.customer()))
    assert not await customer_is_there(store)


async def test_a_missing_table_says_what_to_do(store: SqlStore, database_url: str) -> None:
    with pytest.raises(SchemaVersionError, match="gatekeeper db upgrade"):
        await store.write(lambda tx: connection_of(tx).execute(text("SELECT 1 FROM no_such_table")))


async def test_a_bug_comes_out_as_it_is(store: SqlStore) -> None:
    with pytest.raises(ZeroDivisionError):
        await store.write(lambda tx: 1 / 0)
    with pytest.raises(Exception, match="syntax error"):
        await store.write(lambda tx: connection_of(tx).execute(text("SELEKT")))


async def test_an_injected_clock_wins(database_url: str) -> None:
    async with store_for(database_url, clock=lambda: NOW) as store:
        assert await store.write(lambda tx: tx.now()) == NOW


# -- opening and closing --------------------------------------------------------------------------


async def test_a_closed_store_refuses_by_name(database_url: str) -> None:
    store = store_for(database_url)
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.write(lambda tx: None)
    async with store:
        await store.write(lambda tx: None)
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.read(lambda tx: None)


async def test_closing_waits_for_what_runs(database_url: str) -> None:
    store = store_for(database_url)
    await store.open()
    task = asyncio.create_task(store.write(lambda tx: tx.customers.insert(samples.customer())))
    await asyncio.sleep(0)  # the task has asked for its transaction, which has not begun
    await store.close()
    assert await task
    async with store_for(database_url) as again:
        assert await customer_is_there(again)


# -- cancellation ---------------------------------------------------------------------------------


async def test_a_write_whose_caller_is_cancelled_runs_to_its_end(store: SqlStore) -> None:
    begun, called = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(tx: Transaction) -> None:
        begun.set()
        loop.call_soon_threadsafe(task.cancel)
        for number in range(20):
            tx.customers.insert(samples.customer(f"customer {number}"))
        tx.after_commit(called.set)

    task = asyncio.create_task(store.write(work))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun.is_set()
    await called.wait()
    for number in range(20):
        assert await customer_is_there(store, f"customer {number}")


async def test_a_failure_nobody_waits_for_any_more_is_logged_and_rolled_back(
    store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()

    def work(tx: Transaction) -> None:
        loop.call_soon_threadsafe(task.cancel)
        for number in range(20):
            tx.customers.insert(samples.customer(f"customer {number}"))
        raise ZeroDivisionError

    task = asyncio.create_task(store.write(work))
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()
    assert "after its caller was cancelled" in caplog.text
    await store.open()


async def test_a_write_that_is_cancelled_before_it_began_never_runs(database_url: str) -> None:
    """One connection, one writer: the second write waits for the first."""
    options = PostgresqlOptions(pool_size=1)
    async with store_for(database_url, postgresql=options) as store:
        second_ran: list[bool] = []
        loop = asyncio.get_running_loop()
        cancelled = threading.Event()

        def first_work(tx: Transaction) -> None:
            loop.call_soon_threadsafe(cancel_second)
            while not cancelled.is_set():
                tx.customers.get("ada")  # gives the loop its turn

        def cancel_second() -> None:
            second.cancel()
            loop.call_soon(cancelled.set)

        first = asyncio.create_task(store.write(first_work))
        second = asyncio.create_task(store.write(lambda tx: second_ran.append(True)))
        with pytest.raises(asyncio.CancelledError):
            await second
        await first
        await store.write(lambda tx: None)  # whatever was queued before has been run
        assert second_ran == []


async def test_a_cancelled_write_leaves_its_connection_to_the_next(database_url: str) -> None:
    """Ten callers that hang up must not cost ten new connections."""
    options = PostgresqlOptions(pool_size=1)
    async with store_for(database_url, postgresql=options) as store:
        for number in range(10):
            await write_and_hang_up(store, number)

        def count(tx: Transaction) -> object:
            return (
                connection_of(tx)
                .execute(text("SELECT count(*) FROM gatekeeper_customers"))
                .scalar_one()
            )

        assert await store.write(count) == 50


async def write_and_hang_up(store: SqlStore, number: int) -> None:
    loop = asyncio.get_running_loop()

    def work(tx: Transaction) -> None:
        loop.call_soon_threadsafe(task.cancel)
        for part in range(5):
            tx.customers.insert(samples.customer(f"customer {number} {part}"))

    task = asyncio.create_task(store.write(work))
    with pytest.raises(asyncio.CancelledError):
        await task


# -- what a URL may say ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "can't be read"),
        ("not a url", "can't be read"),
        ("mysql://root@localhost/billing", "not in mysql"),
        ("sqlite://", "memory"),
        ("sqlite:///:memory:", "memory"),
        ("sqlite:///file:billing?mode=memory&uri=true", "memory"),
        ("sqlite:///file:billing.db?uri=true", "by its path"),
        ("postgresql://u@h/db?options=-csearch_path", "'options'"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        store_for(url)


def test_a_password_is_never_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        store_for("://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_auto_upgrade_is_for_sqlite() -> None:
    with pytest.raises(ConfigurationError, match="auto_upgrade"):
        store_for("postgresql://u@h/db", auto_upgrade=True)


async def test_any_driver_in_the_url_is_replaced_by_ours(migrated_postgres_url: str) -> None:
    for driver in ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"):
        url = migrated_postgres_url.replace("postgresql+asyncpg", driver)
        async with store_for(url) as store:
            assert not await customer_is_there(store)


async def test_libpqs_words_in_the_url_are_understood(migrated_postgres_url: str) -> None:
    query = "?sslmode=disable&application_name=billing&connect_timeout=3&channel_binding=prefer"
    async with store_for(migrated_postgres_url + query) as store:
        name = await store.read(
            lambda tx: (
                connection_of(tx)
                .execute(text("SELECT current_setting('application_name')"))
                .scalar_one()
            )
        )
        assert name == "billing"


async def test_a_store_behind_pgbouncer_keeps_no_prepared_statement(
    migrated_postgres_url: str,
) -> None:
    options = PostgresqlOptions(pgbouncer=True, pool_size=1)
    async with store_for(migrated_postgres_url, postgresql=options) as store:
        for number in range(3):
            await store.write(partial(samples.fund, amount=1, grant_id=f"grant_{number}"))

        def settings(tx: Transaction) -> tuple[object, object]:
            execute = connection_of(tx).exec_driver_sql
            kept = execute("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql")
            timeout = execute("SELECT current_setting('lock_timeout')")
            return kept.scalar_one(), timeout.scalar_one()

        kept, timeout = await store.write(settings)
        assert kept in {0, 1}  # the one that asks
        assert timeout == "0"


async def test_a_lock_that_is_kept_too_long_is_given_up(migrated_postgres_url: str) -> None:
    options = PostgresqlOptions(lock_timeout_seconds=0.05)
    engine = create_async_engine(migrated_postgres_url)
    async with store_for(migrated_postgres_url, postgresql=options) as store:
        await store.write(lambda tx: samples.fund(tx, 100))
        async with engine.begin() as holder:
            await holder.execute(text("SELECT 1 FROM gatekeeper_accounts FOR UPDATE"))
            with pytest.raises(TransactionConflictError, match="lock"):
                await store.write(lambda tx: samples.fund(tx, 1, grant_id="grant_2"))
    await engine.dispose()


async def test_sqlite_is_set_up_to_lose_nothing(migrated_sqlite_url: str) -> None:
    def settings(tx: Transaction) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        execute = connection_of(tx).exec_driver_sql
        return [execute(f"PRAGMA {name}").scalar_one() for name in names]

    with with_the_disk():
        async with store_for(migrated_sqlite_url) as store:
            assert await store.write(settings) == ["wal", 2, 1, 5000]


async def test_sqlite_without_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mistyped.db"
    with pytest.raises(SchemaVersionError, match="gatekeeper db upgrade"):
        await store_for(f"sqlite:///{path}").open()
    assert not path.exists()


async def test_sqlite_in_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    store = store_for(f"sqlite:///{tmp_path / 'no' / 'such.db'}", auto_upgrade=True)
    with pytest.raises(StoreUnavailableError):
        await store.open()


async def test_what_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is no database" * 1000)
    with pytest.raises(StoreUnavailableError):
        await store_for(f"sqlite:///{path}").open()


async def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE host_table (id INTEGER)"))
    engine.dispose()
    with pytest.raises(SchemaVersionError, match="gatekeeper db upgrade"):
        await store_for(f"sqlite:///{path}").open()


async def test_messages_of_one_moment_leave_in_the_order_of_their_ids(store: SqlStore) -> None:
    def add(tx: Transaction) -> None:
        tx.outbox.add([samples.message("b"), samples.message("a")])

    await store.write(add)
    messages = await store.write(claim_and_send)
    assert [message.id for message in messages] == ["a", "b"]


def claim_and_send(tx: Transaction) -> list[OutboxMessage]:
    sent: list[OutboxMessage] = []
    while claimed := tx.outbox.claim(NOW, NOW, 10):
        for message in claimed:
            tx.outbox.sent(message.id, NOW)
        sent += claimed
    return sent


# -- the first to open a file ---------------------------------------------------------------------


def opened_while_another_holds(path: Path, *, patience_seconds: float) -> str:
    """A new file, which another connection has locked for a moment, as the first to open it does.

    Returns:
        The journal mode it ends in.
    """
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE something (name)")
    other.execute("BEGIN IMMEDIATE")
    letting_go = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    letting_go.start()
    options = SqliteOptions(busy_timeout_seconds=patience_seconds)
    engine = write_engine(make_url(f"sqlite:///{path}"), options)
    try:
        with engine.connect() as connection:
            return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())
    finally:
        engine.dispose()
        letting_go.join()
        other.close()


def test_opening_a_file_waits_for_the_one_who_sets_it_up(tmp_path: Path) -> None:
    """SQLite calls no busy handler for a read that turns into the write of a new mode."""
    assert opened_while_another_holds(tmp_path / "new.sqlite3", patience_seconds=30) == "wal"


def test_opening_a_file_waits_no_longer_than_said(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="database is locked"):
        opened_while_another_holds(tmp_path / "new.sqlite3", patience_seconds=0.01)
