"""Holds through the gate: captures in part, overruns, metadata, ids of several customers."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import (
    CreditsRequiredError,
    HoldEndedError,
    HoldNotFoundError,
    InvalidAmountError,
    InvalidInputError,
    OverrunError,
)
from gatekeeper.ledger import Entry, Hold, HoldStatus
from gatekeeper.storage.port import Transaction
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, available, held
from tests.services_ledger.watched import WatchedStore

pytestmark = pytest.mark.anyio


async def test_a_hold_is_captured_in_parts(gate: Gatekeeper) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 5)
    for n in (1, 2):
        part = await gate.capture(hold.id, 1, final=False)
        assert (part.status, part.captured, part.remaining) == (HoldStatus.OPEN, n, 5 - n)
        assert (await available(gate), await held(gate)) == (0, 5 - n)
    with pytest.raises(OverrunError):
        await gate.capture(hold.id, 4, final=False)
    last = await gate.capture(hold.id, 1)
    assert (last.status, last.captured) == (HoldStatus.CAPTURED, 3)
    assert (await available(gate), await held(gate)) == (2, 0)
    with pytest.raises(HoldEndedError):
        await gate.capture(hold.id, 1, final=False)


async def test_what_was_captured_in_part_stays_captured(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    one = await gate.reserve(CUSTOMER, "credits", 2)
    two = await gate.reserve(CUSTOMER, "credits", 2)
    for hold in (one, two):
        await gate.capture(hold.id, 1, final=False)
    assert (await gate.release(one.id)).captured == 1
    clock.advance(minutes=6)
    await gate.credits.expire_holds()
    expired = await gate.hold(two.id)
    assert (expired.status, expired.captured) == (HoldStatus.EXPIRED, 1)
    assert (await available(gate), await held(gate)) == (3, 0)


async def test_a_part_that_takes_all_there_is_ends_the_hold(gate: Gatekeeper) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    assert (await gate.capture(hold.id, 2, final=False)).status is HoldStatus.CAPTURED


async def test_an_overrun_is_taken_from_the_account_if_so_declared(gate: Gatekeeper) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    ended = await gate.capture(hold.id, 9, overrun="overage")
    assert (ended.captured, ended.overrun) == (5, 4)
    balance = await gate.balance(CUSTOMER, "credits")
    assert (balance.available, balance.debt) == (0, 4)
    capped = await gate.reserve("org_43", "credits", 2)
    assert (await gate.capture(capped.id, 9, overrun="cap")).overrun == 7
    assert await available(gate, customer="org_43") == 3


async def test_a_hold_lives_longer_than_no_time_and_not_for_ever(gate: Gatekeeper) -> None:
    for ttl in (timedelta(0), timedelta(days=367), "soon"):
        with pytest.raises(InvalidAmountError):
            await gate.reserve(CUSTOMER, "credits", 1, ttl=ttl)  # type: ignore[arg-type] # on purpose


async def test_open_holds_are_listed_the_oldest_first(gate: Gatekeeper, clock: ManualClock) -> None:
    made = []
    for _ in range(3):
        made.append((await gate.reserve(CUSTOMER, "credits", 1)).id)
        clock.advance(seconds=1)
    await gate.release(made[1])
    found = await gate.open_holds(CUSTOMER, "credits")
    assert [hold.id for hold in found] == [made[0], made[2]]
    with pytest.raises(HoldNotFoundError):
        await gate.hold("unknown")
    with pytest.raises(HoldNotFoundError):
        await gate.capture("unknown", customer=CUSTOMER)


# -- metadata -------------------------------------------------------------------------------------


async def test_metadata_is_kept_with_the_hold_its_entries_and_the_grant(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    told = {"job": "7", "größe": "ü 客"}
    hold = await gate.reserve(CUSTOMER, "credits", 2, metadata=told, reference="job 7")
    await gate.capture(hold.id, 1)
    grant = await gate.grant(CUSTOMER, "credits", 1, reason="test", metadata={"ticket": "9"})
    assert grant.metadata is not None
    assert msgspec.json.decode(grant.metadata) == {"ticket": "9"}

    def work(tx: Transaction) -> tuple[Hold | None, list[Entry]]:
        found = tx.ledger.find_hold(hold.id, customer=CUSTOMER)
        return found, list(tx.ledger.entries(CUSTOMER, "credits", 0, 100))

    kept, entries = await store.read(work)
    assert kept is not None
    assert kept.metadata is not None
    assert msgspec.json.decode(kept.metadata) == told
    own = [entry.metadata for entry in entries if entry.hold_id == hold.id]
    assert own == [kept.metadata] * 3


async def test_metadata_is_bounded(gate: Gatekeeper) -> None:
    largest = {f"key {n}": "x" * 90 for n in range(20)}
    assert (await gate.reserve(CUSTOMER, "credits", 1, metadata=largest)).amount == 1
    assert (await gate.reserve(CUSTOMER, "credits", 1, metadata={})).hold.metadata is None
    wrong: list[dict[str, str]] = [
        {f"key {n}": "" for n in range(21)},
        {f"key {n}": "x" * 500 for n in range(5)},
        {"key": "x" * 513},
        {"key": "a\x00b"},
        {"\ud800": "lone"},
        {"key": 7},  # type: ignore[dict-item] # what a caller without types may hand in
        {7: "value"},  # type: ignore[dict-item] # the same
    ]
    for metadata in wrong:
        with pytest.raises(InvalidInputError):
            await gate.reserve(CUSTOMER, "credits", 1, metadata=metadata)
        with pytest.raises(InvalidInputError):
            await gate.grant(CUSTOMER, "credits", 1, reason="test", metadata=metadata)
    assert await held(gate) == 2


# -- ids ------------------------------------------------------------------------------------------


async def test_a_hold_id_that_two_customers_use_says_nothing_without_the_customer(
    gate: Gatekeeper,
) -> None:
    """Whoever made the last one in this process must not be charged for it."""
    for customer in (CUSTOMER, "org_43"):
        await gate.reserve(customer, "credits", 1, hold_id="job 7")
    with pytest.raises(InvalidInputError):
        await gate.capture("job 7")
    for customer in (CUSTOMER, "org_43"):
        assert (await gate.capture("job 7", customer=customer)).customer == customer


async def test_a_hold_id_that_was_unique_when_it_was_looked_up_is_looked_up_again(
    gate: Gatekeeper,
) -> None:
    await gate.reserve(CUSTOMER, "credits", 2, hold_id="job 7")
    await gate.capture("job 7", 1, final=False)
    await gate.reserve("org_43", "credits", 1, hold_id="job 7")
    with pytest.raises(InvalidInputError):
        await gate.capture("job 7")


# -- cancellation ---------------------------------------------------------------------------------


async def test_a_reserve_cancelled_in_flight_leaves_no_hold(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    await gate.reserve(CUSTOMER, "credits", 1)
    fate = store.writes if store.quick is None else store.quick_writes
    fate.turnstile.shut()
    task = asyncio.ensure_future(_reserve(gate))
    await fate.turnstile.arrived.wait()
    task.cancel()
    await asyncio.sleep(0)
    fate.turnstile.open()
    await asyncio.wait([task])
    await gate.credits.drained()
    assert task.cancelled()
    assert (await available(gate), await held(gate)) == (4, 1)


async def test_reserves_cancelled_at_any_moment_leave_no_hold(gate: Gatekeeper) -> None:
    """Some steps of the event loop after they were sent: some wait, some are under way, some are
    done and have not been told."""
    await gate.grant(CUSTOMER, "credits", 995, reason="test")
    kept = 0
    for steps in range(60):
        task = asyncio.ensure_future(_reserve(gate))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            kept += task.result()
    await gate.credits.drained()
    assert await held(gate) == kept


async def test_a_reserve_that_was_refused_and_cancelled_is_nothing(gate: Gatekeeper) -> None:
    task = asyncio.ensure_future(_reserve(gate, 6))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await gate.credits.drained()
    with pytest.raises(CreditsRequiredError):
        await _reserve(gate, 6)


async def _reserve(gate: Gatekeeper, amount: int = 1) -> int:
    return (await gate.reserve(CUSTOMER, "credits", amount)).amount


async def test_a_capture_cancelled_in_flight_stands(gate: Gatekeeper, store: WatchedStore) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 3)
    fate = store.writes if store.quick is None else store.quick_writes
    fate.turnstile.shut()
    task = asyncio.ensure_future(_capture(gate, hold.id))
    await fate.turnstile.arrived.wait()
    task.cancel()
    fate.turnstile.open()
    await asyncio.wait([task])
    await gate.credits.drained()
    assert (await gate.hold(hold.id)).captured == 2
    assert (await available(gate), await held(gate)) == (3, 0)


async def _capture(gate: Gatekeeper, hold_id: str) -> Hold:
    return await gate.capture(hold_id, 2)
