"""Hard case 49: an early fraud warning, or a dispute, freezes a customer's credits by policy."""

from dataclasses import replace

import pytest

from gatekeeper.errors import CreditsFrozenError
from gatekeeper.services import accounts, freezes
from gatekeeper.services.credits import Credits
from gatekeeper.services.freezes import FreezeDesk
from gatekeeper.services.ledger.batcher import Batcher
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.services.rules import FreezePolicy
from gatekeeper.storage.port import Transaction
from gatekeeper.testing.events import Obj, make_event
from tests.stripe.money import charge, dispute
from tests.stripe.test_clawbacks import BOUGHT, FREE, buy, disputed
from tests.stripe.world import World

pytestmark = pytest.mark.anyio

WARNING: Obj = {
    "id": "issfr_1",
    "object": "radar.early_fraud_warning",
    "actionable": True,
    "charge": "ch_1",
    "fraud_type": "misc",
    "livemode": False,
}
CREATED = "radar.early_fraud_warning.created"


async def warned(world: World) -> None:
    world.stripe.put(WARNING)
    await world.deliver(make_event(CREATED, WARNING))


async def test_case_49_an_early_fraud_warning_freezes_the_credits_until_somebody_lifts_it(
    world: World,
) -> None:
    await buy(world)

    def hold(tx: Transaction) -> None:
        request = accounts.ReserveRequest(
            customer="org_1", name="credits", quantity=10, hold_id="before"
        )
        accounts.reserve(tx, world.rules, request)

    await world.store.write(hold)
    await warned(world)
    with pytest.raises(CreditsFrozenError) as caught:
        await world.spend(1)
    assert caught.value.status == 402
    assert caught.value.params["reason"] == "an early fraud warning of payment pi_1"
    await world.store.write(lambda tx: accounts.capture(tx, world.rules, "before"))
    assert await world.available() == BOUGHT - 10
    desk = FreezeDesk(world.store, world.rules, world._invalidate)
    assert await desk.unfreeze("org_1", "ann")
    assert not await desk.unfreeze("org_1", "ann")
    await world.spend(1, hold="after")
    await warned(world)  # once more: it was looked at, and is not in doubt any more
    await world.spend(1, hold="again")
    found = await desk.freezes("org_1")
    assert [(one.key, one.actor) for one in found] == [("radar.early_fraud_warning/issfr_1", "ann")]


async def test_case_49_a_warning_that_comes_before_the_purchase_is_known_freezes_too(
    world: World,
) -> None:
    await world.customer()
    world.stripe.put(charge())
    await warned(world)
    with pytest.raises(CreditsFrozenError):
        await world.spend(1)


async def test_the_policy_may_leave_a_warning_alone(world: World) -> None:
    world.rules = replace(world.rules, freezes=FreezePolicy(on_fraud_warning=False))
    await buy(world)
    await warned(world)
    await world.spend(BOUGHT)


async def test_a_dispute_freezes_by_policy_and_frees_when_it_is_won(world: World) -> None:
    world.rules = replace(world.rules, freezes=FreezePolicy(on_dispute=True))
    await buy(world)
    await disputed(world, dispute("needs_response"), "charge.dispute.created")
    with pytest.raises(CreditsFrozenError):
        await world.spend(1)
    assert await world.available() == FREE
    await disputed(world, dispute("won"), "charge.dispute.closed")
    await world.spend(BOUGHT)


async def test_a_dispute_freezes_nothing_by_default(world: World) -> None:
    await buy(world)
    await disputed(world, dispute("needs_response"), "charge.dispute.created")
    await world.spend(FREE)


async def test_case_49_the_quick_way_and_batches_know_of_a_freeze_at_once(world: World) -> None:
    await buy(world)
    async with Batcher(Ways(world.store, world.rules)) as batcher:
        credits_ = Credits(world.store, world.rules, batcher)

        async def use(hold: str) -> None:
            request = accounts.ReserveRequest(
                customer="org_1", name="credits", quantity=1, hold_id=hold
            )
            await credits_.reserve(request)

        for number in range(3):
            await use(f"before_{number}")  # the account is in mind now
        await warned(world)
        with pytest.raises(CreditsFrozenError):
            await use("refused")
        await world.store.write(lambda tx: freezes.unfreeze(tx, world.rules, "org_1", "ann"))
        await use("after")
