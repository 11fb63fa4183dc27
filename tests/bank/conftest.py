"""Databases for the bank."""

from tests.gates import (  # noqa: F401 -- fixtures
    gate_postgres_shared,
    gate_sqlite_template,
    gate_url,
    postgres_gate_url,
    sqlite_gate_url,
)
