"""Sales: what of a buyer's money is the seller's, and what of it goes back."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace as with_changes
from typing import Any

import pytest
from msgspec.structs import replace as structs

from gatekeeper.cache import MemoryCache
from gatekeeper.errors import NotFoundError, StripeRequestError, StripeUnavailableError
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.services import customers, sales, transfers
from gatekeeper.services.health import HealthDesk, Thresholds
from gatekeeper.services.rules import Rules
from gatekeeper.services.transfers import TransferDesk
from gatekeeper.storage.orders import Order, OrderPayment
from gatekeeper.storage.paybacks import Payback, PaybackStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.sellers import Seller
from gatekeeper.storage.transfers import Transfer, TransferStatus
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.selling.paybacks import PaybackTaker
from gatekeeper.stripe.selling.transfers import TransferSender
from gatekeeper.testing.stripe import Simulator
from tests.stripe.shop import Shop, open_shop
from tests.stripe.test_transfers import next_request
from tests.stripe.world import RULES, ManualClock

pytestmark = pytest.mark.anyio

SELLERS_BEAR = with_changes(RULES, disputes_borne_by="seller")

Sell = Callable[..., Awaitable["Sale"]]


class Sale:
    """Org 1 has paid 1,000 for what a seller sells, of which 100 are the platform's."""

    def __init__(self, shop: Shop, order: Order, account: str, charge: str) -> None:
        self.shop, self.order, self.account, self.charge = shop, order, account, charge
        self.store = shop.store
        outgoing = OutgoingRequests(shop.gateway, shop.store)
        self.outgoing = outgoing
        self.sender = TransferSender(shop.gateway, shop.store, outgoing)
        self.taker = PaybackTaker(shop.gateway, shop.store, outgoing)

    async def settle(self) -> None:
        """Hear all that Stripe says, and do all that follows."""
        for _ in range(2):
            await self.shop.settle()
            self.shop.clock.advance(minutes=10)
            await self.sender.send_due()
            await self.taker.take_due()
        await self.shop.settle()

    async def refund(self, amount: int, **params: Any) -> Any:
        asked: Any = {"charge": self.charge, "amount": amount, **params}
        made = self.shop.sim.client().v1.refunds.create(asked)
        await self.settle()
        return made

    async def paybacks(self) -> list[tuple[str, int]]:
        found = await self.store.read(lambda tx: tx.paybacks.of_order("order_1"))
        return [(str(one.status), one.amount_minor) for one in found]

    async def payback(self) -> Payback:
        (found,) = await self.store.read(lambda tx: tx.paybacks.of_order("order_1"))
        return found

    async def share(self) -> Transfer:
        found = await self.store.read(lambda tx: tx.transfers.get("sale_order_1"))
        assert found is not None
        return found

    def has(self) -> int:
        """What the seller has at Stripe."""
        options: Any = {"stripe_account": self.account}
        balance = self.shop.sim.client().v1.balance.retrieve({}, options)
        return sum(one.amount for part in (balance.available, balance.pending) for one in part)


@pytest.fixture
async def sell(stripe_sim: Simulator, clock: ManualClock) -> AsyncIterator[Sell]:
    """Makes a sale on a store, by `rules`, where the money goes "separate" or "destination"."""
    shops: list[Shop] = []

    async def make(store: Store, rules: Rules = RULES, how: str = "separate") -> Sale:
        shops.append(await open_shop(stripe_sim, store, clock, rules))
        return await sold(stripe_sim, shops[-1], how)

    yield make
    for shop in shops:
        await shop.gateway.aclose()


async def sold(sim: Simulator, shop: Shop, how: str) -> Sale:
    client: Any = sim.client()
    account = client.v1.accounts.create({"type": "express", "country": "IE"}).id
    sim.onboard(account)
    buyer = client.v1.customers.create({}).id
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": buyer}).id
    terms: dict[str, Any] = {}
    if how == "destination":
        terms = {"transfer_data": {"destination": account}, "application_fee_amount": 100}
    paid = client.v1.payment_intents.create(
        {
            "amount": 1_000,
            "currency": "eur",
            "customer": buyer,
            "payment_method": card,
            "confirm": True,
            "off_session": True,
            **terms,
        }
    )
    now = sim.now
    order = Order(
        id="order_1",
        customer="org_1",
        status=OrderStatus.PAID,
        amount_minor=1_000,
        captured_minor=1_000,
        currency="eur",
        created_at=now,
        updated_at=now,
        seller="seller_1",
        commission_minor=100,
        transfers=how,
        payment_id=paid.id,
    )
    payment = OrderPayment(
        id=paid.id,
        order_id="order_1",
        customer="org_1",
        status="succeeded",
        amount_minor=1_000,
        received_minor=1_000,
        currency="eur",
        created_at=now,
        charge_id=paid.latest_charge,
    )

    def save(tx: Transaction) -> None:
        known = customers.ensure(tx, "org_1")
        tx.customers.save(structs(known, stripe_id=buyer))
        customers.ensure(tx, "seller_1")
        tx.sellers.insert(Seller(customer="seller_1", country="IE", created_at=now))
        tx.sellers.set_account("seller_1", account)
        tx.orders.insert(order)
        tx.orders.put_payment(payment)

    await shop.store.write(save)
    sale = Sale(shop, order, account, str(paid.latest_charge))
    await sale.settle()
    return sale


async def test_a_sellers_share_is_sent_once_and_comes_back_with_refunds(
    sell: Sell, stripe_sim: Simulator, memory_store: Store
) -> None:
    sale = await sell(memory_store)
    share = await sale.share()
    assert (share.status, share.amount_minor, sale.has()) == (TransferStatus.SENT, 900, 900)
    await sale.refund(333)
    await sale.refund(333)
    assert sale.has() == 900 - 299 - 300  # rounded down, and never a step twice
    await sale.refund(334)
    found = [("made", 299), ("made", 300), ("made", 301)]
    assert (sorted(await sale.paybacks()), sale.has()) == (found, 0)
    for event in stripe_sim.events("charge.refunded", "refund.created"):
        stripe_sim.redeliver(event["id"])
    await sale.settle()
    assert (len(await sale.paybacks()), sale.has()) == (3, 0)
    assert (await sale.share()).reversed_minor == 900


async def test_case_35_a_refund_that_fails_gives_the_seller_their_share_again(
    sell: Sell, stripe_sim: Simulator, memory_store: Store
) -> None:
    sale = await sell(memory_store)
    refund = await sale.refund(500)
    assert sale.has() == 450
    stripe_sim.fail_refund(refund.id)
    await sale.settle()
    assert (await sale.paybacks(), sale.has()) == ([("ended", 450)], 900)
    await sale.refund(1_000)
    found = [("ended", 450), ("made", 450), ("made", 450)]
    assert (sorted(await sale.paybacks()), sale.has()) == (found, 0)


@pytest.mark.parametrize("how", ["separate", "destination"])
async def test_case_37_a_dispute_that_the_seller_bears_is_taken_once_and_given_back(
    sell: Sell, how: str, stripe_sim: Simulator, memory_store: Store
) -> None:
    sale = await sell(memory_store, SELLERS_BEAR, how)
    assert sale.has() == 900
    dispute = stripe_sim.dispute(sale.charge)
    await sale.settle()
    for event in stripe_sim.events("charge.dispute.created", "charge.dispute.funds_withdrawn"):
        stripe_sim.redeliver(event["id"])
    await sale.settle()
    assert (await sale.paybacks(), sale.has()) == ([("made", 900)], 0)
    stripe_sim.close_dispute(dispute["id"], "won")
    await sale.settle()
    await sale.settle()
    assert (await sale.paybacks(), sale.has()) == ([("ended", 900)], 900)
    await sale.refund(1_000)  # out of what they got again
    assert (await sale.paybacks(), sale.has()) == ([("ended", 900), ("made", 900)], 0)


async def test_what_a_seller_got_again_is_given_back_with_the_rest(
    sell: Sell, stripe_sim: Simulator, memory_store: Store
) -> None:
    sale = await sell(memory_store, SELLERS_BEAR)
    dispute = stripe_sim.dispute(sale.charge, amount=500)
    await sale.settle()
    assert sale.has() == 450
    stripe_sim.close_dispute(dispute["id"], "won")
    await sale.settle()
    await sale.refund(1_000)
    found = [("ended", 450), ("made", 450), ("made", 450)]
    assert (sorted(await sale.paybacks()), sale.has()) == (found, 0)


async def test_a_dispute_that_the_platform_bears_takes_nothing_from_the_seller(
    sell: Sell, stripe_sim: Simulator, memory_store: Store
) -> None:
    sale = await sell(memory_store)
    stripe_sim.dispute(sale.charge)
    await sale.settle()
    assert (await sale.paybacks(), sale.has()) == ([], 900)


async def test_case_38_an_inquiry_or_a_prevented_dispute_takes_nothing_from_the_seller(
    sell: Sell, stripe_sim: Simulator, memory_store: Store
) -> None:
    sale = await sell(memory_store, SELLERS_BEAR)
    stripe_sim.dispute(sale.charge, status="warning_needs_response")
    await sale.settle()
    assert (await sale.paybacks(), sale.has()) == ([], 900)


@pytest.mark.parametrize("how", ["separate", "destination"])
async def test_case_39_a_refund_and_a_lost_dispute_take_no_more_than_the_share(
    sell: Sell, how: str, stripe_sim: Simulator, memory_store: Store
) -> None:
    sale = await sell(memory_store, SELLERS_BEAR, how)
    shares = {"reverse_transfer": True, "refund_application_fee": True}
    await sale.refund(300, **(shares if how == "destination" else {}))
    dispute = stripe_sim.dispute(sale.charge, amount=1_000)
    stripe_sim.close_dispute(dispute["id"], "lost")
    await sale.settle()
    first = [("made", 270)] if how == "separate" else []  # else it went with the refund
    assert sorted(await sale.paybacks()) == [*first, ("made", 630)]
    assert sale.has() == 0


async def test_what_stripe_refuses_to_take_is_told_and_tried_again(
    sell: Sell, stripe_sim: Simulator, memory_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = await sell(memory_store)
    asked: Any = {"charge": sale.charge, "amount": 1_000}
    stripe_sim.client().v1.refunds.create(asked)
    await sale.shop.settle()

    async def refuse(*args: Any, **options: Any) -> Any:
        raise StripeRequestError("Insufficient funds.", stripe_status=400)

    with monkeypatch.context() as patch:
        patch.setattr(sale.shop.gateway, "post", refuse)
        assert await sale.taker.take_due() == 1
    failed = await sale.payback()
    assert (failed.status, failed.attempts) == (PaybackStatus.FAILED, 1)
    assert "Insufficient" in str(failed.last_error)
    health = HealthDesk(sale.store, Thresholds(), lambda _: None, cache=MemoryCache())
    check = (await health.look()).check("transfers")
    assert check is not None
    assert (check.status, check.reason) == ("degraded", "1 to or from sellers were refused")
    waiting = await sale.store.read(lambda tx: tx.paybacks.unmade(10))
    assert [one.id for one in waiting] == [failed.id]
    sale.shop.clock.advance(hours=7)
    next_request(sale.shop, monkeypatch, StripeUnavailableError("The answer was lost."))
    await sale.taker.take_due()
    assert (await sale.payback()).status is PaybackStatus.FAILED
    sale.shop.clock.advance(hours=48)  # the key is spent: Stripe is asked
    assert await sale.outgoing.resume() == 1
    assert ((await sale.payback()).status, sale.has()) == (PaybackStatus.MADE, 0)


async def test_what_was_discarded_is_not_sent_and_has_nothing_to_give_back(
    sell: Sell, stripe_sim: Simulator, memory_store: Store
) -> None:
    sale = await sell(memory_store)
    desk = TransferDesk(memory_store)
    with pytest.raises(NotFoundError):
        await desk.discard("sale_order_1")  # it is sent

    def owe(tx: Transaction) -> None:
        tx.orders.insert(structs(sale.order, id="order_2", payment_id="pi_2"))
        order = tx.orders.get("order_2")
        assert order is not None
        sales.note_paid(tx, order, "ch_2", 50)  # all of it is the commission
        sales.note_paid(tx, order, "ch_2", 1_000)

    await memory_store.write(owe)
    await desk.discard("sale_order_2")
    sale.shop.clock.advance(hours=7)
    assert await sale.sender.send_due() == 0
    (shown,) = await desk.listed(TransferStatus.DISCARDED)
    assert (shown.id, shown.amount_minor) == ("sale_order_2", 900)
    await memory_store.write(lambda tx: transfers.note_refused(tx, "sale_order_2", "late"))
    assert len(await desk.listed(TransferStatus.DISCARDED)) == 1
    row = structs(await one_payback(sale), id="refund/re_2", owed_id="sale_order_2")
    await memory_store.write(lambda tx: tx.paybacks.insert(row))
    sale.shop.clock.advance(hours=7)
    assert await sale.taker.take_due() == 1
    found = await memory_store.read(lambda tx: tx.paybacks.get("refund/re_2"))
    assert found is not None
    assert found.status is PaybackStatus.ENDED
    assert (await desk.retry("sale_order_2")).status is TransferStatus.OWED


async def one_payback(sale: Sale) -> Payback:
    now = sale.shop.clock.now
    return Payback(
        id="refund/re_9",
        order_id="order_9",
        customer="org_1",
        destination=sale.account,
        amount_minor=1,
        currency="eur",
        status=PaybackStatus.OWED,
        created_at=now,
        due_at=now,
    )


async def test_a_payback_that_was_made_too_late_is_given_again(
    sell: Sell, stripe_sim: Simulator, memory_store: Store
) -> None:
    sale = await sell(memory_store)
    row = structs(await one_payback(sale), status=PaybackStatus.ENDED)
    await memory_store.write(lambda tx: tx.paybacks.insert(row))

    def note(tx: Transaction) -> None:
        for _ in range(2):
            sales.note_made(tx, row.id, "trr_1")
        sales.note_refused(tx, row.id, "no")
        sales.note_made(tx, "refund/nobody", "trr_2")

    await memory_store.write(note)
    again = await memory_store.read(lambda tx: tx.transfers.get("again_refund_re_9"))
    assert again is not None
    assert (again.amount_minor, again.of_balance) == (1, True)
