"""What brings synchronous work on a connection to the event loop."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gatekeeper.storage.quick import QuickLedger
from gatekeeper.storage.sql.dialects import SqlDialect
from gatekeeper.storage.sql.errors import CommitFailedError
from gatekeeper.types import Clock

T = TypeVar("T")


class Runner(ABC):
    """Connections to one database, and where work on them runs.

    Each call is one attempt: drivers' exceptions come out as they are, except that what COMMIT
    itself raises comes as CommitFailedError, since only then the outcome is in doubt.
    """

    dialect: SqlDialect

    @abstractmethod
    def check(self, *, create: bool) -> None:
        """Check, before the first connection, what connecting would not: `create` says that the
        database may be made.

        Raises:
            SchemaVersionError: there is no database.
        """

    @abstractmethod
    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that may write, and commit it."""

    @abstractmethod
    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a snapshot; the database refuses writes."""

    def quick(self, clock: Clock | None) -> QuickLedger | None:
        """The quick way to the ledger, if there is one."""
        return None

    @abstractmethod
    async def close(self) -> None:
        """Close the connections, once what runs on them has ended."""


def transact(connection: Connection, work: Callable[[Connection], T]) -> T:
    """Run `work` in a new transaction of the connection, then commit, or roll back if it raised.

    Raises:
        CommitFailedError: from what COMMIT raised.
    """
    transaction = connection.begin()
    try:
        result = work(connection)
    except BaseException:
        with suppress(DBAPIError, OSError):  # it is broken: there is nothing left to roll back
            transaction.rollback()
        raise
    try:
        transaction.commit()
    except Exception as error:
        raise CommitFailedError from error
    finally:
        transaction.close()  # rolls back what COMMIT has left open; nothing to do after success
    return result
