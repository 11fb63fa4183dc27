"""The shipped suite, on each of our stores."""

import pytest

from gatekeeper.storage.port import Store

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
    @pytest.fixture
    def store(self, postgres_store: Store) -> Store:
        return postgres_store
