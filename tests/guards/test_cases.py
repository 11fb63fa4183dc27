"""Hard cases of holds, on SQLite and PostgreSQL."""

import asyncio
import contextvars
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from gatekeeper import Catalog, Gatekeeper, Plan, Settings, Unit
from gatekeeper.errors import HoldEndedError, OverrunError
from gatekeeper.ledger import HoldStatus
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, Books, available, held, new_gate

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]


@pytest.fixture
async def gate(gate_url: str, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    async with new_gate(gate_url, clock=clock) as opened:
        yield opened


async def test_case_42_a_hold_is_captured_once(gate: Gatekeeper, gate_url: str) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 4)
    results = await asyncio.gather(
        *(gate.capture(hold.id, 3) for _ in range(8)), return_exceptions=True
    )
    ended = [result for result in results if isinstance(result, HoldEndedError)]
    assert len(ended) == 7
    assert {error.params["ended"] for error in ended} == {"captured"}
    assert await available(gate) == 2
    assert await Books(gate_url).spent() == 3


async def test_case_42_a_capture_after_the_expiry_is_a_clean_error(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 4, ttl=timedelta(minutes=1))
    clock.advance(minutes=2)
    for _ in range(2):
        with pytest.raises(HoldEndedError) as failed:
            await gate.capture(hold.id)
        assert failed.value.params["ended"] == "expired"
        with pytest.raises(HoldEndedError):
            await gate.release(hold.id)
        with pytest.raises(HoldEndedError):
            await gate.extend(hold.id)
        await gate.credits.expire_holds()
    assert (await available(gate), await held(gate)) == (5, 0)


CHILD = """
import asyncio, sys
from tests.gates import CUSTOMER, new_gate
from gatekeeper.testing.clock import ManualClock

async def main():
    async with new_gate(sys.argv[1], clock=ManualClock()) as gate:
        async with gate.reserve(CUSTOMER, "credits", 4) as hold:
            hold.record(2)
            print(hold.id, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_case_55_a_process_that_dies_between_reserve_and_capture_leaves_nothing_behind(
    gate: Gatekeeper, gate_url: str, clock: ManualClock
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, gate_url, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        hold_id = (await process.stdout.readline()).decode().strip()
        assert hold_id
        assert (await available(gate), await held(gate)) == (1, 4)
    finally:
        process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL

    clock.advance(minutes=4)
    assert await gate.credits.expire_holds() == 0
    clock.advance(minutes=1)
    assert await gate.credits.expire_holds() == 1
    assert (await available(gate), await held(gate)) == (5, 0)
    books = Books(gate_url)
    assert (await books.hold(hold_id)).status is HoldStatus.EXPIRED
    assert await books.spent() == 0


async def test_case_55_nobody_waits_for_the_sweep(gate: Gatekeeper, clock: ManualClock) -> None:
    await gate.reserve(CUSTOMER, "credits", 4)  # and its process dies
    clock.advance(minutes=6)
    async with gate.reserve(CUSTOMER, "credits", 5):
        pass
    assert await available(gate) == 0


async def test_case_56_use_beyond_the_hold_follows_the_declared_policy(
    gate: Gatekeeper, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OverrunError) as failed:
        async with gate.reserve(CUSTOMER, "credits", 2, overrun="refuse") as hold:
            hold.record(3)
    assert failed.value.params == {"hold": hold.id, "held": 2, "requested": 3}
    assert await held(gate) == 2  # the host decides: nothing was settled
    await hold.extend(add_quantity=1)
    await hold.settle(failed=False)
    assert await available(gate) == 2

    async with gate.reserve(CUSTOMER, "credits", 1) as hold:
        hold.record(2)
    assert "1 credits were used beyond the 1 held" in caplog.text
    assert (hold.hold.captured, hold.hold.overrun) == (1, 1)
    assert await available(gate) == 1


async def test_case_58_a_hold_settles_at_the_rate_of_its_time(
    gate: Gatekeeper, gate_url: str, clock: ManualClock
) -> None:
    await gate.grant(CUSTOMER, "credits", 100, reason="test")
    hold = await gate.reserve(CUSTOMER, "chat", 20_000)
    credits = Unit("credits")
    dearer = Catalog(
        plans=[Plan("free", default=True, grants=[credits.once(5)])],
        costs={"chat": credits.per(100)},
    )
    async with Gatekeeper(dearer, Settings.load(database_url=gate_url), clock=clock) as deployed:
        ended = await deployed.capture(hold.id, hold.hold.credits_for(1_500))
    assert ended.captured == 2
    assert await available(gate) == 103


async def test_case_60_credits_granted_beside_a_stale_cache_stay(
    gate_url: str, redis_url: str, clock: ManualClock
) -> None:
    """Balances are never decided from a cache, and entitlements follow the customer's version."""
    settings: dict[str, Any] = {"redis_url": redis_url}
    async with (
        new_gate(gate_url, clock=clock, **settings) as one,
        new_gate(gate_url, clock=clock, **settings) as other,
    ):
        stale = await one.entitlements(CUSTOMER)
        assert "downloads" not in stale.features
        await other.customers.override_feature(CUSTOMER, "downloads")
        await other.grant(CUSTOMER, "credits", 10, reason="paid")
        # A reader that was slow writes what it had read before.
        resolver = one._parts.resolver
        one._parts.resolver._cache._local.store(CUSTOMER, stale, 0.0, 1e12)  # type: ignore[attr-defined]  # the worst that can happen
        await resolver.invalidate(CUSTOMER, stale.version + 1)
        assert await one.allows(CUSTOMER, "downloads")
        assert await other.allows(CUSTOMER, "downloads")
        assert await available(one) == 15
        assert await available(other) == 15


async def test_case_64_a_host_transaction_blocks_its_own_customer_alone(
    migrated_postgres_url: str, clock: ManualClock
) -> None:
    """Neighbours go on while a host's transaction keeps an account locked, and nothing hangs."""
    async with new_gate(migrated_postgres_url, clock=clock) as gate:
        for customer in (CUSTOMER, "org_43"):
            await gate.grant(customer, "credits", 10, reason="test")
        engine = create_async_engine(migrated_postgres_url)
        try:
            async with AsyncSession(engine) as session:
                await gate.grant(CUSTOMER, "credits", 1, reason="host", session=session)
                elsewhere = contextvars.Context()  # not a task of this transaction's
                waiting = asyncio.create_task(_spend(gate, CUSTOMER), context=elsewhere)
                for _ in range(5):
                    await _spend(gate, "org_43")
                assert not waiting.done()
                await session.commit()
            await waiting
        finally:
            await engine.dispose()
        assert await available(gate) == 15
        assert await available(gate, customer="org_43") == 10


async def _spend(gate: Gatekeeper, customer: str) -> None:
    async with gate.reserve(customer, "credits", 1):
        pass
