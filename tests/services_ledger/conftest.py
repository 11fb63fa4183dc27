"""Gates on databases of the tests' own, whose stores are watched."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.clock import ManualClock
from tests.gates import (  # noqa: F401 -- fixtures
    clock,
    gate_postgres_shared,
    gate_sqlite_template,
    gate_url,
    new_gate,
    postgres_gate_url,
    sqlite_gate_url,
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
    name = "sqlite_gate_url" if request.param == "sqlite" else "postgres_gate_url"
    return WatchedStore(store_for(request.getfixturevalue(name), clock=clock))


@pytest.fixture
async def gate(store: WatchedStore) -> AsyncIterator[Gatekeeper]:
    """Connected to `store`, with nothing that runs beside the test."""
    async with new_gate("sqlite:////nowhere", store=store).connected() as opened:
        yield opened


@pytest.fixture
def postgres_store(postgres_gate_url: str) -> WatchedStore:  # noqa: F811 -- the fixture
    """PostgreSQL, in its own time."""
    return WatchedStore(store_for(postgres_gate_url))


@pytest.fixture
async def postgres_gate(postgres_store: WatchedStore) -> AsyncIterator[Gatekeeper]:
    """Connected to `postgres_store`."""
    async with new_gate("sqlite:////nowhere", store=postgres_store).connected() as opened:
        yield opened


@pytest.fixture
async def other_gate(postgres_gate_url: str) -> AsyncIterator[Gatekeeper]:  # noqa: F811
    """Another process, as it were, on the database of `postgres_gate`."""
    async with new_gate(postgres_gate_url).connected() as opened:
        yield opened
