"""The ledger beside escrowmint (Redis) and gringotts-api (SQLite and PostgreSQL).

What each of them does in the place of a pair, and what it does not do, is said at the top of
`peers/escrowmint_load.py` and `peers/gringotts_load.py`: less than ours in every case. All on the
same machine in turns, the databases with the same settings; each side's load runs in one process,
as in a web app of one process, and each side's books are checked after every run.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import redis

from benchmarks._databases import Database, PostgresDatabase, SqliteDatabase
from benchmarks._gates import gate_side, new_gate, opened, seed
from benchmarks._load import WORKLOADS, Workload
from benchmarks._pace import Pace, pace
from benchmarks._peers import started
from benchmarks._samples import Found
from benchmarks._servers import disk_words, durable_postgres
from benchmarks._side import Side, rows_of
from benchmarks._verdicts import times_as_many
from benchmarks.table import Table
from tests.services.redis import PrivateRedis

CLIENTS: Final = (1, 16, 64)
AIM: Final = 1.0
AIM_CLIENTS: Final = 16
"""From so many clients on."""

MINT_IN_MEMORY: Final = "escrowmint 0.5.0, Redis in memory"
MINT_DURABLE: Final = "escrowmint 0.5.0, Redis appendfsync always"
GRINGOTTS: Final = "gringotts-api 0.4.0, "


def tables() -> Iterator[Table]:
    """Measure, a table for each workload."""
    asked = pace()
    with ExitStack() as stack:
        sides = _sides(stack)
        for workload in WORKLOADS:
            yield _table(sides, workload, asked)


def _sides(stack: ExitStack) -> list[Side]:
    runner = stack.enter_context(asyncio.Runner())
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    server = stack.enter_context(durable_postgres())
    ours: list[Side] = []
    databases: list[Database] = [
        PostgresDatabase(server.server),
        SqliteDatabase(folder / "ours.db"),
    ]
    for database in databases:
        seed(database, runner)
        gate = stack.enter_context(opened(new_gate(database.url), runner))
        ours.append(gate_side(gate, database, runner))
    theirs: list[Side] = [
        stack.enter_context(started(title, "escrowmint_load", stack.enter_context(_redis(durable))))
        for title, durable in ((MINT_IN_MEMORY, False), (MINT_DURABLE, True))
    ]
    postgres_url = server.server.create_database().replace("+asyncpg", "+psycopg")
    for name, url in (
        (PostgresDatabase.title, postgres_url),
        (SqliteDatabase.title, f"sqlite:///{folder / 'gringotts.db'}"),
    ):
        peer = started(GRINGOTTS + name, "gringotts_load", variables={"DATABASE_URL": url})
        theirs.append(stack.enter_context(peer))
    return [*ours, *theirs]


@contextmanager
def _redis(durable: bool) -> Iterator[str]:
    """The URL of a Redis that keeps nothing, or writes each command to the disk before it
    answers (https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/)."""
    server = PrivateRedis()
    try:
        server.start()
        if durable:
            with redis.Redis.from_url(server.url) as client:
                client.config_set("appendfsync", "always")
                client.config_set("appendonly", "yes")
        yield server.url
    finally:
        server.dispose()


def _table(sides: list[Side], workload: Workload, asked: Pace) -> Table:
    def verdict(clients: int, title: str, found: Mapping[str, Found]) -> dict[str, str]:
        database = title.removeprefix("Gatekeeper, ")
        if database == title:
            return {}
        aim = AIM if clients >= AIM_CLIENTS else None
        return {
            "beside escrowmint, memory": times_as_many(found[title], found[MINT_IN_MEMORY], aim),
            "escrowmint, durable": times_as_many(found[title], found[MINT_DURABLE], aim),
            "beside gringotts": times_as_many(found[title], found[GRINGOTTS + database], aim),
        }

    return Table(
        f"Peers, {workload.title} ({asked.words}; {disk_words()})",
        list(rows_of(sides, CLIENTS, workload, asked, verdict)),
    )
