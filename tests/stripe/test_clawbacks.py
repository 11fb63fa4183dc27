"""Hard cases 34 to 39: what a payment granted goes back with the money, and comes back with it."""

import itertools

import anyio
import pytest

from gatekeeper.errors import DebtOutstandingError
from gatekeeper.ledger import Balance
from gatekeeper.services import accounts
from gatekeeper.storage.payments import Payment
from gatekeeper.storage.port import Transaction
from gatekeeper.testing.events import Obj, checkout_session, make_event
from tests.stripe.money import charge, dispute, refund
from tests.stripe.test_purchases import COMPLETED, begin
from tests.stripe.world import World

pytestmark = pytest.mark.anyio

FREE = 5
PACK = 100
BOUGHT = FREE + PACK


async def buy(world: World) -> None:
    """Org 1 has paid for 100 credits (and 2 exports) with charge ch_1."""
    await begin(world)
    world.stripe.put(checkout_session(), charge())
    await world.deliver(make_event(COMPLETED, checkout_session()))


async def refunded(world: World, made: Obj, event: str = "refund.updated") -> None:
    """Stripe has this refund, and says so."""
    world.stripe.put(made)
    await world.deliver(make_event(event, made))


async def disputed(world: World, made: Obj, event: str = "charge.dispute.updated") -> None:
    """Stripe has this dispute, and says so."""
    world.stripe.put({**charge(), "disputed": True}, made)
    await world.deliver(make_event(event, made))


async def balance(world: World) -> Balance:
    return await world.store.read(lambda tx: accounts.balance(tx, world.rules, "org_1", "credits"))


@pytest.mark.parametrize("order", list(itertools.permutations(["bought", "first", "second"])))
async def test_case_34_refunds_of_30_and_20_percent_in_any_order_take_back_half(
    world: World, order: tuple[str, ...]
) -> None:
    await begin(world)
    first, second = refund("re_1", 150), refund("re_2", 100)
    world.stripe.put(checkout_session(), charge())
    events = {
        "bought": make_event(COMPLETED, checkout_session()),
        "first": make_event("refund.created", first),
        "second": make_event("charge.refunded", charge()),
    }
    for name in order:
        world.stripe.put(*({"first": [first], "second": [second]}.get(name, [])))
        await world.deliver(events[name])
    assert (await world.available(), await world.available("exports")) == (FREE + 50, 1)
    for event in events.values():  # all of it once more
        await world.deliver({**event, "id": f"{event['id']}_again"})
    assert (await world.available(), await world.available("exports")) == (FREE + 50, 1)


async def test_case_34_a_part_that_does_not_come_out_even_stays_with_the_customer(
    world: World,
) -> None:
    await buy(world)
    await refunded(world, refund("re_1", 249))
    assert (await world.available(), await world.available("exports")) == (FREE + 51, 2)


@pytest.mark.parametrize("end", ["failed", "canceled"])
async def test_case_35_a_refund_that_comes_to_nothing_is_given_back(world: World, end: str) -> None:
    await buy(world)
    await refunded(world, refund("re_1", 500, "pending"), "refund.created")
    assert await world.available() == FREE
    for _ in range(2):
        await refunded(world, refund("re_1", 500, end), "refund.failed")
        assert await world.available() == BOUGHT
    await refunded(world, refund("re_2", 500))
    assert await world.available() == FREE


async def test_case_36_what_was_spent_becomes_a_debt_that_refuses_new_holds(
    world: World,
) -> None:
    await buy(world)
    await world.spend(BOUGHT)
    await refunded(world, refund("re_1", 500))
    owed = await balance(world)
    assert (owed.available, owed.debt) == (0, PACK)
    with pytest.raises(DebtOutstandingError):
        await world.spend(1, hold="hold_2")
    await refunded(world, refund("re_1", 500, "failed"))
    paid = await balance(world)
    assert (paid.available, paid.debt) == (0, 0)


async def test_case_37_a_dispute_takes_once_gives_back_and_leaves_room_for_a_refund(
    world: World,
) -> None:
    await buy(world)
    await disputed(world, dispute("needs_response"), "charge.dispute.created")
    await disputed(world, dispute("needs_response"), "charge.dispute.funds_withdrawn")
    assert await world.available() == FREE
    await disputed(world, dispute("won"), "charge.dispute.funds_reinstated")
    await disputed(world, dispute("won"), "charge.dispute.closed")
    assert await world.available() == BOUGHT
    await refunded(world, refund("re_1", 250))
    assert await world.available() == FREE + 50


@pytest.mark.parametrize(
    "status", ["warning_needs_response", "warning_under_review", "warning_closed", "prevented"]
)
async def test_case_38_an_inquiry_or_a_prevented_dispute_takes_nothing(
    world: World, status: str
) -> None:
    await buy(world)
    await disputed(world, dispute(status))
    assert await world.available() == BOUGHT


async def test_case_39_a_refund_and_a_lost_dispute_never_take_more_than_there_was(
    world: World,
) -> None:
    await buy(world)
    await refunded(world, refund("re_1", 300))
    await disputed(world, dispute("lost"))
    owed = await balance(world)
    assert (owed.available, owed.debt) == (FREE, 0)


async def test_a_charge_that_failed_says_nothing_of_its_payment(world: World) -> None:
    """A payment intent may have several charges: its attempts, of which the last was paid."""
    await buy(world)
    await refunded(world, refund("re_1", 250))
    failed = {**charge("ch_0"), "amount_captured": 0, "paid": False, "status": "failed"}
    world.stripe.put(failed)
    await world.deliver(make_event("charge.failed", failed))
    assert await world.available() == FREE + 50


async def test_a_hold_that_is_canceled_takes_nothing(world: World) -> None:
    await buy(world)
    made = {**refund("re_1", 500, of="ch_0"), "balance_transaction": None}
    held = {**charge("ch_0"), "amount_captured": 0, "captured": False, "refunded": True}
    world.stripe.put(held, made)
    await world.deliver(make_event("charge.refunded", held))
    assert await world.available() == BOUGHT


async def test_credits_that_expired_unused_are_not_taken_from_others(world: World) -> None:
    await buy(world)
    await world.spend(30)
    world.clock.advance(days=366)
    await refunded(world, refund("re_1", 500))
    owed = await balance(world)
    assert (owed.available, owed.debt) == (0, 25)  # 30 were used, of which 5 are taken elsewhere
    await refunded(world, refund("re_1", 500, "failed"))
    again = await balance(world)
    assert (again.available, again.debt) == (FREE, 0)


async def test_a_pack_that_an_earlier_release_has_granted_is_taken_back_too(world: World) -> None:
    await buy(world)

    def forget(tx: Transaction) -> None:
        tx.payments.save(Payment(id="pi_1"))  # as if it had never been kept

    await world.store.write(forget)
    await refunded(world, refund("re_1", 250))
    assert (await world.available(), await world.available("exports")) == (FREE + 50, 1)
    await refunded(world, refund("re_2", 250))
    assert (await world.available(), await world.available("exports")) == (FREE, 0)


async def test_the_return_of_a_payment_and_its_grant_may_happen_at_once(world: World) -> None:
    await begin(world)
    made = refund("re_1", 500)
    world.stripe.put(checkout_session(), charge(), made)
    await world.send(make_event(COMPLETED, checkout_session()), make_event("refund.created", made))
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(world.new_receiver().drain)
    assert (await world.available(), await world.available("exports")) == (FREE, 0)


async def test_a_refund_of_nothing_that_we_sold_has_no_effect(world: World) -> None:
    await world.customer()
    world.stripe.put(charge())
    await refunded(world, refund("re_1", 500))
    assert (await balance(world)).debt == 0


async def test_a_refund_that_is_gone_or_has_no_charge_is_done_with(world: World) -> None:
    await buy(world)
    await world.deliver(make_event("refund.updated", refund("re_9", 500)))
    await refunded(world, {**refund("re_1", 500), "charge": None})
    assert await world.available() == BOUGHT
