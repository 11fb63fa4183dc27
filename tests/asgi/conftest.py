"""Gates on databases of the tests' own."""

from tests.gates import (  # noqa: F401 -- fixtures
    clock,
    gate,
    gate_url,
)
from tests.lasting import anyio_backend, lasting_loop  # noqa: F401 -- fixtures
