"""Where the story is told: on the simulator, or on Stripe's test mode."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures are found by their names
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)


@dataclass(frozen=True)
class Stage:
    """One Stripe account in test mode, with a client that plays the customer's part."""

    api_key: str
    api_base: str | None
    client: stripe.StripeClient


@pytest.fixture(params=["simulator", pytest.param("stripe", marks=pytest.mark.stripe_live)])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The Stripe to tell the story on. `make test-stripe` chooses Stripe itself."""
    if request.param == "stripe":
        key = os.environ["STRIPE_SECRET_KEY"]
        yield Stage(key, None, stripe.StripeClient(key, max_network_retries=2))
        return
    simulator: Simulator = request.getfixturevalue("stripe_sim")
    yield Stage(simulator.settings.api_key, simulator.url, simulator.client())
