"""The ledger on SQLite: pairs of reserve and capture, beside plain SQLAlchemy on aiosqlite.

Both in WAL mode with synchronous FULL, on files in the same folder, in turns; what the plain
version does is said in `_unbatched` and `_plain`. After every run plain SQL checks both books.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks._books import Books
from benchmarks._databases import SqliteDatabase
from benchmarks._gates import gate_side, new_gate, opened, seed
from benchmarks._load import WORKLOADS, Workload
from benchmarks._pace import Pace, pace
from benchmarks._plain import PREFIX, seed_plain
from benchmarks._samples import Found
from benchmarks._servers import disk_words
from benchmarks._side import LocalSide, Side, rows_of
from benchmarks._unbatched import create_tables, sqlite_engine, unbatched_pair
from benchmarks._verdicts import times_as_many
from benchmarks.table import Table

CLIENTS: Final = (1, 16, 64)
UNBATCHED: Final = "SQLAlchemy + aiosqlite, unbatched"
AIM: Final = 10.0
AIM_CLIENTS: Final = 16
"""From so many clients on."""


def tables() -> Iterator[Table]:
    """Measure, a table for each workload."""
    asked = pace()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        ours, plain = (SqliteDatabase(Path(folder) / name) for name in ("ours.db", "plain.db"))
        seed(ours, runner)
        engine = sqlite_engine(plain.url)
        runner.run(create_tables(engine))
        seed_plain(plain)
        with opened(new_gate(ours.url), runner) as gate:
            sides: list[Side] = [
                gate_side(gate, ours, runner),
                LocalSide(UNBATCHED, unbatched_pair(engine), Books(plain, prefix=PREFIX), runner),
            ]
            for workload in WORKLOADS:
                yield _table(sides, workload, asked)
        runner.run(engine.dispose())


def _table(sides: list[Side], workload: Workload, asked: Pace) -> Table:
    ours = sides[0].title

    def verdict(clients: int, title: str, found: Mapping[str, Found]) -> dict[str, str]:
        if title != ours:
            return {}
        aim = AIM if clients >= AIM_CLIENTS else None
        return {"beside SQLAlchemy": times_as_many(found[ours], found[UNBATCHED], aim)}

    return Table(
        f"SQLite, {workload.title} ({asked.words}; {disk_words()})",
        list(rows_of(sides, CLIENTS, workload, asked, verdict)),
    )
