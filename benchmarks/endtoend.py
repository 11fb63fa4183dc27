"""Events from the route to the projected state, beside dj-stripe, from the same Stripe.

Customers subscribe at the simulator, which runs in a process of its own, and change their
subscription; the three events of each are delivered by 32 clients, in the order of Stripe. The time
is taken until the last of them has had its whole effect. Both sides check the signature, store the
event, fetch the subscription and write it; both have the customers and the price before the clock
starts; and both are one process on the same PostgreSQL.

They differ in this. dj-stripe answers when all is done, in the thread of the request, and saves
Stripe's objects: the subscription with its items, and what else it fetches with it. We answer after
the commit of the event and do the rest behind it; events of a subscription that wait together
are served by one fetch; what is written is what the subscription entitles to, its invoice, its
history and messages. `stripe_max_per_second` is raised from its default (20, for a real account's
sake) to what the simulator bears; dj-stripe has no such limit.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from benchmarks import _program
from benchmarks._databases import PostgresDatabase
from benchmarks._gates import opened
from benchmarks._pace import pace
from benchmarks._peers import clean, environment
from benchmarks._program import Program
from benchmarks._samples import Sample, found_in, sample_of
from benchmarks._servers import disk_words, durable_postgres
from benchmarks._simulated import LOOKUP_KEY, MODULE
from benchmarks._verdicts import verdict
from benchmarks._webhooks import SECRET, app_of, deliver, post, signed
from benchmarks.table import Row, Table
from gatekeeper import Catalog, Gatekeeper, Plan, Price, Settings, Unit
from gatekeeper.services import customers
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe.client import API_VERSION

CLIENTS: Final = 32
SUBSCRIPTIONS: Final = 150
QUICK_SUBSCRIPTIONS: Final = 20
ROUNDS: Final = 3
AIM: Final = 1.0

_PER_SECOND: Final = 10_000
_AT_ONCE: Final = 100
_PATIENCE_SECONDS: Final = 300
_LOOK_SECONDS: Final = 0.02

OUR_TITLE: Final = "Gatekeeper, until projected"
OUR_ANSWER: Final = "Gatekeeper, until answered"
THEIR_TITLE: Final = "dj-stripe 2.10.3, until answered and saved"

_credits = Unit("credits")
CATALOG: Final = Catalog(
    plans=[
        Plan("free", default=True),
        Plan(
            "pro",
            prices=[Price(LOOKUP_KEY, amount_minor=999, currency="eur", every="month")],
            grants=[_credits.every("month", 1_000)],
        ),
    ]
)


class NotProjectedError(AssertionError):
    """Somebody does not have what they bought."""


def tables() -> Iterator[Table]:
    """Measure."""
    quick = pace().quick
    rounds = 1 if quick else int(os.environ.get("BENCH_RUNS") or ROUNDS)
    subscriptions = QUICK_SUBSCRIPTIONS if quick else SUBSCRIPTIONS
    with ExitStack() as stack:
        server = stack.enter_context(durable_postgres())
        runner = stack.enter_context(asyncio.Runner())
        simulator = [sys.executable, "-m", MODULE]
        stripe = stack.enter_context(_program.started("the simulator", simulator))
        where = json.loads(stripe.answer())
        ours = PostgresDatabase(server.server)
        store = store_for(ours.url)
        gate = stack.enter_context(opened(_gate(store, ours.url, where), runner))
        peer = stack.enter_context(_djstripe(server.server.create_database(), where))
        samples: dict[str, list[Sample]] = {OUR_TITLE: [], OUR_ANSWER: [], THEIR_TITLE: []}
        for _ in range(rounds):
            happened = _happened(stripe, subscriptions)
            whole, answers = runner.run(_ours(gate, store, ours, happened))
            samples[OUR_TITLE].append(whole)
            samples[OUR_ANSWER].append(answers)
            samples[THEIR_TITLE].append(_theirs(peer, happened))
        yield _table(samples, rounds, subscriptions)


def _table(samples: dict[str, list[Sample]], rounds: int, subscriptions: int) -> Table:
    rows = []
    for title, found in samples.items():
        cells = found_in(found).cells("events/s")
        if title == OUR_TITLE:
            ratios = _ratios(found, samples[THEIR_TITLE])
            cells["beside dj-stripe"] = verdict(statistics.median(ratios), AIM, at_least=True)
            cells["of the rounds"] = f"{min(ratios):.2f}-{max(ratios):.2f}"
        rows.append(Row(title, cells))
    words = "one round: a look, not a result" if rounds == 1 else f"medians of {rounds} rounds"
    return Table(
        f"End to end, {CLIENTS} clients, the events of {subscriptions} subscriptions "
        f"({words}; {disk_words()})",
        rows,
    )


def _ratios(ours: Sequence[Sample], theirs: Sequence[Sample]) -> list[float]:
    return [one.per_second / other.per_second for one, other in zip(ours, theirs, strict=True)]


def _happened(stripe: Program, subscriptions: int) -> dict[str, Any]:
    """Have so many customers subscribe; who they are, and the file of the events."""
    stripe.ask(count=subscriptions)
    found: dict[str, Any] = json.loads(stripe.answer())
    return {**found, "events": json.loads(Path(found["file"]).read_text())}


def _gate(store: Store, url: str, where: dict[str, str]) -> Gatekeeper:
    return Gatekeeper(
        CATALOG,
        Settings.load(
            database_url=url,
            stripe_secret_key=where["key"],
            stripe_api_base=where["url"],
            stripe_webhook_secret=SECRET,
            stripe_max_per_second=_PER_SECOND,
            stripe_max_at_once=_AT_ONCE,
        ),
        store=store,
    )


async def _ours(
    gate: Gatekeeper, store: Store, database: PostgresDatabase, happened: dict[str, Any]
) -> tuple[Sample, Sample]:
    """Until all is projected, and until all is answered."""
    names = happened["customers"]
    for name in names:
        await _know(store, name)
    events = happened["events"]
    requests = [signed(msgspec.json.format(msgspec.json.encode(one), indent=2)) for one in events]
    app, since = app_of(gate), await store.read(lambda tx: tx.now())
    begun = time.perf_counter()
    answers = await deliver(requests, CLIENTS, lambda one: post(app, one))
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while await _pending(store):  # noqa: ASYNC110 - what counts knows nothing of who waits
            await asyncio.sleep(_LOOK_SECONDS)
    seconds = time.perf_counter() - begun
    for name in names:
        if not (await gate.entitlements(name)).has_plan("pro"):
            raise NotProjectedError(name)
    waits = database.query(
        "SELECT extract(epoch FROM c.completed_at - i.received_at) "
        "FROM gatekeeper_inbox AS i JOIN gatekeeper_inbox_completions AS c ON c.event_key = i.key "
        f"WHERE i.received_at >= '{since.isoformat()}' AND i.status = 'done'"
    )
    if len(waits) != len(events):
        raise NotProjectedError(f"{len(waits)} events are projected and not {len(events)}")
    return sample_of([float(one) for (one,) in waits], seconds, done=len(events)), answers


async def _know(store: Store, name: str) -> None:
    """Make a customer of the host's, whom Stripe knows by the same name."""

    def work(tx: Transaction) -> None:
        tx.customers.save(replace(customers.ensure(tx, name), stripe_id=name))

    await store.write(work)


async def _pending(store: Store) -> int:
    counts = await store.read(lambda tx: tx.inbox.counts())
    return counts.get(EventStatus.PENDING, 0)


def _theirs(peer: Program, happened: dict[str, Any]) -> Sample:
    peer.ask(clients=CLIENTS, customers=happened["customers"], file=happened["file"])
    return Sample.from_json(peer.answer())


@contextmanager
def _djstripe(url: str, where: dict[str, str]) -> Iterator[Program]:
    variables = clean(os.environ) | {
        "DATABASE_URL": url,
        "STRIPE_URL": where["url"],
        "STRIPE_KEY": where["key"],
        "STRIPE_VERSION": API_VERSION,
        "WEBHOOK_SECRET": SECRET,
    }
    command = [str(environment()), "-m", "benchmarks.peers.djstripe_load"]
    with _program.started(THEIR_TITLE, command, variables) as program:
        program.answer()  # it is ready
        yield program
