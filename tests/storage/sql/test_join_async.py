"""Joining a host's own asynchronous transaction, on PostgreSQL and SQLite."""

import asyncio
import functools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, create_async_engine
from sqlalchemy.orm import Session

from gatekeeper.errors import CreditsRequiredError, HostTransactionError, StoreUnavailableError
from gatekeeper.storage.joined import refuse_joined
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.testing.conformance.storage import samples
from tests.storage.sql.hosts import AsyncHost, Order, async_host

pytestmark = pytest.mark.anyio


@pytest.fixture
async def host(database_url: str) -> AsyncIterator[AsyncHost]:
    async with async_host(database_url) as opened:
        yield opened


async def posted(store: SqlStore) -> int:
    account = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
    return account.posted


async def orders(host: AsyncHost) -> list[str]:
    async with host.session() as session:
        return list((await session.scalars(select(Order.id).order_by(Order.id))).all())


async def test_both_are_committed_together(store: SqlStore, host: AsyncHost) -> None:
    async with host.session() as session:
        session.add(Order(id="order_1"))
        async with store.join(session) as joined:
            await joined.run(lambda tx: samples.fund(tx, 100))
        assert await posted(store) == 0  # nobody else sees it yet
        await session.commit()
    assert await posted(store) == 100
    assert await orders(host) == ["order_1"]


async def test_both_are_rolled_back_together(store: SqlStore, host: AsyncHost) -> None:
    async with host.session() as session:
        session.add(Order(id="order_1"))
        async with store.join(session) as joined:
            await joined.run(lambda tx: samples.fund(tx, 100))
        await session.rollback()
    assert await posted(store) == 0
    assert await orders(host) == []


async def test_a_session_that_is_closed_without_commit_leaves_nothing(
    store: SqlStore, host: AsyncHost
) -> None:
    called: list[str] = []
    async with host.session() as session, store.join(session) as joined:
        await joined.run(lambda tx: fund_and_call(tx, called))
    assert await posted(store) == 0
    assert called == []


async def test_a_connection_can_be_joined(store: SqlStore, host: AsyncHost) -> None:
    called: list[str] = []
    async with host.engine.begin() as connection:
        async with store.join(connection) as joined:
            await joined.run(lambda tx: fund_and_call(tx, called))
        assert called == []
    assert called == ["committed"]
    assert await posted(store) == 100


async def test_the_end_of_a_transaction_is_seen_in_whatever_pool_comes_where_another_was(
    store: SqlStore, host: AsyncHost
) -> None:
    """SQLAlchemy's registry knows pools by their addresses, and those are used again."""
    disposed = []
    for _ in range(30):
        called: list[str] = []
        engine = create_async_engine(host.engine.url)
        async with engine.begin() as connection, store.join(connection) as joined:
            await joined.run(functools.partial(call, called=called))
        assert called == ["committed"]
        await engine.dispose()  # gives it another pool, with what listened to the first
        disposed.append(engine)


async def test_a_scoped_session_can_be_joined(store: SqlStore, host: AsyncHost) -> None:
    scoped = async_scoped_session(host.session, scopefunc=asyncio.current_task)
    async with store.join(scoped) as joined:
        await joined.run(lambda tx: samples.fund(tx, 100))
    await scoped.commit()
    await scoped.remove()
    assert await posted(store) == 100


async def test_work_that_raises_leaves_the_host_its_own(store: SqlStore, host: AsyncHost) -> None:
    called: list[str] = []

    def half(tx: Transaction) -> None:
        fund_and_call(tx, called)
        raise CreditsRequiredError("no")

    async with host.session() as session:
        session.add(Order(id="order_1"))
        await session.flush()
        async with store.join(session) as joined:
            with pytest.raises(CreditsRequiredError):
                await joined.run(half)
        await session.commit()
    assert await posted(store) == 0
    assert await orders(host) == ["order_1"]
    assert called == []


async def test_a_database_error_leaves_the_host_its_own(store: SqlStore, host: AsyncHost) -> None:
    """On PostgreSQL a failed statement would end the whole transaction, without the savepoint."""

    def broken(tx: Transaction) -> None:
        tx.purchases.insert(samples.purchase())
        tx.purchases.insert(samples.purchase())

    async with host.session() as session:
        session.add(Order(id="order_1"))
        await session.flush()
        async with store.join(session) as joined:
            with pytest.raises(Exception, match="there already"):
                await joined.run(broken)
        await session.commit()
    assert await orders(host) == ["order_1"]
    assert await store.read(lambda tx: tx.purchases.get("pur_1")) is None


def call(tx: Transaction, called: list[str]) -> None:
    tx.after_commit(lambda: called.append("committed"))


def fund_and_call(tx: Transaction, called: list[str]) -> None:
    samples.fund(tx, 100)
    tx.after_commit(lambda: called.append("committed"))


async def test_callbacks_wait_for_the_hosts_commit(store: SqlStore, host: AsyncHost) -> None:
    called: list[str] = []
    async with host.session() as session:
        async with store.join(session) as joined:
            await joined.run(lambda tx: fund_and_call(tx, called))
        assert called == []
        await session.commit()
        assert called == ["committed"]
        await session.commit()
        assert called == ["committed"]


async def test_callbacks_do_not_run_after_a_rollback(store: SqlStore, host: AsyncHost) -> None:
    called: list[str] = []
    async with host.session() as session:
        async with store.join(session) as joined:
            await joined.run(lambda tx: fund_and_call(tx, called))
        await session.rollback()
        session.add(Order(id="order_1"))
        await session.commit()
    assert called == []


async def test_callbacks_of_a_savepoint_that_is_rolled_back_do_not_run(
    store: SqlStore, host: AsyncHost
) -> None:
    called: list[str] = []

    def work(tx: Transaction, name: str) -> None:
        tx.customers.insert(samples.customer(name))
        tx.after_commit(lambda: called.append(name))

    async with host.session() as session:
        async with store.join(session) as joined:
            await joined.run(lambda tx: work(tx, "before"))
            async with session.begin_nested():
                await joined.run(lambda tx: work(tx, "released"))
            assert called == []  # a savepoint's release is no commit
            savepoint = await session.begin_nested()
            await joined.run(lambda tx: work(tx, "inside"))
            inner = await session.begin_nested()
            await joined.run(lambda tx: work(tx, "deeper"))
            await inner.commit()
            await savepoint.rollback()
            await joined.run(lambda tx: work(tx, "after"))
        await session.commit()
    assert called == ["before", "released", "after"]
    names = ("before", "released", "inside", "deeper", "after")
    kept = await store.read(lambda tx: [name for name in names if tx.customers.get(name)])
    assert kept == called


async def test_a_join_inside_a_savepoint_goes_with_it(store: SqlStore, host: AsyncHost) -> None:
    called: list[str] = []
    async with host.session() as session:
        await session.execute(select(Order.id))
        savepoint = await session.begin_nested()
        async with store.join(session) as joined:
            await joined.run(lambda tx: fund_and_call(tx, called))
        refused = pytest.raises(HostTransactionError)
        with refused:
            refuse_joined(store, "ada")
        await savepoint.rollback()
        await session.commit()
    assert called == []
    assert await posted(store) == 0


async def test_a_session_in_an_outer_transaction_of_its_connection_waits_for_that(
    store: SqlStore, host: AsyncHost
) -> None:
    """The usual arrangement of a test suite: the session's commit commits nothing."""
    called: list[str] = []
    async with host.engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(bind=connection) as session:
            async with store.join(session) as joined:
                await joined.run(lambda tx: fund_and_call(tx, called))
            await session.commit()
        assert called == []
        await outer.rollback()
    assert called == []
    assert await posted(store) == 0


async def test_a_connection_that_goes_on_settles_when_it_begins_again(
    store: SqlStore, host: AsyncHost
) -> None:
    called: list[str] = []
    async with host.engine.connect() as connection:
        async with store.join(connection) as joined:
            await joined.run(lambda tx: fund_and_call(tx, called))
        await connection.commit()
        refuse_joined(store, "bob")
        async with store.join(connection) as joined:
            assert called == ["committed"]
            await joined.run(lambda tx: samples.fund(tx, 1, grant_id="grant_2"))
        await connection.rollback()
    assert called == ["committed"]
    assert await posted(store) == 100


async def test_one_join_serves_the_sessions_next_transaction_too(
    store: SqlStore, host: AsyncHost
) -> None:
    async with host.session() as session, store.join(session) as joined:
        await joined.run(lambda tx: samples.fund(tx, 100))
        await session.commit()
        await joined.run(lambda tx: samples.fund(tx, 1, grant_id="grant_2"))
        with pytest.raises(HostTransactionError):
            refuse_joined(store, "ada")
        await session.commit()
        refuse_joined(store, "ada")
    assert await posted(store) == 101


async def test_a_call_without_the_session_is_refused_while_the_customer_is_locked(
    store: SqlStore, host: AsyncHost
) -> None:
    async with host.session() as session:
        refuse_joined(store, "ada")
        async with store.join(session) as joined:
            await joined.run(lambda tx: samples.fund(tx, 100))
        with pytest.raises(HostTransactionError, match="session="):
            refuse_joined(store, "ada")
        await asyncio.create_task(expect_refusal(store))  # a task of this one would wait as well
        await session.commit()
        refuse_joined(store, "ada")


async def expect_refusal(store: SqlStore) -> None:
    with pytest.raises(HostTransactionError):
        refuse_joined(store, "ada")


async def test_another_task_is_not_refused(store: SqlStore, host: AsyncHost) -> None:
    joined_now, finish = asyncio.Event(), asyncio.Event()

    async def host_task() -> None:
        async with host.session() as session:
            async with store.join(session) as joined:
                await joined.run(lambda tx: samples.fund(tx, 100))
            joined_now.set()
            await finish.wait()
            await session.rollback()

    task = asyncio.create_task(host_task())
    await joined_now.wait()
    refuse_joined(store, "ada")
    finish.set()
    await task


async def test_other_customers_go_on_beside_a_host_on_postgres(migrated_postgres_url: str) -> None:
    """Hard case 64: neighbours go on, nothing hangs."""
    async with store_for(migrated_postgres_url) as store, async_host(migrated_postgres_url) as host:
        async with host.session() as session:
            async with store.join(session) as joined:
                await joined.run(lambda tx: samples.fund(tx, 100))
            refuse_joined(store, "bob")
            await store.write(lambda tx: samples.fund(tx, 5, "bob", grant_id="grant_2"))
            await session.commit()
        assert await posted(store) == 100


async def test_a_customer_whose_lock_a_savepoint_gave_back_is_free_again_on_postgres(
    migrated_postgres_url: str,
) -> None:
    async with (
        store_for(migrated_postgres_url) as store,
        async_host(migrated_postgres_url) as host,
        host.session() as session,
        store.join(session) as joined,
    ):
        savepoint = await session.begin_nested()
        await joined.run(lambda tx: samples.fund(tx, 100))
        with pytest.raises(HostTransactionError):
            refuse_joined(store, "ada")
        await savepoint.rollback()
        refuse_joined(store, "ada")


async def test_on_sqlite_every_customer_is_refused(migrated_sqlite_url: str) -> None:
    """One writer for the whole file: whoever else writes would wait for the host."""
    async with store_for(migrated_sqlite_url) as store, async_host(migrated_sqlite_url) as host:
        async with host.session() as session, store.join(session):
            with pytest.raises(HostTransactionError):
                refuse_joined(store, "bob")
        refuse_joined(store, "bob")


async def test_another_stores_customers_are_not_refused(
    store: SqlStore, host: AsyncHost, database_url: str
) -> None:
    async with store_for(database_url) as other, host.session() as session:
        async with store.join(session) as joined:
            await joined.run(lambda tx: samples.fund(tx, 100))
        refuse_joined(other, "ada")


@pytest.mark.parametrize("wrong", [None, "session", 3])
async def test_what_is_no_session_is_refused(store: SqlStore, wrong: object) -> None:
    with pytest.raises(HostTransactionError, match=type(wrong).__name__):
        async with store.join(wrong):
            pass


async def test_a_synchronous_session_is_refused_with_the_way_out(store: SqlStore) -> None:
    with pytest.raises(HostTransactionError, match="synchronous calls"):
        async with store.join(Session()):
            pass


async def test_a_store_that_is_not_open_joins_nothing(database_url: str, host: AsyncHost) -> None:
    store = store_for(database_url)
    async with host.session() as session:
        with pytest.raises(StoreUnavailableError):
            async with store.join(session):
                pass
    await store.close()


async def test_a_session_without_a_database_is_refused(store: SqlStore) -> None:
    async with AsyncSession() as session:
        with pytest.raises(HostTransactionError, match="no state to be joined"):
            async with store.join(session):
                pass


async def test_a_connection_in_autocommit_is_refused(store: SqlStore, host: AsyncHost) -> None:
    engine = host.engine.execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        with pytest.raises(HostTransactionError, match="AUTOCOMMIT"):
            async with store.join(connection):
                pass


async def test_the_sync_session_inside_an_async_one_can_be_joined(
    store: SqlStore, host: AsyncHost
) -> None:
    """Synchronous code of an asynchronous host: `await session.run_sync(function)`."""

    def host_code(session: Session) -> None:
        session.add(Order(id="order_1"))
        store.join_sync(session).run(lambda tx: samples.fund(tx, 100))

    async with host.session() as session:
        await session.run_sync(host_code)
        await session.commit()
    assert await posted(store) == 100


async def test_the_clock_of_a_joined_transaction_is_the_databases(
    store: SqlStore, host: AsyncHost
) -> None:
    async with host.session() as session, store.join(session) as joined:
        first = await joined.run(lambda tx: tx.now())
        assert await joined.run(lambda tx: tx.now()) > first
