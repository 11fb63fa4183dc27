"""Stores to test, opened and empty: `memory_store`, `sqlite_store`, `postgres_store`."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for


@pytest.fixture
async def memory_store() -> AsyncIterator[Store]:
    async with MemoryStore() as store:
        yield store


@pytest.fixture
async def sqlite_store(migrated_sqlite_url: str) -> AsyncIterator[Store]:
    async with store_for(migrated_sqlite_url) as store:
        yield store


@pytest.fixture
async def postgres_store(migrated_postgres_url: str) -> AsyncIterator[Store]:
    async with store_for(migrated_postgres_url) as store:
        yield store
