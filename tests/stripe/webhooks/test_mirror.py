"""Copies of objects: fetched under tickets, in order, kept when Stripe has them no more."""

from datetime import datetime

import msgspec
import pytest

from gatekeeper.services.rules import Rules
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.stripe.webhooks.handlers.context import Context, Touched
from gatekeeper.stripe.webhooks.handlers.mirror import KINDS, MirrorProjector
from gatekeeper.testing.events import Obj, make_event
from tests.stripe.money import charge, dispute, refund
from tests.stripe.world import RULES, World

pytestmark = pytest.mark.anyio


def intent(status: str = "succeeded", **fields: object) -> Obj:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 500,
        "currency": "eur",
        "customer": "cus_1",
        "livemode": False,
        "status": status,
        **fields,
    }


def warning() -> Obj:
    return {
        "id": "issfr_1",
        "object": "radar.early_fraud_warning",
        "charge": "ch_1",
        "actionable": True,
        "fraud_type": "made_with_stolen_card",
        "livemode": False,
    }


async def stored(world: World, kind: str, object_id: str, account: str = "") -> MirrorObject:
    found = await world.store.read(lambda tx: tx.mirror.get(kind, object_id, account))
    assert found is not None
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_every_kind_is_projected_as_stripe_has_it_now(world: World, kind: str) -> None:
    obj = {"id": "x_1", "object": kind, "currency": "eur", "created": 1_790_000_000}
    world.stripe.put(obj)
    await world.deliver(make_event(f"{kind}.updated", {"id": "x_1", "object": kind}))
    assert (await stored(world, kind, "x_1")).currency == "eur"
    assert await world.counts() == {EventStatus.DONE: 1}


async def test_what_belongs_to_a_charge_is_its_customers(world: World) -> None:
    await world.customer()
    world.stripe.put({**charge(), "disputed": True}, refund("re_1", 200), dispute("lost"))
    await world.deliver(make_event("refund.created", refund("re_1", 200)))
    world.stripe.put(warning())
    await world.deliver(make_event("radar.early_fraud_warning.created", warning()))
    for kind, object_id in (
        ("charge", "ch_1"),
        ("refund", "re_1"),
        ("dispute", "dp_1"),
        ("radar.early_fraud_warning", "issfr_1"),
    ):
        assert (await stored(world, kind, object_id)).customer == "org_1"
    of_charge = await world.store.read(lambda tx: tx.mirror.of_parent("refund", "charge/ch_1"))
    assert [(one.id, one.amount_minor) for one in of_charge] == [("re_1", 200)]
    facts = msgspec.json.decode((await stored(world, "radar.early_fraud_warning", "issfr_1")).facts)
    assert facts == {"fraud_type": "made_with_stolen_card", "actionable": True}


async def test_what_is_gone_from_stripe_stays_as_it_was_and_is_marked(world: World) -> None:
    world.stripe.put(intent())
    await world.deliver(make_event("payment_intent.succeeded", intent()))
    before = await stored(world, "payment_intent", "pi_1")
    price = {"id": "price_1", "object": "price", "livemode": False}
    world.stripe.put(price)
    await world.deliver(make_event("price.created", price))
    world.stripe.put({"id": "price_1", "object": "price", "deleted": True})
    await world.deliver(make_event("price.deleted", price))
    assert (await stored(world, "price", "price_1")).deleted
    assert before.customer is None
    assert not before.deleted
    world.stripe.remove(intent())
    await world.deliver(make_event("payment_intent.canceled", intent()))
    # Its last status is final: a look that finds nothing takes nothing from it.
    assert await stored(world, "payment_intent", "pi_1") == before


async def test_what_was_never_seen_leaves_nothing_when_it_is_gone(world: World) -> None:
    await world.deliver(make_event("payment_intent.canceled", intent()))
    assert await world.store.read(lambda tx: tx.mirror.get("payment_intent", "pi_1")) is None
    assert await world.counts() == {EventStatus.DONE: 1}


async def test_an_older_fetch_that_is_written_late_changes_nothing(world: World) -> None:
    projector = MirrorProjector(context_of(world), "payment_intent")
    world.stripe.put(intent("processing"))
    overtaken = False

    async def overtake(object_id: str) -> None:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            world.stripe.put(intent("requires_capture"))
            await projector.refresh(object_id)

    world.stripe.during_fetch = overtake
    await projector.refresh("pi_1")
    assert (await stored(world, "payment_intent", "pi_1")).status == "requires_capture"


async def test_objects_of_connected_accounts_are_kept_apart(world: World) -> None:
    await world.customer()
    world.stripe.put(intent())
    projector = MirrorProjector(context_of(world), "payment_intent")
    assert projector.connected
    await projector.refresh("pi_1", account="acct_2")
    found = await stored(world, "payment_intent", "pi_1", "acct_2")
    assert found.customer is None  # their cus_1 is not ours
    assert await world.store.read(lambda tx: tx.mirror.get("payment_intent", "pi_1")) is None


async def test_an_effect_shares_the_transaction_and_moves_the_customers_version(
    world: World,
) -> None:
    await world.customer()
    world.stripe.put(intent())

    def effect(tx: Transaction, row: MirrorObject, now: datetime) -> Touched | None:
        assert tx.mirror.get(row.kind, row.id) == row
        assert row.customer is not None
        return Touched(row.customer, tx.customers.touch(row.customer))

    await MirrorProjector(context_of(world), "payment_intent", effect).refresh("pi_1")
    assert world.invalidated == [("org_1", 1)]


def context_of(world: World, rules: Rules = RULES) -> Context:
    async def invalidate(customer: str, version: int) -> None:
        world.invalidated.append((customer, version))

    return Context(world.stripe, world.store, rules, invalidate)
