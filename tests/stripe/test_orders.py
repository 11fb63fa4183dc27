"""Orders: priced by the host, paid at Stripe, and followed by webhooks alone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gatekeeper import Identity
from gatekeeper.errors import (
    AmountNotChargeableError,
    ConfigurationError,
    ConflictError,
    IdempotencyConflictError,
    InvalidAmountError,
    InvalidInputError,
    NotFoundError,
    OrderClosedError,
    PaymentStateError,
    RegistrationError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.services.orders import Quote
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.stripe.orders import PayOptions
from gatekeeper.testing.stripe import Simulator
from tests.stripe.till import ADA, CUPS, DECLINED, SECURE, VISA, Till, open_till

pytestmark = pytest.mark.anyio

PENDING, PROCESSING, PAID = OrderStatus.PENDING, OrderStatus.PROCESSING, OrderStatus.PAID
FAILED, CANCELED, REFUNDED = OrderStatus.FAILED, OrderStatus.CANCELED, OrderStatus.REFUNDED


@pytest.fixture
async def till(stripe_sim: Simulator) -> AsyncIterator[Till]:
    """On the store in memory."""
    async with open_till(stripe_sim, store=MemoryStore(clock=lambda: stripe_sim.now)) as opened:
        yield opened


async def test_an_order_is_priced_by_the_host_and_paid_by_the_webhook_only(till: Till) -> None:
    order = await till.order()
    assert (order.status, order.amount_minor, order.currency) == (PENDING, 1_250, "eur")
    assert (order.customer, order.actor, order.items) == ("ada", "ada's clerk", '{"cup":2}')
    intent = await till.pay(order)
    assert (intent.amount_minor, intent.status) == (1_250, "requires_payment_method")
    assert intent.client_secret is not None
    assert intent.client_secret not in repr(intent)
    assert till.browse(intent).status == "succeeded"
    assert (await till.get(order)).status is PENDING  # the browser's word does not count
    await till.settle()
    paid = await till.get(order)
    assert (paid.status, paid.captured_minor, paid.payment_id) == (PAID, 1_250, intent.id)
    assert paid.paid_at is not None
    assert till.topics() == ["order.paid"]
    assert till.signals[0].body["captured_minor"] == 1_250
    with pytest.raises(OrderClosedError):
        await till.pay(order)
    with pytest.raises(OrderClosedError):
        await till.gate.orders.change(order.id, ADA, CUPS)
    with pytest.raises(OrderClosedError):
        await till.gate.orders.cancel(order.id, "ada")


async def test_whoever_comes_back_before_the_webhook_need_not_wait(till: Till) -> None:
    order = await till.order()
    intent = await till.pay(order)
    till.browse(intent)
    seen = await till.gate.orders.payment(intent.id, "ada")
    assert (seen.status, seen.client_secret) == ("succeeded", None)
    assert (await till.get(order)).status is PAID
    other = await till.order()
    till.browse(await till.pay(other))
    assert (await till.gate.orders.status(other.id, "ada")).status is PAID
    await till.settle()
    assert till.topics() == ["order.paid", "order.paid"]


async def test_an_interrupted_payment_is_gone_on_with(till: Till) -> None:
    order = await till.order()
    first = await till.pay(order)
    assert await till.pay(order) == first
    assert len(till.posts("/payment_intents")) == 1
    till.browse(first, SECURE)
    waiting = await till.pay(order)
    assert (waiting.id, waiting.status) == (first.id, "requires_action")
    assert waiting.next_action is not None
    assert (await till.get(order)).status is PENDING
    till.sim.authenticate(first.id)
    await till.settle()
    assert (await till.get(order)).status is PAID


async def test_a_changed_order_brings_its_payment_along(till: Till) -> None:
    order = await till.order(reference="cart 7")
    first = await till.pay(order)
    changed = await till.gate.orders.change(order.id, ADA, {"cup": 2, "pot": 1})
    assert (changed.amount_minor, changed.revision, changed.reference) == (3_250, 2, "cart 7")
    same = await till.gate.orders.change(order.id, ADA, {"cup": 2, "pot": 1})
    assert same == changed
    again = await till.pay(order, options=PayOptions(receipt_email="ada@example.com"))
    assert (again.id, again.client_secret, again.amount_minor) == (
        first.id,
        first.client_secret,
        3_250,
    )
    till.browse(again)
    await till.settle()
    assert (await till.get(order)).captured_minor == 3_250
    stored = till.sim.client().v1.payment_intents.retrieve(first.id)
    assert stored.receipt_email == "ada@example.com"


async def test_what_stripe_does_not_change_is_made_anew(till: Till) -> None:
    order = await till.order()
    first = await till.pay(order)
    till.terms = {"capture": "manual"}
    await till.gate.orders.change(order.id, ADA, CUPS)
    second = await till.pay(order)
    assert second.id != first.id
    with pytest.raises(StripeRequestError):
        await till.gate.stripe.post(f"/v1/payment_intents/{first.id}/confirm", {}, what="again")
    till.browse(second)
    await till.settle()
    assert (await till.get(order)).status is PROCESSING
    assert [one.status for one in await till.gate.orders.payments(order.id, "ada")] == [
        "canceled",
        "requires_capture",
    ]


async def test_a_payment_that_is_gone_is_replaced(till: Till) -> None:
    order = await till.order()
    first = await till.pay(order)
    paused = await till.gate.orders.cancel_payment(first.id, "ada", reason="abandoned")
    assert (paused.status, paused.payment_id) == (PENDING, None)
    second = await till.pay(order)
    assert second.id != first.id
    await till.gate.stripe.post(f"/v1/payment_intents/{second.id}/cancel", {}, what="elsewhere")
    await till.settle()
    assert (await till.get(order)).status is PENDING
    third = await till.pay(order)
    assert third.id not in (first.id, second.id)
    assert (await till.get(order)).status is PENDING


async def test_a_declined_card_and_another_one(till: Till) -> None:
    order = await till.order()
    intent = await till.pay(order)
    with pytest.raises(Exception, match="declined"):
        till.browse(intent, DECLINED)
    await till.settle()
    failed = await till.get(order)
    assert (failed.status, failed.failure) == (FAILED, "card_declined")
    assert await till.pay(order) == intent.__replace__(failure="card_declined")
    till.browse(intent)
    await till.settle()
    assert (await till.get(order)).failure is None
    assert till.topics() == ["order.failed", "order.paid"]


async def test_confirmed_here_with_a_saved_card(till: Till) -> None:
    orders = till.gate.orders
    order = await till.order()
    intent = await till.pay(order, options=PayOptions(save_card="off_session"))
    done = await orders.confirm(intent.id, "ada", payment_method=VISA)
    assert (done.status, (await till.get(order)).status) == ("succeeded", PAID)
    stripe_id = till.sim.client().v1.payment_intents.retrieve(intent.id).customer
    saved_by: Any = {"customer": stripe_id, "type": "card"}
    (saved,) = till.sim.client().v1.payment_methods.list(saved_by).data
    await till.settle()
    second = await till.order()
    again = await till.pay(second)
    done = await orders.confirm(again.id, "ada", payment_method=saved.id, off_session=True)
    assert done.status == "succeeded"
    with pytest.raises(OrderClosedError):
        await orders.confirm(again.id, "ada", payment_method=saved.id)
    eve = await orders.create("eve", CUPS)
    theirs = await orders.pay(eve.id, "eve")
    with pytest.raises(NotFoundError):
        await orders.confirm(theirs.id, "eve", payment_method=saved.id)


async def test_confirmed_here_a_card_is_declined_or_asks_for_its_holder(till: Till) -> None:
    orders = till.gate.orders
    order = await till.order()
    intent = await till.pay(order)
    with pytest.raises(StripeRequestError) as refused:
        await orders.confirm(intent.id, "ada", payment_method=DECLINED)
    assert refused.value.params["stripe_code"] == "card_declined"
    assert (await till.get(order)).status is FAILED
    with pytest.raises(StripeRequestError) as refused:
        await orders.confirm(intent.id, "ada", payment_method=SECURE, off_session=True)
    assert refused.value.params["stripe_code"] == "authentication_required"
    asked = await orders.confirm(
        intent.id,
        "ada",
        payment_method=SECURE,
        return_url="https://app.test/back",
        idempotency_key="once",
    )
    assert (asked.status, asked.next_action) == ("requires_action", "redirect_to_url")
    assert asked.redirect_url is not None


async def test_money_that_is_held_is_captured_in_part_and_let_go(till: Till) -> None:
    till.terms = {"capture": "manual"}
    orders = till.gate.orders
    order, intent = await till.paid()
    assert (order.status, order.authorized_minor, order.captured_minor) == (PROCESSING, 1_250, 0)
    assert till.topics() == ["order.authorized"]
    assert (await till.pay(order)).status == "requires_capture"
    with pytest.raises(InvalidAmountError):
        await orders.capture(order.id, 1_251)
    with pytest.raises(NotFoundError):
        await orders.capture(order.id, seller="ada")
    part = await orders.capture(order.id, 1_000)
    assert (part.status, part.captured_minor, part.authorized_minor) == (PAID, 1_000, 0)
    await till.settle()
    assert (await till.get(order)).refunded_minor == 0
    other, _ = await till.paid()
    canceled = await orders.cancel(other.id, "ada", reason="abandoned")
    assert (canceled.status, canceled.cancel_reason) == (CANCELED, "abandoned")
    await till.settle()
    assert (await till.get(other)).status is CANCELED
    with pytest.raises(PaymentStateError):
        await orders.capture(other.id)
    assert intent.id != ""


async def test_an_order_that_is_canceled_can_not_be_paid_any_more(till: Till) -> None:
    orders = till.gate.orders
    order = await till.order()
    intent = await till.pay(order)
    canceled = await orders.cancel(order.id, "ada")
    assert await orders.cancel(order.id, "ada") == canceled
    with pytest.raises(Exception, match="status of canceled"):
        till.browse(intent)
    for paying in (till.pay(order), orders.confirm(intent.id, "ada")):
        with pytest.raises(OrderClosedError):
            await paying
    await till.settle()
    assert till.topics() == ["order.canceled"]
    with pytest.raises(InvalidInputError):
        await orders.cancel(order.id, "ada", reason="because")
    bare = await orders.cancel((await till.order()).id, "ada")
    assert bare.status is CANCELED


async def test_the_same_order_is_made_once(till: Till) -> None:
    first = await till.order(reference="cart 7", idempotency_key="k")
    assert await till.order(reference="cart 7", idempotency_key="k") == first
    assert await till.order(reference="cart 7") == first
    with pytest.raises(IdempotencyConflictError):
        await till.order({"pot": 1}, reference="cart 7", idempotency_key="k")
    with pytest.raises(ConflictError) as refused:
        await till.order({"pot": 1}, reference="cart 7")
    assert refused.value.params["order"] == first.id
    others = await till.gate.orders.create("eve", CUPS, reference="cart 7", idempotency_key="k")
    assert others.id != first.id
    till.terms = {"reference": "cart 8"}
    with pytest.raises(ConflictError):
        await till.gate.orders.change(first.id, ADA, CUPS)


async def test_orders_are_their_owners(till: Till) -> None:
    orders = till.gate.orders
    order, intent = await till.paid()
    back = "https://app.test/"
    for asked in (
        orders.get(order.id, "eve"),
        orders.status(order.id, "eve"),
        orders.change(order.id, "eve", CUPS),
        orders.cancel(order.id, "eve"),
        orders.pay(order.id, "eve"),
        orders.payment(intent.id, "eve"),
        orders.payments(order.id, "eve"),
        orders.confirm(intent.id, "eve"),
        orders.cancel_payment(intent.id, "eve"),
        orders.receipt(order.id, "eve"),
        orders.checkout(order.id, "eve", success_url=back, cancel_url=back),
        orders.capture("ord_none"),
        orders.sale(order.id, "ada"),
        orders.sale("ord_none", "ada"),
        orders.payment("pi_none", "ada"),
        orders.cancel_payment("pi_none", "ada"),
    ):
        with pytest.raises(NotFoundError):
            await asked
    assert list(await orders.of_customer("eve")) == []
    assert [one.id for one in await orders.of_customer("ada", limit=1)] == [order.id]
    assert list(await orders.of_customer("ada", after=order)) == []
    assert list(await orders.of_seller("ada")) == []


async def test_what_can_not_be_ordered(till: Till) -> None:
    for items in ("much" * 3_000, float("nan").__class__, "\ud800", None):
        with pytest.raises(InvalidInputError):
            await till.gate.orders.create(ADA, items)
    with pytest.raises(AmountNotChargeableError):
        await till.order({"cup": 0, "pot": 100_000})
    for terms in (
        {"amount_minor": 49},
        {"amount_minor": 1.5},
        {"currency": "EUR"},
        {"capture": "later"},
        {"transfers": "by post"},
        {"reference": ""},
        {"description": ""},
        {"description": "x" * 501},
        {"description": "a\x00b"},
        {"seller": ""},
        {"seller": "bob", "commission_minor": -1},
        {"seller": "bob", "commission_minor": 9_999},
        {"commission_minor": 5},
        {"metadata": {str(n): "x" for n in range(48)}},
        {"metadata": {"k" * 41: "x"}},
        {"metadata": {"k": "x" * 501}},
        {"metadata": {"k[0]": "x"}},
        {"metadata": {"gatekeeper_order": "x"}},
        {"metadata": {"k": 5}},
        {"metadata": ["k"]},
    ):
        till.terms = terms
        with pytest.raises(InvalidInputError):
            await till.order()


async def test_one_function_prices(till: Till) -> None:
    async def another(request: Any) -> Quote:
        raise AssertionError

    with pytest.raises(RegistrationError):
        till.gate.orders.priced(another)
    unpriced = type(till.gate.orders)(till.gate.store, None, None)
    with pytest.raises(ConfigurationError):
        await unpriced.create(ADA, CUPS)
    with pytest.raises(RegistrationError):
        unpriced.priced(lambda request: request)

    async def wrong(request: Any) -> Any:
        return 5

    unpriced.priced(wrong)
    with pytest.raises(InvalidInputError):
        await unpriced.create("ada", CUPS)
    placed = await unpriced.place(Identity("ada"), Quote(amount_minor=500, currency="eur"))
    assert (await unpriced.cancel(placed.id, "ada")).status is CANCELED
    await unpriced.place("ada", Quote(amount_minor=500, currency="eur"))
    for needs_stripe in (
        unpriced.pay(placed.id, "ada"),
        unpriced.status(
            (await unpriced.place("ada", Quote(amount_minor=500, currency="eur"))).id, "ada"
        ),
    ):
        with pytest.raises(ConfigurationError):
            await needs_stripe


async def test_metadata_pass_through_and_decide_nothing(till: Till) -> None:
    till.terms = {"metadata": {"basket": "7", "gone": "x"}, "description": "Cups"}
    order = await till.order()
    intent = await till.pay(order)
    till.terms = {"metadata": {"basket": "8"}}
    await till.gate.orders.change(order.id, ADA, CUPS)
    await till.pay(order)
    made = till.sim.client().v1.payment_intents.retrieve(intent.id)
    assert (made.metadata["basket"], made.metadata["gatekeeper_order"]) == ("8", order.id)
    assert "gone" not in made.metadata
    till.sim.client().v1.payment_intents.update(
        intent.id, {"metadata": {"gatekeeper_order": "ord_other", "amount": "1"}}
    )
    till.browse(intent)
    await till.settle()
    assert (await till.get(order)).status is PAID


async def test_an_outage_charges_nobody(till: Till) -> None:
    order = await till.order()
    till.sim.misbehave("server_error", times=1)
    with pytest.raises(StripeUnavailableError):
        await till.pay(order)
    assert (await till.get(order)).status is PENDING
    assert (await till.pay(order)).status == "requires_payment_method"
