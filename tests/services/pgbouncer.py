"""A real PgBouncer for the tests, in transaction mode, before a PostgreSQL of theirs."""

import os
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.services.postgres import DRIVER, UNPRIVILEGED_USER, PostgresServer
from tests.services.process import (
    LOOPBACK,
    ServerProcess,
    ServiceError,
    find_free_port,
    make_folder,
    remove_folder,
)

BINARY_VARIABLE = "GATEKEEPER_TEST_PGBOUNCER"
# Debian has it where only root looks.
MORE_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
SERVER_CONNECTIONS = 2
"""Fewer than a store has clients: they are lent to whoever begins a transaction, so that what one
client leaves behind is another's to find."""


class PrivatePgbouncer:
    """A PgBouncer of one's own before a PostgreSQL."""

    def __init__(self, server: PostgresServer) -> None:
        """Write its configuration; nothing runs before `start`."""
        behind = urlsplit(server.url)
        self.port = find_free_port()
        self._folder = make_folder("pgbouncer")
        self._folder.chmod(0o755)
        password = "" if behind.password is None else f" password={behind.password}"
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(
            f"""
[databases]
* = host={behind.hostname} port={behind.port} user={behind.username}{password}

[pgbouncer]
listen_addr = {LOOPBACK}
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {SERVER_CONNECTIONS}
max_client_conn = 500
"""
        )
        settings.chmod(0o644)
        self.process = ServerProcess(
            [str(binary()), str(settings)],
            log=self._folder / "pgbouncer.log",
            answers=self._answers,
            user=UNPRIVILEGED_USER if os.geteuid() == 0 else None,  # it refuses to run as root
        )

    def _answers(self) -> bool:
        with socket.create_connection((LOOPBACK, self.port), timeout=1):
            return True

    def url_of(self, database_url: str) -> str:
        """The URL by which a database is reached through it."""
        path = urlsplit(database_url).path
        return urlunsplit((DRIVER, f"postgres@{LOOPBACK}:{self.port}", path, "pgbouncer=true", ""))

    def start(self) -> None:
        """Start; returns when it answers."""
        self.process.start()

    def dispose(self) -> None:
        """End it and remove its folder."""
        self.process.kill()
        remove_folder(self._folder)


def binary() -> Path:
    """The pgbouncer program; ServiceError with what to install when there is none."""
    given = os.environ.get(BINARY_VARIABLE)
    path = os.pathsep.join([*os.get_exec_path(), *MORE_FOLDERS])
    found = given or shutil.which("pgbouncer", path=path)
    if not found:
        raise ServiceError(
            "no PgBouncer for the tests: install it (Debian: apt-get install pgbouncer) or name "
            f"the program in {BINARY_VARIABLE}"
        )
    return Path(found)
