"""Where the databases differ."""

from typing import Final

from sqlalchemy import Connection

from gatekeeper.errors import HostTransactionError
from gatekeeper.storage.sql.dialects.base import Failure, SqlDialect
from gatekeeper.storage.sql.dialects.postgresql import PostgresqlDialect
from gatekeeper.storage.sql.dialects.sqlite import SqliteDialect

__all__ = [
    "POSTGRESQL",
    "SQLITE",
    "Failure",
    "PostgresqlDialect",
    "SqlDialect",
    "SqliteDialect",
    "dialect_of",
]

POSTGRESQL: Final = PostgresqlDialect()
SQLITE: Final = SqliteDialect()


def dialect_of(connection: Connection) -> SqlDialect:
    """The dialect of a connection.

    Raises:
        HostTransactionError: it is to a database that Gatekeeper does not know.
    """
    name = connection.dialect.name
    for dialect in (POSTGRESQL, SQLITE):
        if dialect.name == name:
            return dialect
    raise HostTransactionError(f"Gatekeeper keeps its data in PostgreSQL or SQLite, not in {name}.")
