"""What a host says is owed to sellers: once, and with its own transaction or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from gatekeeper import Gatekeeper, SyncGatekeeper
from gatekeeper.errors import (
    CustomerNotFoundError,
    GatekeeperError,
    HostTransactionError,
    IdempotencyConflictError,
    InvalidAmountError,
    InvalidIdError,
    InvalidInputError,
    StoreUnavailableError,
)
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from gatekeeper.storage.transfers import TransferStatus
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, new_gate
from tests.sdk.hosts import COUNT, INSERT, async_host, sync_host

pytestmark = pytest.mark.anyio

OWED: Mapping[str, Any] = {
    "customer": CUSTOMER,
    "charge_id": "ch_1",
    "destination": "acct_1",
    "amount_minor": 400,
    "currency": "eur",
}
OTHERS: Mapping[str, Any] = {
    "customer": "org_43",
    "charge_id": "ch_2",
    "destination": "acct_2",
    "amount_minor": 401,
    "currency": "usd",
}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, clock: ManualClock) -> Store:
    """Each store in turn, in the time of `clock`."""
    if request.param == "memory":
        return MemoryStore(clock=clock)
    name = "migrated_sqlite_url" if request.param == "sqlite" else "migrated_postgres_url"
    return store_for(request.getfixturevalue(name), clock=clock)


@pytest.fixture
async def gate(store: Store) -> AsyncIterator[Gatekeeper]:
    """On `store`, with nothing that runs beside the test."""
    async with new_gate("sqlite:////nowhere", store=store).connected() as opened:
        yield opened


@pytest.fixture
async def joinable(gate_url: str, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    """On the databases that a host can share."""
    async with new_gate(gate_url, clock=clock).connected() as opened:
        yield opened


async def names(gate: Gatekeeper) -> list[str]:
    return [one.id for one in await gate.unsent_transfers()]


async def test_what_is_owed_is_owed_once_however_often_it_is_said(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    first = await gate.owe_transfer("order_1", **OWED)
    assert (first.status, first.due_at) == (TransferStatus.OWED, clock())
    assert {name: getattr(first, name) for name in OWED} == OWED
    clock.advance(hours=1)
    again = await asyncio.gather(*(gate.owe_transfer("order_1", **OWED) for _ in range(4)))
    assert list(again) == [first] * 4
    assert await gate.unsent_transfers() == [first]


async def test_many_who_say_it_at_once_owe_it_once(gate: Gatekeeper) -> None:
    said = await asyncio.gather(*(gate.owe_transfer("order_1", **OWED) for _ in range(6)))
    assert len(set(said)) == 1
    assert await names(gate) == ["order_1"]


async def test_the_same_id_for_something_else_is_refused_by_name(gate: Gatekeeper) -> None:
    first = await gate.owe_transfer("order_1", **OWED)
    for name, other in OTHERS.items():
        with pytest.raises(IdempotencyConflictError, match="'order_1'"):
            await gate.owe_transfer("order_1", **{**OWED, name: other})
    assert await gate.unsent_transfers() == [first]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"transfer_id": ""}, InvalidIdError),
        ({"transfer_id": "order\n1"}, InvalidIdError),
        ({"customer": " "}, InvalidIdError),
        ({"charge_id": ""}, InvalidIdError),
        ({"charge_id": None}, InvalidIdError),
        ({"destination": "acct_1 "}, InvalidIdError),
        ({"amount_minor": 0}, InvalidAmountError),
        ({"amount_minor": -1}, InvalidAmountError),
        ({"amount_minor": 4.0}, InvalidAmountError),
        ({"currency": "EUR"}, InvalidInputError),
        ({"currency": "euro"}, InvalidInputError),
        ({"currency": None}, InvalidInputError),
    ],
)
async def test_what_can_not_be_sent_is_refused_before_anything_is_asked(
    wrong: dict[str, Any], error: type[GatekeeperError]
) -> None:
    gate = new_gate("sqlite:////nowhere", store=MemoryStore())  # not open: it has no store
    with pytest.raises(error):
        await gate.owe_transfer(**{"transfer_id": "order_1", **OWED, **wrong})


async def test_nothing_is_owed_of_a_customer_who_was_erased(gate: Gatekeeper) -> None:
    await gate.customers.ensure(CUSTOMER)
    await gate.owe_transfer("order_1", **OWED)
    await gate.auditor.erase(CUSTOMER)
    for name in ("order_1", "order_2"):
        with pytest.raises(CustomerNotFoundError):
            await gate.owe_transfer(name, **OWED)
    (kept,) = await gate.unsent_transfers()
    assert (kept.id, kept.amount_minor) == ("order_1", 400)
    assert kept.customer != CUSTOMER


async def test_a_lost_answer_owes_it_once(
    gate: Gatekeeper, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, lost = store.write, [True]

    async def write_and_lose(work: Callable[..., Any]) -> Any:
        done = await write(work)
        if lost:
            lost.pop()
            raise StoreUnavailableError("The connection was lost.", outcome="unknown")
        return done

    monkeypatch.setattr(store, "write", write_and_lose)
    assert (await gate.owe_transfer("order_1", **OWED)).id == "order_1"
    assert not lost
    assert await names(gate) == ["order_1"]


async def test_an_outage_is_the_callers_to_hear_of(
    gate: Gatekeeper, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(work: Callable[..., Any]) -> Any:
        raise StoreUnavailableError

    monkeypatch.setattr(store, "write", refuse)
    with pytest.raises(StoreUnavailableError):
        await gate.owe_transfer("order_1", **OWED)
    assert await names(gate) == []


async def test_so_many_are_listed_and_no_more(gate: Gatekeeper, clock: ManualClock) -> None:
    for name in ("order_2", "order_1", "order_3"):
        await gate.owe_transfer(name, **OWED)
        clock.advance(seconds=1)
    assert [one.id for one in await gate.unsent_transfers(limit=2)] == ["order_2", "order_1"]
    for limit in (-1, 0, 1_001):
        with pytest.raises(InvalidInputError, match="1 to 1000"):
            await gate.unsent_transfers(limit=limit)


# -- in a transaction of the host's ---------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False], ids=["commit", "rollback"])
async def test_it_is_owed_with_the_hosts_transaction_or_not_at_all(
    joinable: Gatekeeper, gate_url: str, kept: bool
) -> None:
    async with async_host(gate_url) as engine, AsyncSession(engine) as session:
        await session.execute(INSERT, {"id": "order_1"})
        await joinable.owe_transfer("order_1", **OWED, session=session)
        await joinable.owe_transfer("order_1", **OWED, session=session)
        with pytest.raises(IdempotencyConflictError):
            await joinable.owe_transfer("order_1", **{**OWED, "amount_minor": 1}, session=session)
        assert await names(joinable) == []  # nobody else sees it yet
        await (session.commit() if kept else session.rollback())
        assert await names(joinable) == (["order_1"] if kept else [])
        assert (await session.execute(COUNT)).scalar_one() == int(kept)


async def test_what_was_rolled_back_can_be_owed_anew_in_other_words(
    joinable: Gatekeeper, gate_url: str
) -> None:
    async with async_host(gate_url) as engine, AsyncSession(engine) as session:
        await joinable.owe_transfer("order_1", **OWED, session=session)
        await session.rollback()
    assert (await joinable.owe_transfer("order_1", **OTHERS)).amount_minor == 401


async def test_a_call_without_the_open_session_is_refused_and_does_not_hang(
    joinable: Gatekeeper, gate_url: str
) -> None:
    async with async_host(gate_url) as engine, AsyncSession(engine) as session:
        await joinable.grant(CUSTOMER, "credits", 1, reason="a sale", session=session)
        with pytest.raises(HostTransactionError, match="session="):
            await joinable.owe_transfer("order_1", **OWED)
        await session.rollback()
    await joinable.owe_transfer("order_1", **OWED)


async def test_the_store_in_memory_joins_nothing(clock: ManualClock) -> None:
    async with new_gate("sqlite:////nowhere", store=MemoryStore(clock=clock)).connected() as gate:
        with pytest.raises(HostTransactionError, match="in memory"):
            await gate.owe_transfer("order_1", **OWED, session=object())
        assert await names(gate) == []


def test_a_synchronous_host_owes_in_its_own_transaction(
    migrated_sqlite_url: str, clock: ManualClock
) -> None:
    with (
        SyncGatekeeper(new_gate(migrated_sqlite_url, clock=clock)) as billing,
        sync_host(migrated_sqlite_url) as engine,
    ):
        for end, owed in ((Session.rollback, []), (Session.commit, ["order_1"])):
            with Session(engine) as session:
                session.execute(INSERT, {"id": "order_1"})
                billing.owe_transfer("order_1", **OWED, session=session)
                with pytest.raises(IdempotencyConflictError):
                    billing.owe_transfer("order_1", **OTHERS, session=session)
                end(session)
            assert [one.id for one in billing.unsent_transfers()] == owed
        with engine.connect() as connection:
            assert connection.execute(COUNT).scalar_one() == 1
        (kept,) = billing.unsent_transfers()
        assert billing.owe_transfer("order_1", **OWED) == kept
        clock.advance(hours=1)
        assert billing.retry_transfer("order_1").due_at == clock()
