"""Alembic loads this file by its path, for every command."""

# Loaded so, it is no part of the package to those who measure coverage.
from gatekeeper.storage.migrations.environment import run_environment  # pragma: no cover - above

run_environment()  # pragma: no cover - above
