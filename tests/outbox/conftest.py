"""The stores of the Stripe tests, in turn, on `clock`; `world`: a receiver of webhooks on each."""

from tests.lasting import anyio_backend, lasting_loop  # noqa: F401 -- fixtures
from tests.stripe.conftest import (  # noqa: F401 -- fixtures
    clock,
    memory_store,
    memory_world,
    store,
    store_url,
    world,
)
