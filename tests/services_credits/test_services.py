"""Services, where neither a request nor the SDK leads: replays, sweeps, upkeep, refusals."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import (
    DuplicateGrantError,
    InvalidAmountError,
    LedgerInvariantError,
    NotFoundError,
    StoreUnavailableError,
    UnavailableError,
)
from gatekeeper.ledger import GrantCredits, GrantKind, HoldStatus
from gatekeeper.services import accounts, sweeps, upkeep
from gatekeeper.services.reservation import capture_together
from gatekeeper.testing.clock import DEFAULT_START, ManualClock
from gatekeeper.types import UNLIMITED
from tests.gates import CUSTOMER, available, held, new_gate

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gate(gate_url: str, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    async with new_gate(gate_url, clock=clock) as opened:
        yield opened


def purchase(grant_id: str, amount: int = 100) -> GrantCredits:
    return GrantCredits(
        grant_id=grant_id, amount=amount, kind=GrantKind.TOP_UP, source_key="test/pi_1/pack"
    )


async def test_a_purchase_grants_once_by_its_business_key(gate: Gatekeeper) -> None:
    first = await gate.credits.grant(CUSTOMER, "credits", purchase("g1"))
    again = await gate.credits.grant(CUSTOMER, "credits", purchase("g2"))
    assert (first.id, again.id) == ("g1", "g1")
    with pytest.raises(DuplicateGrantError):
        await gate.credits.grant(CUSTOMER, "credits", purchase("g3", amount=200))
    with pytest.raises(DuplicateGrantError):
        await gate.credits.grant("org_43", "credits", purchase("g4"))
    assert await available(gate) == 105


async def test_two_at_once_grant_one_purchase_once(gate: Gatekeeper) -> None:
    results = await asyncio.gather(
        *(gate.credits.grant(CUSTOMER, "credits", purchase(f"g{n}")) for n in range(8))
    )
    assert len({grant.id for grant in results}) == 1
    assert await available(gate) == 105


async def test_a_sweep_ends_what_is_overdue_and_nothing_else(
    gate: Gatekeeper, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "SWEEP_BATCH", 2)
    for customer in ("org_1", "org_2", "org_3"):
        for _ in range(3):
            await gate.reserve(customer, "credits", 1)
    clock.advance(minutes=2)
    kept = await gate.reserve("org_1", "credits", 1)
    clock.advance(minutes=4)
    assert await gate.credits.expire_holds() == 9
    assert await gate.credits.expire_holds() == 0
    assert await held(gate, customer="org_1") == 1
    assert (await gate.capture(kept.id)).status is HoldStatus.CAPTURED


async def test_a_damaged_account_keeps_no_other_from_being_swept(
    gate: Gatekeeper,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for customer in ("org_1", "org_2"):
        await gate.reserve(customer, "credits", 1)
    clock.advance(minutes=6)
    expire_account = sweeps.expire_account

    def damaged(tx: Any, rules: Any, customer: str, unit: str) -> int:
        if customer == "org_1":
            raise LedgerInvariantError("it contradicts itself")
        return expire_account(tx, rules, customer, unit)

    monkeypatch.setattr(sweeps, "expire_account", damaged)
    assert await gate.credits.expire_holds() == 1
    assert "holds of org_1 in credits were not expired" in caplog.text
    assert await held(gate, customer="org_2") == 0


async def test_a_sweep_without_a_database_says_so(
    gate: Gatekeeper, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gate.reserve(CUSTOMER, "credits", 1)
    clock.advance(minutes=6)

    def away(*_: Any, **__: Any) -> int:
        raise StoreUnavailableError

    monkeypatch.setattr(sweeps, "expire_account", away)
    with pytest.raises(StoreUnavailableError):
        await gate.credits.expire_holds()


async def test_what_was_held_for_a_deleted_customer_can_be_settled(gate: Gatekeeper) -> None:
    one = await gate.reserve(CUSTOMER, "credits", 1)
    two = await gate.reserve(CUSTOMER, "credits", 1)
    await gate.customers.delete(CUSTOMER)
    assert (await gate.capture(one.id)).captured == 1
    assert (await gate.release(two.id)).status is HoldStatus.RELEASED
    third = gate.reserve(CUSTOMER, "credits", 1)
    with pytest.raises(NotFoundError):
        await third
    with pytest.raises(NotFoundError):
        await gate.extend(two.id, add_amount=1)


async def test_limits_are_overridden_by_number_or_without_bound(gate: Gatekeeper) -> None:
    await gate.customers.override_limit(CUSTOMER, "seats", 7, reason="pilot", actor="sales")
    assert (await gate.entitlements(CUSTOMER)).limit("seats") == 7
    await gate.customers.override_limit(CUSTOMER, "seats", UNLIMITED)
    assert (await gate.entitlements(CUSTOMER)).limit("seats") is UNLIMITED
    with pytest.raises(InvalidAmountError):
        await gate.customers.override_limit(CUSTOMER, "seats", -1)


async def test_capturing_together_skips_what_is_being_settled_already(gate: Gatekeeper) -> None:
    one = await gate.reserve(CUSTOMER, "credits", 1)
    two = await gate.reserve(CUSTOMER, "credits", 1)
    await one.capture()
    await capture_together(gate.credits, [one, two])
    await capture_together(gate.credits, [one, two])
    assert await available(gate) == 3
    await two.settle(failed=True)
    assert not two.seal()


async def test_a_hold_too_short_for_the_rounds_is_renewed_at_once(gate: Gatekeeper) -> None:
    async with gate.reserve(CUSTOMER, "credits", 1, ttl=timedelta(seconds=1)) as hold:
        await gate.tasks.drained()
        assert hold.hold.expires_at - hold.hold.created_at == timedelta(minutes=5)


async def test_the_keeper_renews_and_settles_in_rounds(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    keeper = gate.keeper
    keeper._every_seconds = 0
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    keeper.keep(hold)
    clock.advance(minutes=4)
    rounds = asyncio.create_task(keeper.run())
    while hold.hold.expires_at <= clock() + timedelta(minutes=4):
        await asyncio.sleep(0)
        assert not rounds.done()
    rounds.cancel()
    await asyncio.wait([rounds])
    await gate.tasks.drained()
    assert hold.hold.expires_at == clock() + timedelta(minutes=5)


async def test_a_settlement_that_a_bug_prevents_is_logged_and_not_repeated_for_ever(
    gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    errors: list[Exception] = [UnavailableError(), RuntimeError("a bug")]

    async def failing(*_: Any, **__: Any) -> Any:
        raise errors.pop(0)

    monkeypatch.setattr(gate.credits, "release", failing)
    await gate.keeper.settle_soon([(hold, True)])
    assert list(gate.keeper._late) == [hold]
    await gate.keeper.settle_late()
    assert "can't be settled" in caplog.text
    assert not gate.keeper._late


async def test_a_gate_whose_closing_is_cut_off_is_closed_all_the_same(
    gate_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = new_gate(gate_url)
    waits = asyncio.Event()

    async def for_ever() -> None:
        waits.set()
        await asyncio.Event().wait()

    async def serve() -> None:
        async with gate:
            patched.setattr(gate.receiver.waking, "settled", for_ever)

    with monkeypatch.context() as patched:
        serving = asyncio.create_task(serve())
        await waits.wait()
        serving.cancel()
        await asyncio.wait([serving])
    assert serving.cancelled()
    assert not gate.tasks._loops
    async with gate:  # it would be open already
        assert gate.is_open


# -- upkeep ---------------------------------------------------------------------------------------


async def test_upkeep_expires_prunes_and_goes_on_after_an_outage(
    gate: Gatekeeper,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(upkeep, "SWEEP_SECONDS", 0)
    care = gate._parts.upkeep
    await gate.reserve(CUSTOMER, "credits", 1, idempotency_key="old")
    clock.advance(days=40)
    outages = [StoreUnavailableError()]
    expire_holds = gate.credits.expire_holds
    rounds = 0

    async def counted() -> int:
        nonlocal rounds
        rounds += 1
        if outages:
            raise outages.pop()
        return await expire_holds()

    monkeypatch.setattr(gate.credits, "expire_holds", counted)
    running = asyncio.create_task(care.run())
    while rounds < 4:
        await asyncio.sleep(0)
        assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    assert "it goes on" in caplog.text
    assert await held(gate) == 0

    def receipt(tx: Any) -> Any:
        return tx.ledger.receipt(CUSTOMER, "old")

    await care.prune()
    assert await gate._parts.store.read(receipt) is None


async def test_a_request_key_is_remembered_for_thirty_days(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    first = await gate.reserve(CUSTOMER, "credits", 1, idempotency_key="key")
    await first.capture()
    clock.advance(days=30)
    await gate._parts.upkeep.prune()
    assert (await gate.reserve(CUSTOMER, "credits", 1, idempotency_key="key")).id == first.id


async def test_accounts_can_be_used_in_one_transaction_with_other_things(gate: Gatekeeper) -> None:
    """As the purchases do: plain functions over a transaction, all of it or nothing."""
    rules = gate.credits._rules

    def work(tx: Any) -> None:
        accounts.grant(tx, rules, CUSTOMER, "credits", purchase("g1"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await gate._parts.store.write(work)
    assert await available(gate) == 5


# -- the manual clock -----------------------------------------------------------------------------


def test_a_manual_clock_is_moved_and_never_runs_backwards_by_itself() -> None:
    clock = ManualClock()
    assert clock() == clock() == DEFAULT_START
    assert clock.advance(days=1, hours=1) == DEFAULT_START + timedelta(hours=25)
    assert clock.advance(timedelta(minutes=1), seconds=30) == clock()
    with pytest.raises(ValueError, match="moved back"):
        clock.advance(seconds=-1)
    zurich = timezone(timedelta(hours=1))
    assert clock.set(datetime(2027, 1, 1, 1, tzinfo=zurich)) == datetime(2027, 1, 1, tzinfo=UTC)
    assert clock().tzinfo is UTC
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2027, 1, 1))
