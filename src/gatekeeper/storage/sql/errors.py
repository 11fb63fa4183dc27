"""From a driver's exception to ours."""

from collections.abc import Callable
from typing import Final, NoReturn

from sqlalchemy.exc import StatementError

from gatekeeper.errors import (
    ConflictError,
    GatekeeperError,
    InvalidInputError,
    LedgerInvariantError,
    SchemaVersionError,
    StoreUnavailableError,
    TransactionConflictError,
)
from gatekeeper.storage.sql.dialects import Failure, SqlDialect

UPGRADE_HINT: Final = "Run `gatekeeper db upgrade`."
"""The command that brings a database to the schema of this release."""

_MAX_RUNS: Final = {
    Failure.CONFLICT: 5,  # each round lets at least one of the rivals pass
    Failure.DUPLICATE: 2,  # the second run sees what it ran into
    Failure.LOST: 2,  # a stale connection of the pool; the second one is fresh
}
"""How often a transaction is run that ends like this. BUSY is not here: it has waited already."""


class CommitFailedError(Exception):
    """COMMIT itself raised; the driver's exception is the cause."""


def may_rerun(error: Exception, dialect: SqlDialect, *, run: int) -> bool:
    """Whether a transaction that ended with `error` is worth another run, after `run` of them.

    A lost connection before COMMIT has changed nothing. One lost at COMMIT may have changed
    everything, and is never run again here: whoever sent the command can tell by its ids.
    """
    if isinstance(error, TransactionConflictError):
        return run < _MAX_RUNS[Failure.CONFLICT]
    failure = dialect.failure(_driver_error(error))
    if isinstance(error, CommitFailedError) and failure is not Failure.CONFLICT:
        return False
    return run < _MAX_RUNS.get(failure, 1)


def raise_named(error: Exception, dialect: SqlDialect, *, reading: bool = False) -> NoReturn:
    """Raise what an exception means, as an error of ours from it; anything else as it is.

    Raises:
        RuntimeError: a write in a transaction that was opened for reading.
    """
    if isinstance(error, StatementError) and isinstance(error.orig, GatekeeperError):
        raise error.orig from None  # a column type refused a value
    cause = _driver_error(error)
    failure = dialect.failure(cause)
    if reading and failure is Failure.READ_ONLY:
        raise RuntimeError("`read` runs on a snapshot; use `write` to change anything.") from cause
    in_doubt = isinstance(error, CommitFailedError) and failure is not Failure.CONFLICT
    make = _outcome_unknown if in_doubt else _NAMED.get(failure)
    if make is None:
        raise error
    raise make() from cause


def _driver_error(error: Exception) -> BaseException:
    if isinstance(error, CommitFailedError) and error.__cause__ is not None:
        return error.__cause__
    return error


def _outcome_unknown() -> StoreUnavailableError:
    return StoreUnavailableError(
        "COMMIT failed: whether the change was made is unknown. Send the same command again, "
        "under the same ids.",
        outcome="unknown",
    )


_NAMED: Final[dict[Failure, Callable[[], GatekeeperError]]] = {
    Failure.CONFLICT: TransactionConflictError,
    Failure.BUSY: lambda: TransactionConflictError(
        "Another transaction kept a lock for longer than we wait; run this one again.",
        is_locked=True,
    ),
    Failure.DUPLICATE: lambda: ConflictError("Something of this id is there already."),
    Failure.CHECK: lambda: LedgerInvariantError(
        "The database refused a row that breaks an invariant. Nothing was changed."
    ),
    Failure.DATA: lambda: InvalidInputError("A value can't be stored in the database."),
    Failure.SCHEMA: lambda: SchemaVersionError(
        f"The database lacks a table or column of Gatekeeper's. {UPGRADE_HINT}"
    ),
    Failure.READ_ONLY: lambda: StoreUnavailableError(
        "The database takes no writes now; nothing was changed."
    ),
    Failure.LOST: StoreUnavailableError,
    Failure.UNAVAILABLE: StoreUnavailableError,
}
