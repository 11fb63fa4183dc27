"""Two PostgreSQL connections, each with an open transaction that a test steps through by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sql.dialects import POSTGRESQL
from gatekeeper.storage.sql.transaction import SqlTransaction

T = TypeVar("T")


class Stepper:
    """One connection with an open transaction."""

    def __init__(self, connection: AsyncConnection, pid: int) -> None:
        self.connection = connection
        self.pid = pid

    async def do(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in the open transaction."""
        return await self.connection.run_sync(
            lambda connection: work(SqlTransaction(connection, POSTGRESQL))
        )

    async def commit(self) -> None:
        await self.connection.commit()

    async def rollback(self) -> None:
        await self.connection.rollback()


class Observer:
    """Watches the others from a connection of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def until_waiting(self, stepper: Stepper, task: "asyncio.Task[object]") -> None:
        """Return once the stepper's backend waits for a lock; fail if its task ends instead."""
        while True:
            if task.done():
                raise AssertionError(f"it did not wait: {task.result()!r}")
            async with self._engine.connect() as connection:
                event_type = await connection.scalar(
                    text("SELECT wait_event_type FROM pg_stat_activity WHERE pid = :pid"),
                    {"pid": stepper.pid},
                )
            if event_type == "Lock":
                return


@asynccontextmanager
async def two_transactions(url: str) -> AsyncIterator[tuple[Stepper, Stepper, Observer]]:
    """Two steppers on one database, and an observer."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as first, engine.connect() as second:
            pids = [
                (await one.execute(text("SELECT pg_backend_pid()"))).scalar_one()
                for one in (first, second)
            ]
            await first.rollback()
            await second.rollback()
            yield Stepper(first, pids[0]), Stepper(second, pids[1]), Observer(engine)
    finally:
        await engine.dispose()


def connection_of(tx: Transaction) -> Connection:
    """The connection under a transaction, for statements that the port has no word for."""
    assert isinstance(tx, SqlTransaction)
    return tx._connection
