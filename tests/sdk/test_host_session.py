"""`session=`: inside the host's own SQLAlchemy transaction, rolled back and committed with it."""

import contextvars
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from gatekeeper import Gatekeeper, SyncGatekeeper
from gatekeeper.errors import CreditsRequiredError, HostTransactionError
from gatekeeper.ledger import HoldStatus
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.testing.clock import ManualClock
from tests.gates import CATALOG, CUSTOMER, Books, available, held, new_gate
from tests.sdk.hosts import COUNT, INSERT, async_host, sync_host

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gate(gate_url: str, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    async with new_gate(gate_url, clock=clock) as opened:
        yield opened


@pytest.fixture
async def engine(gate_url: str) -> AsyncIterator[AsyncEngine]:
    async with async_host(gate_url) as opened:
        yield opened


async def jobs(engine: AsyncEngine) -> int:
    async with AsyncSession(engine) as session:
        return int((await session.execute(COUNT)).scalar_one())


async def everything(gate: Gatekeeper, session: AsyncSession, hold_id: str) -> None:
    """All that can be done with a session."""
    await session.execute(INSERT, {"id": "job-1"})
    await gate.grant(CUSTOMER, "credits", 10, reason="job", session=session)
    await gate.capture(hold_id, 1, session=session)
    first = await gate.reserve(CUSTOMER, "credits", 4, session=session)
    await gate.extend(first.id, add_amount=1, session=session)
    await gate.release(first.id, session=session)
    async with gate.reserve(CUSTOMER, "credits", 3, session=session) as hold:
        hold.record(2)


async def test_what_is_done_in_a_session_is_rolled_back_with_it(
    gate: Gatekeeper, engine: AsyncEngine, gate_url: str
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    async with AsyncSession(engine) as session:
        await everything(gate, session, hold.id)
        await session.rollback()
    assert await jobs(engine) == 0
    assert (await available(gate), await held(gate)) == (3, 2)
    books = Books(gate_url)
    assert await books.spent() == 0
    assert (await books.hold(hold.id)).status is HoldStatus.OPEN


async def test_what_is_done_in_a_session_is_committed_with_it(
    gate: Gatekeeper, engine: AsyncEngine, gate_url: str
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    async with AsyncSession(engine) as session:
        await everything(gate, session, hold.id)
        await session.commit()
    assert await jobs(engine) == 1
    assert (await available(gate), await held(gate)) == (12, 0)
    assert await Books(gate_url).spent() == 3


async def test_a_refusal_in_a_session_leaves_the_rest_of_it_alone(
    gate: Gatekeeper, engine: AsyncEngine
) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(INSERT, {"id": "job-1"})
        with pytest.raises(CreditsRequiredError):
            await gate.reserve(CUSTOMER, "credits", 50, session=session)
        await gate.grant(CUSTOMER, "credits", 1, reason="job", session=session)
        await session.commit()
    assert await jobs(engine) == 1
    assert await available(gate) == 6


async def test_a_block_that_fails_in_a_session_frees_its_hold_there(
    gate: Gatekeeper, engine: AsyncEngine
) -> None:
    async with AsyncSession(engine) as session:
        with pytest.raises(ZeroDivisionError):
            async with gate.reserve(CUSTOMER, "credits", 3, session=session):
                raise ZeroDivisionError
        await session.commit()
    assert (await available(gate), await held(gate)) == (5, 0)


async def test_a_connection_of_the_hosts_will_do(gate: Gatekeeper, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await gate.grant(CUSTOMER, "credits", 1, reason="job", session=connection)
    assert await available(gate) == 6


async def test_a_call_without_the_open_session_is_refused_by_name_and_does_not_hang(
    gate: Gatekeeper, engine: AsyncEngine
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    async with AsyncSession(engine) as session:
        await gate.grant(CUSTOMER, "credits", 1, reason="job", session=session)
        for call in (
            gate.grant(CUSTOMER, "credits", 1, reason="job"),
            gate.capture(hold.id),
            gate.capture(hold.id, customer=CUSTOMER),
            gate.release(hold.id),
            gate.extend(hold.id),
        ):
            with pytest.raises(HostTransactionError, match="session="):
                await call
        with pytest.raises(HostTransactionError, match="session="):
            await gate.reserve(CUSTOMER, "credits", 1)
        await session.rollback()
    assert (await gate.capture(hold.id)).captured == 1
    assert await available(gate) == 4


async def test_on_postgresql_other_customers_are_free_while_a_session_is_open(
    migrated_postgres_url: str, clock: ManualClock
) -> None:
    async with new_gate(migrated_postgres_url, clock=clock) as gate:
        other = await gate.reserve("org_43", "credits", 1)
        async with async_host(migrated_postgres_url) as engine, AsyncSession(engine) as session:
            await gate.grant(CUSTOMER, "credits", 1, reason="job", session=session)
            await gate.grant("org_43", "credits", 1, reason="job")
            await gate.capture(other.id)
            await session.commit()
        assert await available(gate, customer="org_43") == 5


async def test_a_session_of_another_kind_or_database_is_refused(
    gate: Gatekeeper, tmp_path: object
) -> None:
    for session in ("session", Session(), 7):
        with pytest.raises(HostTransactionError):
            await gate.grant(CUSTOMER, "credits", 1, reason="job", session=session)
    async with (
        async_host(f"sqlite:///{tmp_path}/other.db") as engine,
        AsyncSession(engine) as foreign,
    ):
        with pytest.raises(HostTransactionError):
            await gate.grant(CUSTOMER, "credits", 1, reason="job", session=foreign)


async def test_the_store_in_memory_joins_nothing(migrated_sqlite_url: str) -> None:
    settings = new_gate(migrated_sqlite_url).settings
    async with (
        Gatekeeper(CATALOG, settings, store=MemoryStore()) as gate,
        async_host(migrated_sqlite_url) as engine,
        AsyncSession(engine) as session,
    ):
        with pytest.raises(HostTransactionError, match="in memory"):
            await gate.grant(CUSTOMER, "credits", 1, reason="job", session=session)
        assert await available(gate) == 5


# -- synchronous hosts ----------------------------------------------------------------------------


def test_a_synchronous_session_is_rolled_back_and_committed_with_us(
    migrated_sqlite_url: str, clock: ManualClock
) -> None:
    with (
        SyncGatekeeper(new_gate(migrated_sqlite_url, clock=clock)) as billing,
        sync_host(migrated_sqlite_url) as engine,
    ):
        hold = billing.hold(CUSTOMER, "credits", 2)
        with Session(engine) as session:
            session.execute(INSERT, {"id": "job-1"})
            billing.grant(CUSTOMER, "credits", 10, reason="job", session=session)
            billing.capture(hold.id, 1, session=session)
            session.rollback()
        assert billing.balance(CUSTOMER, "credits").available == 3
        with Session(engine) as session:
            session.execute(INSERT, {"id": "job-1"})
            billing.grant(CUSTOMER, "credits", 10, reason="job", session=session)
            billing.capture(hold.id, 1, session=session)
            other = billing.hold(CUSTOMER, "credits", 2, session=session)
            billing.extend(other.id, add_amount=1, session=session)
            billing.release(other.id, session=session)
            session.commit()
        assert billing.balance(CUSTOMER, "credits").available == 14
        gift = billing.grant(CUSTOMER, "credits", 5, reason="test")
        for end in (Session.rollback, Session.commit):
            with Session(engine) as session:
                lapsed = billing.revoke(
                    CUSTOMER, "credits", gift.id, reason="a mistake", session=session
                )
                billing.set_cap(CUSTOMER, "credits", "day", 0, session=session)
                end(session)
            assert lapsed == 5
        assert billing.balance(CUSTOMER, "credits").available == 14
        with pytest.raises(CreditsRequiredError, match="cap"):
            billing.hold(CUSTOMER, "credits", 1)
        with engine.connect() as connection:
            assert connection.execute(COUNT).scalar_one() == 1
            assert connection.execute(text("SELECT id FROM host_jobs")).scalar_one() == "job-1"


def test_a_synchronous_call_without_the_open_session_is_refused(
    migrated_sqlite_url: str, clock: ManualClock
) -> None:
    def scenario() -> None:
        with (
            SyncGatekeeper(new_gate(migrated_sqlite_url, clock=clock)) as billing,
            sync_host(migrated_sqlite_url) as engine,
            Session(engine) as session,
        ):
            billing.grant(CUSTOMER, "credits", 1, reason="job", session=session)
            with pytest.raises(HostTransactionError, match="session="):
                billing.grant(CUSTOMER, "credits", 1, reason="job")
            with (
                pytest.raises(HostTransactionError, match="session="),
                billing.reserve(CUSTOMER, "credits"),
            ):
                pytest.fail("it was reserved")
            session.commit()
            billing.grant(CUSTOMER, "credits", 1, reason="job")
            assert billing.balance(CUSTOMER, "credits").available == 7

    contextvars.Context().run(scenario)
