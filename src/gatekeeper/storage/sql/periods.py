"""The hours and days of UTC that instants belong to, worked out by the database."""

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, func, literal_column, type_coerce

from gatekeeper.storage.audit import By
from gatekeeper.storage.sql.types import UtcDateTime

MICROSECONDS: Final[dict[By, int]] = {"hour": 3_600_000_000, "day": 86_400_000_000}


def start_of(dialect: str, by: By, instant: ColumnElement[Any]) -> ColumnElement[Any]:
    """The start of the period of UTC that an instant belongs to."""
    if dialect == "sqlite":  # whole microseconds; UTC's days all have the same length in them
        micros = type_coerce(instant, BigInteger())
        length: ColumnElement[int] = literal_column(str(MICROSECONDS[by]))
        return type_coerce(micros - micros % length, UtcDateTime())
    # https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-TRUNC
    return func.date_trunc(
        literal_column(f"'{by}'"), instant, literal_column("'UTC'"), type_=UtcDateTime()
    )
