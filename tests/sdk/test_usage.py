"""Metered usage by the gate's own methods: what was recorded wrongly is corrected."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from gatekeeper import Catalog, Gatekeeper, Meter, Plan, Settings, SyncGatekeeper
from gatekeeper.errors import (
    IdempotencyConflictError,
    InvalidAmountError,
    InvalidInputError,
    UnknownNameError,
)
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.metering import WindowStatus
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.clock import ManualClock
from gatekeeper.types import Clock
from tests.gates import CUSTOMER
from tests.sdk.hosts import async_host, sync_host

pytestmark = pytest.mark.anyio

METERED = Catalog(
    plans=[Plan("free", default=True)], declares=[Meter("requests", event_name="requests")]
)


def metered_gate(url: str, clock: Clock, store: Store | None = None) -> Gatekeeper:
    return Gatekeeper(METERED, Settings.load(database_url=url), clock=clock, store=store)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def gate(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    """On each store in turn, with nothing that runs beside the test."""
    if request.param == "memory":
        store: Store = MemoryStore(clock=clock)
    else:
        name = "migrated_sqlite_url" if request.param == "sqlite" else "migrated_postgres_url"
        store = store_for(request.getfixturevalue(name), clock=clock)
    async with metered_gate("sqlite:////nowhere", clock, store).connected() as opened:
        yield opened


@pytest.fixture
async def joinable(gate_url: str, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    """On the databases that a host can share."""
    async with metered_gate(gate_url, clock).connected() as opened:
        yield opened


async def sealed(gate: Gatekeeper, clock: ManualClock) -> list[int]:
    """Let the windows that are open be over; what each comes to."""
    clock.advance(hours=2)
    await gate.work()
    return [one.quantity for one in await gate.usage_windows.find()]


async def test_a_correction_takes_off_what_was_recorded_wrongly(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    await gate.record_usage(CUSTOMER, "requests", 10)
    for _ in range(2):
        assert await gate.correct_usage(CUSTOMER, "requests", -3, id="case_7") == "case_7"
    assert await gate.correct_usage(CUSTOMER, "requests", 1)
    assert await sealed(gate, clock) == [8]


async def test_a_correction_of_what_was_told_is_a_window_of_its_own(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    at = clock()
    await gate.record_usage(CUSTOMER, "requests", 10)
    assert await sealed(gate, clock) == [10]
    await gate.correct_usage(CUSTOMER, "requests", -10, at=at)
    assert await sealed(gate, clock) == [10, -10]
    told, correction = await gate.usage_windows.find()
    assert told.start == correction.start
    assert {one.status for one in (told, correction)} == {WindowStatus.PENDING}


async def test_what_can_not_be_a_correction_is_refused(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    await gate.correct_usage(CUSTOMER, "requests", -3, id="case_7")
    with pytest.raises(IdempotencyConflictError):
        await gate.correct_usage(CUSTOMER, "requests", -4, id="case_7")
    with pytest.raises(InvalidAmountError):
        await gate.correct_usage(CUSTOMER, "requests", 0)
    with pytest.raises(InvalidAmountError):
        await gate.record_usage(CUSTOMER, "requests", -1)  # it has to be said
    with pytest.raises(UnknownNameError):
        await gate.correct_usage(CUSTOMER, "teleportations", -1)
    with pytest.raises(InvalidInputError):
        await gate.correct_usage(CUSTOMER, "requests", -1, at=clock() + timedelta(hours=1))
    assert await sealed(gate, clock) == [-3]


@pytest.mark.parametrize("kept", [True, False], ids=["commit", "rollback"])
async def test_a_correction_stays_or_goes_with_the_hosts_transaction(
    joinable: Gatekeeper, gate_url: str, clock: ManualClock, kept: bool
) -> None:
    await joinable.record_usage(CUSTOMER, "requests", 10)
    async with async_host(gate_url) as engine, AsyncSession(engine) as session:
        await joinable.correct_usage(CUSTOMER, "requests", -4, session=session)
        await (session.commit() if kept else session.rollback())
    assert await sealed(joinable, clock) == [6 if kept else 10]


def test_a_synchronous_host_records_and_corrects(
    migrated_sqlite_url: str, clock: ManualClock
) -> None:
    with (
        SyncGatekeeper(metered_gate(migrated_sqlite_url, clock)) as billing,
        sync_host(migrated_sqlite_url) as engine,
    ):
        billing.record_usage(CUSTOMER, "requests", 10, id="job_1")
        billing.correct_usage(CUSTOMER, "requests", -1, id="case_1")
        for end in (Session.rollback, Session.commit):
            with Session(engine) as session:
                billing.record_usage(CUSTOMER, "requests", 20, session=session)
                billing.correct_usage(CUSTOMER, "requests", -4, session=session)
                end(session)
        clock.advance(hours=2)
        billing.work()
        (window,) = billing.call(billing.gate.usage_windows.find)
        assert window.quantity == 10 - 1 + 20 - 4
        assert billing.customers_told(window.at - timedelta(hours=1), clock()) == []  # not sent
