"""What has to be said differently to different databases."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any, ClassVar

from sqlalchemy import Connection, Table
from sqlalchemy.sql.dml import Insert

from gatekeeper.storage.postings import Posting
from gatekeeper.storage.quick import Arrived
from gatekeeper.storage.records import InboxEvent


class Failure(Enum):
    """What a driver's exception means for the transaction that met it."""

    CONFLICT = auto()
    """Two transactions met and the database chose this one to give way: run it again."""

    BUSY = auto()
    """Another transaction kept a lock for longer than we wait."""

    DUPLICATE = auto()
    """A unique key exists already. A new run sees it and decides anew."""

    CHECK = auto()
    """A CHECK constraint refused the row: an invariant would have been broken."""

    DATA = auto()
    """A value does not fit its column."""

    SCHEMA = auto()
    """A table or column is missing."""

    LOST = auto()
    """The connection broke; whatever was not committed is gone."""

    READ_ONLY = auto()
    """A write where only reads are taken: a standby, a file without write permission, `read`."""

    UNAVAILABLE = auto()
    """The database can't be reached, or takes no work now."""

    UNKNOWN = auto()
    """A bug: it is raised as it is."""


class SqlDialect(ABC):
    """One kind of database."""

    name: ClassVar[str]
    locks_rows: ClassVar[bool]

    def __init__(self) -> None:
        self._statements: dict[object, Insert] = {}

    def insert_new(self, table: Table, *, any_key: bool = False) -> Insert:
        """INSERT that leaves a row alone whose primary key is there already (`any_key`: any other
        unique key as well); its rowcount tells."""
        return self._cached(("new", table, any_key), lambda: self._insert_new(table, any_key))

    def upsert(self, table: Table, *, keep: tuple[str, ...] = ()) -> Insert:
        """INSERT that replaces the row of the same primary key, except for the columns `keep`."""
        return self._cached(("upsert", table, keep), lambda: self._upsert(table, keep))

    def _cached(self, key: object, build: Callable[[], Insert]) -> Insert:
        statement = self._statements.get(key)
        if statement is None:
            statement = self._statements[key] = build()
        return statement

    @abstractmethod
    def _insert_new(self, table: Table, any_key: bool) -> Insert: ...

    @abstractmethod
    def _upsert(self, table: Table, keep: tuple[str, ...]) -> Insert: ...

    @abstractmethod
    def post(self, connection: Connection, postings: Sequence[Posting]) -> None:
        """Write the accounts, entries, holds and receipts of postings.

        Raises:
            TransactionConflictError: an account is not as it was read, or a hold has ended.
        """

    @abstractmethod
    def arrive(self, connection: Connection, events: Sequence[InboxEvent]) -> Arrived:
        """Store the events that are not there yet, in this order, each under another key."""

    @abstractmethod
    def hurry(self, connection: Connection) -> None:
        """Let the rest of the transaction wait for a moment only, whatever it meets."""

    @abstractmethod
    def may_make(
        self, connection: Connection, customers: Sequence[str], *, wait: bool
    ) -> Collection[str]:
        """For which of these customers accounts can be made, without waiting for somebody who is
        about to make the same ones; with `wait` all of them, after that."""

    @abstractmethod
    def now(self, connection: Connection) -> datetime:
        """The database's clock at this moment."""

    @abstractmethod
    def identity(self, connection: Connection) -> tuple[Any, ...]:
        """What tells this database from every other one; empty if nothing does.

        Reads the tables of Gatekeeper's that the connection's search path leads to.
        """

    @abstractmethod
    def prepare_host(self, connection: Connection) -> None:
        """Make a host's open transaction fit for ours.

        Raises:
            HostTransactionError: it can't be.
        """

    @abstractmethod
    def failure(self, error: BaseException) -> Failure:
        """What a driver's exception means."""


def replaced_columns(table: Table, keep: tuple[str, ...]) -> list[str]:
    """The columns that an upsert writes over."""
    return [
        column.name
        for column in table.columns
        if not column.primary_key and column.name not in keep
    ]
