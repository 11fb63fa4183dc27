"""Joining a host's own synchronous transaction."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, event, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, scoped_session

from gatekeeper.errors import HostTransactionError, TransactionConflictError
from gatekeeper.storage.joined import refuse_joined
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sql.sqlite_runner import SqliteOptions
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.testing.conformance.storage import samples
from tests.storage.sql.hosts import Order, SyncHost, async_host, sqlite_host

pytestmark = pytest.mark.anyio


@pytest.fixture
def database_url(migrated_sqlite_url: str) -> str:
    return migrated_sqlite_url


@pytest.fixture
def host(database_url: str) -> Iterator[SyncHost]:
    with sqlite_host(database_url) as opened:
        yield opened


async def posted(store: SqlStore) -> int:
    account = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
    return account.posted


async def test_both_are_committed_together(store: SqlStore, host: SyncHost) -> None:
    called: list[str] = []

    def work(tx: Transaction) -> None:
        samples.fund(tx, 100)
        tx.after_commit(lambda: called.append("committed"))

    with host.session() as session:
        session.add(Order(id="order_1"))
        store.join_sync(session).run(work)
        with pytest.raises(HostTransactionError):
            refuse_joined(store, "ada")
        assert called == []
        session.commit()
        refuse_joined(store, "ada")
    assert called == ["committed"]
    assert await posted(store) == 100
    with host.session() as session:
        assert list(session.scalars(select(Order.id))) == ["order_1"]


async def test_both_are_rolled_back_together(store: SqlStore, host: SyncHost) -> None:
    with host.session() as session:
        session.add(Order(id="order_1"))
        store.join_sync(session).run(lambda tx: samples.fund(tx, 100))
        session.rollback()
    assert await posted(store) == 0
    with host.session() as session:
        assert list(session.scalars(select(Order.id))) == []


async def test_a_host_on_a_thread_of_its_own(store: SqlStore, host: SyncHost) -> None:
    def handler() -> None:
        with host.session.begin() as session:
            store.join_sync(session).run(lambda tx: samples.fund(tx, 100))

    await asyncio.gather(*(asyncio.to_thread(handler) for _ in range(1)))
    refuse_joined(store, "ada")
    assert await posted(store) == 100


async def test_a_scoped_session_can_be_joined(store: SqlStore, host: SyncHost) -> None:
    scoped = scoped_session(host.session)
    store.join_sync(scoped).run(lambda tx: samples.fund(tx, 100))
    scoped.commit()
    scoped.remove()
    assert await posted(store) == 100


async def test_a_connection_can_be_joined(store: SqlStore, host: SyncHost) -> None:
    with host.engine.begin() as connection:
        store.join_sync(connection).run(lambda tx: samples.fund(tx, 100))
    assert await posted(store) == 100


async def test_an_asynchronous_session_is_refused_with_the_way_out(store: SqlStore) -> None:
    with pytest.raises(HostTransactionError, match="asynchronous calls"):
        store.join_sync(AsyncSession())


async def test_a_closed_connection_is_refused(store: SqlStore, host: SyncHost) -> None:
    connection = host.engine.connect()
    connection.close()
    with pytest.raises(HostTransactionError, match="no state to be joined"):
        store.join_sync(connection)


async def test_another_file_is_refused(store: SqlStore, tmp_path: Path) -> None:
    with (
        sqlite_host(f"sqlite:///{tmp_path / 'other.sqlite3'}") as other,
        other.session() as session,
        pytest.raises(HostTransactionError, match="another database"),
    ):
        store.join_sync(session)


async def test_a_database_in_memory_is_refused(store: SqlStore) -> None:
    engine = create_engine("sqlite://")
    with (
        engine.connect() as connection,
        pytest.raises(HostTransactionError, match="another database"),
    ):
        store.join_sync(connection)
    engine.dispose()


async def test_the_same_file_by_another_path_is_joined(
    store: SqlStore, database_url: str, tmp_path: Path
) -> None:
    path = Path(database_url.removeprefix("sqlite:///"))
    link = tmp_path / "link.sqlite3"
    link.symlink_to(path)
    with sqlite_host(f"sqlite:///{link}") as host:
        with host.session.begin() as session:
            store.join_sync(session).run(lambda tx: samples.fund(tx, 100))
        assert await posted(store) == 100


async def test_another_kind_of_database_is_refused(
    store: SqlStore, migrated_postgres_url: str
) -> None:
    async with async_host(migrated_postgres_url) as other, other.session() as session:
        with pytest.raises(HostTransactionError, match="postgresql"):
            async with store.join(session):
                pass


async def test_a_transaction_that_has_written_is_joined(store: SqlStore, host: SyncHost) -> None:
    with host.session() as session:
        session.add(Order(id="order_1"))
        session.flush()
        store.join_sync(session).run(lambda tx: samples.fund(tx, 100))
        session.commit()
    assert await posted(store) == 100


async def test_a_transaction_that_has_read_the_newest_state_is_joined(
    store: SqlStore, database_url: str
) -> None:
    with deferred_connection(database_url) as connection:
        connection.execute(text("SELECT count(*) FROM gatekeeper_accounts"))
        store.join_sync(connection).run(lambda tx: samples.fund(tx, 100))
        connection.commit()
    assert await posted(store) == 100


async def test_a_transaction_that_has_read_what_is_overwritten_is_refused_by_name(
    store: SqlStore, database_url: str
) -> None:
    """Without BEGIN IMMEDIATE it can't be mended: SQLite lets a stale snapshot read, not write."""
    with deferred_connection(database_url) as connection:
        connection.execute(text("SELECT count(*) FROM gatekeeper_accounts"))
        await store.write(lambda tx: samples.fund(tx, 100))
        with pytest.raises(HostTransactionError, match="BEGIN IMMEDIATE"):
            store.join_sync(connection)


async def test_a_transaction_that_began_immediate_is_joined(
    store: SqlStore, database_url: str
) -> None:
    with deferred_connection(database_url, "BEGIN IMMEDIATE") as connection:
        connection.execute(text("SELECT count(*) FROM gatekeeper_accounts"))
        store.join_sync(connection).run(lambda tx: samples.fund(tx, 100))
        connection.commit()
    assert await posted(store) == 100


@contextmanager
def deferred_connection(url: str, begin: str = "BEGIN") -> Iterator[Connection]:
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def no_driver_transactions(dbapi_connection: sqlite3.Connection, _record: object) -> None:
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    with engine.connect() as connection:
        yield connection
    engine.dispose()


async def test_a_host_that_meets_another_writer_has_to_run_again(database_url: str) -> None:
    impatient = create_engine(database_url, connect_args={"timeout": 0})
    async with store_for(database_url) as store:
        with (
            sqlite_host(database_url) as first,
            first.session() as holder,
            Session(impatient) as session,
        ):
            store.join_sync(holder)
            with pytest.raises(TransactionConflictError):
                store.join_sync(session)
    impatient.dispose()


async def test_a_write_that_waits_too_long_for_a_host_gives_way(
    database_url: str, host: SyncHost
) -> None:
    options = SqliteOptions(busy_timeout_seconds=0.05)
    async with store_for(database_url, sqlite=options) as store:
        with host.session() as session:
            store.join_sync(session).run(lambda tx: samples.fund(tx, 100))
            with pytest.raises(TransactionConflictError, match="lock"):
                await store.write(lambda tx: samples.fund(tx, 1, grant_id="grant_2"))
            assert await posted(store) == 0  # readers don't wait
            session.commit()
        await store.write(lambda tx: samples.fund(tx, 1, grant_id="grant_2"))
        assert await posted(store) == 101
