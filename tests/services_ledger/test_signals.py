"""Thresholds that are crossed are told by the outbox, once, in the transaction that does it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from gatekeeper import Gatekeeper
from gatekeeper.errors import (
    CreditsRequiredError,
    LedgerInvariantError,
    StoreUnavailableError,
)
from gatekeeper.ledger import Signal
from gatekeeper.services.ledger.commands import NoticeCommand
from gatekeeper.services.ledger.room import Room
from gatekeeper.storage.port import Transaction
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, available
from tests.sdk.hosts import async_host
from tests.services_ledger.catalogs import rated_gate
from tests.services_ledger.watched import Loss, WatchedStore

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gate(store: WatchedStore) -> AsyncIterator[Gatekeeper]:
    """Credits are low at 2; everybody begins with 5."""
    async with rated_gate(store=store).connected() as opened:
        yield opened


async def told(gate: Gatekeeper) -> list[tuple[str, Signal]]:
    """What is in the outbox of accounts, by topic, the oldest first; it is sent by this."""

    def take(tx: Transaction) -> list[Any]:
        now = tx.now() + timedelta(days=999)
        found = []
        while batch := tx.outbox.claim(now, now + timedelta(hours=1), 100):
            for message in batch:
                tx.outbox.sent(message.id, now)
                found.append(message)
        of_accounts = [one for one in found if one.topic != "customer.created"]
        return sorted(of_accounts, key=lambda message: message.id)

    messages = await gate._parts.store.write(take)
    return [(one.topic, msgspec.json.decode(one.body, type=Signal)) for one in messages]


async def spend(gate: Gatekeeper, amount: int, **options: Any) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", amount, **options)
    await gate.capture(hold.id)


@pytest.mark.parametrize("key", [None, "key"], ids=["quick where it can be", "locking"])
async def test_each_threshold_is_told_once_for_each_crossing(
    gate: Gatekeeper, key: str | None
) -> None:
    def options(n: int) -> dict[str, Any]:
        return {} if key is None else {"idempotency_key": f"{key} {n}"}

    await spend(gate, 2, **options(1))
    assert await told(gate) == []
    await spend(gate, 1, **options(2))
    [(topic, signal)] = await told(gate)
    assert topic == signal.kind == "credits.low"
    assert (signal.customer, signal.unit) == (CUSTOMER, "credits")
    assert (signal.left, signal.threshold) == (2, 2)
    hold = await gate.reserve(CUSTOMER, "credits", 1, **options(3))
    await gate.release(hold.id)
    await spend(gate, 1, **options(4))
    assert await told(gate) == []
    await spend(gate, 1, **options(5))
    [(topic, signal)] = await told(gate)
    assert (topic, signal.left) == ("credits.exhausted", 0)
    await gate.grant(CUSTOMER, "credits", 3, reason="more")
    await spend(gate, 3, **options(6))
    assert [topic for topic, _ in await told(gate)] == ["credits.low", "credits.exhausted"]


async def test_a_cap_that_is_used_up_is_told_once_in_its_window(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    await gate.grant(CUSTOMER, "credits", 95, reason="test")
    await gate.set_cap(CUSTOMER, "credits", "day", 10)
    await gate.set_cap(CUSTOMER, "credits", "day", 4, scope="design")
    await gate.reserve(CUSTOMER, "credits", 3, scope="design")
    assert await told(gate) == []
    await spend(gate, 1, scope="design")
    [(topic, signal)] = await told(gate)
    assert (topic, signal.scope, signal.every, signal.threshold) == (
        "cap.reached",
        "design",
        "day",
        4,
    )
    await spend(gate, 6)
    [(_, signal)] = await told(gate)
    assert (signal.scope, signal.threshold) == ("", 10)
    with pytest.raises(CreditsRequiredError):
        await spend(gate, 1)
    assert await told(gate) == []
    clock.advance(days=1)
    await spend(gate, 10)
    assert [signal.scope for _, signal in await told(gate)] == [""]


async def test_a_grant_that_is_about_to_expire_is_told_of_once(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    expires_at = clock() + timedelta(days=10)
    grant = await gate.grant(CUSTOMER, "credits", 7, reason="test", expires_at=expires_at)
    other = await gate.grant("org_43", "credits", 8, reason="test", expires_at=expires_at)
    assert await gate.credits.send_notices() == 0
    clock.set(expires_at - timedelta(hours=72))
    assert await gate.credits.send_notices() == 2
    assert await gate.credits.send_notices() == 0
    signals = {topic: signal for topic, signal in await told(gate) if signal.customer == CUSTOMER}
    assert signals.keys() == {"grant.expiring"}
    signal = signals["grant.expiring"]
    assert (signal.grant_id, signal.expires_at, signal.left) == (grant.id, expires_at, 12)
    assert signal.grant_id != other.id


async def test_an_account_of_which_nothing_can_be_told_keeps_no_other_waiting(
    gate: Gatekeeper,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expires_at = clock() + timedelta(hours=1)
    for customer in ("org_1", "org_2"):
        await gate.grant(customer, "credits", 7, reason="test", expires_at=expires_at)
    decide = NoticeCommand.decide

    def damaged(command: NoticeCommand, room: Room) -> int:
        if command.key[0] == "org_1":
            raise LedgerInvariantError("it contradicts itself")
        return decide(command, room)

    monkeypatch.setattr(NoticeCommand, "decide", damaged)
    assert await gate.credits.send_notices() == 1
    assert "notices of org_1 in credits were not sent" in caplog.text
    assert [signal.customer for _, signal in await told(gate)] == ["org_2"]


async def test_without_a_database_no_notices_are_sent(
    gate: Gatekeeper, clock: ManualClock, store: WatchedStore
) -> None:
    expires_at = clock() + timedelta(hours=1)
    await gate.grant(CUSTOMER, "credits", 7, reason="test", expires_at=expires_at)
    store.writes.refusals = [StoreUnavailableError("away")]
    with pytest.raises(StoreUnavailableError):
        await gate.credits.send_notices()
    assert await gate.credits.send_notices() == 1


@pytest.mark.parametrize("loss", ["before", "after"])
async def test_what_was_sent_twice_is_told_once(
    gate: Gatekeeper, store: WatchedStore, loss: Loss
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 4)
    store.writes.losses = [loss]
    await gate.capture(hold.id)
    assert [topic for topic, _ in await told(gate)] == ["credits.low"]
    assert await available(gate) == 1


async def test_what_the_host_rolls_back_was_not_told(gate_url: str) -> None:
    async with (
        rated_gate(gate_url).connected() as gate,
        async_host(gate_url) as engine,
        AsyncSession(engine) as session,
    ):
        hold = await gate.reserve(CUSTOMER, "credits", 4)
        await gate.capture(hold.id, session=session)
        await session.rollback()
        assert await told(gate) == []
        await gate.capture(hold.id, session=session)
        await session.commit()
        assert [topic for topic, _ in await told(gate)] == ["credits.low"]
