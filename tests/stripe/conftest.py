"""`store`: memory, SQLite and PostgreSQL in turn, on `clock`; `world`: a receiver on it."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.services.postgres import PostgresServer
from tests.stripe.world import ManualClock, World


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create_database()
    upgrade(url)
    yield urlsplit(url).path.removeprefix("/")
    postgres_server.drop_database(url)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def memory_store(clock: ManualClock) -> AsyncIterator[Store]:
    async with MemoryStore(clock=clock) as store:
        yield store


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    """Each database in turn, with our tables; None stands for the store in memory."""
    match request.param:
        case "memory":
            yield None
        case "sqlite":
            copy = tmp_path / "gatekeeper.sqlite3"
            shutil.copyfile(request.getfixturevalue("sqlite_template"), copy)
            yield f"sqlite:///{copy}"
        case _:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            name: str = request.getfixturevalue("postgres_template")
            url = server.create_database(template=name)
            yield url
            server.drop_database(url)


@pytest.fixture
async def store(store_url: str | None, clock: ManualClock) -> AsyncIterator[Store]:
    made = MemoryStore(clock=clock) if store_url is None else store_for(store_url, clock=clock)
    async with made:
        yield made


@pytest.fixture
def world(store: Store, clock: ManualClock) -> World:
    return World(store, clock)


@pytest.fixture
def memory_world(memory_store: Store, clock: ManualClock) -> World:
    """For what does not depend on the database."""
    return World(memory_store, clock)
