"""Where the databases differ."""

from typing import Final

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
]

POSTGRESQL: Final = PostgresqlDialect()
SQLITE: Final = SqliteDialect()
