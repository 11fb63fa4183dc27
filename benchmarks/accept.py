"""Webhooks accepted: from the request to the answer, beside pgbench's bare INSERT of the same rows.

Ours is the whole way of a delivery in a Starlette app with Gatekeeper installed: middleware, route,
body, signature, envelope, and a durable commit before the 200. pgbench does the last of these, and
nothing else (see `_inserting`): once into our table with its indexes, once into a table of the same
columns that has a primary key alone. Every fifth delivery is a duplicate. Nothing is dispatched
meanwhile. After every run the rows are counted.
"""

import asyncio
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks._databases import PostgresDatabase
from benchmarks._gates import opened_for_commands
from benchmarks._inserting import BARE, OURS, Inserting, make_bare_table
from benchmarks._pace import Pace, pace
from benchmarks._samples import Sample, found_in
from benchmarks._servers import disk_words, durable_postgres
from benchmarks._verdicts import verdict
from benchmarks._webhooks import (
    BODY_BYTES,
    app_of,
    bodies,
    deliver,
    post,
    signed,
    template,
    webhook_gate,
    with_duplicates,
)
from benchmarks.table import Row, Table
from gatekeeper.asgi import App

CLIENTS: Final = (1, 32)
AIM_CLIENTS: Final = 32
AIM: Final = 1.2
EVERY: Final = 5
"""One of so many is a duplicate."""

ROUNDS: Final = 7
"""More than of other benchmarks, for the ratio is what counts."""
EVENTS: Final = 6_000
QUICK_EVENTS: Final = 640
EVENTS_ALONE: Final = 600

OUR_TITLE: Final = "Gatekeeper, the route of an app"


class MissingError(AssertionError):
    """Not every event that was answered is stored, or one is stored twice."""


class Accepting:
    """Our side: an app on a database of its own."""

    title = OUR_TITLE

    def __init__(self, app: App, database: PostgresDatabase, runner: asyncio.Runner) -> None:
        self._app = app
        self._database = database
        self._runner = runner

    def run(self, events: int, clients: int, every: int, prefix: str, body: bytes) -> Sample:
        """Deliver so many, duplicates included; how fast."""
        self._database.run([f"TRUNCATE {OURS}, gatekeeper_inbox_objects"])
        self._database.settle()
        new = events - events // every
        requests = with_duplicates([signed(one) for one in bodies(new, prefix, of=body)], every)
        sample = self._runner.run(deliver(requests, clients, lambda one: post(self._app, one)))
        rows = self._database.number(f"SELECT count(*) FROM {OURS} WHERE status = 'pending'")
        if rows != new:
            raise MissingError(f"{rows} events are stored and not {new}")
        return sample


def tables() -> Iterator[Table]:
    """Measure, a table for each number of clients."""
    asked = pace()
    with ExitStack() as stack:
        server = stack.enter_context(durable_postgres())
        runner = stack.enter_context(asyncio.Runner())
        ours, theirs = (PostgresDatabase(server.server) for _ in range(2))
        make_bare_table(theirs)
        gate = stack.enter_context(opened_for_commands(webhook_gate(ours.url), runner))
        sides: list[Accepting | Inserting] = [
            Accepting(app_of(gate), ours, runner),
            Inserting("pgbench, INSERT, our table", server.port, theirs, OURS),
            Inserting("pgbench, INSERT, primary key alone", server.port, theirs, BARE),
        ]
        for clients in CLIENTS:
            yield _table(sides, clients, asked)


def _table(sides: Sequence[Accepting | Inserting], clients: int, asked: Pace) -> Table:
    rounds = 1 if asked.quick else int(os.environ.get("BENCH_RUNS") or ROUNDS)
    events = QUICK_EVENTS if asked.quick else EVENTS if clients > 1 else EVENTS_ALONE
    samples: dict[str, list[Sample]] = {side.title: [] for side in sides}
    body = template()
    for number in range(rounds):
        for side in sides:
            prefix = f"{clients}r{number}"
            samples[side.title].append(side.run(events, clients, EVERY, prefix, body))
    rows = []
    for title, found in samples.items():
        cells = found_in(found).cells("events/s")
        if title != OUR_TITLE:
            aim = AIM if clients == AIM_CLIENTS else None
            cells |= beside(samples[OUR_TITLE], found, aim)
        rows.append(Row(f"{clients:>3} client{'s' if clients > 1 else ' '}  {title}", cells))
    words = "one round: a look, not a result" if rounds == 1 else f"medians of {rounds} rounds"
    return Table(
        f"Webhooks accepted, {BODY_BYTES // 1024} KiB each, one of {EVERY} a duplicate "
        f"({words} of {events:,}; {disk_words()})",
        rows,
    )


def beside(ours: Sequence[Sample], theirs: Sequence[Sample], aim: float | None) -> dict[str, str]:
    """How many times as many we do, round by round: the median, and from the least to the most."""
    ratios = [one.per_second / other.per_second for one, other in zip(ours, theirs, strict=True)]
    return {
        "Gatekeeper beside it": verdict(statistics.median(ratios), aim, at_least=True),
        "of the rounds": f"{min(ratios):.2f}-{max(ratios):.2f}",
    }
