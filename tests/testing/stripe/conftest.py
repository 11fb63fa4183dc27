"""The simulator's own tests use its fixtures as any host would, with the clock at a fixed day."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gatekeeper.testing.stripe import Settings, Simulator
from gatekeeper.testing.stripe.fixtures import (
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_spec,
)
from tests.testing.stripe.receiver import Receiver

__all__ = ["stripe_sim", "stripe_sim_openapi", "stripe_sim_server", "stripe_sim_spec"]

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def stripe_sim_settings() -> Settings:
    return Settings(seed=1, ticking=False, start=START)


@pytest.fixture
def client(stripe_sim: Simulator) -> Any:
    """The real client. Untyped: the tests send what its types forbid, and read optional parts."""
    return stripe_sim.client()


@pytest.fixture
def receiver(stripe_sim: Simulator) -> Receiver:
    return Receiver(stripe_sim)
