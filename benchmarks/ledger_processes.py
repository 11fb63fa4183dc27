"""Several processes on the same PostgreSQL accounts, beside one process and pgbench.

As `ledger_postgresql`, but with the clients shared out among processes that know nothing of one
another, all on so few accounts that they meet on each of them: what is kept in mind is out of date
most of the time.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final

from benchmarks._books import Books
from benchmarks._databases import PostgresDatabase
from benchmarks._gates import seed
from benchmarks._load import HOT, Workload, name_of
from benchmarks._pace import pace
from benchmarks._pgbench import Pgbench
from benchmarks._plain import seed_plain
from benchmarks._processes import started
from benchmarks._samples import Found
from benchmarks._servers import disk_words, durable_postgres
from benchmarks._side import Side, rows_of
from benchmarks._unbatched import create_tables, postgres_engine
from benchmarks._verdicts import times_as_many
from benchmarks.table import Table

CLIENTS: Final = (64, 256)
PROCESSES: Final = (1, 2, 4, 8)
FEW: Final = 20
WORKLOADS: Final = (
    Workload("one hot account", (HOT,)),
    Workload(f"{FEW} accounts", [name_of(number) for number in range(1, FEW + 1)]),
)


def tables() -> Iterator[Table]:
    """Measure, a table for each workload."""
    asked = pace()
    with durable_postgres() as server, asyncio.Runner() as runner, ExitStack() as stack:
        ours, plain = (PostgresDatabase(server.server) for _ in range(2))
        seed(ours, runner)
        engine = postgres_engine(plain.url)
        runner.run(create_tables(engine))
        runner.run(engine.dispose())
        seed_plain(plain)
        books = Books(ours)
        sides: list[Side] = [
            *(stack.enter_context(started(count, ours.url, books)) for count in PROCESSES),
            Pgbench(server.port, plain),
        ]
        for workload in WORKLOADS:
            yield Table(
                f"PostgreSQL, several processes, {workload.title} ({asked.words}; {disk_words()})",
                list(rows_of(sides, CLIENTS, workload, asked, _verdict)),
            )


def _verdict(_clients: int, title: str, found: Mapping[str, Found]) -> dict[str, str]:
    if title == Pgbench.title:
        return {}
    return {"beside pgbench": times_as_many(found[title], found[Pgbench.title])}
