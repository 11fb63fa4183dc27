"""A host's transaction that holds an account's lock (PostgreSQL) keeps nobody else waiting."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, TypeVar

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from gatekeeper import Gatekeeper
from gatekeeper.errors import CreditsFrozenError, CreditsRequiredError, HoldEndedError
from tests.gates import CUSTOMER, available, held
from tests.sdk.hosts import async_host
from tests.services_ledger.books import assert_no_breach
from tests.services_ledger.watched import WatchedStore

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

T = TypeVar("T")

NEIGHBOURS = [f"org_{n}" for n in range(5)]


def elsewhere(work: Awaitable[T]) -> "asyncio.Task[T]":
    """In a task that is none of the open host transaction's."""

    async def run() -> T:
        return await work

    return asyncio.get_running_loop().create_task(run(), context=contextvars.Context())


@pytest.fixture
async def session(migrated_postgres_url: str) -> AsyncIterator[AsyncSession]:
    """The host's own."""
    async with async_host(migrated_postgres_url) as engine, AsyncSession(engine) as opened:
        yield opened


@pytest.fixture
async def gate(postgres_gate: Gatekeeper, migrated_postgres_url: str) -> AsyncIterator[Gatekeeper]:
    """Everybody but the customer is known."""
    for name in NEIGHBOURS:
        await postgres_gate.reserve(name, "credits", 1)
    yield postgres_gate
    await assert_no_breach(migrated_postgres_url)


async def neighbours(gate: Gatekeeper) -> Sequence[Any]:
    """What everybody else does at once: in the quick way, and in the locking one."""
    outcomes: Sequence[Any] = await asyncio.gather(
        *(gate.reserve(name, "credits", 1) for name in NEIGHBOURS),
        *(gate.grant(name, "exports", 1, reason="test") for name in NEIGHBOURS),
    )
    return outcomes


async def _reserve(gate: Gatekeeper, amount: int) -> Any:
    return await gate.reserve(CUSTOMER, "credits", amount)


@pytest.mark.parametrize("is_new", [False, True], ids=["known", "new"])
async def test_neighbours_in_the_same_batch_go_on_and_the_waiting_one_sees_the_hosts_effect(
    gate: Gatekeeper, session: AsyncSession, postgres_store: WatchedStore, is_new: bool
) -> None:
    if not is_new:
        hold = await gate.reserve(CUSTOMER, "credits", 1)
        await gate.release(hold.id)
    mine = await gate.reserve(CUSTOMER, "credits", 4, session=session)
    wanting = [elsewhere(_reserve(gate, amount)) for amount in (2, 2)]
    granting = elsewhere(gate.grant(CUSTOMER, "exports", 7, reason="another account"))
    for _ in range(3):
        assert len(await elsewhere(neighbours(gate))) == 10
    assert not any(task.done() for task in wanting)
    await gate.grant(CUSTOMER, "credits", 1, reason="the host's", session=session)
    await session.commit()
    outcomes: list[Any] = await asyncio.gather(*wanting, return_exceptions=True)
    [refused] = [one for one in outcomes if isinstance(one, CreditsRequiredError)]
    [made] = [one for one in outcomes if one is not refused]
    assert (made.amount, refused.params["available"]) == (2, 0)
    await granting
    await gate.release(mine.id)
    assert (await available(gate), await held(gate)) == (4, 2)
    assert await available(gate, "exports") == 7


@pytest.mark.parametrize("is_new", [False, True], ids=["known", "new"])
async def test_what_the_host_rolls_back_was_never_there(
    gate: Gatekeeper, session: AsyncSession, is_new: bool
) -> None:
    if not is_new:
        hold = await gate.reserve(CUSTOMER, "credits", 1)
        await gate.release(hold.id)
    await gate.reserve(CUSTOMER, "credits", 5, session=session)
    wanting = elsewhere(_reserve(gate, 5))
    await elsewhere(neighbours(gate))
    assert not wanting.done()
    await session.rollback()
    assert (await wanting).amount == 5


async def test_a_hold_that_the_host_ends_has_ended_for_whoever_waited(
    gate: Gatekeeper, session: AsyncSession
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 3)
    await gate.capture(hold.id, 1, session=session)
    ending = elsewhere(gate.release(hold.id))
    await elsewhere(neighbours(gate))
    assert not ending.done()
    await session.commit()
    with pytest.raises(HoldEndedError):
        await ending
    assert (await available(gate), await held(gate)) == (4, 0)


async def test_a_waiting_command_that_is_cancelled_leaves_no_hold(
    gate: Gatekeeper, session: AsyncSession
) -> None:
    await gate.grant(CUSTOMER, "credits", 1, reason="the host's", session=session)
    wanting = [elsewhere(_reserve(gate, 1)) for _ in range(2)]
    await elsewhere(neighbours(gate))
    wanting[0].cancel()
    await session.commit()
    assert (await wanting[1]).amount == 1
    await gate.credits.drained()
    assert await held(gate) == 1


async def test_a_freeze_waits_for_no_lock_and_holds_for_whoever_has_it(
    gate: Gatekeeper, session: AsyncSession
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    await gate.grant(CUSTOMER, "credits", 1, reason="the host's", session=session)
    assert await elsewhere(gate.freeze(CUSTOMER, "looks odd", key="case/1"))
    with pytest.raises(CreditsFrozenError):
        await gate.reserve(CUSTOMER, "credits", 1, session=session)
    await session.commit()
    with pytest.raises(CreditsFrozenError):
        await elsewhere(_reserve(gate, 1))
    await gate.capture(hold.id)
    assert await gate.unfreeze(CUSTOMER, actor="ann")
    assert (await _reserve(gate, 1)).amount == 1
