"""PostgreSQL through asyncpg."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gatekeeper.errors import ConfigurationError
from gatekeeper.storage.quick import QuickLedger
from gatekeeper.storage.sql.dialects import POSTGRESQL, SqlDialect
from gatekeeper.storage.sql.postgresql_quick import PostgresqlQuick
from gatekeeper.storage.sql.runner import Runner, transact
from gatekeeper.types import Clock

T = TypeVar("T")

DRIVER: Final = "postgresql+asyncpg"

_PGBOUNCER: Final = "pgbouncer"
"""The parameter of a URL that leads to PgBouncer."""

MIN_POOL_FOR_QUICK: Final = 10
"""The smallest pool that lends connections for good: the ledger's quick way keeps two of them, that
of events two more, and four may wait for locked accounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlOptions:
    """How to use a PostgreSQL.

    Attributes:
        pool_size: connections at most, for each process.
        pool_timeout_seconds: how long a transaction waits for a connection.
        connect_timeout_seconds: how long a new connection may take.
        command_timeout_seconds: how long one statement may take, its wait for locks included.
        lock_timeout_seconds: how long a statement waits for a lock. Must be below the former to
            matter. Not set behind PgBouncer, which gives a session's settings to whoever comes
            next.
        pgbouncer: the URL leads to PgBouncer in transaction mode, where a connection of ours is
            another one of the server's with each transaction. No statement is then prepared for
            longer than its own execution, and no setting is made for the session. The parameter
            `pgbouncer=true` of the URL says the same.
    """

    pool_size: int = 10
    pool_timeout_seconds: float = 5.0
    connect_timeout_seconds: float = 5.0
    command_timeout_seconds: float = 10.0
    lock_timeout_seconds: float = 5.0
    pgbouncer: bool = False


class PostgresqlRunner(Runner):
    """A pool of asyncpg connections; work runs on the event loop, in SQLAlchemy's greenlets."""

    dialect: SqlDialect = POSTGRESQL

    def __init__(self, url: URL, options: PostgresqlOptions) -> None:
        options = behind(url, options)
        plain, from_url = split_url(url)
        self._has_quick = not options.pgbouncer and options.pool_size >= MIN_POOL_FOR_QUICK
        self.engine: AsyncEngine = create_async_engine(
            plain,
            pool_size=options.pool_size,
            max_overflow=0,
            hide_parameters=True,
            pool_timeout=options.pool_timeout_seconds,
            connect_args=connect_arguments(options, from_url),
        )
        # The same pool; BEGIN says the rest, at no extra round trip.
        self._snapshots = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def check(self, *, create: bool) -> None:
        """Nothing: connecting says what is wrong."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        async with self.engine.connect() as connection:
            return await connection.run_sync(transact, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        async with self._snapshots.connect() as connection:
            return await connection.run_sync(transact, work)

    def quick(self, clock: Clock | None) -> QuickLedger | None:
        """None behind PgBouncer (between two statements, the server may be another one), and where
        the pool is too small to do without the connections that it keeps."""
        return PostgresqlQuick(self.engine, clock) if self._has_quick else None

    async def close(self) -> None:
        await self.engine.dispose()


def connect_arguments(options: PostgresqlOptions, from_url: dict[str, Any]) -> dict[str, Any]:
    """What asyncpg's `connect` gets
    (https://magicstack.github.io/asyncpg/current/api/index.html#connection)."""
    settings: dict[str, str] = {"application_name": from_url.pop("application_name", "gatekeeper")}
    arguments: dict[str, Any] = {
        "timeout": options.connect_timeout_seconds,
        "command_timeout": options.command_timeout_seconds,
        **from_url,
    }
    if options.pgbouncer:
        arguments["statement_cache_size"] = 0
        arguments["prepared_statement_cache_size"] = 0
        arguments["prepared_statement_name_func"] = _nameless
    else:
        settings["lock_timeout"] = f"{round(options.lock_timeout_seconds * 1000)}ms"
    arguments["server_settings"] = settings
    return arguments


def _nameless() -> str:
    """The name of every statement behind PgBouncer: none. One with a name of its own would be
    closed when Python gets round to it, on another connection of the server's, and stay on its own
    for good. Without a cache, asyncpg sends one that has no name together with its arguments."""
    return ""


def behind(url: URL, options: PostgresqlOptions) -> PostgresqlOptions:
    """The options for a URL that may say that it leads to PgBouncer."""
    said = str(url.query.get(_PGBOUNCER, "")).lower()
    return replace(options, pgbouncer=True) if said in {"true", "1"} else options


def split_url(url: URL) -> tuple[URL, dict[str, Any]]:
    """A URL for asyncpg, without its query; and the query's parameters as asyncpg's arguments.

    Hosting services hand out URLs in libpq's words
    (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS); the usual
    ones are understood.

    Raises:
        ConfigurationError: for parameters that would be lost silently.
    """
    arguments: dict[str, Any] = {}
    for name, value in url.query.items():
        match name:
            case "sslmode" | "ssl":
                arguments["ssl"] = value
            case "application_name" | "host":
                arguments[name] = value
            case "connect_timeout":
                arguments["timeout"] = float(str(value))
            case "channel_binding" | "pgbouncer":
                pass  # asyncpg negotiates the one by itself; for the other there is `behind`
            case _:
                raise ConfigurationError(
                    f"The database URL has a parameter {name!r} that Gatekeeper does not know."
                )
    plain = url.set(drivername=DRIVER, query={})
    return plain, arguments
