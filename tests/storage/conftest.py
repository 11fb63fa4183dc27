"""Stores to test, opened and empty: `memory_store`, `sqlite_store`, `postgres_store`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from tests.services.postgres import PostgresServer
from tests.storage.databases import empty_tables, sqlite_copy


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create_database()
    upgrade(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def memory_store() -> AsyncIterator[Store]:
    async with MemoryStore() as store:
        yield store


@pytest.fixture
async def sqlite_store(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Store]:
    async with store_for(sqlite_copy(sqlite_template, tmp_path)) as store:
        yield store


@pytest.fixture
async def postgres_store(
    postgres_server: PostgresServer, shared_postgres_url: str
) -> AsyncIterator[Store]:
    empty_tables(postgres_server, urlsplit(shared_postgres_url).path.removeprefix("/"))
    async with store_for(shared_postgres_url) as store:
        yield store
