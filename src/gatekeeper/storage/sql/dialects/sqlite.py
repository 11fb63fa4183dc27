"""SQLite."""

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Table, false, text, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import Insert

from gatekeeper.errors import HostTransactionError
from gatekeeper.storage.postings import Posting
from gatekeeper.storage.quick import Arrived
from gatekeeper.storage.records import InboxEvent
from gatekeeper.storage.sql.arrivals import arrive
from gatekeeper.storage.sql.dialects.base import Failure, SqlDialect, replaced_columns
from gatekeeper.storage.sql.posting_sqlite import post_to_sqlite
from gatekeeper.storage.sql.tables import inbox, inbox_objects, schema
from gatekeeper.types import utc_now

# Primary result codes (https://www.sqlite.org/rescode.html): the low byte of the extended ones.
_BY_CODE: Final = {
    sqlite3.SQLITE_BUSY: Failure.BUSY,
    sqlite3.SQLITE_LOCKED: Failure.BUSY,
    sqlite3.SQLITE_CANTOPEN: Failure.UNAVAILABLE,
    sqlite3.SQLITE_CORRUPT: Failure.UNAVAILABLE,
    sqlite3.SQLITE_FULL: Failure.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: Failure.UNAVAILABLE,
    sqlite3.SQLITE_NOTADB: Failure.UNAVAILABLE,
    sqlite3.SQLITE_PERM: Failure.UNAVAILABLE,
    sqlite3.SQLITE_READONLY: Failure.READ_ONLY,
}
_BY_EXTENDED_CODE: Final = {
    sqlite3.SQLITE_BUSY_SNAPSHOT: Failure.CONFLICT,
    sqlite3.SQLITE_CONSTRAINT_CHECK: Failure.CHECK,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: Failure.DUPLICATE,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: Failure.DUPLICATE,
}


_ATTACHED: Final = text("PRAGMA database_list")
_BEGIN: Final = text("BEGIN IMMEDIATE")
_NO_WRITE: Final = update(schema).values(version=schema.c.version).where(false())


class SqliteDialect(SqlDialect):
    """SQLite, through the standard library's driver, or through the host's aiosqlite."""

    name: ClassVar[str] = "sqlite"
    locks_rows: ClassVar[bool] = False

    def post(self, connection: Connection, postings: Sequence[Posting]) -> None:
        post_to_sqlite(connection, postings)

    def arrive(self, connection: Connection, events: Sequence[InboxEvent]) -> Arrived:
        return arrive(connection, events, self.insert_new(inbox), self.insert_new(inbox_objects))

    def hurry(self, connection: Connection) -> None:
        """Nothing: a transaction that may write waits for nobody any more."""

    def may_make(
        self, connection: Connection, customers: Sequence[str], *, wait: bool
    ) -> Collection[str]:
        """All: a transaction that may write has the whole file."""
        return customers

    def now(self, connection: Connection) -> datetime:
        """The process's clock: the database is a file of the same machine."""
        return utc_now()

    def identity(self, connection: Connection) -> tuple[Any, ...]:
        """The device and inode of the main database's file."""
        attached = connection.execute(_ATTACHED)
        path = next((file for _, name, file in attached if name == "main"), None)
        try:
            status = Path(path).stat() if path else None
        except OSError:
            status = None
        return () if status is None else (status.st_dev, status.st_ino)

    def prepare_host(self, connection: Connection) -> None:
        """Take the write lock now, as BEGIN IMMEDIATE does.

        A transaction that has only read may show what others have long overwritten, and can't be
        told apart from outside: a write that touches no row makes SQLite decide
        (https://www.sqlite.org/isolation.html).
        """
        driver_connection: Any = connection.connection.driver_connection
        begun = driver_connection.in_transaction
        try:
            connection.execute(_NO_WRITE if begun else _BEGIN)
        except DBAPIError as error:
            if self.failure(error) is Failure.CONFLICT:
                raise HostTransactionError(
                    "This SQLite transaction has read what another one has overwritten since, so "
                    "that it can't write. Begin it with BEGIN IMMEDIATE, or join it before "
                    "its first statement."
                ) from error
            raise

    def failure(self, error: BaseException) -> Failure:
        """By result code."""
        if isinstance(error, OverflowError | UnicodeEncodeError):
            return Failure.DATA  # the driver's own words for what SQLite can't hold
        if not isinstance(error, DBAPIError):
            return Failure.UNKNOWN
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code is None:
            return Failure.UNKNOWN
        known = _BY_EXTENDED_CODE.get(code) or _BY_CODE.get(code & 0xFF)
        if known is None and "no such table" in str(error.orig):
            return Failure.SCHEMA
        return known or Failure.UNKNOWN

    def _insert_new(self, table: Table, any_key: bool) -> Insert:
        keys = None if any_key else list(table.primary_key.columns)
        return insert(table).on_conflict_do_nothing(index_elements=keys)

    def _upsert(self, table: Table, keep: tuple[str, ...]) -> Insert:
        statement = insert(table)
        return statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: statement.excluded[name] for name in replaced_columns(table, keep)},
        )
