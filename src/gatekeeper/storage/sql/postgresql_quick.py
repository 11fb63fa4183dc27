"""The quick ways on PostgreSQL: asyncpg's own protocol, on connections that are kept.

SQLAlchemy lends the connections and keeps out of the way: each read and each write is one prepared
statement and one round trip, and PostgreSQL plans it once.
"""

import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gatekeeper.errors import StoreUnavailableError
from gatekeeper.ledger import Hold, HoldStatus
from gatekeeper.storage.postings import AccountKey, Posting
from gatekeeper.storage.quick import (
    Arrived,
    NotReadError,
    NotWrittenError,
    QuickInbox,
    QuickLedger,
    QuickRead,
)
from gatekeeper.storage.records import InboxEvent
from gatekeeper.storage.sql.arrivals import ARRIVE_ALONE, ARRIVING, arrived_of
from gatekeeper.storage.sql.packing import (
    ACCOUNT_COLUMNS,
    account_of,
    allocations_of,
    formula_of,
)
from gatekeeper.storage.sql.posting_postgresql import parameters, statement
from gatekeeper.types import Clock

CLOCK_TOLERANCE: Final = timedelta(seconds=1)
"""How far our idea of the database's clock may be off."""

_LOST: Final = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises when a connection breaks, besides the server's own errors."""

_PLANS: Final = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off"
"""The size of the arrays makes no difference to the plan; PostgreSQL would plan anew for each. And
each row is looked for by its key: a plan that was made for a small table would read all of it."""

_READ: Final = f"""
SELECT {", ".join(f"a.{name}" for name in ACCOUNT_COLUMNS)}, c.version AS customer_version,
  clock_timestamp() AS now
FROM unnest($1::text[], $2::text[]) AS w(customer, unit)
JOIN gatekeeper_accounts a ON a.customer = w.customer AND a.unit = w.unit
LEFT JOIN gatekeeper_customers c ON c.id = a.customer AND c.deleted_at IS NULL
"""  # noqa: S608 - the names are constants
_READ_HOLDS: Final = f"""
SELECT {", ".join(f"h.{name}" for name in Hold.__struct_fields__)}
FROM unnest($1::text[], $2::text[]) AS w(customer, id)
JOIN gatekeeper_holds h ON h.customer = w.customer AND h.id = w.id
"""  # noqa: S608 - the names are constants


class _Kept(NamedTuple):
    """A connection that SQLAlchemy's pool has lent, and asyncpg's own inside it."""

    lent: AsyncConnection
    driver: Any


class PostgresqlQuick(QuickLedger, QuickInbox):
    """See the ports. `clock` takes the place of the database's, for tests."""

    def __init__(self, engine: AsyncEngine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self._idle: list[_Kept] = []
        self._ahead: timedelta | None = None
        self._epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def now(self) -> datetime | None:
        if self._clock is not None:
            return self._clock()
        if self._ahead is None:
            return None
        return self._epoch + self._ahead + timedelta(seconds=time.monotonic())

    async def read(
        self, keys: Collection[AccountKey], hold_keys: Collection[tuple[str, str]]
    ) -> QuickRead:
        try:
            async with self._connection() as connection:
                asked = time.monotonic()
                rows = await connection.fetch(_READ, *_columns(keys))
                if rows:
                    self._note_time(asked, rows[0]["now"])
                found = (
                    await connection.fetch(_READ_HOLDS, *_columns(hold_keys)) if hold_keys else []
                )
            return _read(rows, found)
        except (*_LOST, StoreUnavailableError, asyncpg.PostgresError) as error:
            raise NotReadError from error
        except (msgspec.MsgspecError, ValueError) as error:  # a damaged row, of one of them
            raise NotReadError from error

    async def write(self, postings: Sequence[Posting], now: datetime) -> set[AccountKey]:
        earliest = latest = None
        if self._clock is None:
            earliest, latest = now - CLOCK_TOLERANCE, now + CLOCK_TOLERANCE
        shape, values = parameters(postings, earliest, latest)
        try:
            async with self._connection() as connection:
                asked = time.monotonic()
                row = await connection.fetchrow(statement(shape, _numbered), *values)
        except asyncpg.PostgresError as error:
            if _is_lost(error):
                raise _unknown() from error
            raise NotWrittenError from error
        except StoreUnavailableError as error:  # no connection was to be had: nothing was sent
            raise NotWrittenError from error
        except _LOST as error:
            raise _unknown() from error
        self._note_time(asked, row[1])
        return {postings[n].key for n in row[0] or ()}

    async def arrive(self, events: Sequence[InboxEvent], now: datetime | None) -> Arrived:
        columns = ([getattr(event, name) for event in events] for name in ARRIVING)
        try:
            async with self._connection() as connection:
                return arrived_of(await connection.fetch(ARRIVE_ALONE, now, *columns))
        except (*_LOST, StoreUnavailableError, asyncpg.PostgresError, ValueError) as error:
            raise NotWrittenError from error

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for kept in idle:
            await kept.lent.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection of asyncpg's; one that has met an error is thrown away."""
        kept = await self._open_connection()
        try:
            yield kept.driver
        except BaseException:
            await _discard(kept.lent)
            raise
        self._idle.append(kept)

    async def _open_connection(self) -> _Kept:
        """One of the kept connections, or one of the pool's, that is still open."""
        while True:
            kept = self._idle.pop() if self._idle else await self._connect()
            if not kept.driver.is_closed():
                return kept
            await _discard(kept.lent)

    async def _connect(self) -> _Kept:
        try:
            lent = await self._engine.connect()
        except (DBAPIError, PoolTimeoutError, *_LOST) as error:
            raise StoreUnavailableError from error
        try:
            driver: Any = (await lent.get_raw_connection()).driver_connection
            await driver.execute(_PLANS)
        except (DBAPIError, asyncpg.PostgresError, *_LOST) as error:
            await _discard(lent)
            raise StoreUnavailableError from error
        return _Kept(lent, driver)

    def _note_time(self, asked: float, answer: datetime) -> None:
        """What the database said between `asked` and now: on the average, in the middle."""
        middle = (asked + time.monotonic()) / 2
        self._ahead = answer - self._epoch - timedelta(seconds=middle)


def _numbered(number: int) -> str:
    return f"${number}"


async def _discard(connection: AsyncConnection) -> None:
    with suppress(DBAPIError, *_LOST):
        await connection.invalidate()
    with suppress(DBAPIError, *_LOST):
        await connection.close()


def _columns(keys: Collection[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [first for first, _ in keys], [second for _, second in keys]


def _read(rows: Sequence[Any], found: Sequence[Any]) -> QuickRead:
    read = QuickRead({}, {}, {})
    for row in rows:
        *columns, version, _ = row
        account = account_of(columns)
        read.accounts[account.customer, account.unit] = account
        if version is not None:
            read.versions[account.customer] = version
    for row in found:
        hold = _hold(row)
        read.holds[hold.customer, hold.id] = hold
    return read


def _hold(row: Any) -> Hold:
    columns = dict(row.items())
    columns["allocations"] = allocations_of(columns["allocations"])
    columns["formula"] = formula_of(columns["formula"])
    columns["status"] = HoldStatus(columns["status"])
    return Hold(**columns)


def _is_lost(error: asyncpg.PostgresError) -> bool:
    """Whether the connection broke, or the server went, while the statement was under way."""
    state = getattr(error, "sqlstate", None) or ""
    return state[:2] in {"08", "57", "58", "XX"} and state != "57014"


def _unknown() -> StoreUnavailableError:
    return StoreUnavailableError(
        "The answer of the database was lost: whether the change was made is unknown. Send the "
        "same command again, under the same ids.",
        outcome="unknown",
    )
