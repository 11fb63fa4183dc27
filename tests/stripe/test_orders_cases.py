"""The hard cases of orders, on every database: what is lost, late, twice, forged or refunded."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from gatekeeper.catalog import CURRENCIES
from gatekeeper.errors import (
    AmountNotChargeableError,
    PaymentStateError,
    StripeUnavailableError,
)
from gatekeeper.projection.orders import MISMATCH, OrderStatus
from gatekeeper.services import orders
from gatekeeper.services.orders import Quote
from gatekeeper.services.orders.payments import STRANGER
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.orders import Order
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.orders.intents import OrderIntents
from gatekeeper.stripe.reconciliation.reconciler import RunOptions
from gatekeeper.testing.stripe import Simulator
from tests.gates import gate_url  # noqa: F401 -- fixture
from tests.sdk.hosts import COUNT, INSERT, async_host, sync_host
from tests.stripe.till import ADA, Till, open_till

pytestmark = pytest.mark.anyio

# What the API shows on every database (tests/asgi/orders) is shown here in memory.

PAID, FAILED, REFUNDED = OrderStatus.PAID, OrderStatus.FAILED, OrderStatus.REFUNDED


@pytest.fixture
async def till(stripe_sim: Simulator, gate_url: str) -> AsyncIterator[Till]:  # noqa: F811
    """On SQLite and PostgreSQL in turn."""
    async with open_till(stripe_sim, url=gate_url) as opened:
        yield opened


@pytest.fixture
async def quick(stripe_sim: Simulator) -> AsyncIterator[Till]:
    """In memory."""
    async with open_till(stripe_sim, store=MemoryStore(clock=lambda: stripe_sim.now)) as opened:
        yield opened


@pytest.mark.parametrize("currency", ["jpy", "kwd", "isk"])
async def test_case_29_orders_have_stripes_minor_units(quick: Till, currency: str) -> None:
    step = CURRENCIES[currency].step
    quick.terms = {"currency": currency, "amount_minor": 5_000 * step}
    order, intent = await quick.paid()
    assert (order.status, order.captured_minor, order.currency) == (PAID, 5_000 * step, currency)
    assert intent.currency == currency
    if step > 1:
        quick.terms["amount_minor"] = 5_000 * step + 1
        with pytest.raises(AmountNotChargeableError):
            await quick.order()


async def refund(till: Till, payment: str, amount: int) -> Any:
    client = till.sim.client()
    return client.v1.refunds.create({"payment_intent": payment, "amount": amount})


@pytest.mark.parametrize("order_of", ["as_sent", "shuffled"])
async def test_case_34_refunds_of_an_order_in_any_order_add_up(quick: Till, order_of: str) -> None:
    order = await quick.order()
    intent = await quick.pay(order)
    quick.browse(intent)
    if order_of == "as_sent":
        await quick.settle()
    await refund(quick, intent.id, 375)
    await refund(quick, intent.id, 250)
    if order_of == "shuffled":
        quick.sim.shuffle()
    await quick.settle()
    part = await quick.get(order)
    assert (part.status, part.refunded_minor) == (PAID, 625)
    await refund(quick, intent.id, 625)
    await quick.settle()
    assert (await quick.get(order)).status is REFUNDED
    assert quick.topics()[0] == "order.paid"
    assert quick.signals[-1].body["refunded_minor"] == 1_250


async def test_case_34_a_refund_that_is_told_of_before_the_payment_finds_its_order_paid(
    quick: Till,
) -> None:
    order = await quick.order()
    intent = await quick.pay(order)
    quick.browse(intent)
    await refund(quick, intent.id, 250)
    [told] = quick.sim.events("charge.refunded")
    await quick.sim.deliver(told["id"])
    await quick.gate.receiver.drain()
    done = await quick.get(order)
    assert (done.status, done.refunded_minor) == (PAID, 250)


async def test_case_35_a_refund_that_failed_makes_an_order_paid_again(till: Till) -> None:
    order, intent = await till.paid()
    made = await refund(till, intent.id, 1_250)
    await till.settle()
    assert (await till.get(order)).status is REFUNDED
    till.sim.fail_refund(made.id)
    await till.settle()
    again = await till.get(order)
    assert (again.status, again.refunded_minor) == (PAID, 0)
    assert till.topics() == ["order.paid", "order.refunded", "order.refunded"]


async def test_case_37_a_dispute_of_an_order_takes_it_and_gives_it_back(till: Till) -> None:
    order, intent = await till.paid()
    dispute = till.sim.dispute(intent.id)
    await till.settle()
    assert (await till.get(order)).status is REFUNDED
    till.sim.close_dispute(dispute["id"], "won")
    await till.settle()
    assert (await till.get(order)).status is PAID


@pytest.mark.parametrize("kind", ["lost", "lost_with_500"])
async def test_case_41_a_payment_whose_answer_was_lost_is_made_once(quick: Till, kind: Any) -> None:
    order = await quick.order()
    other = await quick.order({"pot": 1})
    await quick.pay(other)  # Ada has her Stripe customer by now
    quick.sim.misbehave(kind, path="/v1/payment_intents", method="POST", times=1)
    with pytest.raises(StripeUnavailableError):
        await quick.pay(order)
    intent = await quick.pay(order)
    assert (await quick.pay(order)).id == intent.id
    stripe_id = quick.sim.client().v1.payment_intents.retrieve(intent.id).customer
    made = quick.sim.client().v1.payment_intents.list({"customer": str(stripe_id)}).data
    assert len(made) == 2
    quick.browse(intent)
    await quick.settle()
    assert (await quick.get(order)).status is PAID


async def test_case_42_what_is_held_is_captured_once(quick: Till) -> None:
    quick.terms = {"capture": "manual"}
    orders = quick.gate.orders
    order, intent = await quick.paid()
    quick.sim.misbehave("lost", path=f"/v1/payment_intents/{intent.id}/capture", times=1)
    with pytest.raises(StripeUnavailableError):
        await orders.capture(order.id, 1_000)
    with pytest.raises(PaymentStateError):
        await orders.capture(order.id, 1_000)
    await quick.settle()
    done = await quick.get(order)
    assert (done.status, done.captured_minor) == (PAID, 1_000)
    (captured,) = quick.sim.events("charge.captured")
    assert captured["data"]["object"]["payment_intent"] == intent.id


async def test_case_42_what_has_lapsed_is_not_captured(quick: Till) -> None:
    quick.terms = {"capture": "manual"}
    order, _ = await quick.paid()
    quick.sim.advance(days=8)
    with pytest.raises(PaymentStateError) as refused:
        await quick.gate.orders.capture(order.id)
    assert refused.value.params == {"status": "canceled", "reason": "automatic"}
    await quick.settle()
    failed = await quick.get(order)
    assert (failed.status, failed.failure, failed.captured_minor) == (FAILED, "automatic", 0)
    assert quick.topics() == ["order.authorized", "order.failed"]


@pytest.mark.parametrize(
    ("forged", "failure"),
    [({"amount": 50}, MISMATCH), ({"currency": "usd"}, MISMATCH), ({"customer": "eve"}, STRANGER)],
)
async def test_case_50_what_was_forged_does_not_pay_an_order(
    till: Till, forged: dict[str, Any], failure: str
) -> None:
    order = await till.order()
    intent = await till.pay(order)
    if "customer" in forged:
        eve = await till.gate.orders.create("eve", {"pot": 1})
        theirs = await till.gate.orders.pay(eve.id, "eve")
        found = till.sim.client().v1.payment_intents.retrieve(theirs.id)
        forged = {"customer": str(found.customer)}
    changes: Any = {**forged, "metadata": {"gatekeeper_order": order.id, "amount": "1250"}}
    till.sim.client().v1.payment_intents.update(intent.id, changes)
    till.browse(intent)
    await till.settle()
    unpaid = await till.get(order)
    assert (unpaid.status, unpaid.failure, unpaid.captured_minor) == (FAILED, failure, 0)
    assert sorted(till.topics()) == ["order.failed", "order.mispaid"]
    right = await till.pay(order)
    assert right.id != intent.id
    till.browse(right)
    await till.settle()
    assert (await till.get(order)).status is PAID


async def test_events_of_an_order_in_any_order_come_to_the_same(till: Till) -> None:
    order = await till.order()
    intent = await till.pay(order)
    with pytest.raises(Exception, match="declined"):
        till.browse(intent, "pm_card_chargeDeclined")
    till.browse(intent)
    await refund(till, intent.id, 250)
    till.sim.shuffle()
    await till.settle()
    for event in till.sim.events():
        till.sim.redeliver(event["id"])
    await till.settle()
    done = await till.get(order)
    assert (done.status, done.captured_minor, done.refunded_minor) == (PAID, 1_250, 250)
    assert sorted(set(till.topics())) == sorted(till.topics())


async def test_an_order_is_made_in_the_hosts_own_transaction(
    till: Till,
    gate_url: str,  # noqa: F811
) -> None:
    orders = till.gate.orders
    quote = Quote(amount_minor=500, currency="eur", reference="basket")
    async with async_host(gate_url) as engine:
        for end in (AsyncSession.rollback, AsyncSession.commit):
            async with AsyncSession(engine) as session:
                await session.execute(INSERT, {"id": "basket"})
                made = await orders.place(ADA, quote, session=session)
                await end(session)
            is_kept = end is AsyncSession.commit
            async with engine.connect() as connection:
                assert (await connection.execute(COUNT)).scalar_one() == int(is_kept)
            assert len(await orders.of_customer("ada")) == int(is_kept)
        async with AsyncSession(engine) as session, session.begin():
            assert (await orders.place(ADA, quote, session=session)).id == made.id
            asked = await orders.create(ADA, {"cup": 1}, session=session)
        assert (await orders.get(asked.id, "ada")).amount_minor == 625
        for end, amount in ((AsyncSession.rollback, 625), (AsyncSession.commit, 2_000)):
            async with AsyncSession(engine) as session:
                await orders.change(asked.id, ADA, {"pot": 1}, session=session)
                await end(session)
            assert (await orders.get(asked.id, "ada")).amount_minor == amount


def test_an_order_is_made_in_a_synchronous_hosts_own_transaction(
    migrated_sqlite_url: str, stripe_sim: Simulator
) -> None:

    async def story() -> None:
        async with open_till(stripe_sim, url=migrated_sqlite_url) as till:
            with sync_host(migrated_sqlite_url) as engine, engine.begin() as connection:
                quote = Quote(amount_minor=500, currency="eur")
                made = till.gate.orders.place_in(connection, "ada", quote)
            assert (await till.gate.orders.get(made.id, "ada")).amount_minor == 500

    anyio.run(story)


async def test_case_47_reconciliation_finds_the_payments_whose_events_never_came(
    till: Till,
) -> None:
    in_page, on_stripe, late = await till.order(), await till.order(), await till.order()
    begun = await till.pay(in_page)
    till.browse(begun)
    back = "https://app.test/"
    link = await till.gate.orders.checkout(on_stripe.id, "ada", success_url=back, cancel_url=back)
    till.sim.pay_checkout(link.session_id)
    await till.gate.orders.checkout(late.id, "ada", success_url=back, cancel_url=back)
    for event in till.sim.events():
        till.sim.drop(event["id"])
    objects = RunOptions(events=False)
    found = await till.gate.reconciler.run(objects)
    assert {one.id for one in found.drift} == {begun.id, link.session_id}
    assert (await till.get(in_page)).status is PAID
    assert (await till.get(on_stripe)).status is PAID
    assert (await till.get(late)).status is OrderStatus.PENDING
    assert (await till.gate.reconciler.run(objects)).drift == ()


async def test_two_who_begin_to_pay_at_once_begin_one_payment(till: Till) -> None:
    order = await till.order()
    other = await till.pay(await till.order())  # Ada has her Stripe customer by now
    found: list[str] = []

    async def begin() -> None:
        try:
            found.append((await till.pay(order)).id)
        except StripeUnavailableError:  # the other one holds the key just now
            found.append((await till.pay(order)).id)

    async with anyio.create_task_group() as clicks:
        clicks.start_soon(begin)
        clicks.start_soon(begin)
    assert len(set(found)) == 1
    made = till.sim.events("payment_intent.created")
    assert {one["data"]["object"]["id"] for one in made} == {*found, other.id}


async def test_who_begins_while_another_is_about_to_begins_the_same(
    quick: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await quick.order()
    make: Any = OrderIntents._make
    found: list[str] = []

    async def somebody_is_faster(self: OrderIntents, *order_as_read: Any) -> Any:
        monkeypatch.undo()
        found.append((await quick.pay(order)).id)
        return await make(self, *order_as_read)

    monkeypatch.setattr(OrderIntents, "_make", somebody_is_faster)
    found.append((await quick.pay(order)).id)
    assert len(found) == 2
    assert len(set(found)) == len(quick.sim.events("payment_intent.created")) == 1


async def test_a_session_that_is_heard_of_last_comes_to_the_same(quick: Till) -> None:
    """Its payment, and a part of it that went back, were heard of before anybody knew whose."""
    order = await quick.order()
    back = "https://app.test/"
    link = await quick.gate.orders.checkout(order.id, "ada", success_url=back, cancel_url=back)
    quick.sim.pay_checkout(link.session_id)
    (late,) = quick.sim.events("checkout.session.completed")
    quick.sim.drop(late["id"])
    (paid,) = quick.sim.events("payment_intent.succeeded")
    payment = paid["data"]["object"]["id"]
    await refund(quick, payment, 250)
    await quick.settle()
    assert (await quick.get(order)).status is OrderStatus.PENDING
    quick.sim.redeliver(late["id"])
    await quick.settle()
    done = await quick.get(order)
    assert (done.status, done.captured_minor, done.refunded_minor) == (PAID, 1_250, 250)
    assert quick.topics() == ["order.paid", "order.refunded"]


async def test_what_was_paid_stays_so_and_a_payment_is_one_orders(
    quick: Till, caplog: pytest.LogCaptureFixture
) -> None:
    order, intent = await quick.paid()
    other = await quick.order()

    def spoil(tx: Transaction) -> tuple[Order, Order]:
        known = tx.orders.get(order.id, lock=True)
        theirs = tx.orders.get(other.id, lock=True)
        payment = tx.orders.payment(intent.id)
        assert known is not None
        assert theirs is not None
        assert payment is not None
        changed = orders.write(tx, known, replace(known, amount_minor=5), tx.now())
        return changed, orders.attach(tx, theirs, payment, tx.now())

    kept, unpaid = await quick.gate.store.write(spoil)
    assert (kept.status, kept.amount_minor) == (PAID, 1_250)
    assert unpaid.payment_id is None
    assert "would go from paid to failed" in caplog.text
    assert f"payment {intent.id} is not order {other.id}'s" in caplog.text
