"""PostgreSQL."""

import functools
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Table, TextClause, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.dml import Insert

from gatekeeper.errors import TransactionConflictError
from gatekeeper.storage.postings import Posting
from gatekeeper.storage.quick import Arrived
from gatekeeper.storage.records import InboxEvent
from gatekeeper.storage.sql.arrivals import arrive_at_once
from gatekeeper.storage.sql.dialects.base import Failure, SqlDialect, replaced_columns
from gatekeeper.storage.sql.posting_postgresql import Shape, parameters, statement
from gatekeeper.storage.sql.tables import schema

_NOW: Final = select(func.clock_timestamp())

# An INSERT waits for another transaction that has inserted the same key; there is no SKIP LOCKED
# for it. So whoever makes a customer's first rows holds an advisory lock of their name
# (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS).
_HURRY: Final = text("SET LOCAL lock_timeout = '100ms'")

_MAY_MAKE: Final = {
    True: text(
        "SELECT customer, pg_advisory_xact_lock(hashtextextended(customer, :ours)) "
        "FROM unnest(CAST(:customers AS text[])) AS x(customer)"
    ),
    False: text(
        "SELECT customer FROM unnest(CAST(:customers AS text[])) AS x(customer) "
        "WHERE pg_try_advisory_xact_lock(hashtextextended(customer, :ours))"
    ),
}
_OURS: Final = 7235415371402438739
"""What tells our advisory locks from those of others: any number."""

_IDENTITY: Final = select(schema.c.database_id, func.current_database())

_BY_STATE: Final = {
    "40001": Failure.CONFLICT,  # serialization_failure
    "40P01": Failure.CONFLICT,  # deadlock_detected
    "55P03": Failure.BUSY,  # lock_not_available: lock_timeout
    "57014": Failure.BUSY,  # query_canceled: statement_timeout
    "22012": Failure.CONFLICT,  # division_by_zero: a hold or receipt changed after it was read
    "23505": Failure.DUPLICATE,  # unique_violation
    "23514": Failure.CHECK,  # check_violation
    "42P01": Failure.SCHEMA,  # undefined_table
    "42703": Failure.SCHEMA,  # undefined_column
    "25006": Failure.READ_ONLY,  # read_only_sql_transaction
    "3D000": Failure.UNAVAILABLE,  # invalid_catalog_name: no such database
}
_BY_CLASS: Final = {
    "08": Failure.LOST,  # connection exceptions
    "22": Failure.DATA,
    "28": Failure.UNAVAILABLE,  # invalid authorization
    "53": Failure.UNAVAILABLE,  # insufficient resources
    "57": Failure.LOST,  # operator intervention: shutdown, crash
    "58": Failure.UNAVAILABLE,  # system errors
}


class PostgresqlDialect(SqlDialect):
    """PostgreSQL, through asyncpg, or through a synchronous driver of the host's."""

    name: ClassVar[str] = "postgresql"
    locks_rows: ClassVar[bool] = True

    def post(self, connection: Connection, postings: Sequence[Posting]) -> None:
        shape, values = parameters(postings, None, None)
        named = {f"p{number}": value for number, value in enumerate(values, start=1)}
        row = connection.execute(_post(shape), named).one()
        if len(row[0] or ()) != len(postings):
            raise TransactionConflictError("An account changed after it was read.")

    def arrive(self, connection: Connection, events: Sequence[InboxEvent]) -> Arrived:
        return arrive_at_once(connection, events)

    def hurry(self, connection: Connection) -> None:
        connection.execute(_HURRY)

    def may_make(
        self, connection: Connection, customers: Sequence[str], *, wait: bool
    ) -> Collection[str]:
        rows = connection.execute(_MAY_MAKE[wait], {"customers": list(customers), "ours": _OURS})
        return {row.customer for row in rows}

    def now(self, connection: Connection) -> datetime:
        """`clock_timestamp()`: the moment itself, not the start of the transaction."""
        instant: datetime = connection.execute(_NOW).scalar_one()
        return instant.astimezone(UTC)

    def identity(self, connection: Connection) -> tuple[Any, ...]:
        row = connection.execute(_IDENTITY).one_or_none()
        return () if row is None else tuple(row)

    def prepare_host(self, connection: Connection) -> None:
        """Row locks do the rest, whatever the isolation level."""

    def failure(self, error: BaseException) -> Failure:
        """By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
        if isinstance(error, PoolTimeoutError | OSError | TimeoutError):
            return Failure.UNAVAILABLE  # no connection in time, or the server is not there
        if not isinstance(error, DBAPIError):
            return Failure.UNKNOWN
        state = _sqlstate(error)
        if state is not None:
            known = _BY_STATE.get(state) or _BY_CLASS.get(state[:2])
            return known or (Failure.LOST if error.connection_invalidated else Failure.UNKNOWN)
        return Failure.LOST if error.connection_invalidated else Failure.UNKNOWN

    def _insert_new(self, table: Table, any_key: bool) -> Insert:
        keys = None if any_key else list(table.primary_key.columns)
        return insert(table).on_conflict_do_nothing(index_elements=keys)

    def _upsert(self, table: Table, keep: tuple[str, ...]) -> Insert:
        statement = insert(table)
        return statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: statement.excluded[name] for name in replaced_columns(table, keep)},
        )


@functools.cache
def _post(shape: Shape) -> TextClause:
    return text(statement(shape, _named))


def _named(number: int) -> str:
    return f":p{number}"


def _sqlstate(error: DBAPIError) -> str | None:
    """The SQLSTATE, which psycopg2 alone calls `pgcode`."""
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return state if isinstance(state, str) else None
