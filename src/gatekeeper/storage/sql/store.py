"""The SQL store: transactions of its own on a runner, and joined ones on a host's."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from gatekeeper.errors import ConfigurationError, StoreUnavailableError
from gatekeeper.storage import migrations
from gatekeeper.storage.port import Joined, JoinedSync, Store, Transaction
from gatekeeper.storage.quick import Arrived, NotWrittenError, QuickInbox, QuickLedger
from gatekeeper.storage.records import InboxEvent
from gatekeeper.storage.sql.arrivals import distinct
from gatekeeper.storage.sql.attempt import Attempts, Begun
from gatekeeper.storage.sql.errors import may_rerun, raise_named
from gatekeeper.storage.sql.joining import Joiner, join_async, join_sync
from gatekeeper.storage.sql.postgresql_runner import PostgresqlOptions, PostgresqlRunner
from gatekeeper.storage.sql.runner import Runner
from gatekeeper.storage.sql.sqlite_runner import SqliteOptions, SqliteRunner
from gatekeeper.storage.sql.transaction import SqlTransaction, run_callbacks
from gatekeeper.types import Clock, utc_now

T = TypeVar("T")

_logger: Final = logging.getLogger("gatekeeper.storage")

_BACKOFF_SECONDS: Final = 0.005
"""The longest pause before a second run; it doubles with each run, and chance parts the rivals."""


class SqlStore(Store):
    """A PostgreSQL or SQLite database; made by `store_for`."""

    def __init__(
        self, runner: Runner, *, clock: Clock | None = None, auto_upgrade: bool = False
    ) -> None:
        self._runner = runner
        self.locks_rows = runner.dialect.locks_rows
        self._clock = clock
        self._auto_upgrade = auto_upgrade
        self._attempts = Attempts()
        self._is_open = False
        self._identity: tuple[Any, ...] = ()
        self._quick: QuickLedger | None = None

    @property
    def quick(self) -> QuickLedger | None:
        return self._quick if self._is_open else None

    async def open(self) -> None:
        self._runner.check(create=self._auto_upgrade)
        if self._auto_upgrade:
            await self._rerun(lambda: self._runner.write(migrations.upgrade_connection))
        self._identity = await self._rerun(lambda: self._runner.read(self._checked_identity))
        self._quick = self._runner.quick(self._clock)
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        await self._attempts.drain()
        if self._quick is not None:
            await self._quick.close()
        await self._runner.close()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        begun = self._begin()
        return await self._attempts.run(self._write(work, begun), begun)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        begun = self._begin()
        return await self._attempts.run(self._read(work, begun), begun)

    async def arrive(self, make: Callable[[datetime], Sequence[InboxEvent]]) -> Sequence[bool]:
        if not isinstance(self.quick, QuickInbox):
            return await super().arrive(make)
        begun = self._begin()
        return await self._attempts.run(self._arrive(self.quick, make, begun), begun)

    async def _arrive(
        self, quick: QuickInbox, make: Callable[[datetime], Sequence[InboxEvent]], begun: Begun
    ) -> Sequence[bool]:
        """The quick way; and, where it does not lead to the end, the usual one."""
        begun.begin()
        now = None if self._clock is None else self._clock()
        events = make(now or utc_now())  # without a clock, PostgreSQL puts in its own
        first = distinct(events)
        arrived = Arrived(set(), set())
        try:
            if first:
                arrived = await quick.arrive(list(first.values()), now)
        except NotWrittenError:
            _logger.info("events could not be stored in the quick way", exc_info=True)
            return await super().arrive(make)
        if arrived.dead:  # they are brought back
            await super().arrive(make)
        return [event.key in arrived.new and first[event.key] is event for event in events]

    def _checked_identity(self, connection: Connection) -> tuple[Any, ...]:
        migrations.check_schema(connection)
        return self._runner.dialect.identity(connection)

    def _begin(self) -> Begun:
        if not self._is_open:
            raise StoreUnavailableError("The store is not open.")
        return Begun()

    def join(self, session: object) -> AbstractAsyncContextManager[Joined]:
        return join_async(self._joiner(), session)

    def join_sync(self, session: object) -> JoinedSync:
        return join_sync(self._joiner(), session)

    def _joiner(self) -> Joiner:
        self._begin()
        return Joiner(self, self._runner.dialect, self._clock, self._identity)

    async def _write(self, work: Callable[[Transaction], T], begun: Begun) -> T:
        def in_transaction(connection: Connection) -> tuple[T, SqlTransaction]:
            begun.begin()
            transaction = self._transaction(connection)
            return work(transaction), transaction

        result, transaction = await self._rerun(lambda: self._runner.write(in_transaction))
        run_callbacks(transaction.callbacks)
        if transaction.outbox.has_added:
            run_callbacks(tuple(self.on_messages))
        return result

    async def _read(self, work: Callable[[Transaction], T], begun: Begun) -> T:
        def in_transaction(connection: Connection) -> T:
            begun.begin()
            return work(self._transaction(connection))

        return await self._rerun(lambda: self._runner.read(in_transaction), reading=True)

    async def _rerun(self, attempt: Callable[[], Awaitable[T]], *, reading: bool = False) -> T:
        """Run a transaction until it succeeds, or fails for good: then with an error of ours."""
        dialect = self._runner.dialect
        run = 1
        while True:
            try:
                return await attempt()
            except Exception as error:  # noqa: BLE001 - raised on, by its name where it has one
                if not may_rerun(error, dialect, run=run):
                    raise_named(error, dialect, reading=reading)
            await _pause(run)
            run += 1

    def _transaction(self, connection: Connection) -> SqlTransaction:
        return SqlTransaction(connection, self._runner.dialect, clock=self._clock)


async def _pause(run: int) -> None:
    longest = _BACKOFF_SECONDS * 2 ** (run - 1)
    await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - chance, not a secret


def store_for(
    url: str | URL,
    *,
    clock: Clock | None = None,
    auto_upgrade: bool = False,
    postgresql: PostgresqlOptions | None = None,
    sqlite: SqliteOptions | None = None,
) -> SqlStore:
    """The store of a database.

    Args:
        url: `postgresql://user@host/name` or `sqlite:////absolute/path.db`; a driver in it
            (`postgresql+psycopg`) is replaced by ours.
        clock: takes the place of the database's clock, for tests.
        auto_upgrade: let `open` bring a SQLite file to the schema of this release.
        postgresql: how to use a PostgreSQL.
        sqlite: how to use a SQLite.

    Raises:
        ConfigurationError: the URL names no database that Gatekeeper can use.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # The URL may hold a password, so that it is not repeated.
        raise ConfigurationError(
            "The database URL can't be read. It looks like postgresql://user@host/name or "
            "sqlite:////absolute/path.db."
        ) from error
    runner: Runner
    match parsed.get_backend_name():
        case "postgresql" | "postgres":
            if auto_upgrade:
                raise ConfigurationError(
                    "auto_upgrade is for SQLite. On PostgreSQL, run `gatekeeper db upgrade` when "
                    "you deploy."
                )
            runner = PostgresqlRunner(parsed, postgresql or PostgresqlOptions())
        case "sqlite":
            runner = SqliteRunner(parsed, sqlite or SqliteOptions())
        case other:
            raise ConfigurationError(
                f"Gatekeeper keeps its data in PostgreSQL or SQLite, not in {other}."
            )
    return SqlStore(runner, clock=clock, auto_upgrade=auto_upgrade)
