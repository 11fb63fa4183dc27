"""The simulator, a database of each kind, and processes to kill."""

from collections.abc import Iterator

import pytest

from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures are found by their names
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.killed.nursery import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What forks the processes; it ends with the run, however that ends."""
    with Nursery() as made:
        yield made
