"""Hard case 49: an early fraud warning, or a dispute, freezes a customer's credits by policy."""

from contextlib import suppress
from dataclasses import replace
from functools import partial

import anyio
import msgspec
import pytest

from gatekeeper.asgi.problem import problem_body
from gatekeeper.errors import CreditsFrozenError
from gatekeeper.ledger import GrantCredits, GrantKind
from gatekeeper.services import accounts, clawbacks, customers, freezes
from gatekeeper.services.credits import Credits
from gatekeeper.services.freezes import FreezeDesk
from gatekeeper.services.ledger.batcher import Batcher
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.services.outbox import Signal, SignalRegistry
from gatekeeper.services.outbox.deliverer import Deliverer
from gatekeeper.services.rules import FreezePolicy
from gatekeeper.storage.payments import Share
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.sql import errors as sql_errors
from gatekeeper.storage.sql.dialects.base import Failure
from gatekeeper.stripe.webhooks.handlers.context import nothing
from gatekeeper.testing.events import Obj, make_event
from tests.stripe.money import charge, dispute, refund
from tests.stripe.test_clawbacks import BOUGHT, FREE, buy, disputed, refunded
from tests.stripe.world import World

pytestmark = pytest.mark.anyio

ROUNDS = 12

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
    told = msgspec.json.encode(problem_body(caught.value)).decode()
    assert "fraud" not in told
    assert "pi_1" not in told
    await world.store.write(lambda tx: accounts.capture(tx, world.rules, "before"))
    assert await world.available() == BOUGHT - 10
    desk = FreezeDesk(world.store, world._invalidate)
    assert await desk.unfreeze("org_1", "ann")
    assert not await desk.unfreeze("org_1", "ann")
    await world.spend(1, hold="after")
    await warned(world)  # once more: it was looked at, and is not in doubt any more
    await world.spend(1, hold="again")
    (found,) = await desk.freezes("org_1")
    assert (found.key, found.actor) == ("radar.early_fraud_warning/issfr_1", "ann")
    assert found.reason == "an early fraud warning of payment pi_1"


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
        await world.store.write(lambda tx: freezes.unfreeze(tx, "org_1", "ann"))
        await use("after")


async def test_a_customer_who_was_deleted_is_not_frozen_and_their_refunds_are_done_with(
    world: World,
) -> None:
    world.rules = replace(world.rules, freezes=FreezePolicy(on_dispute=True, on_review=True))
    await buy(world)
    await world.store.write(lambda tx: customers.delete(tx, "org_1"))
    review: Obj = {
        "id": "prv_1",
        "object": "review",
        "livemode": False,
        "open": True,
        "payment_intent": "pi_1",
    }
    world.stripe.put(review)
    opened = make_event("review.opened", review)
    made = dispute("needs_response")
    world.stripe.put({**charge(), "disputed": True}, made, WARNING)
    told = [make_event("charge.dispute.created", made), make_event(CREATED, WARNING), opened]
    await world.deliver(*told)
    assert [await world.status_of(one) for one in told] == [EventStatus.DONE] * 3
    assert list(await world.store.read(lambda tx: tx.freezes.of("org_1"))) == []
    world.stripe.put(dispute("won"))
    again = make_event("charge.dispute.closed", dispute("won"))
    await world.deliver(again)
    assert await world.status_of(again) is EventStatus.DONE


async def test_a_payment_that_names_no_customer_is_its_buyers(world: World) -> None:
    await buy(world)
    world.stripe.put({**charge(), "customer": None})
    await warned(world)
    with pytest.raises(CreditsFrozenError):
        await world.spend(1)


async def test_a_freeze_and_its_end_are_told_of(world: World) -> None:
    await world.customer()

    def work(tx: Transaction) -> None:
        freezes.freeze(tx, "org_1", "case/1", "looks odd")
        freezes.freeze(tx, "org_1", "case/2", "looks odder")
        freezes.unfreeze(tx, "org_1", "ann", key="case/1")  # the other holds on
        freezes.unfreeze(tx, "org_1", "ann")

    await world.store.write(work)
    told: list[str] = []
    registry = SignalRegistry()

    @registry.on("credits.frozen", "credits.unfrozen", name="host")
    async def hear(signal: Signal) -> None:
        told.append(f"{signal.topic} {signal.body['key']}")

    deliverer = Deliverer(world.store, registry)
    while await deliverer.run_once():
        pass
    assert told == ["credits.frozen case/1", "credits.frozen case/2", "credits.unfrozen None"]


async def test_freezing_paying_refunding_and_spending_at_once_never_wait_crosswise(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another try: what two transactions wait for crosswise would fail."""
    monkeypatch.setitem(sql_errors._MAX_RUNS, Failure.CONFLICT, 1)
    await buy(world)
    await refunded(world, refund("re_0", 5))
    world.rules = replace(world.rules, freezes=FreezePolicy(on_dispute=True))
    projections = world.projections
    world.stripe.put({**charge(), "disputed": True})

    async def dispute_and_win() -> None:
        for number in range(ROUNDS):
            made = dispute("needs_response" if number % 2 else "won", 100)
            world.stripe.put(made)
            await projections.money.refresh("ch_1", nothing)

    async def freeze_by_hand() -> None:
        for number in range(ROUNDS):
            await world.store.write(
                partial(
                    freezes.freeze,
                    customer="org_1",
                    key=f"case/{number}",
                    reason="looks odd",
                )
            )
            await world.store.write(partial(freezes.unfreeze, customer="org_1", actor="ann"))

    async def grant() -> None:
        for number in range(ROUNDS):

            def both(tx: Transaction, number: int = number) -> None:
                payment = tx.payments.lock("pi_1")
                shares = []
                for unit in ("credits", "exports"):
                    command = GrantCredits(f"g{number}{unit}", 10, GrantKind.TOP_UP)
                    given = accounts.grant(tx, world.rules, "org_1", unit, command)
                    shares.append(
                        Share(unit=unit, grant_id=given.id, key=given.id, amount=10, kind="top_up")
                    )
                clawbacks.note_grants(tx, world.rules, payment, "org_1", tuple(shares))

            await world.store.write(both)

    async def spend() -> None:
        for number in range(ROUNDS):
            with suppress(CreditsFrozenError):
                await world.spend(1, hold=f"busy_{number}")

    async with anyio.create_task_group() as tasks:
        for act in (dispute_and_win, freeze_by_hand, grant, spend):
            tasks.start_soon(act)
    await world.store.write(lambda tx: freezes.unfreeze(tx, "org_1", "ann"))
    await world.spend(1, hold="last")
