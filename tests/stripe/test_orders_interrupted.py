"""Payments of orders that are cut off in the middle: by a crash, an outage, a change, a bank."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gatekeeper.errors import (
    AmountNotChargeableError,
    OrderClosedError,
    PaymentStateError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.testing.stripe import Simulator
from tests.stripe.test_outgoing import Crash, dying
from tests.stripe.till import ADA, Till, open_till

pytestmark = pytest.mark.anyio

BACK = "https://app.test/"
IBANS = {"good": "DE89370400440532013000", "bad": "DE62370400440532013001"}


@pytest.fixture
async def till(stripe_sim: Simulator) -> AsyncIterator[Till]:
    async with open_till(stripe_sim, store=MemoryStore(clock=lambda: stripe_sim.now)) as opened:
        yield opened


async def resume(till: Till, **later: float) -> None:
    """What the background does once the process is up again."""
    till.sim.advance(**(later or {"minutes": 2}))
    await till.gate.work()


def created(till: Till) -> int:
    return len(till.sim.events("payment_intent.created"))


def debit(till: Till, payment: str, iban: str) -> Any:
    """The customer pays by a bank debit, in their browser."""
    client = till.sim.client().v1
    details: Any = {
        "type": "sepa_debit",
        "sepa_debit": {"iban": IBANS[iban]},
        "billing_details": {"name": "Ada", "email": "ada@example.com"},
    }
    method = client.payment_methods.create(details)
    return client.payment_intents.confirm(payment, {"payment_method": method.id})


@pytest.mark.parametrize(("sent", "hours"), [(True, 0.1), (False, 0.1), (True, 48.0)])
async def test_a_payment_of_which_the_process_did_not_hear_is_the_orders(
    till: Till, monkeypatch: pytest.MonkeyPatch, sent: bool, hours: float
) -> None:
    await till.pay(await till.order())  # Ada has her Stripe customer by now
    order = await till.order()
    dying(till.gate.stripe, monkeypatch, sent=sent)
    with pytest.raises(Crash):
        await till.pay(order)
    await resume(till, hours=hours)
    found = await till.get(order)
    assert found.payment_id is not None
    assert (await till.pay(order)).id == found.payment_id
    assert created(till) == 2


async def test_a_session_of_which_the_process_did_not_hear_is_the_orders(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    await till.pay(await till.order())
    orders = till.gate.orders
    for hours in (0.1, 20.0):
        order = await till.order()
        dying(till.gate.stripe, monkeypatch, sent=True)
        with pytest.raises(Crash):
            await orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK)
        await resume(till, hours=hours)
        session = (await till.get(order)).checkout_session_id
        link = await orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK)
        assert link.session_id == session


@pytest.mark.parametrize("sent", [True, False])
async def test_nobody_is_charged_behind_their_back(
    till: Till, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    order = await till.order()
    intent = await till.pay(order)
    dying(till.gate.stripe, monkeypatch, sent=sent)
    with pytest.raises(Crash):
        await till.gate.orders.confirm(intent.id, "ada", payment_method="pm_card_visa")
    await resume(till)
    await till.settle()
    wanted = OrderStatus.PAID if sent else OrderStatus.PENDING
    assert (await till.get(order)).status is wanted
    assert len(till.sim.events("charge.succeeded")) == int(sent)


@pytest.mark.parametrize(("sent", "hours"), [(True, 0.1), (False, 0.1), (True, 30.0)])
async def test_a_capture_that_was_cut_off_is_made_once(
    till: Till, monkeypatch: pytest.MonkeyPatch, sent: bool, hours: float
) -> None:
    till.terms = {"capture": "manual"}
    order, _ = await till.paid()
    dying(till.gate.stripe, monkeypatch, sent=sent)
    with pytest.raises(Crash):
        await till.gate.orders.capture(order.id, 1_000)
    await resume(till, hours=hours)
    await till.settle()
    done = await till.get(order)
    assert (done.status, done.captured_minor) == (OrderStatus.PAID, 1_000)
    assert len(till.sim.events("charge.captured")) == 1


async def test_a_session_that_was_to_end_is_left_to_who_asks_again(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await till.order()
    link = await till.gate.orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK)
    dying(till.gate.stripe, monkeypatch, sent=False)
    with pytest.raises(Crash):
        await till.pay(order)
    await resume(till)
    sessions = till.sim.client().v1.checkout.sessions
    assert sessions.retrieve(link.session_id).status == "open"
    await till.pay(order)
    assert sessions.retrieve(link.session_id).status == "expired"


def meanwhile(
    till: Till, monkeypatch: pytest.MonkeyPatch, what: Callable[[], Awaitable[Any]]
) -> None:
    """Something happens while the next request is with Stripe."""
    gateway = till.gate.stripe
    post = gateway.post

    async def slow(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(gateway, "post", post)
        answer = await post(*args, **options)
        await what()
        return answer

    monkeypatch.setattr(gateway, "post", slow)


async def test_an_order_that_is_changed_while_its_payment_is_made(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    await till.pay(await till.order())
    order = await till.order()
    meanwhile(till, monkeypatch, lambda: till.gate.orders.change(order.id, ADA, {"pot": 1}))
    intent = await till.pay(order)
    assert intent.amount_minor == 2_000
    assert created(till) == 2


async def test_an_order_that_is_canceled_while_its_payment_is_made(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    await till.pay(await till.order())
    order = await till.order()
    meanwhile(till, monkeypatch, lambda: till.gate.orders.cancel(order.id, "ada"))
    with pytest.raises(OrderClosedError):
        await till.pay(order)
    assert len(till.sim.events("payment_intent.canceled")) == 1
    assert (await till.get(order)).status is OrderStatus.CANCELED


async def test_an_order_that_is_changed_while_its_session_is_made(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    await till.pay(await till.order())
    order = await till.order()
    meanwhile(till, monkeypatch, lambda: till.gate.orders.change(order.id, ADA, {"pot": 1}))
    with pytest.raises(PaymentStateError):
        await till.gate.orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK)
    (ended,) = till.sim.client().v1.checkout.sessions.list().data
    assert ended.status == "expired"
    await till.gate.orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK)


async def test_a_session_that_is_open_is_one_for_what_is_asked_now(till: Till) -> None:
    orders = till.gate.orders
    order = await till.order()
    first = await orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK)
    assert (await orders.status(order.id, "ada")).status is OrderStatus.PENDING
    assert await orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK) == first
    till.terms = {"capture": "manual"}  # it costs the same
    await orders.change(order.id, ADA, {"cup": 2})
    second = await orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK)
    third = await orders.checkout(order.id, "ada", success_url=f"{BACK}ok", cancel_url=BACK)
    sessions = till.sim.client().v1.checkout.sessions
    found = [sessions.retrieve(one.session_id).status for one in (first, second, third)]
    assert found == ["expired", "expired", "open"]
    till.sim.pay_checkout(third.session_id)
    await till.settle()
    held = await till.get(order)
    assert (held.status, held.authorized_minor) == (OrderStatus.PROCESSING, 1_250)
    assert (await orders.capture(order.id)).status is OrderStatus.PAID


async def test_a_customer_whom_stripe_has_deleted_pays_as_a_new_one(till: Till) -> None:
    first = await till.pay(await till.order())
    client = till.sim.client().v1
    client.customers.delete(str(client.payment_intents.retrieve(first.id).customer))
    order = await till.order()
    intent = await till.pay(order)
    till.browse(intent)
    await till.settle()
    assert (await till.get(order)).status is OrderStatus.PAID


async def test_a_bank_debit_is_on_its_way_and_may_fail(till: Till) -> None:
    orders = till.gate.orders
    order = await till.order()
    intent = await till.pay(order)
    assert debit(till, intent.id, "bad").status == "processing"
    await till.settle()
    assert (await till.get(order)).status is OrderStatus.PROCESSING
    assert (await till.pay(order)).status == "processing"
    with pytest.raises(OrderClosedError):
        await orders.cancel(order.id, "ada")
    with pytest.raises(PaymentStateError):
        await orders.cancel_payment(intent.id, "ada")
    till.sim.advance(minutes=10)
    await till.settle()
    failed = await till.get(order)
    assert (failed.status, failed.failure) == (OrderStatus.FAILED, "debit_not_authorized")
    again = await till.pay(order)
    assert again.id == intent.id
    debit(till, again.id, "good")
    till.sim.advance(minutes=10)
    await till.settle()
    assert (await till.get(order)).status is OrderStatus.PAID
    assert till.topics() == ["order.failed", "order.paid"]


async def test_a_debit_that_failed_after_checkout_is_paid_by_another_payment(till: Till) -> None:
    order = await till.order()
    link = await till.gate.orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK)
    till.sim.pay_checkout(link.session_id, iban=IBANS["bad"])
    await till.settle()
    assert (await till.get(order)).status is OrderStatus.PROCESSING
    till.sim.advance(minutes=10)
    await till.settle()
    assert (await till.get(order)).status is OrderStatus.FAILED
    again = await till.gate.orders.checkout(order.id, "ada", success_url=BACK, cancel_url=BACK)
    assert again.session_id != link.session_id
    intent = await till.pay(order)
    assert intent.status == "requires_payment_method"
    till.browse(intent)
    await till.settle()
    assert (await till.get(order)).status is OrderStatus.PAID


async def test_what_stripe_refuses_is_told_by_its_own_name(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await till.order()
    gateway = till.gate.stripe
    refused = {"stripe_code": "amount_too_small", "stripe_status": 400}

    async def refuse(*args: Any, **options: Any) -> Any:
        raise StripeRequestError("Stripe refused it.", **refused)

    await till.pay(await till.order())
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "post", refuse)
        with pytest.raises(AmountNotChargeableError):
            await till.pay(order)
        refused["stripe_code"] = "something_else"
        with pytest.raises(StripeRequestError):
            await till.pay(order)
    intent = await till.pay(order)
    await till.gate.orders.change(order.id, ADA, {"pot": 1})
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "post", refuse)
        with pytest.raises(StripeRequestError):
            await till.pay(order)
        with pytest.raises(StripeRequestError):  # it is not for the payment's state
            await till.gate.orders.cancel_payment(intent.id, "ada")
        refused["stripe_code"] = "payment_intent_unexpected_state"
        with pytest.raises(PaymentStateError):
            await till.pay(order)
    till.sim.misbehave("unavailable", times=50)
    with pytest.raises(StripeUnavailableError):
        await till.pay(order)
