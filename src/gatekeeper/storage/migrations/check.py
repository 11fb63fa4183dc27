"""Whether this release can work on a database's schema.

Migrations expand, then contract: what a release drops or changes, the release before it no longer
needs. Each migration notes in the table `schema` its own number, and the oldest number whose
releases still run on it; so a release starts on the schema of the next one, and refuses one that
has left it behind.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, inspect, select

from gatekeeper.errors import SchemaVersionError
from gatekeeper.storage.sql.tables import TABLE_PREFIX, schema

VERSION_TABLE: Final = TABLE_PREFIX + "alembic_version"
"""Where Alembic keeps our revision, apart from the host's."""

SCHEMA_VERSION: Final = 4
"""The number of the schema that this release needs."""

UPGRADE_HINT: Final = (
    "Run `gatekeeper db upgrade`, or your own `alembic upgrade heads` where Gatekeeper's "
    "migrations are a branch of it."
)


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """What a database says of its schema: its number, and the oldest that still runs on it."""

    version: int
    readable_from: int


def schema_status(connection: Connection) -> SchemaStatus | None:
    """What the database says of its schema; None if Gatekeeper's tables are not there."""
    if not inspect(connection).has_table(schema.name):
        return None
    row = connection.execute(select(schema.c.version, schema.c.readable_from)).one_or_none()
    return None if row is None else SchemaStatus(*row)


def check_schema(connection: Connection) -> None:
    """Check that this release runs on the database's schema.

    Raises:
        SchemaVersionError: it does not; the message says which command mends it.
    """
    status = schema_status(connection)
    if status is None:
        raise SchemaVersionError(f"The database has no tables of Gatekeeper's. {UPGRADE_HINT}")
    if status.version < SCHEMA_VERSION:
        raise SchemaVersionError(
            f"The database has schema {status.version}; this release needs {SCHEMA_VERSION}. "
            f"{UPGRADE_HINT}"
        )
    if status.readable_from > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"The database has schema {status.version}, which no release older than that of "
            f"schema {status.readable_from} can use. This one is of schema {SCHEMA_VERSION}: "
            "install a newer gatekeeper-entitlements."
        )
