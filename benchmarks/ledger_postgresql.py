"""The ledger on PostgreSQL: pairs of reserve and capture, beside pgbench and plain SQLAlchemy.

All on one cluster with durable settings, in turns. Ours is `gate.reserve` and `gate.capture` with
the schema and the settings that ship; what pgbench and SQLAlchemy do is said in `_pgbench`,
`_unbatched` and `_plain`: the same two steps with less in them. A pair is two commits for each.
After every run plain SQL checks that everybody's books add up and that as many holds are captured
as pairs were counted.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from benchmarks._books import Books
from benchmarks._databases import PostgresDatabase
from benchmarks._gates import gate_side, new_gate, opened, seed
from benchmarks._load import WORKLOADS, Workload
from benchmarks._pace import Pace, pace
from benchmarks._pgbench import Pgbench
from benchmarks._plain import PREFIX, seed_plain
from benchmarks._samples import Found
from benchmarks._servers import disk_words, durable_postgres
from benchmarks._side import LocalSide, Side, rows_of
from benchmarks._unbatched import create_tables, postgres_engine, unbatched_pair
from benchmarks._verdicts import times_as_long, times_as_many
from benchmarks.table import Table

CLIENTS: Final = (1, 16, 64, 256)
UNBATCHED: Final = "SQLAlchemy + asyncpg, unbatched"

AIM_CLIENTS: Final = 64
AIM_HOT: Final = 15.0
AIM_MANY: Final = 2.0
AIM_ALONE_P50: Final = 3.0


def tables() -> Iterator[Table]:
    """Measure, a table for each workload."""
    asked = pace()
    with durable_postgres() as server, asyncio.Runner() as runner:
        ours, pgbench, plain = (PostgresDatabase(server.server) for _ in range(3))
        seed(ours, runner)
        engines = [postgres_engine(database.url) for database in (pgbench, plain)]
        for engine, database in zip(engines, (pgbench, plain), strict=True):
            runner.run(create_tables(engine))
            seed_plain(database)
        engine = engines[1]
        with opened(new_gate(ours.url), runner) as gate:
            sides: list[Side] = [
                gate_side(gate, ours, runner),
                Pgbench(server.port, pgbench),
                LocalSide(UNBATCHED, unbatched_pair(engine), Books(plain, prefix=PREFIX), runner),
            ]
            for workload in WORKLOADS:
                yield _table(sides, workload, asked)
        for engine in engines:
            runner.run(engine.dispose())


def _table(sides: list[Side], workload: Workload, asked: Pace) -> Table:
    ours = sides[0].title

    def verdict(clients: int, title: str, found: Mapping[str, Found]) -> dict[str, str]:
        if title != ours:
            return {}
        gate, pgbench, unbatched = found[ours], found[Pgbench.title], found[UNBATCHED]
        if clients == 1:
            beside_pgbench = times_as_long(gate, pgbench, AIM_ALONE_P50)
        else:
            aim = AIM_HOT if workload.is_hot else AIM_MANY
            beside_pgbench = times_as_many(gate, pgbench, aim if clients == AIM_CLIENTS else None)
        return {
            "beside pgbench": beside_pgbench,
            "beside SQLAlchemy": times_as_many(gate, unbatched),
        }

    return Table(
        f"PostgreSQL, {workload.title} ({asked.words}; {disk_words()})",
        list(rows_of(sides, CLIENTS, workload, asked, verdict)),
    )
