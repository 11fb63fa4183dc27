"""SQLite: one writer thread, readers beside it."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import stamina
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from gatekeeper.errors import ConfigurationError, SchemaVersionError
from gatekeeper.storage.sql.dialects import SQLITE, SqlDialect
from gatekeeper.storage.sql.runner import Runner, transact

T = TypeVar("T")

_DRIVER = "sqlite+pysqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteOptions:
    """How to use a SQLite file.

    Attributes:
        readers: threads for reads; they never wait for the writer (WAL).
        busy_timeout_seconds: how long a write waits for another process, or for a host's own
            transaction, to let go of the file.
    """

    readers: int = 4
    busy_timeout_seconds: float = 5.0


class SqliteRunner(Runner):
    """A file, one thread that writes and a few that read.

    SQLite takes one writer at a time whatever we do; a thread of our own makes the others wait in
    order, in a queue, instead of in the file's busy handler.
    """

    dialect: SqlDialect = SQLITE

    def __init__(self, url: URL, options: SqliteOptions) -> None:
        self.path = sqlite_path(url)
        self.engine = write_engine(url, options)
        self._read_engine = _read_engine(url, options)
        self._reader_count = options.readers
        self._make_threads()

    def check(self, *, create: bool) -> None:
        """SQLite makes a file that is not there: an empty one would hide a mistyped path."""
        if not create and not Path(self.path).exists():
            raise SchemaVersionError(
                f"There is no SQLite file {self.path!r}. Run `gatekeeper db upgrade`, or set "
                "auto_upgrade."
            )

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._writer, self.engine, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._readers, self._read_engine, work)

    async def close(self) -> None:
        await asyncio.to_thread(self._shut_down)

    def _make_threads(self) -> None:
        """Nothing runs before it is used."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="gatekeeper-writer")
        self._readers = ThreadPoolExecutor(
            self._reader_count, thread_name_prefix="gatekeeper-reader"
        )

    def _shut_down(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self.engine.dispose()
        self._read_engine.dispose()
        self._make_threads()  # a gate may be opened again

    async def _run(
        self, threads: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], T]
    ) -> T:
        def in_thread() -> T:
            with engine.connect() as connection:
                return transact(connection, work)

        return await asyncio.get_running_loop().run_in_executor(threads, in_thread)


def sqlite_path(url: URL) -> str:
    """The file that a SQLite URL names.

    Raises:
        ConfigurationError: it names a database in memory, which every thread would have its own of.
    """
    path = url.database
    if not path or path == ":memory:" or "mode=memory" in str(url):
        raise ConfigurationError(
            "A SQLite in memory can't be shared between threads and is gone with the process. "
            "Name a file (sqlite:////absolute/path.db), or use the memory store in tests."
        )
    if path.startswith("file:"):
        raise ConfigurationError("Name the SQLite file by its path, not by a file: URI.")
    return path


def write_engine(url: URL, options: SqliteOptions) -> Engine:
    """An engine whose transactions begin with BEGIN IMMEDIATE."""
    return _engine(url, options, pool_size=1, begin="BEGIN IMMEDIATE")


def _read_engine(url: URL, options: SqliteOptions) -> Engine:
    engine = _engine(url, options, pool_size=options.readers, begin="BEGIN")

    @event.listens_for(engine, "connect")
    def refuse_writes(dbapi_connection: sqlite3.Connection, _record: Any) -> None:
        dbapi_connection.execute("PRAGMA query_only = ON")

    return engine


def _engine(url: URL, options: SqliteOptions, *, pool_size: int, begin: str) -> Engine:
    """The driver is kept from beginning transactions by itself (it would only do so at the first
    write); SQLAlchemy's `begin` event does it
    (https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#sqlite-transactions)."""
    engine = create_engine(
        url.set(drivername=_DRIVER, query={}),
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": options.busy_timeout_seconds},
    )

    @event.listens_for(engine, "connect")
    def prepare(dbapi_connection: sqlite3.Connection, _record: Any) -> None:
        dbapi_connection.isolation_level = None
        _use_wal(dbapi_connection, options.busy_timeout_seconds)
        for setting in ("synchronous = FULL", "foreign_keys = ON"):
            dbapi_connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _use_wal(connection: sqlite3.Connection, patience_seconds: float) -> None:
    """Have the file keep a write-ahead log.

    Who opens a new file first changes its mode, alone; SQLite refuses all who come at that moment
    without calling the busy handler (https://www.sqlite.org/c3ref/busy_handler.html).
    """
    for attempt in stamina.retry_context(
        on=_is_busy, attempts=None, timeout=patience_seconds, wait_initial=0.005, wait_max=0.1
    ):
        with attempt:
            connection.execute("PRAGMA journal_mode = WAL")


def _is_busy(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY
