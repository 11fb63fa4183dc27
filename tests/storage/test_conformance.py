"""The shipped suite, on each of our stores."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from tests.databases import empty_tables
from tests.services.postgres import Psql

pytest.register_assert_rewrite("gatekeeper.testing.conformance")

from gatekeeper.testing.conformance.storage import StoreConformance  # noqa: E402 - see above


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self, memory_store: Store) -> Store:
        return memory_store


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    def store(self, sqlite_store: Store) -> Store:
        return sqlite_store


class TestPostgresStore(StoreConformance):
    """One store for all the tests: its connections know the tables, which a new one's would have to
    learn for each test. (Other tests begin with a store of their own.)"""

    @pytest.fixture(scope="class")
    async def opened(self, shared_postgres_url: str, psql: Psql) -> AsyncIterator[Store]:
        empty_tables(psql, shared_postgres_url)
        async with store_for(shared_postgres_url) as store:
            yield store

    @pytest.fixture
    def store(self, opened: Store, shared_postgres_url: str, psql: Psql) -> Store:
        empty_tables(psql, shared_postgres_url, end_the_others=False)
        return opened
