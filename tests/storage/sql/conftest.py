"""Both databases, migrated and empty: `database_url`, and `store`, opened on it."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper.storage.sql.store import SqlStore, store_for


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"migrated_{request.param}_url")
    return url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    async with store_for(database_url) as opened:
        yield opened
