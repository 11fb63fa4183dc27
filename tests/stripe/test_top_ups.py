"""Automatic top-ups, from the balance that falls to the credits that are bought."""

import asyncio
import contextlib
import itertools
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gatekeeper.catalog import Catalog, Plan
from gatekeeper.errors import (
    ConflictError,
    GatekeeperError,
    InvalidAmountError,
    InvalidInputError,
    NotFoundError,
    StripeUnavailableError,
    UnknownNameError,
)
from gatekeeper.ledger import GrantCredits, GrantKind
from gatekeeper.services import accounts, customers, freezes, intents, top_ups
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.commands import WatchCommand
from gatekeeper.services.outbox import Signal, SignalRegistry
from gatekeeper.services.outbox.deliverer import Deliverer
from gatekeeper.services.rules import Rules
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Purchase, PurchaseStatus
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.top_ups.desk import TopUpDesk
from gatekeeper.stripe.top_ups.payer import TopUpPayer
from gatekeeper.stripe.webhooks import Projections
from gatekeeper.testing.stripe import Simulator
from gatekeeper.topping_up import BlockReason, TopUp, TopUpState, Wish
from tests.stripe.shop import Shop
from tests.stripe.world import credits

pytestmark = pytest.mark.anyio

TOLD = ("top_up.due", "top_up.failed", "top_up.blocked", "payment.succeeded", "payment.failed")


GOOD_IBAN = "DE89370400440532013000"
BAD_IBAN = "DE62370400440532013001"


class House:
    """A shop whose customer org_1 is topped up: below 20 credits, 100 more for 5 EUR."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.told: list[Signal] = []
        self.desk = TopUpDesk(shop.store, shop.rules, shop.gateway)
        self.payer, self.outgoing, self.deliverer = self.process()

    def process(self) -> tuple[TopUpPayer, OutgoingRequests, Deliverer]:
        """What one process works with."""
        shop = self.shop
        outgoing = OutgoingRequests(shop.gateway, shop.store)

        async def invalidate(customer: str, version: int) -> None:
            """There is no cache."""

        copies = Projections(shop.gateway, shop.store, shop.rules, invalidate).copies
        intents = copies["payment_intent"]
        payer = TopUpPayer(shop.gateway, shop.store, shop.rules, outgoing, intents)
        registry = SignalRegistry()
        registry.on(top_ups.DUE, name="gatekeeper.top_ups")(payer.on_due)

        @registry.on(*TOLD, name="host")
        async def hear(signal: Signal) -> None:
            self.told.append(signal)

        return payer, outgoing, Deliverer(shop.store, registry)

    async def card(self, token: str | None = "pm_card_visa") -> None:
        """Give org_1 a card that is the default one."""
        stripe = self.shop.sim.client().v1
        identities = StripeIdentities(self.shop.gateway, self.outgoing, self.shop.store)
        named = await identities.ensure("org_1")
        if token is not None:
            method = stripe.payment_methods.attach(token, {"customer": named}).id
            default: Any = {"invoice_settings": {"default_payment_method": method}}
            stripe.customers.update(named, default)
        await self.shop.settle()

    async def turn_on(self, **more: Any) -> TopUp:
        wish = {"threshold": 20, "pack": "credits_100", "cap_minor": 1_000}
        return await self.desk.turn_on("org_1", "credits", **{**wish, **more})

    async def work(self) -> None:
        """All that is due, in one process, and what Stripe has to say of it."""
        await self.deliverer.drain()
        await self.payer.pay_due()
        await self.shop.settle()
        await self.deliverer.drain()

    async def give(self, amount: int, name: str = "gift") -> None:
        command = GrantCredits(grant_id=name, amount=amount, kind=GrantKind.MANUAL)
        await self.shop.store.write(
            lambda tx: accounts.grant(tx, self.shop.rules, "org_1", "credits", command)
        )

    async def spend(self, amount: int, name: str = "h") -> None:
        await self.shop.spend(amount, hold=name)

    async def top_up(self) -> TopUp:
        return await self.desk.get("org_1", "credits")

    def paid(self) -> list[Any]:
        return self.shop.sim.events("payment_intent.succeeded")

    def topics(self) -> list[str]:
        return [signal.topic for signal in self.told]

    def later(self, **span: float) -> None:
        """Time goes by, at Stripe as here."""
        self.shop.clock.now = self.shop.sim.advance(**span)


async def house_of(shop: Shop, card: str | None = "pm_card_visa", **wish: Any) -> House:
    """With 25 credits and a top-up; the first two make it due."""
    house = House(shop)
    await house.card(card)
    await house.give(20)
    await house.turn_on(**wish)
    return house


async def test_a_balance_that_falls_below_the_threshold_buys_a_pack(durable_shop: Shop) -> None:
    house = await house_of(durable_shop)
    await house.spend(5)
    await house.work()
    assert house.paid() == []
    await house.spend(1, "h2")
    await house.work()
    (paid,) = house.paid()
    intent = paid["data"]["object"]
    assert (intent["amount"], intent["currency"]) == (500, "eur")
    assert await durable_shop.available() == 119
    assert (await durable_shop.balance("exports")).available == 2  # all that the pack holds
    top_up = await house.top_up()
    assert (top_up.state, top_up.spent_minor) == (TopUpState.IDLE, 500)
    assert house.topics() == ["top_up.due", "payment.succeeded"]
    purchase = await durable_shop.store.read(lambda tx: tx.purchases.by_intent(intent["id"]))
    assert purchase is not None
    assert (purchase.id, purchase.status) == (top_up.purchase_id, PurchaseStatus.PAID)
    for event in durable_shop.sim.events():
        durable_shop.sim.redeliver(event["id"])
    await house.work()
    assert await durable_shop.available() == 119  # once


async def test_what_holds_claim_counts_as_gone(shop: Shop) -> None:
    house = await house_of(shop)
    request = accounts.ReserveRequest(customer="org_1", name="credits", quantity=6, hold_id="h")
    await shop.store.write(lambda tx: accounts.reserve(tx, shop.rules, request))
    await house.work()
    assert len(house.paid()) == 1


async def test_it_is_due_at_once_where_too_little_is_there(shop: Shop) -> None:
    house = await house_of(shop, threshold=30)
    await house.work()
    assert await shop.available() == 125


async def test_credits_are_given_by_what_stripe_says_and_not_by_an_answer(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is answered, and nothing can be fetched any more: the webhook brings it."""
    house = await house_of(shop)
    await house.spend(6)
    fetch = shop.gateway.fetch

    async def deaf(kind: str, *args: Any, **more: Any) -> Any:
        if kind == "payment_intent":
            raise StripeUnavailableError
        return await fetch(kind, *args, **more)

    monkeypatch.setattr(shop.gateway, "fetch", deaf)
    await house.deliverer.drain()
    assert len(house.paid()) == 1
    assert await shop.available() == 19
    assert (await house.top_up()).state is TopUpState.PAYING
    monkeypatch.setattr(shop.gateway, "fetch", fetch)
    await shop.settle()
    assert await shop.available() == 119


async def test_the_sweep_finds_what_no_signal_told(shop: Shop) -> None:
    house = await house_of(shop)

    def forget(tx: Transaction) -> None:
        account = tx.ledger.account("org_1", "credits", lock=True)
        assert account.top_up_below == 20
        carry_out(tx, shop.rules, WatchCommand(("org_1", "credits"), None))

    await shop.store.write(forget)
    await house.spend(6)
    await house.deliverer.drain()
    assert house.topics() == []
    house.later(hours=1, minutes=1)
    assert await house.payer.pay_due() == 1
    assert len(house.paid()) == 1
    account = await shop.store.read(lambda tx: tx.ledger.account("org_1", "credits", lock=False))
    assert account.top_up_below == 20  # and is watched again


# -- declines, and the breaker --------------------------------------------------------------------


async def test_declines_are_tried_again_and_trip_the_breaker(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_chargeCustomerFail")
    await house.spend(6)
    for declines, hours in ((1, 1), (2, 12)):
        await house.work()
        top_up = await house.top_up()
        assert (top_up.state, top_up.declines) == (TopUpState.DUE, declines)
        assert (top_up.error, top_up.spent_minor) == ("generic_decline", 0)
        house.later(minutes=hours * 60 - 5)
        assert await house.payer.pay_due() == 0  # not before its time
        house.later(minutes=6)
    await house.work()
    top_up = await house.top_up()
    assert (top_up.state, top_up.reason) == (
        TopUpState.BLOCKED,
        BlockReason.TOO_MANY_DECLINES,
    )
    assert house.topics() == ["top_up.due", *["top_up.failed"] * 3, "top_up.blocked"]
    blocked = house.told[-1].body
    assert (blocked["reason"], blocked["error"]) == ("too_many_declines", "generic_decline")
    house.later(days=60)
    await house.spend(1, "h2")
    await house.work()
    assert len(shop.sim.events("payment_intent.payment_failed")) == 3
    assert await shop.available() == 18


async def test_the_wait_after_a_decline_is_not_shortened_by_agreeing_again(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_chargeCustomerFail")
    await house.spend(6)
    await house.work()
    waits = await house.top_up()
    assert (waits.state, waits.declines) == (TopUpState.DUE, 1)
    for _ in range(2):
        house.later(minutes=10)
        changed = await house.turn_on(cap_minor=2_000)
        assert (changed.state, changed.due_at) == (TopUpState.DUE, waits.due_at)
        await house.work()
        await house.desk.turn_off("org_1", "credits")
        await house.work()
    on = await house.turn_on()
    assert (on.state, on.due_at) == (TopUpState.DUE, waits.due_at)
    await house.work()
    assert len(shop.sim.events("payment_intent.payment_failed")) == 1
    house.later(minutes=41)
    await house.work()
    assert len(shop.sim.events("payment_intent.payment_failed")) == 2
    await house.desk.turn_off("org_1", "credits")
    house.later(hours=13)
    await house.work()
    assert (await house.top_up()).due_at is None
    assert house.topics() == ["top_up.due", *["top_up.failed"] * 2]
    await house.turn_on()
    await house.work()
    assert (await house.top_up()).reason is BlockReason.TOO_MANY_DECLINES


async def test_a_new_default_card_opens_the_breaker(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_authenticationRequired")
    await house.spend(6)
    await house.work()
    top_up = await house.top_up()
    assert top_up.reason is BlockReason.AUTHENTICATION_REQUIRED
    stripe = shop.sim.client().v1
    customer = str((await shop.customer()).stripe_id)
    stripe.payment_methods.attach("pm_card_visa", {"customer": customer})
    await house.work()
    await house.work()
    assert (await house.top_up()).reason is top_up.reason  # it is not the default
    await house.card("pm_card_mastercard")
    await house.work()
    await house.work()
    assert (await house.top_up()).state is TopUpState.IDLE
    assert await shop.available() == 119


async def test_a_card_that_is_renewed_under_its_id_is_another(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_authenticationRequired")
    await house.spend(6)
    await house.work()
    row = await house.top_up()
    stripe = shop.sim.client().v1
    stripe.payment_methods.update(str(row.card), {"card": {"exp_month": 1, "exp_year": 2044}})
    await house.work()
    await house.work()
    assert len(shop.sim.events("payment_intent.payment_failed")) == 2  # it was tried


async def test_another_card_is_tried_at_once_and_not_by_the_next_sweep(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_authenticationRequired")
    await house.spend(6)
    await house.deliverer.drain()
    assert (await house.top_up()).reason is BlockReason.AUTHENTICATION_REQUIRED
    await house.card("pm_card_visa")
    await house.deliverer.drain()
    assert await shop.available() == 119
    assert house.topics() == ["top_up.due", "top_up.failed", "top_up.blocked", "payment.succeeded"]


async def test_who_pays_themselves_opens_the_breaker(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_chargeCustomerFail")
    await house.spend(6)
    for hours in (2, 13, 0):
        await house.work()
        house.later(hours=hours)
    assert (await house.top_up()).reason is BlockReason.TOO_MANY_DECLINES
    link = await shop.start("topup_100")
    shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    top_up = await house.top_up()
    assert (top_up.state, top_up.declines) == (TopUpState.IDLE, 0)
    assert await shop.available() == 119


async def test_the_bank_asks_for_the_customer_who_finishes_the_payment(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_authenticationRequired")
    await house.spend(6)
    with pytest.raises(NotFoundError):
        await house.desk.open_payment("org_1", "credits")
    await house.work()
    waiting = await house.desk.open_payment("org_1", "credits")
    assert (waiting.amount_minor, waiting.currency) == (500, "eur")
    assert waiting.client_secret.startswith(waiting.payment_intent)
    stripe = shop.sim.client().v1
    card = str((await house.top_up()).card)
    stripe.payment_intents.confirm(waiting.payment_intent, {"payment_method": card})
    shop.sim.authenticate(waiting.payment_intent)
    await house.work()
    assert await shop.available() == 119
    top_up = await house.top_up()
    assert (top_up.state, top_up.spent_minor, top_up.declines) == (TopUpState.IDLE, 500, 0)
    with pytest.raises(NotFoundError):
        await house.desk.open_payment("org_1", "credits")


async def test_who_chooses_another_card_is_not_asked_for_the_first_payment_too(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_authenticationRequired")
    await house.spend(6)
    await house.work()
    waiting = await house.desk.open_payment("org_1", "credits")
    await house.card("pm_card_visa")
    await house.work()
    await house.work()
    assert await shop.available() == 119
    (canceled,) = shop.sim.events("payment_intent.canceled")
    assert canceled["data"]["object"]["id"] == waiting.payment_intent
    assert (await house.top_up()).spent_minor == 500


async def test_who_pays_otherwise_is_not_asked_for_the_first_payment_too(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_authenticationRequired")
    await house.spend(6)
    await house.work()
    waiting = await house.desk.open_payment("org_1", "credits")
    link = await shop.start("topup_100")
    shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    assert (await house.top_up()).state is TopUpState.IDLE
    await house.spend(100, "more")
    await house.work()
    (canceled,) = shop.sim.events("payment_intent.canceled")
    assert canceled["data"]["object"]["id"] == waiting.payment_intent
    asked = await house.desk.open_payment("org_1", "credits")
    assert asked.payment_intent != waiting.payment_intent


async def test_the_month_s_cap_is_not_escaped_by_another_currency(shop: Shop) -> None:
    house = await house_of(shop)
    await house.spend(6)
    await house.work()
    wish = Wish(
        threshold=20,
        pack="credits_100",
        price="topup_100_usd",
        amount_minor=500,
        currency="usd",
        cap_minor=1_000,
        agreed_by="org_1",
    )

    def agree(tx: Transaction) -> TopUp:
        return top_ups.agree(tx, shop.rules, "org_1", "credits", wish)

    with pytest.raises(ConflictError, match="eur in this month"):
        await shop.store.write(agree)
    house.later(days=31)
    changed = await shop.store.write(agree)
    assert (changed.currency, changed.spent_minor) == ("usd", 0)


async def test_a_payment_that_the_customer_finishes_meanwhile_is_what_counts(shop: Shop) -> None:
    house = await house_of(shop, "pm_card_authenticationRequired")
    await house.spend(6)
    await house.work()
    waiting = await house.desk.open_payment("org_1", "credits")
    stripe = shop.sim.client().v1
    card = str((await house.top_up()).card)
    await house.card("pm_card_visa")
    stripe.payment_intents.confirm(waiting.payment_intent, {"payment_method": card})
    shop.sim.authenticate(waiting.payment_intent)
    await house.deliverer.drain()  # before any event of it has come
    assert await shop.available() == 119
    await house.work()
    assert len(house.paid()) == 1


async def test_no_card_blocks_until_there_is_one(shop: Shop) -> None:
    house = await house_of(shop, None)
    await house.spend(6)
    await house.work()
    assert (await house.top_up()).reason is BlockReason.NO_CARD
    assert house.topics() == ["top_up.due", "top_up.blocked"]
    await house.card()
    await house.work()
    await house.work()
    assert await shop.available() == 119


async def test_the_card_of_a_subscription_will_do(shop: Shop) -> None:
    house = await house_of(shop, None)
    link = await shop.start("team_monthly")
    shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    await house.spend(await shop.available() - 1)
    await house.work()
    assert len([e for e in house.paid() if e["data"]["object"]["amount"] == 500]) == 1


async def test_a_refusal_that_is_no_decline_is_not_tried_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await house_of(shop)
    await house.spend(6)
    card = house.payer._default_card

    async def gone(customer: str) -> Any:
        found = await card(customer)
        assert found is not None
        return "pm_gone", found[1]

    monkeypatch.setattr(house.payer, "_default_card", gone)
    await house.work()
    top_up = await house.top_up()
    assert (top_up.reason, top_up.error) == (BlockReason.REFUSED, "resource_missing")
    assert top_up.spent_minor == 0


# -- the cap, and who gets nothing ----------------------------------------------------------------


async def test_no_month_costs_more_than_the_cap(shop: Shop) -> None:
    house = await house_of(shop, cap_minor=1_100)
    left = 25
    for number in range(3):
        await house.spend(left - 19, f"h{number}")
        await house.work()
        left = 119
    top_up = await house.top_up()
    assert (top_up.state, top_up.reason) == (TopUpState.BLOCKED, BlockReason.MONTHLY_CAP)
    assert top_up.spent_minor == 1_000
    assert house.topics()[-1] == "top_up.blocked"
    assert len(house.paid()) == 2
    assert top_up.due_at is not None
    shop.clock.now = shop.sim.advance_to(top_up.due_at)
    await house.payer.pay_due()
    assert len(house.paid()) == 3
    assert (await house.top_up()).spent_minor == 500


async def test_nobody_is_topped_up_who_is_frozen_or_owes(shop: Shop) -> None:
    house = await house_of(shop)
    await shop.store.write(lambda tx: freezes.freeze(tx, "org_1", "k", "by hand"))
    await house.turn_on(threshold=30)
    await house.work()
    assert (await house.top_up()).reason is BlockReason.FROZEN
    await shop.store.write(lambda tx: freezes.unfreeze(tx, "org_1", "ann"))
    house.later(hours=2)
    await house.payer.pay_due()
    assert len(house.paid()) == 1


async def test_a_refunded_top_up_is_taken_back_and_a_debt_buys_nothing(shop: Shop) -> None:
    house = await house_of(shop)
    await house.spend(6)
    await house.work()
    (paid,) = house.paid()
    await house.spend(110, "h2")
    await house.turn_on(threshold=1)
    shop.sim.client().v1.refunds.create({"payment_intent": paid["data"]["object"]["id"]})
    await house.work()
    assert (await shop.balance()).debt == 91
    house.later(hours=2)
    await house.work()
    assert (await house.top_up()).reason is BlockReason.DEBT
    assert len(house.paid()) == 1


async def test_what_is_turned_off_buys_nothing(shop: Shop) -> None:
    house = await house_of(shop)
    off = await house.desk.turn_off("org_1", "credits")
    assert not off.is_on
    await house.spend(20)
    house.later(hours=5)
    await house.work()
    assert (house.paid(), house.topics()) == ([], [])
    on = await house.turn_on()
    assert on.state is TopUpState.DUE
    await house.work()
    assert len(house.paid()) == 1
    with pytest.raises(NotFoundError):
        await house.desk.turn_off("org_1", "exports")
    with pytest.raises(NotFoundError):
        await house.desk.get("org_2", "credits")
    assert [one.unit for one in await house.desk.of("org_1")] == ["credits"]


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"pack": "credits_1000"}, UnknownNameError),
        ({"currency": "usd"}, InvalidInputError),
        ({"cap_minor": 499}, InvalidInputError),
        ({"cap_minor": 0}, InvalidAmountError),
        ({"threshold": 0}, InvalidAmountError),
    ],
)
async def test_what_nobody_can_agree_to(
    shop: Shop, wish: dict[str, Any], error: type[GatekeeperError]
) -> None:
    house = House(shop)
    with pytest.raises(error):
        await house.turn_on(**wish)
    assert list(await house.desk.of("org_1")) == []


async def test_a_pack_tops_up_what_it_holds_alone(shop: Shop) -> None:
    desk = House(shop).desk
    with pytest.raises(InvalidInputError, match="holds no exports"):
        await desk.turn_on("org_1", "exports", threshold=1, pack="credits_yen", cap_minor=500)
    with pytest.raises(UnknownNameError):
        await desk.turn_on("org_1", "dollars", threshold=1, pack="credits_yen", cap_minor=500)


@pytest.mark.parametrize("succeeds", [True, False])
async def test_what_is_paid_late_is_one_payment(succeeds: bool, shop: Shop) -> None:
    """A debit from a bank account takes days: nothing else is bought meanwhile."""
    house = await house_of(shop, None)
    stripe = shop.sim.client().v1
    customer = str((await shop.customer()).stripe_id)
    debit: Any = {"type": "sepa_debit", "sepa_debit": {"iban": GOOD_IBAN if succeeds else BAD_IBAN}}
    debit["billing_details"] = {"email": "ada@example.com", "name": "Ada"}
    method = stripe.payment_methods.create(debit).id
    stripe.payment_methods.attach(method, {"customer": customer})
    default: Any = {"invoice_settings": {"default_payment_method": method}}
    stripe.customers.update(customer, default)
    await house.spend(6)
    await house.work()
    assert (await house.top_up()).state is TopUpState.PAYING
    yen = {"pack": "credits_yen", "cap_minor": 500}
    with pytest.raises(ConflictError):
        await house.turn_on(**yen)
    await house.spend(10, "h2")
    shop.clock.advance(minutes=10)
    assert await house.payer.pay_due() == 0  # its event will tell
    shop.clock.advance(hours=1)
    assert await house.payer.pay_due() == 1
    assert (await house.top_up()).state is TopUpState.PAYING
    assert await shop.available() == 9
    house.later(seconds=shop.sim.settings.delayed_payment_seconds + 60)
    await shop.settle()
    assert len(shop.sim.events("payment_intent.created")) == 1
    assert await shop.available() == (109 if succeeds else 9)
    top_up = await house.top_up()
    assert top_up.declines == (0 if succeeds else 1)
    assert top_up.spent_minor == (500 if succeeds else 0)


# -- crashes, and many at once --------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(("moment", "minutes"), [("before", 6), ("after", 6), ("after", 48 * 60)])
async def test_a_process_that_dies_while_it_pays_pays_once(
    moment: str, minutes: int, durable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the request has left, or before its answer was written; taken up soon, or once its
    key's life is over."""
    house = await house_of(durable_shop)
    await house.spend(6)
    post = durable_shop.gateway.post

    async def die(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(durable_shop.gateway, "post", post)
        if moment == "after":
            await post(*args, **options)
        raise Killed

    monkeypatch.setattr(durable_shop.gateway, "post", die)
    with pytest.raises(BaseException):  # noqa: B017, PT011 -- by a group of tasks, or alone
        await house.deliverer.drain()
    assert (await house.top_up()).state is TopUpState.PAYING
    await durable_shop.settle()
    house.later(minutes=minutes)
    other = house.process()[0]
    assert await other.pay_due() == 1
    await other.pay_due()
    await durable_shop.settle()
    assert len(house.paid()) == 1
    assert await durable_shop.available() == 119
    top_up = await house.top_up()
    assert (top_up.state, top_up.spent_minor) == (TopUpState.IDLE, 500)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_wherever_a_process_dies_each_crossing_is_paid_once(
    when: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, or after, each of its transactions in turn; another process goes on later."""
    house = await house_of(shop, cap_minor=1_000_000)
    write = shop.store.write
    for point in itertools.count(1):
        await house.spend(await shop.available() - 19, f"x{point}")
        written = 0
        is_dead = False

        async def deadly(work: Any, fatal: int = point) -> Any:
            nonlocal written, is_dead
            written += 1
            is_dead = is_dead or (written == fatal and when == "before")
            if is_dead:
                raise Killed
            result = await write(work)
            is_dead = written == fatal
            if is_dead:
                raise Killed
            return result

        monkeypatch.setattr(shop.store, "write", deadly)
        with contextlib.suppress(BaseException):
            await house.process()[2].drain()
        monkeypatch.setattr(shop.store, "write", write)
        for _ in range(2):
            house.later(minutes=10)  # what the dead had taken up is free
            await house.outgoing.resume()
            await house.work()
        assert await shop.available() == 119, point
        assert len(house.paid()) == point
        assert (await house.top_up()).spent_minor == 500 * point
        if not is_dead:
            break
    assert point > 8


async def test_a_request_that_is_resumed_leads_to_its_credits(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await house_of(shop)
    await house.spend(6)
    post = shop.gateway.post

    async def lose(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(shop.gateway, "post", post)
        await post(*args, **options)
        raise StripeUnavailableError("The answer was lost.")

    monkeypatch.setattr(shop.gateway, "post", lose)
    await house.deliverer.drain()
    house.later(minutes=2)
    assert await house.outgoing.resume() == 1
    assert await shop.available() == 19  # the answer alone gives nothing
    await house.deliverer.drain()
    assert await shop.available() == 119  # what Stripe has, does
    assert len(house.paid()) == 1


async def test_64_consumptions_at_once_and_two_processes_make_one_payment(
    durable_shop: Shop,
) -> None:
    house = await house_of(durable_shop, cap_minor=5_000)
    await house.give(54, "more")
    others = house.process()
    await asyncio.gather(*(house.spend(1, f"h{number}") for number in range(64)))
    both = (house.deliverer, others[2])
    await asyncio.gather(
        *(deliverer.drain() for deliverer in both),
        *(payer.pay_due() for payer in (house.payer, others[0]) for _ in range(3)),
    )
    await house.work()
    assert len(house.paid()) == 1
    assert house.topics().count("top_up.due") == 1
    assert await durable_shop.available() == 115


async def test_who_was_erased_meanwhile_is_asked_for_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await house_of(shop)
    await house.spend(6)
    card = house.payer._default_card

    async def erased(customer: str) -> Any:
        found = await card(customer)
        await shop.store.write(lambda tx: tx.audit.erase("org_1", "erased_1", tx.now()))
        return found

    monkeypatch.setattr(house.payer, "_default_card", erased)
    await house.deliverer.drain()
    assert house.paid() == []
    assert list(await house.desk.of("org_1")) == []


async def test_a_payment_of_nobody_s_has_no_effect(stripe_sim: Simulator, shop: Shop) -> None:
    made: Any = {"amount": 500, "currency": "eur", "payment_method": "pm_card_visa"}
    made |= {"confirm": True, "metadata": {"gatekeeper_purchase": "pur_1"}}
    made["automatic_payment_methods"] = {"enabled": True, "allow_redirects": "never"}
    stripe_sim.client().v1.payment_intents.create(made)
    await shop.store.write(lambda tx: customers.ensure(tx, "org_1"))
    await shop.settle()
    assert await shop.available() == 5


async def test_what_never_reached_stripe_is_decided_on_anew(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await house_of(shop)
    await house.spend(6)
    post = shop.gateway.post

    async def lost(*args: Any, **options: Any) -> Any:
        raise StripeUnavailableError

    monkeypatch.setattr(shop.gateway, "post", lost)
    await house.deliverer.drain()
    first = await house.top_up()
    monkeypatch.setattr(shop.gateway, "post", post)
    house.later(hours=48)
    assert await house.payer.pay_due() == 1
    given_up = await house.top_up()
    assert (given_up.state, given_up.spent_minor) == (TopUpState.IDLE, 0)
    await house.work()
    second = await house.top_up()
    assert (second.spent_minor, first.purchase_id != second.purchase_id) == (500, True)
    assert len(house.paid()) == 1


async def test_what_was_given_up_is_not_sent_by_the_background_either(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 500 has spent the key: the next try had another, which outlives the payment."""
    house = await house_of(shop)
    await house.spend(6)
    post = shop.gateway.post

    async def down(*args: Any, **options: Any) -> Any:
        raise StripeUnavailableError("Stripe answered 500.", stripe_status=500)

    monkeypatch.setattr(shop.gateway, "post", down)
    await house.deliverer.drain()
    house.later(hours=20)
    await house.payer.pay_due()  # under a new key, as vain
    house.later(hours=4)
    await house.payer.pay_due()
    assert (await house.top_up()).state is TopUpState.IDLE
    await house.desk.turn_off("org_1", "credits")
    monkeypatch.setattr(shop.gateway, "post", post)
    assert await house.outgoing.resume() == 1
    assert house.paid() == []
    assert await house.outgoing.resume() == 0


# -- what is not as it was asked for --------------------------------------------------------------


async def begun(shop: Shop) -> tuple[House, Purchase]:
    """A house whose top-up is being paid by the intent pi_1."""
    house = await house_of(shop)
    await house.spend(6)
    row = await house.top_up()
    claimed = await shop.store.write(
        lambda tx: top_ups.take_up(tx, shop.rules, row.customer, row.unit)
    )
    assert claimed is not None
    card = ("pm_1", "mark")
    paying = await shop.store.write(lambda tx: top_ups.begin(tx, shop.rules, claimed, card))
    assert paying is not None
    await shop.store.write(lambda tx: intents.note_intent(tx, str(paying.purchase_id), "pi_1"))
    purchase = await shop.store.read(lambda tx: tx.purchases.by_intent("pi_1"))
    assert purchase is not None
    return house, purchase


async def follow(shop: Shop, rules: Rules | None = None, **seen: Any) -> None:
    """Stripe says something of pi_1."""
    customer = await shop.customer()
    received = seen.pop("received", 500)
    fields = {
        "kind": "payment_intent",
        "id": "pi_1",
        "customer": "org_1",
        "stripe_customer": customer.stripe_id,
        "status": "succeeded",
        "amount_minor": 500,
        "currency": "eur",
        "facts": msgspec.json.encode({"amount_received": received}).decode(),
        "seen_at": shop.clock.now,
    }
    copy = MirrorObject(**{**fields, **seen})
    await shop.store.write(lambda tx: intents.follow_intent(tx, rules or shop.rules, copy))


async def test_what_was_paid_as_it_was_asked_for_is_given_once(shop: Shop) -> None:
    house, _ = await begun(shop)
    for _ in range(2):
        await follow(shop)
    assert await shop.available() == 119
    assert (await house.top_up()).state is TopUpState.IDLE


@pytest.mark.parametrize(
    "seen",
    [
        {"stripe_customer": "cus_other"},
        {"currency": "usd"},
        {"received": 499},
        {"amount_minor": None},
        {"rules": Rules(Catalog(plans=[Plan("free", default=True, grants=[credits.once(5)])]))},
    ],
    ids=lambda seen: next(iter(seen)),
)
async def test_what_was_paid_otherwise_gives_nothing_and_stops(
    seen: dict[str, Any], shop: Shop
) -> None:
    house, purchase = await begun(shop)
    await follow(shop, **seen)
    assert await shop.available() == 19
    top_up = await house.top_up()
    assert (top_up.reason, top_up.error) == (BlockReason.REFUSED, "not_given")
    found = await shop.store.read(lambda tx: tx.purchases.get(purchase.id))
    assert found is not None
    assert found.status is PurchaseStatus.FAILED


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("requires_action", BlockReason.AUTHENTICATION_REQUIRED),
        ("canceled", BlockReason.REFUSED),
        ("processing", TopUpState.PAYING),
        ("requires_capture", TopUpState.PAYING),
    ],
)
async def test_what_stripe_says_of_a_payment(status: str, state: str, shop: Shop) -> None:
    house, purchase = await begun(shop)
    await follow(shop, status=status)
    top_up = await house.top_up()
    assert (top_up.reason or top_up.state) == state
    await shop.store.write(lambda tx: intents.note_never_made(tx, purchase.id))
    await follow(shop)  # whatever was thought: it has been paid
    assert await shop.available() == 119


async def test_nobody_is_topped_up_who_is_gone_nor_with_what_is_not_sold(shop: Shop) -> None:
    house = await house_of(shop, threshold=30)
    row = await house.top_up()
    without = Rules(Catalog(plans=[Plan("free", default=True)]))
    seen = await shop.store.read(lambda tx: top_ups.look(tx, without, row))
    assert seen.amount_minor is None
    await shop.store.write(lambda tx: top_ups.watch_again(tx, without, row))

    def delete(tx: Transaction) -> None:
        known = tx.customers.get("org_1", lock=True)
        assert known is not None
        tx.customers.save(replace(known, deleted_at=tx.now()))
        account = tx.ledger.account("org_1", "credits", lock=True)
        assert account.top_up_below == 30

    await shop.store.write(delete)
    await house.work()
    assert (await house.top_up()).reason is BlockReason.FROZEN
    await shop.store.write(
        lambda tx: top_ups.watch_again(tx, shop.rules, replace(row, threshold=31))
    )
    assert house.paid() == []
