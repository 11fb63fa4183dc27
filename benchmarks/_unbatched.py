"""The straightforward way: SQLAlchemy's asyncio, a transaction for each step, no batching.

Lock the account's row with SELECT ... FOR UPDATE, look, then Core statements, then COMMIT: what
most applications would write, in a careful form (Core and no ORM, explicit columns, no refresh). On
SQLite, which has no row locks, the transaction begins with BEGIN IMMEDIATE, by aiosqlite. Each
transaction takes a connection from SQLAlchemy's pool. Its tables are those of `_plain`.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from uuid_utils.compat import uuid7

from benchmarks._load import Pair
from benchmarks._plain import accounts, entries, holds, metadata

POOL_SIZE: Final = 20
"""Of 5, 10, 20 and 64 connections, these were the fastest here."""

_Account = sa.Row[Any, Any, Any]
"""posted, held, version"""

_UNIT: Final = "credits"
_TTL: Final = timedelta(seconds=300)


class NotEnoughError(Exception):
    """The account has too little."""


def postgres_engine(url: str) -> AsyncEngine:
    """asyncpg, with a pool of fixed size. It keeps statements prepared by itself."""
    return create_async_engine(url, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=60)


def sqlite_engine(url: str, *, pool_size: int = 1) -> AsyncEngine:
    """aiosqlite in WAL mode, synchronous FULL, as ours.

    One connection: SQLite has one writer at a time, and those who wait in the pool wait in order.
    With 5 or 15 they wait in SQLite's busy handler, which sleeps: that made as many pairs here, and
    some waited for a second.
    """
    engine = create_async_engine(
        url.replace("sqlite:", "sqlite+aiosqlite:"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=60,
        connect_args={"timeout": 30},
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for setting in ("journal_mode = WAL", "synchronous = FULL"):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


async def create_tables(engine: AsyncEngine) -> None:
    """Make the tables of `_plain`."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)


def unbatched_pair(engine: AsyncEngine) -> Pair:
    """Reserve, then capture: two transactions."""

    async def pair(customer: str) -> None:
        hold_id = str(uuid7())
        async with engine.begin() as connection:
            await _reserve(connection, customer, hold_id, 1)
        async with engine.begin() as connection:
            await _capture(connection, customer, hold_id)

    return pair


async def _locked(connection: AsyncConnection, customer: str) -> _Account:
    found = await connection.execute(
        sa.select(accounts.c.posted, accounts.c.held, accounts.c.version)
        .where(accounts.c.customer == customer, accounts.c.unit == _UNIT)
        .with_for_update()
    )
    return found.one()


async def _reserve(connection: AsyncConnection, customer: str, hold_id: str, amount: int) -> None:
    account = await _locked(connection, customer)
    now = datetime.now(UTC)
    if account.posted - account.held < amount:
        raise NotEnoughError(customer)
    await _write_account(connection, customer, account, 0, amount, now)
    await connection.execute(
        sa.insert(holds).values(
            customer=customer,
            id=hold_id,
            unit=_UNIT,
            amount=amount,
            created_at=now,
            expires_at=now + _TTL,
            status="open",
            captured=0,
        )
    )
    await _write_entry(connection, customer, account, "hold", 0, amount, hold_id, now)


async def _capture(connection: AsyncConnection, customer: str, hold_id: str) -> None:
    account = await _locked(connection, customer)
    now = datetime.now(UTC)
    found = await connection.execute(
        sa.update(holds)
        .where(holds.c.customer == customer, holds.c.id == hold_id, holds.c.status == "open")
        .values(status="captured", captured=holds.c.amount, ended_at=now)
        .returning(holds.c.amount)
    )
    amount = found.scalar_one()
    await _write_account(connection, customer, account, -amount, -amount, now)
    await _write_entry(connection, customer, account, "capture", -amount, -amount, hold_id, now)


async def _write_account(
    connection: AsyncConnection,
    customer: str,
    account: _Account,
    posted_delta: int,
    held_delta: int,
    now: datetime,
) -> None:
    await connection.execute(
        sa.update(accounts)
        .where(accounts.c.customer == customer, accounts.c.unit == _UNIT)
        .values(
            posted=account.posted + posted_delta,
            held=account.held + held_delta,
            version=account.version + 1,
            last_entry_at=now,
        )
    )


async def _write_entry(
    connection: AsyncConnection,
    customer: str,
    account: _Account,
    kind: str,
    posted_delta: int,
    held_delta: int,
    hold_id: str,
    now: datetime,
) -> None:
    await connection.execute(
        sa.insert(entries).values(
            customer=customer,
            unit=_UNIT,
            sequence=account.version + 1,
            kind=kind,
            at=now,
            posted_delta=posted_delta,
            held_delta=held_delta,
            hold_id=hold_id,
        )
    )
