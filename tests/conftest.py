"""What every test may ask for: real servers by their URLs, free ports, and asyncio as the event
loop.

- `postgres_url`: a fresh, empty PostgreSQL database (`postgresql+asyncpg://...`)
- `sqlite_url`: a file that does not exist yet (`sqlite:////...`)
- `redis_url`: a Redis database that is empty now
- `private_postgres`: a PostgreSQL of one's own: `url`, `server`, `stop()`, `kill()`, `start()`,
  `process.paused()`
- `private_redis`: a Redis of one's own, with the same but `server`
- `migrated_postgres_url`, `migrated_sqlite_url`: a database with our tables, which are empty
- `free_port`: a TCP port of the loopback interface that is free now
- `postgres_server` (session): behind `postgres_url`: `sql`, `create_database`, `drop_database`
- `redis_server_url` (session): the URL behind `redis_url`, not flushed
- `chromium_path` (session): the browser for Playwright's `executable_path`

A parallel run (pytest-xdist) has a set of servers for each worker. They end with the run, however
it ends. A server that cannot start is an error, never a skip."""

import gc
import os
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, settings

from gatekeeper.storage.migrations import upgrade
from tests.compiled import share_compiled_statements
from tests.databases import empty_tables, sqlite_copy
from tests.hasty import commit_without_the_disk
from tests.services import postgres, redis
from tests.services.postgres import PostgresServer, PrivatePostgres, Psql
from tests.services.process import ServiceError, find_free_port
from tests.services.redis import PrivateRedis
from tests.tracing import trace_greenlets

# The shipped suites are imported by many tests: before the first of them, for readable failures.
pytest.register_assert_rewrite("gatekeeper.testing.conformance")

trace_greenlets()
share_compiled_statements()
commit_without_the_disk()

CHROMIUM_VARIABLE = "GATEKEEPER_TEST_CHROMIUM"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# No deadline, no complaint of slowness: a slow machine is not a wrong program. `make test` takes
# the same examples every time; `make test-long` looks for new ones.
settings.register_profile(
    "default",
    max_examples=40,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "long", settings.get_profile("default"), derandomize=False, max_examples=2_000
)
settings.load_profile("default")


def pytest_sessionstart() -> None:
    """Collecting makes half a million objects that stay: looking for garbage among them, again and
    again, would take longer than making them."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Nor is it looked for among them while the tests run, and less often than it would be: what a
    test leaves is little."""
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Do not trace a test of very many steps, as those of Hypothesis are: it would take twice as
    long, and what it runs is run by simpler tests too."""
    tracer = sys.gettrace()
    is_measured = not any(item.get_closest_marker(name) for name in ("unmeasured", "hypothesis"))
    if tracer is None or is_measured:
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Write down what was measured while there is time: a worker of pytest-xdist that does not end
    within seconds is killed."""
    measuring = Coverage.current()
    if measuring is not None:
        measuring.save()


@pytest.fixture(scope="session", autouse=True)
def unmeasured_processes() -> None:
    """Coverage is measured in the tests' own processes only: in those that they start it would cost
    more than it finds."""
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio: the database drivers know no other loop."""
    return "asyncio"


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on at this moment."""
    return find_free_port()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL of this run (of this worker), started when first asked for."""
    external = postgres.external_server()
    if external is not None:
        yield external
        return
    private = PrivatePostgres()
    try:
        private.start()
        yield private.server
    finally:
        private.dispose()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh and empty database, dropped after the test with whatever is still connected to it."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """One database with our tables for the whole run."""
    url = postgres_server.create_database()
    upgrade(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def psql(postgres_server: PostgresServer) -> Iterator[Psql]:
    """One for the whole run."""
    started = Psql(postgres_server)
    yield started
    started.close()


@pytest.fixture
def migrated_postgres_url(shared_postgres_url: str, psql: Psql) -> str:
    """A database with our tables, and nothing in them."""
    empty_tables(psql, shared_postgres_url)
    return shared_postgres_url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with our tables, to be copied."""
    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def migrated_sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A SQLite database of the test's own with our tables, and nothing in them."""
    return sqlite_copy(sqlite_template, tmp_path)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite database in a file of the test's own that does not exist yet."""
    return f"sqlite:///{tmp_path / 'gatekeeper.sqlite3'}"


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    """The Redis of this run (of this worker), started when first asked for."""
    external = redis.external_url(_worker_number())
    if external is not None:
        yield external
        redis.flush(external)
        return
    private = PrivateRedis()
    try:
        private.start()
        yield private.url
    finally:
        private.dispose()


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """A Redis database that is empty now."""
    redis.flush(redis_server_url)
    return redis_server_url


@pytest.fixture
def private_postgres() -> Iterator[PrivatePostgres]:
    """A running PostgreSQL of the test's own, to stop, kill, pause and start again."""
    private = PrivatePostgres()
    try:
        private.start()
        yield private
    finally:
        private.dispose()


@pytest.fixture
def private_redis() -> Iterator[PrivateRedis]:
    """A running Redis of the test's own, to stop, kill, pause and start again."""
    private = PrivateRedis()
    try:
        private.start()
        yield private
    finally:
        private.dispose()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser that Playwright drives by `executable_path`; an error with what to install
    without one."""
    given = os.environ.get(CHROMIUM_VARIABLE)
    found = given or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if not found:
        raise ServiceError(
            "no Chromium for the browser tests: install it (Debian: apt-get install chromium) "
            f"or name the program in {CHROMIUM_VARIABLE}"
        )
    return found


def _worker_number() -> int:
    """The number of this pytest-xdist worker, 0 without one."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
