"""The SDK without a web framework, on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from msgspec.structs import replace

from gatekeeper import Gatekeeper, Reservation
from gatekeeper.errors import (
    ConfigurationError,
    ConflictError,
    CreditsRequiredError,
    CustomerNotFoundError,
    HoldEndedError,
    HoldNotFoundError,
    IdempotencyConflictError,
    InvalidAmountError,
    InvalidIdError,
    InvalidInputError,
    NoGateError,
    StoreUnavailableError,
)
from gatekeeper.ledger import HoldStatus
from gatekeeper.testing.clock import ManualClock
from gatekeeper.types import MAX_AMOUNT
from tests.gates import CUSTOMER, Books, available, held, new_gate

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gate(gate_url: str, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    async with new_gate(gate_url, clock=clock) as opened:
        yield opened


# -- blocks and holds -----------------------------------------------------------------------------


async def test_a_block_captures_what_was_recorded_or_all(gate: Gatekeeper) -> None:
    async with gate.reserve(CUSTOMER, "credits", 2):
        assert await held(gate) == 2
    assert await available(gate) == 3
    async with gate.reserve(CUSTOMER, "credits", 3) as hold:
        hold.record()
        hold.record(0)
    assert (hold.recorded, hold.is_open) == (1, False)
    assert await available(gate) == 2


async def test_a_block_that_fails_captures_what_was_recorded_and_frees_the_rest(
    gate: Gatekeeper, gate_url: str
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with gate.reserve(CUSTOMER, "credits", 2):
            raise ZeroDivisionError
    assert (await available(gate), await held(gate)) == (5, 0)

    async def record_then_fail() -> None:
        async with gate.reserve(CUSTOMER, "chat", 4_000) as hold:
            hold.record(1_001)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await record_then_fail()
    assert (await available(gate), await held(gate)) == (3, 0)
    assert await Books(gate_url).spent() == 2


async def test_an_awaited_hold_is_settled_by_whoever_has_its_id(gate: Gatekeeper) -> None:
    first = await gate.reserve(CUSTOMER, "credits", 2)
    second = await gate.reserve(CUSTOMER, "credits", 2)
    assert isinstance(first, Reservation)
    assert (first.amount, await held(gate)) == (2, 4)
    ended = await gate.capture(first.id, 1, customer=CUSTOMER)
    assert (ended.status, ended.captured) == (HoldStatus.CAPTURED, 1)
    assert (await gate.release(second.id)).status is HoldStatus.RELEASED
    assert (await available(gate), await held(gate)) == (4, 0)
    with pytest.raises(HoldEndedError):
        await first.capture()
    with pytest.raises(HoldNotFoundError):
        await gate.capture("no-such-hold")


async def test_a_hold_can_be_captured_or_released_by_hand_in_its_block(gate: Gatekeeper) -> None:
    async with gate.reserve(CUSTOMER, "credits", 2) as hold:
        await hold.capture(1)
        with pytest.raises(HoldEndedError, match="captured"):
            hold.record(1)
    async with gate.reserve(CUSTOMER, "credits", 2) as hold:
        await hold.release()
    assert await available(gate) == 4


async def test_a_hold_is_extended_in_time_and_amount(gate: Gatekeeper, clock: ManualClock) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2, ttl=timedelta(minutes=1))
    clock.advance(seconds=50)
    await hold.extend(add_quantity=1)
    assert hold.amount == 3
    clock.advance(minutes=4)
    await gate.extend(hold.id, timedelta(minutes=9), customer=CUSTOMER, add_amount=1)
    clock.advance(minutes=8)
    with pytest.raises(CreditsRequiredError):
        await gate.extend(hold.id, add_amount=2)
    assert (await gate.capture(hold.id)).captured == 4


async def test_an_idempotency_key_finds_the_same_hold_and_grant_again(gate: Gatekeeper) -> None:
    first = await gate.reserve(CUSTOMER, "credits", 2, idempotency_key="job-1")
    again = await gate.reserve(CUSTOMER, "credits", 2, idempotency_key="job-1")
    assert first.id == again.id
    assert await held(gate) == 2
    with pytest.raises(IdempotencyConflictError):
        await gate.reserve(CUSTOMER, "credits", 3, idempotency_key="job-1")
    one = await gate.grant(CUSTOMER, "credits", 7, reason="sorry", idempotency_key="ticket-1")
    two = await gate.grant(CUSTOMER, "credits", 7, reason="sorry", idempotency_key="ticket-1")
    assert one == two
    with pytest.raises(IdempotencyConflictError):
        await gate.grant(CUSTOMER, "credits", 8, reason="sorry", idempotency_key="ticket-1")
    assert await available(gate) == 10


async def test_partial_takes_what_is_there_but_never_nothing(gate: Gatekeeper) -> None:
    async with gate.reserve(CUSTOMER, "credits", 50, partial=True) as hold:
        assert hold.amount == 5
    with pytest.raises(CreditsRequiredError):
        await gate.reserve(CUSTOMER, "credits", 1, partial=True)


async def test_a_grant_expires_when_it_says(gate: Gatekeeper, clock: ManualClock) -> None:
    until = clock() + timedelta(days=1)
    await gate.grant(CUSTOMER, "exports", 3, reason="trial", expires_at=until, actor="support")
    assert await available(gate, "exports") == 3
    clock.advance(days=1)
    assert await available(gate, "exports") == 0


async def test_balances_list_every_unit(gate: Gatekeeper) -> None:
    assert [(b.unit, b.available) for b in await gate.balances("org_new")] == [
        ("credits", 5),
        ("exports", 0),
    ]


async def test_explain_tells_where_entitlements_come_from(gate: Gatekeeper) -> None:
    await gate.customers.override_plan(CUSTOMER, "pro", reason="friend", actor="sales")
    explanation = await gate.explain(CUSTOMER)
    assert "pro" in str(explanation)


# -- bad input ------------------------------------------------------------------------------------

BAD_IDS = ["", "a" * 256, "a\x00b", "a\r\nb", "a\u2028b", "\ud800", " a", 7, None]
BAD_AMOUNTS = [0, -1, MAX_AMOUNT + 1, 10**400, 1.5, "3", True, None]


@pytest.mark.parametrize("bad", BAD_IDS)
async def test_ids_that_can_t_be_are_named_errors(gate: Gatekeeper, bad: Any) -> None:
    calls = [
        gate.entitlements(bad),
        gate.allows(bad, "downloads"),
        gate.explain(bad),
        gate.balance(bad, "credits"),
        gate.balances(bad),
        gate.grant(bad, "credits", 1, reason="test"),
        gate.capture(bad),
        gate.release(bad),
        gate.extend(bad),
        gate.customers.ensure(bad),
        gate.customers.update(bad, name="x"),
        gate.customers.delete(bad),
        gate.customers.override_plan(bad, "pro"),
        gate.customers.remove_override(bad, "plan", "pro"),
        _awaited(gate.reserve(bad, "credits", 1)),
        _awaited(gate.reserve(CUSTOMER, "credits", 1, hold_id=bad)),
    ]
    if bad is not None:
        calls += [
            _awaited(gate.reserve(CUSTOMER, "credits", 1, idempotency_key=bad)),
            _awaited(gate.reserve(CUSTOMER, "credits", 1, actor=bad)),
            _awaited(gate.reserve(CUSTOMER, "credits", 1, reference=bad)),
            gate.grant(CUSTOMER, "credits", 1, reason="test", idempotency_key=bad),
            gate.grant(CUSTOMER, "credits", 1, reason="test", actor=bad),
            gate.customers.override_plan(CUSTOMER, "pro", actor=bad),
        ]
    for call in calls:
        with pytest.raises(InvalidIdError):
            await call
    assert (await available(gate), await held(gate)) == (5, 0)


@pytest.mark.parametrize("bad", BAD_AMOUNTS)
async def test_amounts_that_can_t_be_are_named_errors(gate: Gatekeeper, bad: Any) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    calls: list[Any] = [
        _awaited(gate.reserve(CUSTOMER, "credits", bad)),
        _awaited(gate.reserve(CUSTOMER, "chat", bad)),
        gate.grant(CUSTOMER, "credits", bad, reason="test"),
    ]
    if bad is not None and bad != 0:
        calls += [gate.capture(hold.id, bad), gate.extend(hold.id, add_amount=bad)]
    for call in calls:
        with pytest.raises((InvalidAmountError, ConflictError)):
            await call
    if bad != 0:
        with pytest.raises(InvalidAmountError):
            hold.record(bad)
    await hold.release()
    assert (await available(gate), await held(gate)) == (5, 0)


@pytest.mark.parametrize(
    "ttl", [timedelta(0), timedelta(seconds=-1), timedelta.max, timedelta(days=400)]
)
async def test_times_to_live_that_can_t_be_are_named_errors(
    gate: Gatekeeper, ttl: timedelta
) -> None:
    with pytest.raises(InvalidAmountError):
        await gate.reserve(CUSTOMER, "credits", 1, ttl=ttl)
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    with pytest.raises(InvalidAmountError):
        await gate.extend(hold.id, ttl)


async def test_texts_that_can_t_be_stored_are_named_errors(gate: Gatekeeper) -> None:
    for text in ("a\x00b", "\ud800", "x" * 513):
        for call in (
            gate.customers.ensure(CUSTOMER, name=text),
            gate.customers.ensure(CUSTOMER, email=text),
            gate.grant(CUSTOMER, "credits", 1, reason=text),
            gate.customers.override_plan(CUSTOMER, "pro", reason=text),
        ):
            with pytest.raises(InvalidInputError):
                await call
    naive = datetime(2027, 1, 1)
    with pytest.raises(InvalidInputError, match="aware"):
        await gate.grant(CUSTOMER, "credits", 1, reason="test", expires_at=naive)
    with pytest.raises(InvalidInputError, match="aware"):
        await gate.customers.override_plan(CUSTOMER, "pro", expires_at=naive)
    for priority in (10**9, "1"):
        with pytest.raises(InvalidAmountError):
            await gate.grant(CUSTOMER, "credits", 1, reason="test", priority=cast("int", priority))


async def test_any_unicode_is_stored_as_it_is(gate: Gatekeeper) -> None:
    customer = "客户-é\u0301-🎛\ufe0f"
    known = await gate.customers.ensure(customer, name="Ümläut\nand a line", email="a@b.example")
    assert (known.id, known.name) == (customer, "Ümläut\nand a line")
    async with gate.reserve(customer, "credits", 2, actor="актёр"):
        pass
    assert await available(gate, customer=customer) == 3


# -- customers ------------------------------------------------------------------------------------


async def test_customers_are_ensured_updated_and_deleted(gate: Gatekeeper) -> None:
    made = await gate.customers.ensure(CUSTOMER, email="a@b.example")
    assert await gate.customers.ensure(CUSTOMER) == made
    changed = await gate.customers.update(CUSTOMER, name="Ada")
    assert (changed.email, changed.name) == ("a@b.example", "Ada")
    with pytest.raises(CustomerNotFoundError):
        await gate.customers.update("org_none", name="x")
    with pytest.raises(CustomerNotFoundError):
        await gate.customers.delete("org_none")
    await gate.customers.override_plan(CUSTOMER, "pro")
    assert await gate.allows(CUSTOMER, "downloads")
    await gate.customers.delete(CUSTOMER)
    await gate.customers.delete(CUSTOMER)
    for call in (
        gate.customers.ensure(CUSTOMER),
        gate.customers.update(CUSTOMER, name="x"),
        gate.entitlements(CUSTOMER),
        gate.balance(CUSTOMER, "credits"),
        _awaited(gate.reserve(CUSTOMER, "credits", 1)),
    ):
        with pytest.raises(CustomerNotFoundError):
            await call


async def test_overrides_take_effect_at_once_and_end(gate: Gatekeeper, clock: ManualClock) -> None:
    assert not await gate.allows(CUSTOMER, "downloads")
    soon = clock() + timedelta(minutes=1)
    await gate.customers.override_feature(CUSTOMER, "downloads", expires_at=soon)
    assert await gate.allows(CUSTOMER, "downloads")
    clock.advance(minutes=1)
    assert not await gate.allows(CUSTOMER, "downloads")
    await gate.customers.override_plan(CUSTOMER, "team")
    assert await gate.allows(CUSTOMER, "support")
    await gate.customers.override_feature(CUSTOMER, "support", on=False)
    assert not await gate.allows(CUSTOMER, "support")
    assert await gate.customers.remove_override(CUSTOMER, "feature", "support")
    assert not await gate.customers.remove_override(CUSTOMER, "feature", "support")
    assert await gate.allows(CUSTOMER, "support")


async def test_a_customers_stripe_id_survives_an_update_beside_it(gate: Gatekeeper) -> None:
    """Reading, then writing what was read, would take back what somebody has written since."""
    store = gate._parts.store
    await gate.customers.ensure(CUSTOMER)

    def note(tx: Any, name: str) -> None:
        row = tx.customers.get(CUSTOMER, lock=True)
        tx.customers.save(replace(row, stripe_id=name))

    await asyncio.gather(
        *(gate.customers.update(CUSTOMER, name=f"name {n}") for n in range(10)),
        store.write(lambda tx: note(tx, "cus_1")),
        *(gate.customers.update(CUSTOMER, email=f"{n}@b.example") for n in range(10)),
    )
    known = await gate.customers.ensure(CUSTOMER)
    assert known.stripe_id == "cus_1"
    assert known.name is not None
    assert known.email is not None


# -- the life of a gate ---------------------------------------------------------------------------


async def test_work_once_expires_holds_and_drains_events(gate_url: str, clock: ManualClock) -> None:
    gate = new_gate(gate_url, clock=clock)
    async with gate.connected():
        await gate.reserve(CUSTOMER, "credits", 2)
        async with gate.reserve(CUSTOMER, "credits", 1):
            pass
    assert (await gate.work_once()).holds == 0
    clock.advance(minutes=6)
    done = await gate.work_once()
    assert (done.events, done.holds) == (0, 1)
    assert not gate.is_open
    with pytest.raises((NoGateError, StoreUnavailableError)):
        await gate.balance(CUSTOMER, "credits")


async def test_what_needs_stripe_says_so_without_a_key(gate: Gatekeeper) -> None:
    urls: dict[str, Any] = {"success_url": "https://a.example/", "cancel_url": "https://a.example/"}
    for call in (
        gate.checkout(CUSTOMER, "pro_monthly", **urls),
        gate.checkout_status("pur_1", CUSTOMER),
        gate.portal(CUSTOMER, return_url="https://a.example/"),
    ):
        with pytest.raises(ConfigurationError, match="STRIPE_SECRET_KEY"):
            await call
    with pytest.raises(ConfigurationError, match="STRIPE_SECRET_KEY"):
        _ = gate.stripe


def test_a_gate_without_a_database_says_so() -> None:
    with pytest.raises(ConfigurationError, match="GATEKEEPER_DATABASE_URL"):
        new_gate(None)  # type: ignore[arg-type]  # what is tested


async def test_a_cancelled_block_is_settled(gate: Gatekeeper) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with gate.reserve(CUSTOMER, "credits", 3) as hold:
            hold.record(1)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await gate.tasks.drained()
    assert (await available(gate), await held(gate)) == (4, 0)


async def test_a_block_that_can_t_be_settled_says_so_unless_it_failed_by_itself(
    gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError

    monkeypatch.setattr(gate.credits, "capture", away)
    monkeypatch.setattr(gate.credits, "release", away)
    with pytest.raises(StoreUnavailableError):
        async with gate.reserve(CUSTOMER, "credits", 1):
            pass
    with pytest.raises(ZeroDivisionError):
        async with gate.reserve(CUSTOMER, "credits", 1):
            raise ZeroDivisionError
    assert "was not settled after its block failed" in caplog.text
    monkeypatch.undo()
    await gate.keeper.settle_late()
    assert (await available(gate), await held(gate)) == (4, 0)


async def test_holds_of_blocks_are_renewed_and_forgotten(
    gate: Gatekeeper, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with gate.reserve(CUSTOMER, "credits", 1) as hold:
        for _ in range(3):
            clock.advance(minutes=4)
            await gate.keeper.renew()
        assert hold.hold.expires_at == clock() + timedelta(minutes=5)
    assert not gate.keeper._kept

    async def end_from_outside() -> None:
        async with gate.reserve(CUSTOMER, "credits", 1) as hold:
            await gate.release(hold.id)
            await gate.keeper.renew()
            assert "can't be renewed" in caplog.text
            assert not gate.keeper._kept

    with pytest.raises(HoldEndedError):
        await end_from_outside()


async def test_a_renewal_that_fails_is_tried_again(
    gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    extend = gate.credits.extend
    failures: list[Exception] = [StoreUnavailableError(), RuntimeError("a bug")]

    async def failing(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await extend(*args, **options)

    monkeypatch.setattr(gate.credits, "extend", failing)
    async with gate.reserve(CUSTOMER, "credits", 1):
        for _ in range(3):
            assert len(gate.keeper._kept) == 1
            await gate.keeper.renew()
    assert caplog.text.count("was not renewed yet") == 2


async def _awaited(pending: Any) -> Any:
    return await pending


async def test_utc_is_what_the_clock_says(gate: Gatekeeper) -> None:
    made = await gate.grant(CUSTOMER, "credits", 1, reason="test")
    assert made.created_at.utcoffset() == datetime.now(UTC).utcoffset()
