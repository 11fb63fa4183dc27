"""`jobs`: a procrastinate app with its tables, on a PostgreSQL database of the test's own that has
ours too; `job_url` is that database."""

from collections.abc import AsyncIterator, Iterator

import pytest
from procrastinate import App, PsycopgConnector

from gatekeeper.storage.migrations import upgrade
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.services.postgres import PostgresServer


@pytest.fixture(scope="session")
def job_template(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create_database()
    upgrade(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def job_url(postgres_server: PostgresServer, job_template: str) -> Iterator[str]:
    url = postgres_server.create_database(template=job_template.rpartition("/")[2])
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def jobs(job_url: str) -> AsyncIterator[App]:
    app = App(connector=PsycopgConnector(conninfo=job_url.replace("+asyncpg", "")))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        yield app
