"""An injected clock takes the place of the database's, in every store."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from gatekeeper.types import Clock
from tests.databases import sqlite_copy

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Clock | None], Store]:
    if request.param == "memory":
        return lambda clock: MemoryStore() if clock is None else MemoryStore(clock=clock)
    if request.param == "sqlite":
        url = sqlite_copy(request.getfixturevalue("sqlite_template"), tmp_path)
    else:
        url = request.getfixturevalue("shared_postgres_url")
    return lambda clock: store_for(url, clock=clock)


async def test_an_injected_clock_is_the_transactions_clock(
    make_store: Callable[[Clock | None], Store],
) -> None:
    moments = [datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)]
    async with make_store(lambda: moments[-1]) as store:
        assert await store.write(lambda tx: tx.now()) == moments[0]
        moments.append(moments[0] + timedelta(days=400))
        assert await store.read(lambda tx: tx.now()) == moments[1]


async def test_without_one_the_clock_runs_within_a_transaction(
    make_store: Callable[[Clock | None], Store],
) -> None:
    async with make_store(None) as store:
        before, after = await store.write(lambda tx: (tx.now(), tx.now()))
    assert before <= after
    assert abs(after - datetime.now(UTC)) < timedelta(minutes=5)
