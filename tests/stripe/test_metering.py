"""Metered usage: recorded by one INSERT, sealed into windows of which each is one meter event."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from anyio import to_thread
from sqlalchemy import Engine
from sqlalchemy.event import listen, remove
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from gatekeeper.errors import (
    IdempotencyConflictError,
    InvalidAmountError,
    InvalidIdError,
    InvalidInputError,
    NotFoundError,
    StoreUnavailableError,
    UnknownNameError,
)
from gatekeeper.services.metering import Sealer, UsageRecorder, UsageWindows
from gatekeeper.storage.metering import UsageWindow, WindowStatus
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.events import invoice, make_event, subscription
from tests.sdk.hosts import INSERT, async_host, sync_host
from tests.stripe.world import RULES, ManualClock, World

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def recorder(store: Store, clock: ManualClock) -> UsageRecorder:
    clock.now = NOON + 10 * MINUTE
    return UsageRecorder(store, RULES, clock)


@pytest.fixture
def sealer(store: Store) -> Sealer:
    return Sealer(store, length="hour", grace=MINUTE)


async def windows(store: Store) -> list[UsageWindow]:
    return await UsageWindows(store).find()


async def test_usage_of_an_hour_is_one_window(
    store: Store, recorder: UsageRecorder, sealer: Sealer, clock: ManualClock
) -> None:
    await recorder.record("org_1", "overage", 3)
    clock.advance(minutes=20)
    await recorder.record("org_1", "overage", 4)
    await recorder.record("org_2", "overage", 5)
    assert await sealer.seal_due() == 0
    clock.now = NOON + 60 * MINUTE
    assert await sealer.seal_due() == 0  # rows may still be on their way
    clock.now = NOON + 61 * MINUTE
    assert await sealer.seal_due() == 2
    assert await sealer.seal_due() == 0
    first, second = await windows(store)
    assert (first.customer, first.quantity, first.start) == ("org_1", 7, NOON)
    assert first.at == NOON + 30 * MINUTE
    assert first.status is WindowStatus.PENDING
    assert (second.customer, second.quantity) == ("org_2", 5)
    assert first.identifier != second.identifier
    assert len(first.identifier) <= 100


async def test_each_hour_has_a_window_of_its_own(
    store: Store, recorder: UsageRecorder, sealer: Sealer, clock: ManualClock
) -> None:
    for hours in range(3):
        await recorder.record("org_1", "overage", 1 + hours, at=NOON - hours * 60 * MINUTE)
    clock.advance(hours=2)
    assert await sealer.seal_due() == 3
    assert [(one.start, one.quantity) for one in await windows(store)] == [
        (NOON - 120 * MINUTE, 3),
        (NOON - 60 * MINUTE, 2),
        (NOON, 1),
    ]


async def test_late_rows_and_corrections_are_windows_of_their_own(
    store: Store, recorder: UsageRecorder, sealer: Sealer, clock: ManualClock
) -> None:
    await recorder.record("org_1", "overage", 10)
    clock.advance(hours=2)
    await sealer.seal_due()
    before = await windows(store)
    await recorder.record("org_1", "overage", 2, at=NOON)
    await recorder.record("org_1", "overage", -5, at=NOON, correction=True)
    assert await sealer.seal_due() == 1
    after = await windows(store)
    assert after[:1] == before
    assert [(one.start, one.quantity) for one in after] == [(NOON, 10), (NOON, -3)]
    assert len({one.identifier for one in after}) == 2


async def test_a_window_that_adds_up_to_nothing_is_not_told(
    store: Store, recorder: UsageRecorder, sealer: Sealer, clock: ManualClock
) -> None:
    await recorder.record("org_1", "overage", 10)
    await recorder.record("org_1", "overage", -10, correction=True)
    clock.advance(hours=2)
    await sealer.seal_due()
    assert [one.status for one in await windows(store)] == [WindowStatus.EMPTY]


async def test_usage_of_one_id_counts_once(
    store: Store, recorder: UsageRecorder, sealer: Sealer, clock: ManualClock
) -> None:
    for _ in range(2):
        assert await recorder.record("org_1", "overage", 3, usage_id="job_1") == "job_1"
    with pytest.raises(IdempotencyConflictError):
        await recorder.record("org_1", "overage", 4, usage_id="job_1")
    with pytest.raises(IdempotencyConflictError):
        await recorder.record("org_1", "overage", 3, usage_id="job_1", at=NOON)
    await recorder.record("org_2", "overage", 4, usage_id="job_1")
    clock.advance(hours=2)
    await sealer.seal_due()
    assert [(one.customer, one.quantity) for one in await windows(store)] == [
        ("org_1", 3),
        ("org_2", 4),
    ]
    await recorder.record("org_1", "overage", 3, usage_id="job_1")  # sealed: still the same one
    assert await sealer.seal_due() == 0


async def test_sealers_that_race_seal_everything_once(
    store: Store, recorder: UsageRecorder, sealer: Sealer, clock: ManualClock
) -> None:
    for number in range(20):
        await recorder.record(f"org_{number % 3}", "overage", 1)
    clock.advance(hours=2)
    await asyncio.gather(*(sealer.seal_due() for _ in range(6)))
    found = await windows(store)
    assert sum(one.quantity for one in found) == 20
    assert len(found) == 3


async def test_case_45_usage_of_36_days_ago_is_a_dead_letter(
    store: Store,
    recorder: UsageRecorder,
    sealer: Sealer,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await recorder.record("org_1", "overage", 7, at=clock.now - timedelta(days=36))
    await recorder.record("org_1", "overage", 1, at=clock.now - timedelta(days=34))
    clock.advance(hours=2)
    await sealer.seal_due()
    dead, pending = await windows(store)
    assert (dead.status, dead.quantity) == (WindowStatus.DEAD, 7)
    assert "35 days" in str(dead.last_error)
    assert (pending.status, pending.quantity) == (WindowStatus.PENDING, 1)
    assert "7 of meter overage of customer org_1 can't be billed" in caplog.text


async def test_what_can_not_be_usage_is_refused(recorder: UsageRecorder, store: Store) -> None:
    with pytest.raises(UnknownNameError):
        await recorder.record("org_1", "unknown", 1)
    for quantity in (0, -1):
        with pytest.raises(InvalidAmountError):
            await recorder.record("org_1", "overage", quantity)
    with pytest.raises(InvalidAmountError):
        await recorder.record("org_1", "overage", 0, correction=True)
    with pytest.raises(InvalidInputError, match="in the future"):
        await recorder.record("org_1", "overage", 1, at=NOON + 16 * MINUTE)
    with pytest.raises(InvalidInputError, match="time zone"):
        await recorder.record("org_1", "overage", 1, at=datetime(2026, 3, 1, 12))
    with pytest.raises(InvalidIdError, match="reserved"):
        await recorder.record("org_1", "overage", 1, usage_id="overage/credits/1")
    assert await store.read(lambda tx: tx.metering.untold("org_1")) == 0
    await recorder.record("org_1", "overage", 1, at=NOON + 15 * MINUTE)


async def test_use_beyond_the_grants_is_usage_of_the_meter(
    world: World, clock: ManualClock
) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event("customer.subscription.created", subscription()))
    await world.spend(1_005, hold="hold_1")
    await world.spend(20, hold="hold_2")
    clock.advance(hours=2)
    await Sealer(world.store, length="hour", grace=MINUTE).seal_due()
    (window,) = await windows(world.store)
    granted = 1_000 + 5  # what the default plan gives at sign-up burns too
    assert (window.customer, window.meter) == ("org_1", "overage")
    assert window.quantity == 1_025 - granted


async def test_dead_windows_are_retried_and_discarded_by_hand(
    store: Store, recorder: UsageRecorder, sealer: Sealer, clock: ManualClock
) -> None:
    await recorder.record("org_1", "overage", 7, at=clock.now - timedelta(days=36))
    await sealer.seal_due()
    people = UsageWindows(store)
    (dead,) = await people.find(status=WindowStatus.DEAD)
    assert (await people.retry(dead.identifier)).status is WindowStatus.PENDING
    with pytest.raises(NotFoundError):
        await people.retry(dead.identifier)
    assert (await people.discard(dead.identifier)).status is WindowStatus.DISCARDED
    with pytest.raises(NotFoundError):
        await people.discard(dead.identifier)
    assert [one.status for one in await people.find()] == [WindowStatus.DISCARDED]


@pytest.mark.parametrize("database", ["migrated_sqlite_url", "migrated_postgres_url"])
async def test_recording_is_one_insert_and_reads_nothing(
    database: str, clock: ManualClock, request: pytest.FixtureRequest
) -> None:
    """The hot path only appends."""
    seen: list[str] = []

    def note(*event: Any) -> None:
        seen.append(event[2])

    async with store_for(request.getfixturevalue(database), clock=clock) as store:
        recorder = UsageRecorder(store, RULES, clock)
        await recorder.record("org_1", "overage", 1)  # what a first connection asks is over
        listen(Engine, "before_cursor_execute", note)
        try:
            await recorder.record("org_1", "overage", 3, usage_id="job_1")
        finally:
            remove(Engine, "before_cursor_execute", note)
    (written,) = [one for one in seen if not one.startswith(("BEGIN", "COMMIT"))]
    assert written.startswith("INSERT INTO gatekeeper_usage")


async def test_usage_whose_commit_was_not_heard_of_counts_once(
    store: Store, recorder: UsageRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, lost = store.write, [True]

    async def write_and_lose(work: Any) -> Any:
        done = await write(work)
        if lost:
            lost.pop()
            raise StoreUnavailableError("The connection was lost.", outcome="unknown")
        return done

    monkeypatch.setattr(store, "write", write_and_lose)
    usage_id = await recorder.record("org_1", "overage", 3)
    assert await store.read(lambda tx: tx.metering.untold("org_1")) == 1
    stored = await store.read(lambda tx: tx.metering.recorded("org_1", "overage", usage_id))
    assert stored is not None
    assert stored.quantity == 3


async def test_an_outage_is_the_callers_to_hear_of(
    store: Store, recorder: UsageRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(work: Any) -> Any:
        raise StoreUnavailableError

    monkeypatch.setattr(store, "write", refuse)
    with pytest.raises(StoreUnavailableError):
        await recorder.record("org_1", "overage", 3)


@pytest.mark.parametrize("kept", [True, False], ids=["commit", "rollback"])
async def test_usage_in_a_hosts_own_transaction_stays_or_goes_with_it(
    migrated_sqlite_url: str, clock: ManualClock, kept: bool
) -> None:
    async with store_for(migrated_sqlite_url, clock=clock) as store:
        recorder = UsageRecorder(store, RULES, clock)

        def host() -> None:
            with sync_host(migrated_sqlite_url) as engine, Session(engine) as session:
                session.execute(INSERT, {"id": "job_1"})
                recorder.record_in(session, "org_1", "overage", 4, usage_id="sync")
                (session.commit if kept else session.rollback)()

        await to_thread.run_sync(host)
        async with async_host(migrated_sqlite_url) as engine, AsyncSession(engine) as session:
            await recorder.record("org_1", "overage", 5, usage_id="async", session=session)
            await (session.commit() if kept else session.rollback())
        untold = await store.read(lambda tx: tx.metering.untold("org_1"))
        assert untold == (2 if kept else 0)
