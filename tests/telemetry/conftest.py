"""`listener`: providers of the test's own; `world` and the simulator as in the tests of Stripe."""

from collections.abc import Iterator

import pytest

from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.stripe.conftest import clock, memory_store, memory_world  # noqa: F401 -- fixtures
from tests.telemetry.listening import Listener


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()
