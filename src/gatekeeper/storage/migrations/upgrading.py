"""Running the migrations, one process at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, func, inspect, make_url, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from gatekeeper.errors import ConfigurationError
from gatekeeper.storage.migrations.alone import alone_with_alembic
from gatekeeper.storage.migrations.check import SCHEMA_VERSION, VERSION_TABLE, schema_status
from gatekeeper.storage.sql.dialects import POSTGRESQL, SQLITE
from gatekeeper.storage.sql.errors import raise_named
from gatekeeper.storage.sql.postgresql_runner import (
    PostgresqlOptions,
    behind,
    connect_arguments,
    split_url,
)
from gatekeeper.storage.sql.sqlite_runner import SqliteOptions, write_engine

T = TypeVar("T")

Target = str | URL | Engine
"""A database: its URL, or a synchronous engine of the host's."""

# The key is "gatekeep" in ASCII.
_LOCK: Final = select(func.pg_advisory_xact_lock(0x6761_7465_6B65_6570))

_PATIENT: Final = PostgresqlOptions(command_timeout_seconds=3600, lock_timeout_seconds=60)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did, or with `dry_run` would do: the revisions, and the SQL of a dry run."""

    before: str | None
    after: str | None
    sql: str = ""


def head() -> str:
    """The revision that this release's migrations end in."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None
    return found


def current(target: Target) -> str | None:
    """The revision of a database that `upgrade` looks after; None if it was never run there."""
    return _on(target, _revision)


def upgrade(target: Target, revision: str = "heads", *, dry_run: bool = False) -> Upgrade:
    """Bring a database to a revision; all of it in one transaction, or nothing.

    Several processes may do so at once: the first one works, the others wait and find it done.
    Blocks until it is done, also where an event loop is running.

    Args:
        target: the database. For an `AsyncEngine` of your own there is `upgrade_connection`:
            `async with engine.begin() as c: await c.run_sync(upgrade_connection)`.
        revision: a revision of Alembic's; `heads` is the newest.
        dry_run: change nothing, and return the SQL.

    Raises:
        ConfigurationError: the tables are there, but Alembic's note of them is not: they belong to
            the host's own Alembic; or there is no such revision.
        StoreUnavailableError: the database can't be reached.
    """
    work = _dry_run if dry_run else upgrade_connection
    return _on(target, lambda connection: work(connection, revision))


def upgrade_connection(connection: Connection, revision: str = "heads") -> Upgrade:
    """As `upgrade`, in the open transaction of a connection, which the caller commits.

    On SQLite the transaction must have begun with BEGIN IMMEDIATE.
    """
    with alone_with_alembic():
        return _upgrade(connection, revision)


def _upgrade(connection: Connection, revision: str) -> Upgrade:
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK)
    before = _revision(connection)
    status = schema_status(connection)
    if before is None and status is not None:
        raise ConfigurationError(
            f"Gatekeeper's tables are there, but not {VERSION_TABLE}: the host's own Alembic looks "
            "after them. Run `alembic upgrade heads`."
        )
    if status is not None and status.version > SCHEMA_VERSION:
        return Upgrade(before, before)  # a newer release was here, and left nothing to do
    try:
        command.upgrade(_config(connection=connection), revision)
    except CommandError as error:
        raise ConfigurationError(f"Alembic can't upgrade to {revision!r}: {error}") from error
    return Upgrade(before, _revision(connection))


def _dry_run(connection: Connection, revision: str) -> Upgrade:
    with alone_with_alembic():
        return _written(connection, revision)


def _written(connection: Connection, revision: str) -> Upgrade:
    before = _revision(connection)
    written = StringIO()
    config = _config(output=written, dialect_name=connection.dialect.name)
    script = ScriptDirectory.from_config(config)
    after = ", ".join(found.revision for found in script.get_revisions(revision))
    if before != head():
        command.upgrade(config, f"{before}:{revision}" if before else revision, sql=True)
    return Upgrade(before, after, written.getvalue())


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _config(*, output: StringIO | None = None, **attributes: Any) -> Config:
    config = Config(stdout=StringIO(), output_buffer=output, attributes=attributes)
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _on(target: Target, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction on the database."""
    if isinstance(target, Engine):
        with target.begin() as connection:
            return work(connection)
    url = make_url(target)
    if url.get_backend_name() == "sqlite":
        return _on_sqlite(url, work)
    with ThreadPoolExecutor(1) as thread:  # asyncpg wants a loop, and there may be one here already
        return thread.submit(asyncio.run, _on_postgresql(url, work)).result()


def _on_sqlite(url: URL, work: Callable[[Connection], T]) -> T:
    engine = write_engine(url, SqliteOptions(busy_timeout_seconds=60))
    try:
        with engine.begin() as connection:
            return work(connection)
    except Exception as error:  # noqa: BLE001 - raised on, by its name where it has one
        raise_named(error, SQLITE)
    finally:
        engine.dispose()


async def _on_postgresql(url: URL, work: Callable[[Connection], T]) -> T:
    plain, from_url = split_url(url)
    arguments = connect_arguments(behind(url, _PATIENT), from_url)
    engine = create_async_engine(plain, poolclass=NullPool, connect_args=arguments)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    except Exception as error:  # noqa: BLE001 - raised on, by its name where it has one
        raise_named(error, POSTGRESQL)
