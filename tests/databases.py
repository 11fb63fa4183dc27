"""Databases with our schema, made quickly for each test."""

import shutil
from pathlib import Path

from gatekeeper.storage.sql.tables import metadata
from gatekeeper.storage.sql.tables.database import schema
from tests.lasting import keep_connections
from tests.services.postgres import Psql, database_name

# A connection that a test has left open must not keep the rows from the next one.
_END_THE_OTHERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND pid <> ALL (ARRAY{idle}::int[])"
)


def empty_tables(psql: Psql, url: str, *, end_the_others: bool = True) -> None:
    """Delete every row of ours but the schema's own. Far quicker than a new database each time."""
    idle = keep_connections(database_name(url))
    names = [table.name for table in metadata.sorted_tables if table is not schema]
    deletes = [f'DELETE FROM "{name}"' for name in names]
    before = [_END_THE_OTHERS.format(idle=idle)] if end_the_others else []
    psql.run("; ".join([*before, *deletes]), database=database_name(url))


def sqlite_copy(template: Path, folder: Path) -> str:
    """The URL of a copy of the file `template`."""
    path = folder / "gatekeeper.sqlite3"
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"
