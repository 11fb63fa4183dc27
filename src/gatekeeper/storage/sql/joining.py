"""Running our functions inside a transaction of the host's."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from gatekeeper.errors import HostTransactionError
from gatekeeper.storage.joined import HostTransaction, remember
from gatekeeper.storage.port import Joined, JoinedSync, Store, Transaction
from gatekeeper.storage.sql.dialects import SQLITE, SqlDialect
from gatekeeper.storage.sql.errors import raise_named
from gatekeeper.storage.sql.host import HostWatch, watch_of
from gatekeeper.storage.sql.transaction import SqlTransaction
from gatekeeper.types import Clock

T = TypeVar("T")


class Joiner:
    """What a store hands to its joined transactions: who it is, and what it insists on."""

    def __init__(
        self, store: Store, dialect: SqlDialect, clock: Clock | None, identity: tuple[Any, ...]
    ) -> None:
        self._store = store
        self._dialect = dialect
        self._clock = clock
        self._identity = identity

    def enter(self, host: Session | Connection) -> tuple[Connection, HostWatch, HostTransaction]:
        """Join the host's transaction, unless that was done before.

        Raises:
            HostTransactionError: it is of another database, commits by itself, or (SQLite) has
                read what others have overwritten since.
        """
        session = host if isinstance(host, Session) else None
        try:
            connection = host.connection() if isinstance(host, Session) else host
            watch = watch_of(connection, session)
            watch.settle()
            if watch.host is None or watch.host.store is not self._store:
                self._check(connection)
                watch.host = HostTransaction(self._store, whole_database=self._dialect is SQLITE)
        except InvalidRequestError as error:
            raise HostTransactionError(
                f"The host's session or connection is in no state to be joined: {error}"
            ) from error
        except DBAPIError as error:
            raise_named(error, self._dialect)
        remember(watch.host)
        return connection, watch, watch.host

    def run(self, host: Session | Connection, work: Callable[[Transaction], T]) -> T:
        """Run `work` in the host's transaction, inside a savepoint: all of it stays, or nothing."""
        connection, watch, joined = self.enter(host)
        noted: set[str] = set()
        transaction = SqlTransaction(connection, self._dialect, clock=self._clock, noted=noted)
        try:
            savepoint = connection.begin_nested()
            try:
                result = work(transaction)
            except BaseException:
                with suppress(DBAPIError, OSError):  # it is broken: nothing is left to roll back
                    savepoint.rollback()
                raise
            savepoint.commit()
        except Exception as error:  # noqa: BLE001 - raised on, by its name where it has one
            raise_named(error, self._dialect)
        if transaction.outbox.has_added:
            transaction.callbacks.extend(self._store.on_messages)
        watch.add(watch.last_released, transaction.callbacks)
        for customer in noted:
            joined.note(customer, watch.last_released)
        return result

    def _check(self, connection: Connection) -> None:
        if connection.dialect.name != self._dialect.name:
            raise HostTransactionError(
                f"The host's transaction is on {connection.dialect.name}, Gatekeeper's tables are "
                f"on {self._dialect.name}."
            )
        if commits_by_itself(connection):
            raise HostTransactionError(
                "The host's connection is in AUTOCOMMIT: each statement would be committed by "
                "itself. Join a transaction."
            )
        if not self._identity or self._dialect.identity(connection) != self._identity:
            raise HostTransactionError(
                "The host's transaction is on another database than Gatekeeper's tables."
            )
        self._dialect.prepare_host(connection)


def commits_by_itself(connection: Connection) -> bool:
    """Whether a connection is in AUTOCOMMIT, as far as its driver can tell."""
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return True
    if connection.dialect.name == SQLITE.name:
        return False  # the driver's autocommit is how a host gets BEGIN IMMEDIATE
    driver_connection = connection.connection.dbapi_connection
    assert driver_connection is not None
    with suppress(NotImplementedError):
        return connection.dialect.detect_autocommit_setting(driver_connection)
    return False


class SqlJoined(Joined):
    """A host's asynchronous session or connection."""

    def __init__(self, joiner: Joiner, host: AsyncSession | AsyncConnection) -> None:
        self._joiner = joiner
        self._host = host

    async def run(self, work: Callable[[Transaction], T]) -> T:
        return await self._host.run_sync(self._joiner.run, work)


class SqlJoinedSync(JoinedSync):
    """A host's session or connection, on its own thread."""

    def __init__(self, joiner: Joiner, host: Session | Connection) -> None:
        self._joiner = joiner
        self._host = host

    def run(self, work: Callable[[Transaction], T]) -> T:
        return self._joiner.run(self._host, work)


@asynccontextmanager
async def join_async(joiner: Joiner, session: object) -> AsyncIterator[SqlJoined]:
    """Join what the host gave us as `session`.

    Raises:
        HostTransactionError: as `Joiner.enter`, and for anything that is no asynchronous session.
    """
    if isinstance(session, async_scoped_session):
        session = session()
    if not isinstance(session, AsyncSession | AsyncConnection):
        raise HostTransactionError(
            "session= takes SQLAlchemy's AsyncSession or AsyncConnection here, not "
            f"{type(session).__name__}. A Session or Connection goes with the synchronous calls."
        )
    await session.run_sync(joiner.enter)
    yield SqlJoined(joiner, session)


def join_sync(joiner: Joiner, session: object) -> SqlJoinedSync:
    """As `join_async`, for a synchronous host."""
    if isinstance(session, scoped_session):
        session = session()
    if not isinstance(session, Session | Connection):
        raise HostTransactionError(
            "session= takes SQLAlchemy's Session or Connection here, not "
            f"{type(session).__name__}. An AsyncSession goes with the asynchronous calls."
        )
    joiner.enter(session)
    return SqlJoinedSync(joiner, session)
