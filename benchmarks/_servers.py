"""The servers to measure on: as durable as in production, unlike those of the tests."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.services.postgres import PrivatePostgres

DURABLE: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # PostgreSQL's own default; the tests' servers make do with less.
    "shared_buffers": "128MB",
    # 256 clients of pgbench, and the pools of the others.
    "max_connections": "400",
}
"""What the benchmark's PostgreSQL is told. What is not named here is PostgreSQL's default."""

_PROBES: Final = 200


@contextmanager
def durable_postgres() -> Iterator[PrivatePostgres]:
    """A PostgreSQL of the benchmark's own, that survives a loss of power."""
    server = PrivatePostgres(settings=DURABLE)
    try:
        server.start()
        yield server
    finally:
        server.dispose()


def disk_words() -> str:
    """How long it takes here to have 8 KiB on the disk: the floor of every durable commit."""
    with tempfile.TemporaryFile() as file:
        samples = []
        for number in range(_PROBES):
            os.pwrite(file.fileno(), bytes(8_192), number * 8_192)
            begun = time.perf_counter()
            os.fsync(file.fileno())
            samples.append(time.perf_counter() - begun)
    return f"an fsync takes {statistics.median(samples) * 1e3:.2f} ms"


def resident_mib() -> float | None:
    """What this process has in memory, in MiB; None where the system has no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
