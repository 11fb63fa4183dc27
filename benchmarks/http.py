"""Over HTTP: `GET me` and a route under `@gate.consumes_credits(1)`, beside the same app bare.

Each side is a FastAPI app in one uvicorn process with its default settings; the load comes from the
benchmark's process on another core, each client on a connection of its own, kept alive. "No gate"
answers the same from memory: what it does less than ours is what a gate costs. gringotts-api's
charge is one transaction, ours are two (reserve, capture); `peers/gringotts_http.py` says more. A
customer is one of 10,000. After every run of the work, each side's books are checked.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks import _program
from benchmarks._books import Books
from benchmarks._databases import Database, PostgresDatabase, SqliteDatabase
from benchmarks._gates import CREDITS, seed
from benchmarks._http import Connection, request
from benchmarks._http_app import CUSTOMER, ME, MODULE, WORK
from benchmarks._load import CUSTOMERS, WORKLOADS, drive
from benchmarks._pace import Pace, pace
from benchmarks._peers import clean, environment
from benchmarks._program import Program
from benchmarks._samples import Found, Sample, found_in
from benchmarks._servers import disk_words, durable_postgres
from benchmarks._verdicts import times_as_many
from benchmarks.table import Row, Table

CLIENTS: Final = (1, 64)
AIM: Final = 1.0
"""Beside gringotts, with many clients."""

_, MANY = WORKLOADS
BARE: Final = "no gate"
PEER_ME: Final = "/gringotts/balance"
PEER_CUSTOMER: Final = "x-api-key"


class Served:
    """A side: an app that listens, and how a customer asks it."""

    me = ME
    header = CUSTOMER

    def __init__(self, title: str, program: Program) -> None:
        self.title = title
        self._program = program
        self._port = int(json.loads(program.answer())["port"])

    def run(self, what: str, clients: int, asked: Pace, runner: asyncio.Runner) -> Sample:
        """Ask so many times at once; what was found."""
        method, path = ("POST", WORK) if what == WORK else ("GET", self.me)
        requests = {name: request(method, path, {self.header: name}) for name in MANY.customers}
        sample = runner.run(self._load(requests, clients, asked))
        if what == WORK:
            self.check(sample.done)
        return sample

    def check(self, done: int) -> None:
        """Raise unless `done` requests have left what they must."""

    async def _load(self, requests: Mapping[str, bytes], clients: int, asked: Pace) -> Sample:
        idle = [await Connection.opened(self._port) for _ in range(clients)]
        connections = list(idle)

        async def ask(customer: str) -> None:
            connection = idle.pop()
            await connection.ask(requests[customer])
            idle.append(connection)

        try:
            return await drive(ask, clients, MANY.customers, asked)
        finally:
            for connection in connections:
                connection.close()


class Gated(Served):
    """Ours."""

    def __init__(self, title: str, program: Program, books: Books) -> None:
        super().__init__(title, program)
        self._books = books

    def check(self, done: int) -> None:
        self._books.check(done)


class Gringotts(Served):
    """The peer, which checks its own books."""

    me = PEER_ME
    header = PEER_CUSTOMER
    _charged = 0

    def check(self, done: int) -> None:
        self._charged += done
        self._program.ask(charged=self._charged)
        self._program.answer()


def tables() -> Iterator[Table]:
    """Measure, a table for each route and database."""
    asked = pace()
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(durable_postgres())
        bare = Served(BARE, stack.enter_context(_started(BARE)))
        for database, peers_url in (
            (SqliteDatabase(folder / "ours.db"), f"sqlite:///{folder / 'gringotts.db'}"),
            (
                PostgresDatabase(server.server),
                server.server.create_database().replace("+asyncpg", "+psycopg"),
            ),
        ):
            seed(database, runner)
            with _sides(bare, database, peers_url) as sides:
                for what in (ME, WORK):
                    yield _table(what, database, sides, asked, runner)


@contextmanager
def _sides(bare: Served, database: Database, peers_url: str) -> Iterator[list[Served]]:
    ours, theirs = f"Gatekeeper, {database.title}", f"gringotts-api 0.4.0, {database.title}"
    variables = clean(os.environ) | {"DATABASE_URL": peers_url}
    command = [str(environment()), "-m", "benchmarks.peers.gringotts_http", str(CREDITS)]
    with (
        _started(ours, database.url) as gated,
        _program.started(theirs, command, variables) as peer,
    ):
        peer.say(" ".join(CUSTOMERS))
        yield [bare, Gated(ours, gated, Books(database)), Gringotts(theirs, peer)]


def _started(title: str, *arguments: str) -> AbstractContextManager[Program]:
    return _program.started(title, [sys.executable, "-m", MODULE, *arguments])


def _table(
    what: str, database: Database, sides: list[Served], asked: Pace, runner: asyncio.Runner
) -> Table:
    rows = [row for clients in CLIENTS for row in _rows(what, clients, sides, asked, runner)]
    title = "GET me" if what == ME else "POST work, one credit each"
    return Table(f"Over HTTP, {title}, {database.title} ({asked.words}; {disk_words()})", rows)


def _rows(
    what: str, clients: int, sides: list[Served], asked: Pace, runner: asyncio.Runner
) -> Iterator[Row]:
    """The sides in turns, run by run."""
    samples: dict[str, list[Sample]] = {side.title: [] for side in sides}
    for _ in range(asked.runs):
        for side in sides:
            samples[side.title].append(side.run(what, clients, asked, runner))
    found: dict[str, Found] = {title: found_in(ones) for title, ones in samples.items()}
    bare, ours, theirs = found.values()
    for title, figures in found.items():
        cells = figures.cells("requests/s")
        if figures is ours:
            aim = AIM if clients > 1 else None
            cells |= {
                "beside no gate": times_as_many(ours, bare),
                "beside gringotts": times_as_many(ours, theirs, aim),
            }
        yield Row(f"{clients:>3} client{'s' if clients > 1 else ' '}  {title}", cells)
