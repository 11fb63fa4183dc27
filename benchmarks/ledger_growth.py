"""What a pair costs, and what memory the process takes, as one account's history grows.

The entries (and the holds they belong to: one for each two) are loaded by plain SQL, as copies of
what the gate has written for a hold that was released, so that the account stays consistent; plain
SQL checks that after every run. Flat means: about as fast as at the first size.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks._books import copy_history
from benchmarks._databases import Database, PostgresDatabase, SqliteDatabase
from benchmarks._gates import CREDITS, gate_side, new_gate, opened
from benchmarks._load import HOT, WORKLOADS
from benchmarks._pace import Pace, pace
from benchmarks._samples import Found
from benchmarks._servers import disk_words, durable_postgres, resident_mib
from benchmarks._side import compare
from benchmarks._verdicts import quotient, verdict
from benchmarks.table import Row, Table
from gatekeeper import Gatekeeper

ENTRIES: Final = (10_000, 100_000, 1_000_000)
QUICK_ENTRIES: Final = ENTRIES[:2]
CLIENTS: Final = 64
AIM: Final = 1.25
"""A pair at the last size takes at most so many times what it took at the first."""


def tables() -> Iterator[Table]:
    """Measure, a table for each database."""
    asked = pace()
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(durable_postgres())
        for database in (PostgresDatabase(server.server), SqliteDatabase(folder / "ours.db")):
            yield _table(database, runner, asked)


def _table(database: Database, runner: asyncio.Runner, asked: Pace) -> Table:
    with opened(new_gate(database.url), runner) as gate:
        hold_id = runner.run(_first_entries(gate))
    sizes = QUICK_ENTRIES if asked.quick else ENTRIES
    rows: list[Row] = []
    first: tuple[Found, Found] | None = None
    for size in sizes:
        entries = database.number("SELECT count(*) FROM gatekeeper_entries")
        copy_history(database, HOT, hold_id, (size - entries) // 2)
        with opened(new_gate(database.url), runner) as gate:
            before = resident_mib()
            side = gate_side(gate, database, runner)
            alone, crowd = (
                compare([side], clients, WORKLOADS[0], asked)[side.title]
                for clients in (1, CLIENTS)
            )
            after = resident_mib()
        first = first or (alone, crowd)
        is_last = size == sizes[-1]
        rows.append(
            Row(
                f"{size:>9,} entries",
                {
                    "1 client: p50 ms": f"{alone.p50_ms:,.2f}",
                    "p99 ms": f"{alone.p99_ms:,.2f}",
                    "beside the first p50": _beside(alone.p50_ms, first[0].p50_ms, is_last),
                    f"{CLIENTS} clients: pairs/s": f"{crowd.per_second:,.0f}",
                    "time beside the first": _beside(
                        first[1].per_second, crowd.per_second, is_last
                    ),
                    "RSS MiB before": _mib(before),
                    "RSS MiB after": _mib(after),
                },
            )
        )
    return Table(
        f"{database.title}, one account of many entries ({asked.words}; {disk_words()})", rows
    )


async def _first_entries(gate: Gatekeeper) -> str:
    """A grant, and a hold that was released: its id."""
    await gate.grant(HOT, "credits", CREDITS, reason="benchmark")
    hold = await gate.reserve(HOT, "credits", 1)
    await gate.release(hold.id, customer=HOT)
    return hold.id


def _beside(cost: float, first: float, is_last: bool) -> str:
    return verdict(quotient(cost, first), AIM if is_last else None, at_least=False)


def _mib(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
