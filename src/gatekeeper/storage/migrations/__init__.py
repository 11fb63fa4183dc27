"""Bringing a database to the schema of this release, and keeping other tools off our tables.

Either `gatekeeper db upgrade` (here: `upgrade`) migrates our tables by themselves, under a version
table of their own; or the host's Alembic takes the migrations in as a branch:

    # alembic.ini
    version_locations = %(here)s/migrations/versions gatekeeper.storage.migrations:versions

    # then, as ever
    alembic upgrade heads

In both cases the host's `env.py` should say `include_object=exclude_gatekeeper`: our tables are not
in the host's metadata, so that autogenerate would drop them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gatekeeper.storage.migrations.autogenerate import exclude_gatekeeper
from gatekeeper.storage.migrations.check import (
    SCHEMA_VERSION,
    VERSION_TABLE,
    SchemaStatus,
    check_schema,
    schema_status,
)

if TYPE_CHECKING:
    from gatekeeper.storage.migrations.upgrading import (
        Upgrade,
        current,
        head,
        upgrade,
        upgrade_connection,
    )

__all__ = [
    "SCHEMA_VERSION",
    "VERSION_TABLE",
    "SchemaStatus",
    "Upgrade",
    "check_schema",
    "current",
    "exclude_gatekeeper",
    "head",
    "schema_status",
    "upgrade",
    "upgrade_connection",
]


def __getattr__(name: str) -> Any:
    """Alembic is imported by who migrates: every process checks the schema, and few change it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("gatekeeper.storage.migrations.upgrading"), name)
