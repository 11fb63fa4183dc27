"""`store`: SQLite and PostgreSQL in turn (and memory, in `make test-long`), on `clock`; `world`: a
receiver on it; and `durable_shop` with the simulator in Stripe's place."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.gates import ON_POSTGRESQL
from tests.lasting import anyio_backend, lasting_loop  # noqa: F401 -- fixtures
from tests.stripe.shop import Shop, open_shop
from tests.stripe.world import ManualClock, World


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def memory_store(clock: ManualClock) -> AsyncIterator[Store]:
    async with MemoryStore(clock=clock) as store:
        yield store


# The conformance suite holds the store in memory to what the two databases do.
IN_MEMORY = pytest.param("memory", marks=[pytest.mark.unmeasured, pytest.mark.long])


@pytest.fixture(params=[IN_MEMORY, "sqlite", ON_POSTGRESQL])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """Each database in turn, with our tables; None stands for the store in memory."""
    if request.param == "memory":
        return None
    name = "migrated_sqlite_url" if request.param == "sqlite" else "migrated_postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
async def store(store_url: str | None, clock: ManualClock) -> AsyncIterator[Store]:
    made = MemoryStore(clock=clock) if store_url is None else store_for(store_url, clock=clock)
    async with made:
        yield made


@pytest.fixture
def world(store: Store, clock: ManualClock) -> World:
    return World(store, clock)


@pytest.fixture
def memory_world(memory_store: Store, clock: ManualClock) -> World:
    """For what does not depend on the database."""
    return World(memory_store, clock)


@pytest.fixture
async def shop(
    stripe_sim: Simulator,  # noqa: F811
    memory_store: Store,
    clock: ManualClock,
) -> AsyncIterator[Shop]:
    opened = await open_shop(stripe_sim, memory_store, clock)
    yield opened
    await opened.gateway.aclose()


@pytest.fixture
async def durable_shop(
    stripe_sim: Simulator,  # noqa: F811
    store: Store,
    clock: ManualClock,
) -> AsyncIterator[Shop]:
    opened = await open_shop(stripe_sim, store, clock)
    yield opened
    await opened.gateway.aclose()
