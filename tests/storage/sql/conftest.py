"""Both databases, migrated and empty: `database_url`, and `store`, opened on it."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gatekeeper.storage.sql.store import SqlStore, store_for
from tests.services.postgres import PostgresServer
from tests.storage.databases import empty_tables, sqlite_copy


@pytest.fixture
def migrated_sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    return sqlite_copy(sqlite_template, tmp_path)


@pytest.fixture
def migrated_postgres_url(postgres_server: PostgresServer, shared_postgres_url: str) -> str:
    empty_tables(postgres_server, urlsplit(shared_postgres_url).path.removeprefix("/"))
    return shared_postgres_url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"migrated_{request.param}_url")
    return url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    async with store_for(database_url) as opened:
        yield opened
