"""A host's own database and table, in the same database as ours."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CREATE = text("CREATE TABLE IF NOT EXISTS host_jobs (id VARCHAR(50) PRIMARY KEY)")
EMPTY = text("DELETE FROM host_jobs")
INSERT = text("INSERT INTO host_jobs VALUES (:id)")
COUNT = text("SELECT count(*) FROM host_jobs")


def _begin_immediate(engine: Engine) -> None:
    """SQLite's write lock is taken at once: reads before a write would make it fail
    (https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#sqlite-transactions)."""

    @event.listens_for(engine, "connect")
    def no_own_transactions(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@asynccontextmanager
async def async_host(url: str) -> AsyncIterator[AsyncEngine]:
    """The host's engine: aiosqlite or asyncpg."""
    is_sqlite = url.startswith("sqlite")
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:", 1))
    if is_sqlite:
        _begin_immediate(engine.sync_engine)
    async with engine.begin() as connection:
        await connection.execute(CREATE)
        await connection.execute(EMPTY)
    try:
        yield engine
    finally:
        await engine.dispose()


@contextmanager
def sync_host(url: str) -> Iterator[Engine]:
    """The host's engine on SQLite, with the standard library's driver."""
    engine = create_engine(url)
    _begin_immediate(engine)
    with engine.begin() as connection:
        connection.execute(CREATE)
    try:
        yield engine
    finally:
        engine.dispose()
