"""What a guard adds to a request: a check, and `@gate.consumes_credits(1)`, over a bare handler.

The app is bare ASGI, called without a server, so that all that is measured is ours; the handler
sends an answer of two messages. A guarded request reserves before the handler runs and captures
before the answer is sent. `added us` is the time that a request takes (one second by the number of
requests) beyond the bare handler's: with many clients it is what each of them adds to the process's
work, not how long one waits. See `check` for the CPU time of a cached check.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from starlette.requests import HTTPConnection

from benchmarks._books import Books
from benchmarks._databases import Database, PostgresDatabase, SqliteDatabase
from benchmarks._gates import new_gate, opened, seed
from benchmarks._load import WORKLOADS, Pair, Workload, drive
from benchmarks._pace import Pace, pace
from benchmarks._samples import Found, found_in
from benchmarks._servers import disk_words, durable_postgres
from benchmarks._verdicts import quotient
from benchmarks.table import Row, Table
from gatekeeper import Gatekeeper
from gatekeeper.asgi import App, GatekeeperMiddleware, Receive, Scope, Send

CLIENTS: Final = (1, 64)
_HOT, _MANY = WORKLOADS

_START: Final = {"type": "http.response.start", "status": 200, "headers": []}
_BODY: Final = {"type": "http.response.body", "body": b"ok"}


class RefusedError(AssertionError):
    """A request that must succeed did not."""


async def handler(scope: Scope, receive: Receive, send: Send) -> None:
    """A bare app."""
    await send(_START)
    await send(_BODY)


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None:
    if message.get("status", 200) != 200:
        raise RefusedError(message)


def requests_to(app: App) -> Pair:
    """A request of a customer's to `app`. A server makes a new scope for each."""

    async def request(customer: str) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/images",
            "headers": [(b"host", b"app.test"), (b"x-customer", customer.encode())],
        }
        await app(scope, _receive, _send)

    return request


async def who(connection: HTTPConnection) -> str:
    """The host's own authentication, as cheap as can be."""
    return connection.headers["x-customer"]


def tables() -> Iterator[Table]:
    """Measure, a table for each database."""
    asked = pace()
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(durable_postgres())
        for database in (PostgresDatabase(server.server), SqliteDatabase(folder / "ours.db")):
            seed(database, runner)
            yield Table(
                f"Requests, {database.title} ({asked.words}; {disk_words()})",
                list(_rows(database, runner, asked)),
            )


def _rows(database: Database, runner: asyncio.Runner, asked: Pace) -> Iterator[Row]:
    bare = _measure(handler, 1, _HOT, runner, asked)
    yield Row("  1 client   bare handler", bare.cells("requests/s"))
    with opened(_gate(database), runner) as gate:
        app = GatekeeperMiddleware(gate.requires_plan("free")(handler), gate)
        cached = _measure(app, 1, _HOT, runner, asked)
        yield _row(1, "requires_plan, cached", cached, bare)
    # One customer's entitlements are kept, and another asks: each check reads the database.
    with opened(_gate(database, cache_max_customers=1), runner) as gate:
        app = GatekeeperMiddleware(gate.requires_plan("free")(handler), gate)
        missed = _measure(app, 1, _MANY, runner, asked)
        yield _row(1, "requires_plan, not cached", missed, bare)
    with opened(_gate(database), runner) as gate:
        app = GatekeeperMiddleware(gate.consumes_credits(1)(handler), gate)
        books = Books(database)
        for clients in CLIENTS:
            for workload in WORKLOADS:
                spent = _measure(app, clients, workload, runner, asked, books)
                subject = f"consumes_credits(1), {workload.title}"
                yield _row(clients, subject, spent, bare)


def _gate(database: Database, **settings: Any) -> Gatekeeper:
    gate = new_gate(database.url, **settings)
    gate.identify(who)
    return gate


def _measure(
    app: App,
    clients: int,
    workload: Workload,
    runner: asyncio.Runner,
    asked: Pace,
    books: Books | None = None,
) -> Found:
    samples = []
    for _ in range(asked.runs):
        sample = runner.run(drive(requests_to(app), clients, workload.customers, asked))
        if books is not None:
            books.check(sample.done)
        samples.append(sample)
    return found_in(samples)


def _row(clients: int, subject: str, found: Found, bare: Found) -> Row:
    added = quotient(1e6, found.per_second) - quotient(1e6, bare.per_second)
    plural = "s" if clients > 1 else " "
    return Row(
        f"{clients:>3} client{plural}  {subject}",
        found.cells("requests/s") | {"added us": f"{added:,.1f}"},
    )
