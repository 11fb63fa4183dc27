"""`pooled_url`: an empty database with our tables, reached through a PgBouncer in transaction mode
that has two connections for all."""

from collections.abc import AsyncIterator, Iterator

import pytest

from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from tests.services.pgbouncer import PrivatePgbouncer
from tests.services.postgres import PostgresServer


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: PostgresServer) -> Iterator[PrivatePgbouncer]:
    private = PrivatePgbouncer(postgres_server)
    try:
        private.start()
        yield private
    finally:
        private.dispose()


@pytest.fixture
def pooled_url(pgbouncer: PrivatePgbouncer, migrated_postgres_url: str) -> str:
    return pgbouncer.url_of(migrated_postgres_url)


@pytest.fixture
async def pooled_store(pooled_url: str) -> AsyncIterator[Store]:
    async with store_for(pooled_url) as store:
        yield store
