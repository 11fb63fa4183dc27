"""One moment of a database, read by its plain driver."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any, TypeVar

import asyncpg

from tests.services.postgres import Psql

Row = dict[str, Any]
Select = Callable[[str], list[Row]]
T = TypeVar("T")

TABLES = """
CREATE TABLE bank_rows (
  id VARCHAR(64) PRIMARY KEY,
  kind VARCHAR(16) NOT NULL,
  ref VARCHAR(64) NOT NULL,
  amount BIGINT NOT NULL
)
"""
"""The host's own table: a row beside each capture, reserve and grant that it did in a transaction
of its own. `ref` names the hold or the grant."""


def is_sqlite(url: str) -> bool:
    """Whether a URL is SQLite's."""
    return url.startswith("sqlite")


def sqlite_path(url: str) -> str:
    """The file that the URL names."""
    return url.removeprefix("sqlite:///")


def postgres_dsn(url: str) -> str:
    """The URL as asyncpg wants it."""
    return url.replace("postgresql+asyncpg:", "postgresql:", 1)


async def execute(url: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    if is_sqlite(url):
        with closing(sqlite3.connect(sqlite_path(url), isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
        return
    async with _connected(url) as connected:
        for statement in statements:
            await connected.execute(statement)


async def read_at_one_moment(url: str, *queries: str) -> list[list[Row]]:
    """The rows of each query, all as they were at one moment."""
    if is_sqlite(url):
        return await asyncio.to_thread(_read_sqlite, sqlite_path(url), queries)
    async with (
        _connected(url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        return [[dict(row) for row in await connection.fetch(query)] for query in queries]


def _read_sqlite(path: str, queries: tuple[str, ...]) -> list[list[Row]]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")  # with its first SELECT the moment is chosen
        return [[dict(row) for row in connection.execute(query)] for query in queries]


async def backends(url: str) -> int:
    """How many others are connected to the database, besides who empties it for each test; 0 for
    SQLite, which has no such thing."""
    if is_sqlite(url):
        return 0
    async with _connected(url) as connection:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND application_name <> $1",
            Psql.NAME,
        )
        return found


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres_dsn(url))
    try:
        yield connection
    finally:
        await connection.close()
