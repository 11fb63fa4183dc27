"""PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.dml import Insert

from gatekeeper.errors import TransactionConflictError
from gatekeeper.storage.postings import Posting
from gatekeeper.storage.sql.dialects.base import Failure, SqlDialect, replaced_columns
from gatekeeper.storage.sql.posting_postgresql import PARAMETERS, parameters, statement
from gatekeeper.storage.sql.tables import schema

_NOW: Final = select(func.clock_timestamp())

_IDENTITY: Final = select(schema.c.database_id, func.current_database())

_PLACES: Final = tuple(f"p{number}" for number in range(1, PARAMETERS + 1))
_POST: Final = text(statement(lambda number: f":p{number}"))

_BY_STATE: Final = {
    "40001": Failure.CONFLICT,  # serialization_failure
    "40P01": Failure.CONFLICT,  # deadlock_detected
    "55P03": Failure.BUSY,  # lock_not_available: lock_timeout
    "57014": Failure.BUSY,  # query_canceled: statement_timeout
    "22012": Failure.CONFLICT,  # division_by_zero: a hold ended after it was read
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

    def post(self, connection: Connection, postings: Sequence[Posting]) -> None:
        values = parameters(postings, None, None)
        row = connection.execute(_POST, dict(zip(_PLACES, values, strict=True))).one()
        if len(row[0] or ()) != len(postings):
            raise TransactionConflictError("An account changed after it was read.")

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


def _sqlstate(error: DBAPIError) -> str | None:
    """The SQLSTATE, which psycopg2 alone calls `pgcode`."""
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return state if isinstance(state, str) else None
