"""Intake, dispatch, the ledger and migrations behind PgBouncer in transaction mode.

Two connections to the server serve everybody: each transaction runs on whichever is free, so that
whatever one client left on a connection would be met by the next."""

import asyncio
import contextlib
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import CreditsRequiredError
from gatekeeper.storage.migrations import current, head, upgrade
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe.webhooks import WebhookEvent, WebhookReceiver, WebhookRegistry
from gatekeeper.testing.conformance.storage import (
    InboxConformance,
    LedgerConformance,
    StoreConformance,
    TransactionConformance,
)
from gatekeeper.testing.events import DEFAULT_SECRET, make_event, signed
from tests.gates import CUSTOMER, new_gate
from tests.services.pgbouncer import SERVER_CONNECTIONS, PrivatePgbouncer
from tests.services.postgres import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]


class TestStoreBehindPgbouncer(
    InboxConformance,
    LedgerConformance,
    TransactionConformance,
):
    """What intake, dispatch and the ledger ask of a store; the long tests ask for all of it."""

    @pytest.fixture
    def store(self, pooled_store: Store) -> Store:
        return pooled_store


@pytest.mark.long
class TestWholeStoreBehindPgbouncer(StoreConformance):
    @pytest.fixture
    def store(self, pooled_store: Store) -> Store:
        return pooled_store


def charge(number: int) -> dict[str, Any]:
    about = {"id": f"ch_{number % 20}", "object": "charge"}
    return make_event("charge.succeeded", about, id=f"evt_{number}")


async def test_a_burst_is_stored_and_dispatched_once_by_several_processes(pooled_url: str) -> None:
    handled: Counter[str] = Counter()
    at_work: Counter[str] = Counter()
    registry = WebhookRegistry()

    @registry.on("charge.succeeded")
    async def handler(event: WebhookEvent) -> None:
        assert event.object_id is not None
        at_work[event.object_id] += 1
        await asyncio.sleep(0)
        assert at_work[event.object_id] == 1  # nobody else has this object
        at_work[event.object_id] -= 1
        event.write(lambda tx: handled.update([event.id]))

    async with contextlib.AsyncExitStack() as stack:
        receivers = []
        for _ in range(3):
            store = await stack.enter_async_context(store_for(pooled_url))
            receivers.append(WebhookReceiver(registry, store, [DEFAULT_SECRET]))
        deliveries = [signed(charge(number)) for number in range(120)] * 2
        answers = await asyncio.gather(
            *(receivers[n % 3].receive(*one) for n, one in enumerate(deliveries))
        )
        assert (answers.count(True), answers.count(False)) == (120, 120)
        while sum(await asyncio.gather(*(receiver.drain() for receiver in receivers))):
            pass
        counts = await store.read(lambda tx: tx.inbox.counts())
    assert counts == {EventStatus.DONE: 120}
    assert handled == {f"evt_{number}": 1 for number in range(120)}


async def test_the_ledger_settles_what_many_ask_at_once(pooled_url: str) -> None:
    """5 credits for 30 claimants, in two processes."""
    async with contextlib.AsyncExitStack() as stack:
        gates: list[Gatekeeper] = [
            await stack.enter_async_context(new_gate(pooled_url).connected()) for _ in range(2)
        ]

        async def spend(number: int) -> bool:
            try:
                async with gates[number % 2].reserve(CUSTOMER, "credits", 1):
                    await asyncio.sleep(0)
            except CreditsRequiredError:
                return False
            return True

        won = await asyncio.gather(*(spend(number) for number in range(30)))
        assert won.count(True) == 5
        balance = await gates[0].balance(CUSTOMER, "credits")
        assert (balance.available, balance.held) == (0, 0)


async def test_migrations_run_and_wait_for_each_other(
    pgbouncer: PrivatePgbouncer, postgres_url: str
) -> None:
    url = pgbouncer.url_of(postgres_url)
    done = await asyncio.gather(*(asyncio.to_thread(upgrade, url) for _ in range(2)))
    assert sorted(one.before or "" for one in done) == ["", head()]
    assert await asyncio.to_thread(current, url) == head()


async def test_nothing_is_left_on_a_connection(
    pooled_url: str, postgres_server: PostgresServer
) -> None:
    """No setting, no statement and no lock: asked of the very connections that were used."""
    registry = WebhookRegistry()
    async with new_gate(pooled_url).connected() as gate:
        receiver = WebhookReceiver(registry, gate._parts.store, [DEFAULT_SECRET])
        await asyncio.gather(*(receiver.receive(*signed(charge(n))) for n in range(20)))
        await receiver.drain()
        async with gate.reserve(CUSTOMER, "credits", 2):
            await gate.balance(CUSTOMER, "credits")
        seen: dict[int, tuple[object, ...]] = {}
        address = urlsplit(pooled_url)
        plain = f"postgresql://{address.netloc}{address.path}"
        clients = [
            await asyncpg.connect(plain, statement_cache_size=0) for _ in range(SERVER_CONNECTIONS)
        ]
        try:
            # Each in a transaction, so that each has a connection of the server to itself.
            for client in clients:
                await client.execute("BEGIN")
            for client in clients:
                row = await client.fetchrow(
                    "SELECT pg_backend_pid(), current_setting('lock_timeout'), "
                    "current_setting('plan_cache_mode'), current_setting('search_path'), "
                    "(SELECT count(*) FROM pg_prepared_statements WHERE name <> ''), "
                    "(SELECT count(*) FROM pg_locks"
                    "  WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
                )
                assert row is not None
                seen[row[0]] = tuple(row)[1:]
        finally:
            for client in clients:
                await client.close()
    assert len(seen) == SERVER_CONNECTIONS
    assert set(seen.values()) == {("0", "auto", '"$user", public', 0, 0)}
