"""Subscribing in the host's own page, with the real client and the simulator."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest

from gatekeeper.catalog import Catalog, Meter, MeterPrice, Plan, Price, Unit
from gatekeeper.entitlements import AccessPolicy
from gatekeeper.errors import (
    ConflictError,
    DiscountError,
    IdempotencyConflictError,
    InvalidAmountError,
    InvalidInputError,
    NotFoundError,
    StripeRequestError,
    StripeUnavailableError,
    UnknownNameError,
)
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.stripe.checkout import Checkout
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.sold_prices import SoldPrices
from gatekeeper.stripe.subscribing import (
    Means,
    PaymentMethods,
    Secret,
    Started,
    Subscribing,
    SubscribingPolicy,
)
from gatekeeper.stripe.webhooks import Projections
from gatekeeper.testing.stripe import Simulator
from tests.stripe.shop import URLS, Shop, open_shop
from tests.stripe.test_outgoing import Crash, dying
from tests.stripe.world import ManualClock

pytestmark = pytest.mark.anyio


@dataclass
class Front:
    """A shop, and the desk by which its pages subscribe."""

    shop: Shop
    desk: Subscribing
    methods: PaymentMethods
    outgoing: OutgoingRequests

    async def subscribe(self, price: str = "team_monthly", **more: Any) -> Started:
        self.shop.clock.now = self.shop.sim.now
        return await self.desk.subscribe(more.pop("customer", "org_1"), price, **more)

    async def paid(
        self, price: str = "team_monthly", card: str = "pm_card_visa", **more: Any
    ) -> str:
        """A subscription that was begun and paid; its id."""
        started = await self.subscribe(price, **more)
        self.confirm(started.secret, card)
        await self.shop.settle()
        return started.subscription.id

    def confirm(self, secret: Secret | None, card: str = "pm_card_visa") -> None:
        """What the page does with a client secret."""
        assert secret is not None
        intent = secret.client_secret.partition("_secret")[0]
        stripe = self.shop.sim.client().v1
        api = stripe.setup_intents if secret.confirms == "setup" else stripe.payment_intents
        api.confirm(intent, {"payment_method": card})


def front_of(shop: Shop, **policy: Any) -> Front:
    outgoing = OutgoingRequests(shop.gateway, shop.store)
    means = Means(
        gateway=shop.gateway,
        store=shop.store,
        rules=shop.rules,
        outgoing=outgoing,
        identities=StripeIdentities(shop.gateway, outgoing, shop.store),
        prices=SoldPrices(shop.gateway, shop.store, shop.rules),
        projections=Projections(shop.gateway, shop.store, shop.rules, shop._invalidate),
        policy=SubscribingPolicy(**policy),
    )
    return Front(shop, Subscribing(means), PaymentMethods(means), outgoing)


@pytest.fixture
def front(shop: Shop) -> Front:
    return front_of(shop)


# -- beginning ----------------------------------------------------------------------------------


async def test_a_subscription_is_incomplete_until_its_payment_is_confirmed(front: Front) -> None:
    shop = front.shop
    started = await front.subscribe()
    assert started.subscription.status == "incomplete"
    assert started.secret is not None
    assert started.secret.confirms == "payment"
    assert (started.amount_due_minor, started.currency) == (2_999, "eur")
    assert started.secret.client_secret not in repr(started)
    assert (await shop.entitlements()).plans == {"free"}
    found = await shop.checkout.status(started.purchase_id, "org_1")
    assert found.status is PurchaseStatus.PENDING

    front.confirm(started.secret)
    found = await shop.checkout.status(started.purchase_id, "org_1")  # before any webhook
    assert found.status is PurchaseStatus.PAID
    assert (await shop.entitlements()).has_plan("team")
    assert await shop.available() == 5_005
    await shop.settle()
    assert await shop.available() == 5_005


async def test_the_one_that_waits_is_gone_on_with(front: Front) -> None:
    first = await front.subscribe()
    again = await front.subscribe()
    assert again.subscription.id == first.subscription.id
    assert again.secret == first.secret
    assert again.purchase_id == first.purchase_id
    other = await front.subscribe("pro_yearly", customer="org_2")
    assert other.subscription.id != first.subscription.id
    more = await front.subscribe(quantity=3)
    assert more.subscription.id != first.subscription.id
    old = await front.shop.gateway.fetch("subscription", first.subscription.id)
    assert old is not None
    assert old["status"] in ("canceled", "incomplete_expired")
    over = await front.shop.checkout.status(first.purchase_id, "org_1")
    assert over.status is PurchaseStatus.EXPIRED


async def test_the_same_key_does_it_once_and_says_what_has_become_of_it(front: Front) -> None:
    first = await front.subscribe(idempotency_key="k")
    assert await front.subscribe(idempotency_key="k") == first
    front.confirm(first.secret)
    done = await front.subscribe(idempotency_key="k")
    assert (done.subscription.status, done.secret) == ("active", None)
    assert len(front.shop.sim.events("customer.subscription.created")) == 1


async def test_two_keys_begin_one_and_each_finds_it_ever_after(front: Front) -> None:
    first = await front.subscribe(idempotency_key="click-1")
    second = await front.subscribe(idempotency_key="click-2")
    assert second.subscription.id == first.subscription.id
    assert second.secret == first.secret
    with pytest.raises(IdempotencyConflictError):
        await front.subscribe(idempotency_key="click-2", quantity=2)
    front.confirm(first.secret)
    await front.shop.settle()
    for key in ("click-1", "click-2"):
        done = await front.subscribe(idempotency_key=key)
        assert (done.subscription.id, done.secret) == (first.subscription.id, None)
        found = await front.shop.checkout.status(done.purchase_id, "org_1")
        assert found.status is PurchaseStatus.PAID
    assert len(front.shop.sim.events("customer.subscription.created")) == 1
    assert await front.shop.store.read(lambda tx: tx.purchases.duplicates(10)) == []


async def test_what_was_never_paid_is_begun_anew(front: Front) -> None:
    first = await front.subscribe(idempotency_key="k")
    front.shop.sim.advance(days=2)
    await front.shop.settle()
    found = await front.shop.checkout.status(first.purchase_id, "org_1")
    assert found.status is PurchaseStatus.EXPIRED
    second = await front.subscribe(idempotency_key="k")
    assert second.purchase_id == first.purchase_id
    assert second.subscription.id != first.subscription.id
    assert second.secret is not None


async def test_a_trial_asks_for_a_payment_method_and_is_had_once(front: Front) -> None:
    first = await front.subscribe("pro_monthly")
    assert first.subscription.status == "trialing"
    assert first.secret is not None
    assert first.secret.confirms == "setup"
    assert first.amount_due_minor == 0
    assert (await front.subscribe("pro_monthly")).subscription.id == first.subscription.id
    other = await front.subscribe("pro_yearly")
    assert other.subscription.status == "incomplete"
    front.confirm(first.secret)
    front.shop.sim.advance(days=15)
    await front.shop.settle()
    view = await front.desk.look("org_1", first.subscription.id)
    assert view.status == "active"


async def test_a_trial_without_a_payment_method_ends_with_itself(front: Front) -> None:
    first = await front.subscribe("pro_monthly")
    front.shop.sim.advance(days=15)
    await front.shop.settle()
    assert (await front.desk.look("org_1", first.subscription.id)).status == "canceled"
    assert (await front.shop.entitlements()).plans == {"free"}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"price": "nothing"}, UnknownNameError),
        ({"price": "topup_100"}, InvalidInputError),
        ({"quantity": 0}, InvalidAmountError),
        ({"quantity": 10**9}, InvalidAmountError),
        ({"coupon": "ANY"}, DiscountError),
        ({"coupon": "A", "promotion_code": "B"}, InvalidInputError),
        ({"promotion_code": ""}, DiscountError),
        ({"promotion_code": "NONE"}, DiscountError),
        ({"promotion_code": "x" * 501}, DiscountError),
    ],
)
async def test_case_50_what_cannot_be_bought_is_refused(
    front: Front, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await front.subscribe(**{"price": "team_monthly", **wrong})
    assert not front.shop.sim.events("customer.subscription.created")


# -- changing -----------------------------------------------------------------------------------


async def test_more_is_paid_and_had_at_once(front: Front) -> None:
    own = await front.paid("pro_yearly", quantity=2)
    front.shop.sim.advance(days=20)
    front.shop.clock.now = front.shop.sim.now
    changed = await front.desk.change("org_1", own, price="team_monthly")
    assert changed.secret is None
    assert [(item.plan, item.quantity) for item in changed.subscription.items] == [("team", 2)]
    assert (await front.shop.entitlements()).has_plan("team")


async def test_a_change_that_wants_a_confirmation_waits_for_it(front: Front) -> None:
    own = await front.paid("team_monthly")
    stripe = front.shop.sim.client().v1
    customer = (await front.shop.customer()).stripe_id
    assert customer is not None
    wants = stripe.payment_methods.attach(
        "pm_card_authenticationRequired", {"customer": customer}
    ).id
    await front.methods.set_default("org_1", wants)
    changed = await front.desk.change("org_1", own, quantity=3)
    assert changed.subscription.pending_until is not None
    assert changed.secret is not None
    assert [item.quantity for item in changed.subscription.items] == [1]


async def test_what_is_paid_by_bank_debit_does_not_wait_for_it(front: Front) -> None:
    own = await front.paid("team_monthly")
    stripe = front.shop.sim.client().v1
    customer = (await front.shop.customer()).stripe_id
    assert customer is not None
    debit: Any = {
        "type": "sepa_debit",
        "sepa_debit": {"iban": "DE89370400440532013000"},
        "billing_details": {"name": "Ada", "email": "ada@example.com"},
    }
    made = stripe.payment_methods.create(debit).id
    stripe.payment_methods.attach(made, {"customer": customer})
    await front.methods.set_default("org_1", made)
    changed = await front.desk.change("org_1", own, quantity=2)
    assert changed.subscription.pending_until is None
    assert [item.quantity for item in changed.subscription.items] == [2]


async def test_less_waits_for_the_next_period_and_can_be_taken_back(front: Front) -> None:
    own = await front.paid("team_monthly")
    changed = await front.desk.change("org_1", own, price="pro_monthly")
    view = changed.subscription
    assert [item.plan for item in view.items] == ["team"]
    assert [(up.at, [item.plan for item in up.items]) for up in view.upcoming] == [
        (view.period_end, ["pro"])
    ]
    # Another change takes its place, and a change to what there is takes it back.
    fewer = (await front.desk.change("org_1", own, price="pro_yearly")).subscription
    assert [[item.plan for item in up.items] for up in fewer.upcoming] == [["pro"]]
    same = (await front.desk.change("org_1", own, price="team_monthly")).subscription
    assert same.upcoming == ()

    await front.desk.change("org_1", own, price="pro_monthly")
    front.shop.sim.advance(days=32)
    await front.shop.settle()
    assert (await front.shop.entitlements()).plans == {"pro", "free"}


async def test_less_is_had_at_once_by_policy(shop: Shop) -> None:
    front = front_of(shop, downgrades="now")
    own = await front.paid("pro_yearly", quantity=5)
    changed = await front.desk.change("org_1", own, quantity=2)
    assert [item.quantity for item in changed.subscription.items] == [2]
    later = await front.desk.change("org_1", own, quantity=1, when="period_end")
    assert [up.items[0].quantity for up in later.subscription.upcoming] == [1]


async def test_a_credit_for_less_is_on_the_next_invoice(shop: Shop) -> None:
    front = front_of(shop, downgrades="now")
    own = await front.paid("team_monthly", quantity=3)
    shop.clock.now = shop.sim.advance(days=10)
    seen = await front.desk.preview("org_1", own, quantity=1)
    assert (seen.when, seen.due_now_minor) == ("now", 0)
    assert seen.total_minor < 2_999
    paid = len(shop.sim.events("invoice.paid"))
    await front.desk.change("org_1", own, quantity=1, as_of=seen.at)
    await shop.settle()
    assert len(shop.sim.events("invoice.paid")) == paid
    same = await front.desk.preview("org_1", own, quantity=1)
    assert (same.when, same.due_now_minor) == ("now", 0)
    # A period of another length begins now, and is paid now, less what is left of this one.
    shorter = await front.desk.preview("org_1", own, price="pro_monthly")
    assert (shorter.when, shorter.due_now_minor) == ("now", 0)
    longer = await front.desk.preview("org_1", own, price="pro_yearly")
    assert longer.when == "now"
    assert longer.due_now_minor > 0


async def test_a_trial_is_not_carried_over_to_a_plan_without_one(front: Front) -> None:
    started = await front.subscribe("pro_monthly")
    changed = await front.desk.change("org_1", started.subscription.id, price="team_monthly")
    assert [item.plan for item in changed.subscription.items] == ["pro"]
    assert [up.items[0].plan for up in changed.subscription.upcoming] == ["team"]
    yearly = await front.desk.change("org_1", started.subscription.id, price="pro_yearly")
    assert yearly.subscription.status == "trialing"
    assert yearly.subscription.upcoming == ()


async def test_a_schedule_of_the_hosts_own_is_not_touched(front: Front) -> None:
    own = await front.paid("team_monthly")
    stripe = front.shop.sim.client().v1
    made = stripe.subscription_schedules.create({"from_subscription": own})
    stripe.subscription_schedules.update(made.id, {"end_behavior": "cancel"})
    for wanted in ({"price": "pro_monthly"}, {"quantity": 5}):
        with pytest.raises(ConflictError, match="schedule"):
            await front.desk.change("org_1", own, **wanted)
    with pytest.raises(ConflictError, match="schedule"):
        await front.desk.cancel("org_1", own)


async def test_nobody_elses_subscription_is_there(front: Front) -> None:
    own = await front.paid("team_monthly")
    desk = front.desk
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: desk.look("org_2", own),
        lambda: desk.preview("org_2", own, quantity=2),
        lambda: desk.change("org_2", own, quantity=2),
        lambda: desk.cancel("org_2", own),
        lambda: desk.pause("org_2", own),
        lambda: desk.resume("org_2", own),
        lambda: desk.look("org_1", "sub_unknown"),
    ]
    for ask in asked:
        with pytest.raises(NotFoundError):
            await ask()


# -- ending, pausing, resuming ------------------------------------------------------------------


async def test_an_end_with_the_period_can_be_taken_back(front: Front) -> None:
    own = await front.paid("team_monthly")
    await front.desk.change("org_1", own, price="pro_monthly")  # and this is given up
    ending = (await front.desk.cancel("org_1", own)).subscription
    assert ending.cancel_at == ending.period_end
    assert ending.upcoming == ()
    assert (await front.desk.cancel("org_1", own)).subscription == ending
    with pytest.raises(ConflictError, match="about to end"):
        await front.desk.change("org_1", own, quantity=2)
    going_on = (await front.desk.resume("org_1", own)).subscription
    assert going_on.cancel_at is None
    assert (await front.desk.resume("org_1", own)).subscription == going_on

    over = (await front.desk.cancel("org_1", own, when="now")).subscription
    assert over.status == "canceled"
    assert (await front.desk.cancel("org_1", own)).subscription.status == "canceled"
    with pytest.raises(ConflictError, match="ended"):
        await front.desk.resume("org_1", own)
    assert (await front.shop.entitlements()).plans == {"free"}


async def test_a_pause_gives_nothing_and_over_a_renewal_it_is_paid_for(front: Front) -> None:
    own = await front.paid("team_monthly")
    paused = (await front.desk.pause("org_1", own)).subscription
    assert paused.collection_paused
    assert not (await front.shop.entitlements()).has_plan("team")
    back = (await front.desk.resume("org_1", own)).subscription
    assert not back.collection_paused
    assert back.period_end == paused.period_end  # it was paid for already
    assert (await front.shop.entitlements()).has_plan("team")

    await front.desk.pause("org_1", own)
    front.shop.sim.advance(days=40)
    await front.shop.settle()
    paid = len(front.shop.sim.events("invoice.paid"))
    front.shop.clock.now = front.shop.sim.now
    again = (await front.desk.resume("org_1", own)).subscription
    await front.shop.settle()
    assert len(front.shop.sim.events("invoice.paid")) == paid + 1
    assert not again.collection_paused
    assert again.period_end is not None
    assert (again.period_end - front.shop.sim.now).days >= 27
    assert (await front.shop.entitlements()).has_plan("team")


async def test_no_pause_is_offered_where_a_pause_keeps_its_access(shop: Shop) -> None:
    shop.rules = Rules(shop.rules.catalog, AccessPolicy(pause_collection="keep"))
    front = front_of(shop)
    own = await front.paid("team_monthly")
    with pytest.raises(ConflictError, match="not offered"):
        await front.desk.pause("org_1", own)


# -- payment methods ----------------------------------------------------------------------------


async def test_a_payment_method_is_saved_chosen_and_forgotten(front: Front) -> None:
    own = await front.paid("team_monthly")
    assert await front.methods.saved("org_9") == []
    (first,) = await front.methods.saved("org_1")
    assert first.pays_for == (own,)
    setup = await front.methods.setup("org_1")
    front.confirm(setup.secret, "pm_card_mastercard")
    found = {one.brand: one for one in await front.methods.saved("org_1")}
    assert set(found) == {"visa", "mastercard"}
    with pytest.raises(ConflictError):
        await front.methods.detach("org_1", first.id)
    chosen = await front.methods.set_default("org_1", found["mastercard"].id)
    assert (chosen.is_default, chosen.pays_for) == (True, (own,))
    await front.methods.detach("org_1", first.id)
    (left,) = await front.methods.saved("org_1")
    assert left.id == chosen.id
    for ask in (front.methods.detach, front.methods.set_default):
        with pytest.raises(NotFoundError):
            await ask("org_2", chosen.id)
    await front.methods.setup("org_2")  # who is known to Stripe, and has nothing of org_1's
    for ask in (front.methods.detach, front.methods.set_default):
        with pytest.raises(NotFoundError):
            await ask("org_2", chosen.id)


# -- discounts and previews ---------------------------------------------------------------------


@dataclass
class Sale:
    """A coupon and a promotion code at Stripe."""

    coupon: str
    code: str


def sale(front: Front, code: str = "SUMMER", **coupon: Any) -> Sale:
    stripe = front.shop.sim.client().v1
    params: Any = {"percent_off": 50, "duration": "forever", **coupon}
    made = stripe.coupons.create(params)
    stripe.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": made.id}, "code": code}
    )
    return Sale(made.id, code)


async def test_a_promotion_code_takes_off_what_it_says(front: Front) -> None:
    sale(front)
    told = await front.desk.promotion_code("SUMMER")
    assert (told.percent_off, told.duration, told.amount_off_minor) == (50, "forever", None)
    first = await front.subscribe()
    preview = await front.desk.preview_start("org_1", "team_monthly", promotion_code="SUMMER")
    assert preview.subtotal_minor == 2_999
    assert preview.due_now_minor + preview.discount_minor == 2_999
    assert preview.discount_minor in (1_499, 1_500)
    started = await front.subscribe(promotion_code="SUMMER")
    assert started.subscription.id != first.subscription.id
    assert started.amount_due_minor == preview.due_now_minor
    assert (await front.subscribe(promotion_code="SUMMER")).secret == started.secret
    front.confirm(started.secret)
    await front.shop.settle()
    assert await front.shop.available() == 5_005


async def test_only_coupons_that_the_host_has_named_are_taken(shop: Shop) -> None:
    given = sale(front_of(shop), percent_off=100)
    with pytest.raises(DiscountError):
        await front_of(shop).subscribe(coupon=given.coupon)
    front = front_of(shop, coupons=frozenset({given.coupon}))
    started = await front.subscribe(coupon=given.coupon)
    assert (started.subscription.status, started.amount_due_minor) == ("active", 0)
    assert started.secret is not None
    assert started.secret.confirms == "setup"


async def test_a_preview_is_what_is_billed(front: Front) -> None:
    own = await front.paid("team_monthly")
    front.shop.clock.now = front.shop.sim.advance(days=10)
    preview = await front.desk.preview("org_1", own, quantity=3)
    assert preview.when == "now"
    assert preview.due_now_minor > 0
    assert any(line.is_proration for line in preview.lines)
    assert [item.quantity for item in (await front.desk.look("org_1", own)).items] == [1]
    front.shop.clock.now = front.shop.sim.advance(minutes=5)
    await front.desk.change("org_1", own, quantity=3, as_of=preview.at)
    await front.shop.settle()
    invoice = front.shop.sim.events("invoice.paid")[-1]["data"]["object"]
    assert invoice["amount_paid"] == preview.due_now_minor

    front.shop.clock.now = front.shop.sim.advance(minutes=20)
    with pytest.raises(ConflictError, match="out of date"):
        await front.desk.change("org_1", own, quantity=5, as_of=preview.at)
    later = await front.desk.preview("org_1", own, price="pro_monthly", quantity=1)
    assert (later.when, later.due_now_minor, later.total_minor) == ("period_end", 0, 999)
    trial = await front.desk.preview_start("org_2", "pro_yearly")
    assert (trial.trial_days, trial.due_now_minor) == (14, 0)


# -- crashes and races --------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["team_monthly", "pro_monthly"])
@pytest.mark.parametrize("is_told", [False, True])
async def test_case_41_a_subscription_whose_making_was_not_heard_of_is_not_made_again(
    front: Front, monkeypatch: pytest.MonkeyPatch, price: str, is_told: bool
) -> None:
    send = httpx.AsyncClient.request
    lost: list[str] = []

    async def lose_one(self: httpx.AsyncClient, method: str, url: str, **options: Any) -> Any:
        answer = await send(self, method, url, **options)
        if method.upper() == "POST" and url.endswith("/v1/subscriptions") and not lost:
            lost.append(url)
            raise httpx.ReadTimeout("the answer was lost")
        return answer

    monkeypatch.setattr(httpx.AsyncClient, "request", lose_one)
    with pytest.raises(StripeUnavailableError):
        await front.subscribe(price, idempotency_key="k")
    if is_told:  # of a trial, which is then the customer's one and only
        await front.shop.settle()
    started = await front.subscribe(price, idempotency_key="k")
    made = front.shop.sim.events("customer.subscription.created")
    assert [event["data"]["object"]["id"] for event in made] == [started.subscription.id]


async def test_two_tabs_at_once_begin_one_subscription(front: Front) -> None:
    begun: list[Started] = []

    async def tab() -> None:
        try:
            begun.append(await front.subscribe())
        except StripeUnavailableError:  # Stripe is at work on the other one: try again
            begun.append(await front.subscribe())

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(tab)
    assert len({started.subscription.id for started in begun}) == 1


async def test_a_change_that_crashed_is_not_made_behind_anybodys_back(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await front.paid("team_monthly")
    with monkeypatch.context() as broken:
        dying(front.shop.gateway, broken, sent=False)
        with pytest.raises(Crash):
            await front.desk.cancel("org_1", own)
    front.shop.clock.now = front.shop.sim.advance(minutes=2)
    assert await front.outgoing.resume() == 1
    assert (await front.desk.look("org_1", own)).cancel_at is None
    assert (await front.desk.cancel("org_1", own)).subscription.cancel_at is not None


async def test_a_change_that_stripe_failed_at_is_made_when_it_is_asked_for_again(
    front: Front,
) -> None:
    own = await front.paid("team_monthly")
    sim = front.shop.sim
    sim.misbehave("kept_500", path=f"/v1/subscriptions/{own}", method="POST")
    with pytest.raises(StripeUnavailableError):
        await front.desk.cancel("org_1", own, idempotency_key="k")
    again = await front.desk.cancel("org_1", own, idempotency_key="k")
    assert again.subscription.cancel_at is not None


async def test_a_change_for_later_that_stopped_half_way_is_made_when_it_is_asked_for_again(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await front.paid("team_monthly")
    post = front.shop.gateway.post

    async def fail(path: str, *args: Any, **options: Any) -> Any:
        if path.startswith("/v1/subscription_schedules/"):
            raise StripeUnavailableError
        return await post(path, *args, **options)

    with monkeypatch.context() as broken:
        broken.setattr(front.shop.gateway, "post", fail)
        with pytest.raises(StripeUnavailableError):
            await front.desk.change("org_1", own, price="pro_monthly", idempotency_key="k")
    again = await front.desk.change("org_1", own, price="pro_monthly", idempotency_key="k")
    assert [up.items[0].plan for up in again.subscription.upcoming] == ["pro"]


async def test_a_pause_over_a_renewal_is_not_ended_by_a_card_that_declines(front: Front) -> None:
    own = await front.paid("team_monthly")
    await front.desk.pause("org_1", own)
    front.shop.clock.now = front.shop.sim.advance(days=40)
    await front.shop.settle()
    customer = (await front.shop.customer()).stripe_id
    assert customer is not None
    card = front.shop.sim.client().v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": customer}
    )
    await front.methods.set_default("org_1", card.id)
    with pytest.raises(StripeRequestError):
        await front.desk.resume("org_1", own)
    assert (await front.desk.look("org_1", own)).collection_paused
    assert not (await front.shop.entitlements()).has_plan("team")


async def test_a_trial_that_paused_goes_on_once_it_is_paid(front: Front) -> None:
    await front.subscribe("team_monthly")  # who is known to Stripe by that
    customer = (await front.shop.customer()).stripe_id
    assert customer is not None
    prices = await front.shop.gateway.prices_by_lookup_key(["pro_monthly"])
    made: Any = {  # by hand: what is begun here ends without a payment method
        "customer": customer,
        "items": [{"price": prices["pro_monthly"]["id"]}],
        "trial_period_days": 14,
        "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
    }
    own = front.shop.sim.client().v1.subscriptions.create(made).id
    front.shop.clock.now = front.shop.sim.advance(days=15)
    await front.shop.settle()
    assert (await front.desk.look("org_1", own)).status == "paused"
    setup = await front.methods.setup("org_1")
    front.confirm(setup.secret)
    (card,) = await front.methods.saved("org_1")
    await front.methods.set_default("org_1", card.id)
    resumed = (await front.desk.resume("org_1", own)).subscription
    await front.shop.settle()
    assert resumed.status == "active"
    assert await front.shop.available() == 1_005


async def test_what_bills_its_overage_changes_it_too_and_ends_with_its_period(
    stripe_sim: Simulator, memory_store: Store, clock: ManualClock
) -> None:
    credits_ = Unit("credits")
    overage = Meter(
        "overage",
        event_name="ai_credits",
        prices=[
            MeterPrice("over_monthly", amount_minor=1, currency="eur", every="month"),
            MeterPrice("over_yearly", amount_minor=1, currency="eur", every="year"),
        ],
    )
    catalog = Catalog(
        plans=[
            Plan("free", default=True),
            Plan(
                "pro",
                prices=[
                    Price("monthly", amount_minor=999, currency="eur", every="month"),
                    Price("yearly", amount_minor=9_999, currency="eur", every="year"),
                ],
                grants=[credits_.every("month", 100, overage=overage)],
            ),
        ]
    )
    shop = await open_shop(stripe_sim, memory_store, clock, Rules(catalog))
    front = front_of(shop)
    own = await front.paid("monthly")
    await front.desk.change("org_1", own, price="yearly")
    found = await shop.gateway.fetch("subscription", own)
    assert found is not None
    prices = {one["price"]["lookup_key"] for one in found["items"]["data"]}
    assert prices == {"yearly", "over_yearly"}
    with pytest.raises(ConflictError, match="when its period ends"):
        await front.desk.cancel("org_1", own, when="now")
    ending = (await front.desk.cancel("org_1", own)).subscription
    assert ending.cancel_at == ending.period_end
    await shop.gateway.aclose()


async def test_a_code_that_was_typed_on_stripes_page_takes_off_of_a_pack(shop: Shop) -> None:
    front = front_of(shop)
    sale(front)
    policy = SubscribingPolicy(checkout_promotion_codes=True)
    checkout = Checkout(
        shop.gateway, shop.store, shop.rules, shop._invalidate, front.outgoing, policy
    )
    link = await checkout.start(
        "org_1", "topup_100", success_url=URLS["success_url"], cancel_url=URLS["cancel_url"]
    )
    paid = shop.sim.pay_checkout(link.session_id, promotion_code="SUMMER")
    assert paid["amount_total"] == 250
    found = await checkout.status(link.purchase_id, "org_1")
    assert found.status is PurchaseStatus.PAID
    assert await shop.available() == 105


async def test_another_currency_and_more_plans_than_one_are_not_changed(front: Front) -> None:
    own = await front.paid("team_monthly")
    price: Any = {
        "currency": "eur",
        "unit_amount": 100,
        "recurring": {"interval": "month"},
        "product_data": {"name": "Pro, beside it"},
        "lookup_key": "pro_monthly",
        "transfer_lookup_key": True,
    }
    stripe = front.shop.sim.client().v1
    beside: Any = {"items": [{"price": stripe.prices.create(price).id}]}
    stripe.subscriptions.update(own, beside)
    await front.shop.settle()
    with pytest.raises(ConflictError, match="not of one plan"):
        await front.desk.change("org_1", own, quantity=2)


async def test_two_prices_at_once_are_one_trial(front: Front) -> None:
    begun: list[Started] = []

    async def tab(price: str) -> None:
        try:
            begun.append(await front.subscribe(price))
        except StripeUnavailableError:  # Stripe is at work on making the customer: try again
            begun.append(await front.subscribe(price))

    async with anyio.create_task_group() as group:
        for price in ("pro_monthly", "pro_yearly"):
            group.start_soon(tab, price)
    assert sorted(one.subscription.status for one in begun) == ["incomplete", "trialing"]


@pytest.mark.parametrize("sent", [False, True])
async def test_case_41_a_subscription_whose_making_crashed_is_made_once_and_found(
    front: Front, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    await front.methods.setup("org_1")  # Stripe knows them
    with monkeypatch.context() as broken:
        dying(front.shop.gateway, broken, sent=sent)
        with pytest.raises(Crash):
            await front.subscribe(idempotency_key="k")
    front.shop.clock.now = front.shop.sim.advance(minutes=2)
    assert await front.outgoing.resume() == 1
    started = await front.subscribe(idempotency_key="k")
    assert started.secret is not None
    made = front.shop.sim.state.store.all("subscription")
    assert [one["id"] for one in made] == [started.subscription.id]


async def test_a_pack_for_nothing_is_given_and_nobody_is_asked_to_pay(shop: Shop) -> None:
    front = front_of(shop)
    sale(front, "GIFT", percent_off=100, duration="once")
    link = await shop.start("topup_100", promotion_code="GIFT")
    paid = shop.sim.pay_checkout(link.session_id)
    assert (paid["amount_total"], paid["payment_status"]) == (0, "no_payment_required")
    await shop.settle()
    assert await shop.available() == 105


async def test_a_customer_who_was_deleted_at_stripe_has_saved_nothing(front: Front) -> None:
    await front.methods.setup("org_1")
    gone = (await front.shop.customer()).stripe_id
    assert gone is not None
    front.shop.sim.client().v1.customers.delete(gone)
    assert await front.methods.saved("org_1") == []
    started = await front.subscribe()  # and another is made
    assert started.subscription.status == "incomplete"
    assert (await front.shop.customer()).stripe_id != gone
