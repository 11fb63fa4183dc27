"""Gates on databases of the tests' own, whose stores are watched."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.clock import ManualClock
from tests.gates import (  # noqa: F401 -- fixtures
    clock,
    gate_url,
    new_gate,
)
from tests.services_ledger.watched import WatchedStore


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(
    request: pytest.FixtureRequest,
    clock: ManualClock,  # noqa: F811 -- the fixture
) -> WatchedStore:
    """Each store in turn, in the time of `clock`."""
    if request.param == "memory":
        return WatchedStore(MemoryStore(clock=clock))
    name = "migrated_sqlite_url" if request.param == "sqlite" else "migrated_postgres_url"
    return WatchedStore(store_for(request.getfixturevalue(name), clock=clock))


@pytest.fixture
async def gate(store: WatchedStore) -> AsyncIterator[Gatekeeper]:
    """Connected to `store`, with nothing that runs beside the test."""
    async with new_gate("sqlite:////nowhere", store=store).connected() as opened:
        yield opened


@pytest.fixture
def postgres_store(migrated_postgres_url: str) -> WatchedStore:
    """PostgreSQL, in its own time."""
    return WatchedStore(store_for(migrated_postgres_url))


@pytest.fixture
async def postgres_gate(postgres_store: WatchedStore) -> AsyncIterator[Gatekeeper]:
    """Connected to `postgres_store`."""
    async with new_gate("sqlite:////nowhere", store=postgres_store).connected() as opened:
        yield opened


@pytest.fixture
async def other_gate(migrated_postgres_url: str) -> AsyncIterator[Gatekeeper]:
    """Another process, as it were, on the database of `postgres_gate`."""
    async with new_gate(migrated_postgres_url).connected() as opened:
        yield opened
