"""Gates on databases of the tests' own."""

from tests.gates import (  # noqa: F401 -- fixtures
    clock,
    gate,
    gate_url,
)
