"""A process that receives a story's events, carries them out, and is killed where it is told to.

`python -m tests.killed.process` reads jobs from standard input, one a line, forks a process for
each, and answers with how it ended: what is imported is imported once.

Every transaction of ours is a function that `Store.write` runs, so that a point is named by the
function and by whether the process dies before the commit or after it. What PostgreSQL takes by one
statement without a transaction has the name of the function that other databases run for it; before
its commit is before it is sent. Nothing in the library knows
of these points: a name that is reached no more makes the test fail.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from uuid_utils.compat import uuid7

from gatekeeper import Gatekeeper
from gatekeeper.ledger import GrantCredits, GrantKind
from gatekeeper.services import accounts
from gatekeeper.services.outbox import Signal
from gatekeeper.services.rules import Rules
from gatekeeper.settings import Settings
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.quick import Arrived
from gatekeeper.storage.records import InboxEvent
from gatekeeper.storage.sql.postgresql_quick import PostgresqlQuick
from gatekeeper.storage.sql.store import SqlStore
from gatekeeper.stripe.webhooks import WebhookEvent
from gatekeeper.testing.events import signed
from gatekeeper.types import utc_now
from tests.killed.shop import CATALOG, SECRET, SPENT, TOPICS

T = TypeVar("T")

PATIENCE_SECONDS: Final = 60
"""After that a process is ended by its alarm, which is no SIGKILL."""


class Job(msgspec.Struct):
    """What a process is told.

    Attributes:
        story: a file with the events, one a line.
        journal: a file that it writes what it has come to into, a line each.
        errors: a file for what it says otherwise.
        point: where it dies: "before NAME" or "after NAME"; "?" to tell the names; None to live.
        later_seconds: how far its clock is ahead, so that the leases of a dead one are over.
    """

    url: str
    api_base: str
    api_key: str
    story: str
    journal: str
    errors: str
    point: str | None = None
    later_seconds: float = 0.0


ARRIVAL: Final = "Store.arrive.insert"

Seen = Callable[[str], None]
"""Told the name of a transaction."""


def watch(before: Seen, after: Seen) -> None:
    """Have these called before and after each commit."""
    write, arrive = SqlStore.write, PostgresqlQuick.arrive

    async def watched(self: SqlStore, work: Callable[[Transaction], T]) -> T:
        name = name_of(work)

        def inside(tx: Transaction) -> T:
            result = work(tx)
            before(name)
            return result

        result = await write(self, inside)
        after(name)
        return result

    async def watched_arrival(
        self: PostgresqlQuick, events: Sequence[InboxEvent], now: datetime | None
    ) -> Arrived:
        before(ARRIVAL)
        arrived = await arrive(self, events, now)
        after(ARRIVAL)
        return arrived

    SqlStore.write = watched  # type: ignore[method-assign]
    PostgresqlQuick.arrive = watched_arrival  # type: ignore[method-assign]


def die_at(point: str) -> None:
    """Have the process killed at a point, as by `kill -9`."""
    when, name = point.split(" ", 1)

    def die(seen: str) -> None:
        if seen == name:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(*((die, ignore) if when == "before" else (ignore, die)))


def ignore(name: str) -> None:
    """Live on."""


def name_of(work: Any) -> str:
    """The name by which a point knows a transaction."""
    return str(getattr(work, "__qualname__", type(work).__qualname__)).replace(".<locals>", "")


class Process:
    """See the module."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._journal = Path(job.journal)
        ahead = timedelta(seconds=job.later_seconds)

        def clock() -> datetime:
            return utc_now() + ahead

        settings = Settings(
            database_url=job.url,
            stripe_secret_key=job.api_key,
            stripe_api_base=job.api_base,
            stripe_webhook_secret=SECRET,
        )
        self.gate = Gatekeeper(CATALOG, settings, clock=clock)
        self.gate.webhooks.on("checkout.session.completed", "invoice.paid")(self.thank)
        self.gate.on(*TOPICS)(self.hear)

    async def thank(self, event: WebhookEvent) -> None:
        """The host's handler: something that may happen twice, and something that may not."""
        self.note(f"handled {event.id}")
        customer = event.customer
        assert customer is not None

        def once(tx: Transaction) -> None:
            command = GrantCredits(grant_id=str(uuid7()), amount=1, kind=GrantKind.MANUAL)
            accounts.grant(tx, Rules(CATALOG), customer, "thanks", command)

        event.write(once)

    async def hear(self, signal: Signal) -> None:
        """The host's receiver."""
        self.note(f"heard {signal.topic} {signal.id}")

    def note(self, line: str) -> None:
        """Write a line that outlives the process."""
        with self._journal.open("a") as file:
            file.write(f"{line}\n")

    def unanswered(self) -> list[Any]:
        """The events that Stripe would send now: those that no process has acknowledged."""
        answered = self._journal.read_text() if self._journal.exists() else ""
        events = map(json.loads, Path(self._job.story).read_text().splitlines())
        return [event for event in events if f"answered {event['id']}\n" not in answered]

    async def run(self) -> None:
        """Receive what was not acknowledged before, carry out all that is due, tell what there is
        to tell, and spend, under a key, what was bought."""
        async with self.gate.connected() as gate:
            for event in self.unanswered():
                await gate.receiver.receive(*signed(event, SECRET))
                self.note(f"answered {event['id']}")
            await gate.receiver.drain()
            hold = await gate.reserve("org_1", "credits", SPENT, idempotency_key="spend")
            await gate.capture(hold.id, customer="org_1", idempotency_key="spent")
            await gate.outbox.drain()
            await gate._parts.teller.tell_due()
        self.note("done")


def be(job: Job) -> int:
    """Be the process; how it ends, if it does."""
    signal.alarm(PATIENCE_SECONDS)
    errors = os.open(job.errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    try:
        process = Process(job)
        if job.point == "?":
            watch(lambda name: process.note(f"write {name}"), ignore)
        elif job.point is not None:
            die_at(job.point)
        asyncio.run(process.run())
    except BaseException:  # noqa: BLE001 -- the file and the status tell of it
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Fork a process for each job, and tell how it ended: a signal is below zero."""
    for line in sys.stdin:
        job = msgspec.json.decode(line, type=Job)
        child = os.fork()
        if child == 0:
            os._exit(be(job))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
