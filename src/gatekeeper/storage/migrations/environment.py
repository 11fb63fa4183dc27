"""What Alembic runs for every command of ours."""

from typing import Any

from alembic import context

from gatekeeper.errors import ConfigurationError
from gatekeeper.storage.migrations.check import VERSION_TABLE
from gatekeeper.storage.sql.tables import metadata


def run_environment() -> None:
    """Run the command on the connection that `upgrade` has given to Alembic.

    Raises:
        ConfigurationError: there is none: Alembic's own command line was used.
    """
    attributes = context.config.attributes
    options: dict[str, Any] = {
        "target_metadata": metadata,
        "version_table": VERSION_TABLE,
        "transactional_ddl": True,  # on SQLite too, which Alembic does not expect
    }
    if context.is_offline_mode():
        context.configure(dialect_name=attributes["dialect_name"], literal_binds=True, **options)
    elif "connection" in attributes:
        context.configure(connection=attributes["connection"], **options)
    else:
        raise ConfigurationError("Run `gatekeeper db upgrade`: it knows the database.")
    with context.begin_transaction():
        context.run_migrations()
