"""`store`: memory, SQLite and PostgreSQL in turn; `sql_store`: the latter two. Opened and empty, on
the clock `clock`."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper.services.audit import Auditor
from gatekeeper.services.rules import Rules
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.testing.clock import ManualClock
from tests.audit.accounts import NOW
from tests.gates import CATALOG


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(params=["sqlite", "postgres"])
async def sql_store(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[SqlStore]:
    url: str = request.getfixturevalue(f"migrated_{request.param}_url")
    async with store_for(url, clock=clock) as opened:
        yield opened


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Store]:
    if request.param == "memory":
        async with MemoryStore(clock=clock) as opened:
            yield opened
    else:
        url: str = request.getfixturevalue(f"migrated_{request.param}_url")
        async with store_for(url, clock=clock) as opened:
            yield opened


@pytest.fixture
def forgotten() -> list[tuple[str, int]]:
    """What the cache was told to forget: customers, below which version."""
    return []


@pytest.fixture
def auditor(store: Store, forgotten: list[tuple[str, int]]) -> Auditor:
    return auditor_of(store, forgotten)


def auditor_of(store: Store, forgotten: list[tuple[str, int]]) -> Auditor:
    async def forget(customer: str, version: int) -> None:
        forgotten.append((customer, version))

    return Auditor(store, Rules(CATALOG), forget)
