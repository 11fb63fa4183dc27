"""Velocity rules and reviews: what a customer does too fast is told, and freezes by the rule."""

from dataclasses import replace
from typing import Any

import pytest

from gatekeeper.errors import CreditsFrozenError
from gatekeeper.projection.velocity import parse_rules
from gatekeeper.services import freezes
from gatekeeper.services.outbox import Signal, SignalRegistry
from gatekeeper.services.outbox.deliverer import Deliverer
from gatekeeper.services.rules import FreezePolicy
from gatekeeper.storage.freezes import Freeze
from gatekeeper.storage.port import Store
from gatekeeper.testing.events import Obj, make_event, unix
from gatekeeper.testing.stripe import Simulator
from tests.stripe.money import charge
from tests.stripe.shop import open_shop
from tests.stripe.test_clawbacks import BOUGHT, FREE, buy
from tests.stripe.world import RULES, ManualClock, World

pytestmark = pytest.mark.anyio


def attempt(world: World, number: int, **fields: Any) -> Obj:
    """A payment that failed now, each with a card of its own."""
    card = {"fingerprint": f"print_{number}", "brand": "visa"}
    return {
        **charge(f"ch_{number}", intent=f"pi_{number}"),
        "amount_captured": 0,
        "created": unix(world.clock.now),
        "paid": False,
        "payment_method_details": {"type": "card", "card": card},
        "status": "failed",
        **fields,
    }


async def fail(world: World, number: int, **fields: Any) -> None:
    made = attempt(world, number, **fields)
    world.stripe.put(made)
    await world.deliver(make_event("charge.failed", made))


async def told(store: Any) -> list[Signal]:
    found: list[Signal] = []
    registry = SignalRegistry()

    @registry.on("velocity.exceeded", name="host")
    async def hear(signal: Signal) -> None:
        found.append(signal)

    deliverer = Deliverer(store, registry)
    while await deliverer.run_once():
        pass
    return found


async def frozen(world: World) -> list[Freeze]:
    return list(await world.store.read(lambda tx: tx.freezes.of("org_1")))


@pytest.mark.parametrize("counts", ["failed_payments", "cards"])
async def test_case_49_too_many_failures_or_cards_freeze_the_credits_once_for_each_burst(
    world: World, counts: str
) -> None:
    world.rules = replace(world.rules, velocity=parse_rules(f"{counts}>2/1h:freeze"))
    await world.customer()
    for number in (1, 2):
        await fail(world, number)
    await world.spend(1)
    await fail(world, 3)
    with pytest.raises(CreditsFrozenError):
        await world.spend(1, hold="refused")
    (signal,) = await told(world.store)
    assert (signal.body["counts"], signal.body["frozen"]) == (counts, True)
    await world.store.write(lambda tx: freezes.unfreeze(tx, "org_1", "ann"))
    await fail(world, 4)  # of the same burst, which somebody has looked at
    await fail(world, 1)  # and what was heard before
    await world.spend(1, hold="free")
    world.clock.advance(hours=2)
    for number in (5, 6, 7):
        await fail(world, number)
    with pytest.raises(CreditsFrozenError):
        await world.spend(1, hold="again")
    assert [one.key for one in await frozen(world)] == [
        f"velocity/{counts}/ch_3",
        f"velocity/{counts}/ch_7",
    ]


async def test_a_rule_may_just_tell(world: World) -> None:
    world.rules = replace(world.rules, velocity=parse_rules("failed_payments>0/1h:signal"))
    await world.customer()
    await fail(world, 1)
    await fail(world, 2)
    (signal,) = await told(world.store)
    assert signal.body["frozen"] is False
    await world.spend(FREE)


async def test_one_card_that_fails_often_is_one_card(memory_world: World) -> None:
    world = memory_world
    world.rules = replace(world.rules, velocity=parse_rules("cards>1/1h:freeze"))
    await world.customer()
    same = {"type": "card", "card": {"fingerprint": "print_1"}}
    for number in range(4):
        await fail(world, number, payment_method_details=same)
    await fail(world, 9, payment_method_details={"type": "sepa_debit"})
    await world.spend(FREE)


async def test_what_failed_days_ago_and_strangers_payments_count_for_nothing(
    memory_world: World,
) -> None:
    world = memory_world
    world.rules = replace(world.rules, velocity=parse_rules("failed_payments>1/1h:freeze"))
    await world.customer()
    for number in range(3):
        await fail(world, number, created=unix(world.clock.now) - 4 * 86_400)
        await fail(world, 10 + number, customer="cus_9")
    await world.spend(FREE)


async def test_case_49_too_many_top_ups_freeze_what_they_have_bought(
    stripe_sim: Simulator, store: Store, clock: ManualClock
) -> None:
    rules = replace(RULES, velocity=parse_rules("top_ups>1/1h:freeze"))
    shop = await open_shop(stripe_sim, store, clock, rules)
    for number in range(3):
        link = await shop.start("topup_100", idempotency_key=f"tab {number}")
        shop.sim.pay_checkout(link.session_id)
        await shop.settle()
        if number == 0:
            await shop.spend(FREE, hold="fine")
    assert await shop.available() == 300  # what was paid for is theirs
    with pytest.raises(CreditsFrozenError):
        await shop.spend(1)
    (signal,) = await told(shop.store)
    assert signal.body["counts"] == "top_ups"
    await shop.gateway.aclose()


@pytest.mark.parametrize(
    ("closed", "is_free"), [("approved", True), ("refunded_as_fraud", False), ("disputed", False)]
)
async def test_a_review_freezes_by_policy_until_it_is_closed_well(
    world: World, closed: str, is_free: bool
) -> None:
    world.rules = replace(world.rules, freezes=FreezePolicy(on_review=True))
    await buy(world)
    review: Obj = {
        "id": "prv_1",
        "object": "review",
        "closed_reason": None,
        "livemode": False,
        "open": True,
        "payment_intent": "pi_1",
        "reason": "rule",
    }
    world.stripe.put(review)
    await world.deliver(make_event("review.opened", review))
    with pytest.raises(CreditsFrozenError):
        await world.spend(1)
    over = {**review, "open": False, "closed_reason": closed, "reason": closed}
    world.stripe.put(over)
    await world.deliver(make_event("review.closed", over), make_event("review.opened", review))
    if is_free:
        await world.spend(BOUGHT, hold="free")
        return
    with pytest.raises(CreditsFrozenError):
        await world.spend(1, hold="refused")


async def test_a_review_freezes_nothing_by_default_nor_of_nobody(memory_world: World) -> None:
    world = memory_world
    review = {"id": "prv_1", "object": "review", "open": True, "livemode": False}
    world.stripe.put(review)
    await world.deliver(make_event("review.opened", review))
    world.rules = replace(world.rules, freezes=FreezePolicy(on_review=True))
    await world.deliver(make_event("review.opened", review))
    assert await frozen(world) == []
