"""What something costs, from the catalogue to the capture: by formula, by choice, by plan."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import InvalidAmountError, UnknownNameError
from gatekeeper.services.reservation import Reservation
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, available
from tests.services_ledger.catalogs import rated_catalog, rated_gate
from tests.services_ledger.watched import WatchedStore

pytestmark = pytest.mark.anyio

LARGE: dict[str, int | str] = {"model": "large", "input": 2_000, "output": 1_000}
"""1 + 2 x 3 + 15 = 22 credits."""


@pytest.fixture
async def gate(store: WatchedStore) -> AsyncIterator[Gatekeeper]:
    async with rated_gate(store=store).connected() as opened:
        await opened.grant(CUSTOMER, "credits", 95, reason="test")
        yield opened


async def test_a_choice_with_several_measures_is_held_and_captured_at_its_rate(
    gate: Gatekeeper,
) -> None:
    async with gate.reserve(CUSTOMER, "chat", LARGE) as hold:
        assert (hold.amount, hold.hold.feature) == (22, "chat:large")
        hold.record(input=900)
        hold.record(input=350, output=120)
        assert hold.recorded == 1_370
    assert hold.hold.captured == 7  # 1 + 1,250 x 3/1,000 + 120 x 15/1,000 = 6.55, rounded up once
    assert await available(gate) == 93
    small = await gate.reserve(CUSTOMER, "chat", {"model": "small", "input": 500, "output": 250})
    assert small.amount == 1


async def test_the_rate_of_a_hold_outlives_the_catalogue(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    hold = await gate.reserve(CUSTOMER, "chat", LARGE)
    dearer = rated_gate(store=store, catalog=rated_catalog(large=1_000))
    resumed = Reservation(dearer.credits, await gate.hold(hold.id))
    resumed.record(input=2_000, output=500)
    await gate._parts.store.read(lambda tx: tx.now())
    assert resumed.hold.credits_for({"input": 2_000, "output": 500}) == 15  # 1 + 6 + 7.5
    await gate.capture(hold.id, resumed.hold.credits_for({"input": 2_000, "output": 500}))
    assert await available(gate) == 85


async def test_an_extension_is_counted_at_the_holds_own_rate(gate: Gatekeeper) -> None:
    hold = await gate.reserve(CUSTOMER, "chat", LARGE)
    extended = await hold.extend(add_quantity={"input": 1_000, "output": 0})
    assert extended.amount == 22 + 4
    await hold.capture({"input": 3_000, "output": 1_000})
    assert hold.hold.captured == 25


async def test_a_product_of_measures(gate: Gatekeeper) -> None:
    hold = await gate.reserve(CUSTOMER, "image", {"width": 1_920, "height": 1_080})
    assert hold.amount == 3  # 2.07 megapixels


async def test_an_unknown_choice_or_measure_is_refused_by_name_and_never_free(
    gate: Gatekeeper,
) -> None:
    unknown: list[tuple[str, dict[str, int | str]]] = [
        ("chat", {"model": "huge", "input": 1, "output": 1}),
        ("chat", {"model": "large", "input": 1, "output": 1, "pixels": 1}),
        ("chats", {"model": "large", "input": 1, "output": 1}),
    ]
    for name, measures in unknown:
        with pytest.raises(UnknownNameError):
            await gate.reserve(CUSTOMER, name, measures)
    missing: list[dict[str, int | str]] = [
        {"model": "large", "input": 1},
        {"input": 1, "output": 1},
        {"model": "large", "input": -1, "output": 1},
    ]
    for measures in missing:
        with pytest.raises(InvalidAmountError):
            await gate.reserve(CUSTOMER, "chat", measures)
    hold = await gate.reserve(CUSTOMER, "chat", LARGE)
    with pytest.raises(UnknownNameError):
        hold.record(pixels=1)
    with pytest.raises(UnknownNameError):
        hold.record(7)
    assert await available(gate) == 100 - 22


async def test_a_plan_has_its_own_rates_and_a_hold_keeps_the_one_it_was_made_at(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    before = await gate.reserve(CUSTOMER, "text", 3_000)
    assert before.amount == 3
    await gate.customers.override_plan(CUSTOMER, "pro")
    after = await gate.reserve(CUSTOMER, "text", 3_000)
    assert after.amount == 2
    assert (before.hold.credits_for(5_000), after.hold.credits_for(5_000)) == (5, 3)
    await gate.customers.remove_override(CUSTOMER, "plan", "pro")
    clock.advance(seconds=1)
    assert (await gate.reserve(CUSTOMER, "text", 3_000)).amount == 3
    after.record(2_500)
    await after.settle(failed=False)
    assert after.hold.captured == 2
