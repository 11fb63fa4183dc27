"""Gates on databases of the tests' own."""

from tests.gates import (  # noqa: F401 -- fixtures
    clock,
    gate,
    gate_postgres_shared,
    gate_sqlite_template,
    gate_url,
    postgres_gate_url,
    sqlite_gate_url,
)
