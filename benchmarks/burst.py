"""10,000 webhooks at once, again and again: how long an answer takes, and what stays in the memory.

Three bursts come over 256 connections, each of which sends its next event when its last one was
answered; then three in which all are handed to the app in the same moment, so that the median is
about half of the time that all of them take. An answer is a commit. One that is refused (503) is
counted, and sent again when the burst is over, as Stripe would. Nothing is dispatched meanwhile.
After every burst the rows are counted.

The bodies, some 50 MiB, are in the memory before each burst, and gone after it. `gc.freeze()` is
called when the app has started, as docs/guides/operations.md advises.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks._databases import Database, PostgresDatabase, SqliteDatabase
from benchmarks._gates import opened_for_commands
from benchmarks._inserting import OURS
from benchmarks._pace import pace
from benchmarks._samples import percentile
from benchmarks._servers import disk_words, durable_postgres, resident_mib
from benchmarks._verdicts import quotient, verdict
from benchmarks._webhooks import (
    BODY_BYTES,
    Request,
    app_of,
    bodies,
    post,
    signed,
    template,
    webhook_gate,
)
from benchmarks.accept import MissingError
from benchmarks.table import Row, Table
from gatekeeper.asgi import App

EVENTS: Final = 10_000
QUICK_EVENTS: Final = 1_000
BURSTS: Final = 3
CONNECTIONS: Final = 256
AIM_MEMORY: Final = 1.1
"""After the last burst of a kind the process has at most so many times what it had after the first
of that kind."""

_LOOK_SECONDS: Final = 0.02


class Burst(NamedTuple):
    """What one burst was like. Times are in seconds, memory in MiB."""

    seconds: float
    latencies: list[float]
    refused: int
    before: float
    peak: float
    after: float


def tables() -> Iterator[Table]:
    """Measure, a table for each database."""
    events = QUICK_EVENTS if pace().quick else EVENTS
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(durable_postgres())
        for database in (PostgresDatabase(server.server), SqliteDatabase(folder / "ours.db")):
            yield _table(database, runner, events)


def _table(database: Database, runner: asyncio.Runner, events: int) -> Table:
    rows: list[Row] = []
    stored = 0
    with opened_for_commands(webhook_gate(database.url), runner) as gate:
        app, body = app_of(gate), template()
        gc.freeze()
        for at_once in (CONNECTIONS, events):
            first: Burst | None = None
            for number in range(1, BURSTS + 1):
                made = bodies(events, f"{at_once}b{number}", of=body)
                requests = [signed(one) for one in made]
                found = runner.run(_burst(app, requests, at_once))
                del made, requests  # or the next ones would come beside them
                stored += events
                rows_there = database.number(
                    f"SELECT count(*) FROM {OURS} WHERE status = 'pending'"
                )
                if rows_there != stored:
                    raise MissingError(f"{rows_there} events are stored and not {stored}")
                first = first or found
                beside = first if number == BURSTS else None
                rows.append(Row(f"{at_once:>6,} at once, {number}", _cells(found, events, beside)))
        gc.unfreeze()
    return Table(
        f"{database.title}, bursts of {events:,} webhooks of {BODY_BYTES // 1024} KiB "
        f"({disk_words()})",
        rows,
    )


def _cells(burst: Burst, events: int, first: Burst | None) -> dict[str, str]:
    ordered = sorted(burst.latencies)
    cells = {
        "accepted/s": f"{events / burst.seconds:,.0f}",
        "p50 ms": f"{percentile(ordered, 0.50) * 1e3:,.0f}",
        "p99 ms": f"{percentile(ordered, 0.99) * 1e3:,.0f}",
        "refused": f"{burst.refused:,}",
        "RSS MiB before": f"{burst.before:,.0f}",
        "peak": f"{burst.peak:,.0f}",
        "after": f"{burst.after:,.0f}",
    }
    if first is not None:
        ratio = quotient(burst.after, first.after)
        cells["after, beside the first"] = verdict(ratio, AIM_MEMORY, at_least=False)
    return cells


async def _burst(app: App, requests: list[Request], at_once: int) -> Burst:
    before = resident_mib() or 0.0
    peak = before
    latencies: list[float] = []
    refused: list[Request] = []

    async def one(request: Request) -> None:
        begun = time.perf_counter()
        status = await post(app, request, also=(503,))
        latencies.append(time.perf_counter() - begun)
        if status == 503:
            refused.append(request)

    async def look() -> None:
        nonlocal peak
        while True:
            peak = max(peak, resident_mib() or 0.0)
            await asyncio.sleep(_LOOK_SECONDS)

    async def all_of(given: Sequence[Request]) -> None:
        waiting = iter(given)

        async def connection() -> None:
            for request in waiting:
                await one(request)

        await asyncio.gather(*(connection() for _ in range(at_once)))

    looking = asyncio.create_task(look())
    begun = time.perf_counter()
    await all_of(requests)
    first_latencies, count = list(latencies), len(refused)
    while refused:
        again, refused[:] = list(refused), []
        await all_of(again)
    seconds = time.perf_counter() - begun
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    return Burst(seconds, first_latencies, count, before, peak, resident_mib() or 0.0)
