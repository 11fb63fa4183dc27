"""A PostgreSQL that stops, dies, hangs and comes back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, event, text

from gatekeeper.errors import StoreUnavailableError, TransactionConflictError
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sql.postgresql_runner import PostgresqlOptions, PostgresqlRunner
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.storage.sql.tables import metadata
from gatekeeper.storage.sql.tables.database import schema
from gatekeeper.testing.conformance.storage import samples
from tests.services.postgres import PostgresServer, PrivatePostgres
from tests.storage.sql.two import connection_of

pytestmark = pytest.mark.anyio

IMPATIENT = PostgresqlOptions(
    pool_size=2,
    pool_timeout_seconds=0.5,
    connect_timeout_seconds=0.5,
    command_timeout_seconds=0.5,
)


@pytest.fixture(scope="module")
def migrated() -> Iterator[PrivatePostgres]:
    private = PrivatePostgres()
    try:
        private.start()
        upgrade(private.url)
        yield private
    finally:
        private.dispose()


@pytest.fixture
def private_postgres(migrated: PrivatePostgres) -> PrivatePostgres:
    """One for all these tests, whatever they do to it: it runs, and its tables are empty."""
    migrated.start()
    tables = ", ".join(table.name for table in metadata.sorted_tables if table is not schema)
    migrated.server.sql(f"TRUNCATE {tables}")
    return migrated


@pytest.fixture
async def outage_store(private_postgres: PrivatePostgres) -> AsyncIterator[SqlStore]:
    async with store_for(private_postgres.url, postgresql=IMPATIENT) as store:
        yield store


async def insert(store: SqlStore, customer: str) -> bool:
    return await store.write(lambda tx: tx.customers.insert(samples.customer(customer)))


async def test_a_server_that_was_restarted_is_used_again_without_an_error(
    outage_store: SqlStore, private_postgres: PrivatePostgres
) -> None:
    """The pool's connections are all dead: the first write notices, and runs on a new one."""
    assert await insert(outage_store, "ada")
    private_postgres.stop()
    private_postgres.start()
    assert await insert(outage_store, "bob")
    assert await outage_store.read(lambda tx: tx.customers.get("ada")) is not None


async def test_a_server_that_is_gone_is_unavailable_and_comes_back(
    outage_store: SqlStore, private_postgres: PrivatePostgres
) -> None:
    private_postgres.kill()
    with pytest.raises(StoreUnavailableError) as caught:
        await insert(outage_store, "ada")
    assert caught.value.status == 503
    assert caught.value.params == {}
    with pytest.raises(StoreUnavailableError):
        await outage_store.read(lambda tx: tx.customers.get("ada"))
    private_postgres.start()
    assert await insert(outage_store, "ada")


async def test_a_server_that_hangs_is_unavailable_in_time(
    outage_store: SqlStore, private_postgres: PrivatePostgres
) -> None:
    assert await insert(outage_store, "ada")
    pids = backends(private_postgres.server)
    with private_postgres.process.paused(), stopped(pids):
        with pytest.raises(StoreUnavailableError):
            await insert(outage_store, "bob")
        with pytest.raises(StoreUnavailableError):
            await outage_store.read(lambda tx: tx.customers.get("ada"))
    assert await insert(outage_store, "cem")


def backends(server: PostgresServer) -> list[int]:
    """The processes that serve clients. (Stopping the postmaster stops none of them.)"""
    pids = server.sql(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND pid <> pg_backend_pid()"
    )
    return [int(pid) for pid in pids.split()]


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_server_that_dies_in_mid_transaction_has_changed_nothing(
    outage_store: SqlStore, private_postgres: PrivatePostgres
) -> None:
    def work(tx: Transaction) -> None:
        tx.customers.insert(samples.customer())
        private_postgres.kill()
        tx.customers.touch("ada")

    with pytest.raises(StoreUnavailableError):
        await outage_store.write(work)
    private_postgres.start()
    assert await outage_store.read(lambda tx: tx.customers.get("ada")) is None


async def test_a_store_can_not_be_opened_without_its_server(
    private_postgres: PrivatePostgres,
) -> None:
    private_postgres.stop()
    store = store_for(private_postgres.url, postgresql=IMPATIENT)
    with pytest.raises(StoreUnavailableError):
        await store.open()
    with pytest.raises(StoreUnavailableError):
        upgrade(private_postgres.url)
    private_postgres.start()
    async with store:
        assert await insert(store, "ada")


async def test_a_pool_that_is_used_up_is_unavailable(migrated_postgres_url: str) -> None:
    release, begun = asyncio.Event(), asyncio.Semaphore(0)

    def hold_on(tx: Transaction) -> None:
        begun.release()
        while not release.is_set():
            tx.now()

    small = PostgresqlOptions(pool_size=2, pool_timeout_seconds=0.5)
    async with store_for(migrated_postgres_url, postgresql=small) as store:
        async with asyncio.TaskGroup() as group:  # a holder that fails ends the test
            for _ in range(2):
                group.create_task(store.write(hold_on))
            try:
                for _ in range(2):
                    await begun.acquire()
                with pytest.raises(StoreUnavailableError):
                    await insert(store, "ada")
            finally:
                release.set()
        assert await insert(store, "ada")


# -- COMMIT: the one moment after which nobody knows ----------------------------------------------


def break_the_next_commit(store: SqlStore, server: PostgresServer) -> list[int]:
    """Ends the server's side of the connection right before COMMIT is sent; returns a list that
    gets the pids."""
    runner = store._runner
    assert isinstance(runner, PostgresqlRunner)
    ended: list[int] = []

    @event.listens_for(runner.engine.sync_engine, "commit")
    def end_backend(connection: Connection) -> None:
        if not ended:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            ended.append(pid)
            server.sql(f"SELECT pg_terminate_backend({pid}, 10000)")

    return ended


async def test_a_connection_lost_at_commit_leaves_the_outcome_open_and_runs_nothing_twice(
    outage_store: SqlStore, private_postgres: PrivatePostgres
) -> None:
    ended = break_the_next_commit(outage_store, private_postgres.server)
    runs: list[int] = []

    def work(tx: Transaction) -> bool:
        runs.append(1)
        return tx.customers.insert(samples.customer())

    with pytest.raises(StoreUnavailableError, match="unknown") as caught:
        await outage_store.write(work)
    assert caught.value.params == {"outcome": "unknown"}
    assert (len(runs), len(ended)) == (1, 1)
    await outage_store.write(work)  # sent again under the same ids
    assert await outage_store.read(lambda tx: tx.customers.get("ada")) is not None


async def test_a_conflict_at_commit_is_certain_and_run_again(
    outage_store: SqlStore, private_postgres: PrivatePostgres
) -> None:
    """A deferred trigger raises what a serialisable transaction would at its COMMIT."""
    for statement in (
        "CREATE SEQUENCE commits",
        """CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
             IF nextval('commits') <= 2 THEN
               RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure';
             END IF;
             RETURN NULL;
           END $$""",
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON gatekeeper_customers "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_twice()",
    ):
        private_postgres.server.sql(statement)
    runs: list[int] = []

    def work(tx: Transaction) -> bool:
        runs.append(1)
        return tx.customers.insert(samples.customer())

    assert await outage_store.write(work)
    assert len(runs) == 3
    private_postgres.server.sql("DROP FUNCTION fail_twice CASCADE")


async def test_a_standby_takes_no_writes(
    outage_store: SqlStore, private_postgres: PrivatePostgres
) -> None:
    private_postgres.server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    private_postgres.server.sql("SELECT pg_reload_conf()")
    private_postgres.stop()
    private_postgres.start()
    try:
        with pytest.raises(StoreUnavailableError, match="no writes"):
            await insert(outage_store, "ada")
        assert await outage_store.read(lambda tx: tx.customers.get("ada")) is None
    finally:
        private_postgres.server.sql("ALTER SYSTEM RESET ALL")
        private_postgres.stop()


async def test_a_statement_that_the_server_cancels_gives_way(
    outage_store: SqlStore, private_postgres: PrivatePostgres
) -> None:
    def work(tx: Transaction) -> None:
        connection_of(tx).execute(text("SET LOCAL statement_timeout = 50"))
        connection_of(tx).execute(text("SELECT pg_sleep(10)"))

    with pytest.raises(TransactionConflictError):
        await outage_store.write(work)
