"""Closing the gate: what was taken on ends, what is new is refused, and it can be opened again."""

import asyncio

import pytest

from gatekeeper.errors import ShuttingDownError
from gatekeeper.storage.sql.store import store_for
from tests.gates import CUSTOMER, available, held, new_gate
from tests.services_ledger.books import assert_no_breach
from tests.services_ledger.watched import WatchedStore

pytestmark = pytest.mark.anyio


async def test_closing_the_gate_ends_what_was_taken_on(gate_url: str) -> None:
    store = WatchedStore(store_for(gate_url))
    gate = new_gate(gate_url, store=store)
    async with gate.connected():
        await gate.grant(CUSTOMER, "exports", 100, reason="test")
        store.writes.turnstile.shut()
        running = [
            asyncio.create_task(gate.grant(CUSTOMER, "exports", 1, reason=f"grant {n}"))
            for n in range(30)
        ]
        await store.writes.turnstile.arrived.wait()
        late = [
            asyncio.create_task(gate.grant(CUSTOMER, "exports", 1, reason=f"late {n}"))
            for n in range(30)
        ]
        await asyncio.sleep(0)
        batcher = gate.credits._batcher
        closing = asyncio.create_task(batcher.__aexit__(None, None, None))
        await asyncio.sleep(0)
        with pytest.raises(ShuttingDownError):
            await gate.grant(CUSTOMER, "exports", 1, reason="too late")
        assert not closing.done()
        store.writes.turnstile.open()
        await closing
        granted = await asyncio.gather(*running, *late)
        assert len({grant.id for grant in granted}) == 60
    for n in range(1, 3):
        async with gate.connected():
            assert await available(gate, "exports") == 160
            await gate.reserve(CUSTOMER, "credits", 1)
            assert await held(gate) == n
    await assert_no_breach(gate_url)


async def test_a_gate_that_is_not_open_takes_nothing(gate_url: str) -> None:
    gate = new_gate(gate_url)
    async with gate.connected():
        pass
    with pytest.raises(ShuttingDownError):
        await gate.grant(CUSTOMER, "credits", 1, reason="test")
