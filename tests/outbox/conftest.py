"""The stores of the Stripe tests, in turn, on `clock`; `world`: a receiver of webhooks on each."""

from tests.stripe.conftest import (  # noqa: F401 -- fixtures
    clock,
    memory_store,
    memory_world,
    store,
    store_url,
    world,
)
