"""What drivers' exceptions mean, for the ones that no test can bring about with a real server."""

import sqlite3
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from gatekeeper.errors import StoreUnavailableError, TransactionConflictError
from gatekeeper.storage.sql.dialects import POSTGRESQL, SQLITE, Failure, SqlDialect
from gatekeeper.storage.sql.errors import CommitFailedError, may_rerun, raise_named
from gatekeeper.storage.sql.joining import commits_by_itself


class DriverError(Exception):
    """A driver's exception with an SQLSTATE, as asyncpg and psycopg have it."""

    def __init__(self, sqlstate: str | None = None, pgcode: str | None = None) -> None:
        super().__init__("driver")
        if sqlstate is not None:
            self.sqlstate = sqlstate
        if pgcode is not None:
            self.pgcode = pgcode


def wrapped(original: Exception, *, invalidated: bool = False) -> DBAPIError:
    return OperationalError("SELECT 1", {}, original, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        ("40001", Failure.CONFLICT),
        ("40P01", Failure.CONFLICT),
        ("55P03", Failure.BUSY),
        ("57014", Failure.BUSY),
        ("23505", Failure.DUPLICATE),
        ("23514", Failure.CHECK),
        ("23502", Failure.UNKNOWN),
        ("22003", Failure.DATA),
        ("42P01", Failure.SCHEMA),
        ("42703", Failure.SCHEMA),
        ("42601", Failure.UNKNOWN),
        ("25006", Failure.READ_ONLY),
        ("08006", Failure.LOST),
        ("57P01", Failure.LOST),
        ("57P03", Failure.LOST),
        ("53300", Failure.UNAVAILABLE),
        ("28P01", Failure.UNAVAILABLE),
        ("3D000", Failure.UNAVAILABLE),
        ("58030", Failure.UNAVAILABLE),
    ],
)
def test_postgres_is_understood_by_sqlstate(state: str, failure: Failure) -> None:
    assert POSTGRESQL.failure(wrapped(DriverError(sqlstate=state))) is failure
    assert POSTGRESQL.failure(wrapped(DriverError(pgcode=state))) is failure


def test_a_connection_that_sqlalchemy_gave_up_is_lost() -> None:
    assert POSTGRESQL.failure(wrapped(DriverError(), invalidated=True)) is Failure.LOST
    assert POSTGRESQL.failure(wrapped(DriverError("XX000"), invalidated=True)) is Failure.LOST
    assert POSTGRESQL.failure(wrapped(DriverError())) is Failure.UNKNOWN


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), OSError()])
def test_what_the_network_raises_is_unavailable(error: Exception) -> None:
    assert POSTGRESQL.failure(error) is Failure.UNAVAILABLE


@pytest.mark.parametrize("dialect", [POSTGRESQL, SQLITE])
def test_a_bug_is_no_failure_of_the_database(dialect: SqlDialect) -> None:
    assert dialect.failure(KeyError("x")) is Failure.UNKNOWN


def sqlite_error(code: int) -> DBAPIError:
    error = sqlite3.OperationalError("sqlite")
    error.sqlite_errorcode = code
    return wrapped(error)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (sqlite3.SQLITE_BUSY, Failure.BUSY),
        (sqlite3.SQLITE_BUSY_TIMEOUT, Failure.BUSY),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Failure.CONFLICT),
        (sqlite3.SQLITE_LOCKED, Failure.BUSY),
        (sqlite3.SQLITE_FULL, Failure.UNAVAILABLE),
        (sqlite3.SQLITE_IOERR_FSYNC, Failure.UNAVAILABLE),
        (sqlite3.SQLITE_CORRUPT, Failure.UNAVAILABLE),
        (sqlite3.SQLITE_READONLY, Failure.READ_ONLY),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, Failure.UNKNOWN),
        (sqlite3.SQLITE_ERROR, Failure.UNKNOWN),
    ],
)
def test_sqlite_is_understood_by_result_code(code: int, failure: Failure) -> None:
    assert SQLITE.failure(sqlite_error(code)) is failure


def test_a_mistake_in_the_use_of_the_driver_is_a_bug() -> None:
    misuse = ProgrammingError("SELECT ?", {}, sqlite3.ProgrammingError("too few values"))
    assert SQLITE.failure(misuse) is Failure.UNKNOWN


def at_commit(cause: Exception) -> CommitFailedError:
    error = CommitFailedError()
    error.__cause__ = cause
    return error


def test_only_a_certain_conflict_is_run_again_after_commit() -> None:
    conflict = at_commit(wrapped(DriverError("40001")))
    assert may_rerun(conflict, POSTGRESQL, run=1)
    assert not may_rerun(conflict, POSTGRESQL, run=5)
    with pytest.raises(TransactionConflictError):
        raise_named(conflict, POSTGRESQL)
    for cause in (wrapped(DriverError("08006")), TimeoutError(), wrapped(DriverError("23505"))):
        lost = at_commit(cause)
        assert not may_rerun(lost, POSTGRESQL, run=1)
        with pytest.raises(StoreUnavailableError, match="unknown"):
            raise_named(lost, POSTGRESQL)


def test_a_lost_connection_before_commit_is_tried_once_more() -> None:
    lost = wrapped(DriverError("08006"))
    assert may_rerun(lost, POSTGRESQL, run=1)
    assert not may_rerun(lost, POSTGRESQL, run=2)


def test_a_sqlite_file_that_was_removed_is_no_database_of_ours() -> None:
    gone = Mock(spec=Connection)
    gone.execute.return_value = [(0, "main", "/no/such/file.db")]
    assert SQLITE.identity(gone) == ()
    in_memory = Mock(spec=Connection)
    in_memory.execute.return_value = [(0, "main", "")]
    assert SQLITE.identity(in_memory) == ()


def test_a_driver_that_can_not_say_whether_it_commits_by_itself_is_trusted() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as real:
        silent = Mock(spec=Connection)
        silent.get_execution_options.return_value = {}
        silent.dialect = SimpleNamespace(
            name="postgresql", detect_autocommit_setting=Mock(side_effect=NotImplementedError)
        )
        silent.connection = real.connection
        assert not commits_by_itself(silent)
    engine.dispose()
