"""Hard cases 33 and 43: several events tell of one purchase, and of one refund."""

import itertools

import pytest

from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.testing.events import (
    Obj,
    checkout_session,
    invoice,
    make_event,
    price,
    subscription,
)
from tests.stripe.money import charge, refund
from tests.stripe.test_invoice_refunds import paid_by
from tests.stripe.test_purchases import COMPLETED, begin
from tests.stripe.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

FREE = 5
INTENT: Obj = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 500,
    "currency": "eur",
    "customer": "cus_1",
    "latest_charge": "ch_1",
    "livemode": False,
    "status": "succeeded",
}
ORDERS = list(itertools.permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS)
async def test_case_33_of_a_pack_session_payment_and_invoice_give_one_grant(
    world: World, order: tuple[int, ...]
) -> None:
    """A session with `invoice_creation` makes an invoice of a pack, too."""
    await begin(world)
    receipt = invoice(of_subscription=None, lines=[], amount_paid=500)
    session = checkout_session(invoice="in_1")
    world.stripe.put(session, INTENT, receipt, charge(), paid_by())
    events = (
        make_event(COMPLETED, session),
        make_event("payment_intent.succeeded", INTENT),
        make_event("invoice.paid", receipt),
    )
    await world.deliver(*(events[place] for place in order))
    assert (await world.available(), await world.available("exports")) == (FREE + 100, 2)
    await world.deliver(*({**one, "id": f"{one['id']}_again"} for one in events))
    assert (await world.available(), await world.available("exports")) == (FREE + 100, 2)
    made = refund("re_1", 500)  # and it goes back once
    world.stripe.put(made)
    await world.deliver(make_event("refund.created", made), make_event("invoice.updated", receipt))
    assert (await world.available(), await world.available("exports")) == (FREE, 0)


@pytest.mark.parametrize("order", ORDERS)
async def test_case_33_of_a_subscription_session_payment_and_invoice_give_one_grant(
    world: World, order: tuple[int, ...]
) -> None:
    await begin(world, lookup_key="pro_monthly", mode="subscription")
    session = checkout_session(
        mode="subscription", of_price=price(), subscription="sub_1", invoice="in_1"
    )
    bought = subscription(latest_invoice=invoice())
    world.stripe.put(session, bought, invoice(), {**INTENT, "amount": 999}, paid_by())
    events = (
        make_event(COMPLETED, session),
        make_event("payment_intent.succeeded", INTENT),
        make_event("invoice.paid", invoice()),
    )
    await world.deliver(*(events[place] for place in order))
    assert await world.available() == FREE + 1_000
    await world.deliver(*({**one, "id": f"{one['id']}_again"} for one in events))
    assert await world.available() == FREE + 1_000


@pytest.mark.parametrize("order", ORDERS)
async def test_case_43_the_reversal_by_a_destination_charges_refund_is_recorded_once(
    world: World, order: tuple[int, ...]
) -> None:
    """The charge's money went on to a seller; its refund takes 200 of 500 back from them."""
    await begin(world)
    reversal: Obj = {
        "id": "trr_1",
        "object": "transfer_reversal",
        "amount": 200,
        "currency": "eur",
        "source_refund": "re_1",
        "transfer": "tr_1",
    }
    transfer: Obj = {
        "id": "tr_1",
        "object": "transfer",
        "amount": 500,
        "amount_reversed": 200,
        "currency": "eur",
        "destination": "acct_seller",
        "livemode": False,
        "reversals": {"object": "list", "data": [reversal], "has_more": False},
        "reversed": False,
        "source_transaction": "ch_1",
    }
    made = {**refund("re_1", 200), "transfer_reversal": "trr_1"}
    sold = {**charge(), "transfer": "tr_1"}
    world.stripe.put(checkout_session(), sold, transfer, made)
    await world.deliver(make_event(COMPLETED, checkout_session()))
    events = (
        make_event("charge.refunded", sold),
        make_event("refund.created", made),
        make_event("transfer.reversed", transfer),
    )
    await world.deliver(*(events[place] for place in order))
    await world.deliver(*({**one, "id": f"{one['id']}_again"} for one in events))

    def found(tx: Transaction) -> tuple[list[MirrorObject], MirrorObject | None]:
        return list(tx.mirror.of_parent("transfer_reversal", "transfer/tr_1")), tx.mirror.get(
            "transfer", "tr_1"
        )

    reversals, known = await world.store.read(found)
    assert [(one.id, one.amount_minor) for one in reversals] == [("trr_1", 200)]
    assert known is not None
    assert '"amount_reversed":200' in known.facts
    assert await world.available() == FREE + 60  # and the buyer's credits follow the refund
