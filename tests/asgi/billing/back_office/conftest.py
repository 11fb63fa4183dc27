"""`office`: an app with its back office, in memory; `durable_office`: on each database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gatekeeper.storage.memory import MemoryStore
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.asgi.billing.back_office.office import Office, open_office
from tests.gates import gate_url  # noqa: F401 -- a fixture


@pytest.fixture
async def office(stripe_sim: Simulator) -> AsyncIterator[Office]:  # noqa: F811
    store = MemoryStore(clock=lambda: stripe_sim.now)
    async with asynccontextmanager(open_office)(stripe_sim, "sqlite:////nowhere", store) as opened:
        yield opened


@pytest.fixture
async def durable_office(
    stripe_sim: Simulator,  # noqa: F811
    gate_url: str,  # noqa: F811
) -> AsyncIterator[Office]:
    async with asynccontextmanager(open_office)(stripe_sim, gate_url) as opened:
        yield opened
