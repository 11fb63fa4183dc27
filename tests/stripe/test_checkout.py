"""Checkout, portal and what follows, with the real client and the simulator."""

from typing import Any

import anyio
import httpx
import pytest
from msgspec.structs import replace

from gatekeeper.catalog import Catalog, Meter, MeterPrice, Pack, Plan, Price, Unit
from gatekeeper.errors import (
    ConfigurationError,
    ConflictError,
    CustomerNotFoundError,
    IdempotencyConflictError,
    InvalidAmountError,
    InvalidIdError,
    InvalidInputError,
    NotFoundError,
    StripeRequestError,
    StripeUnavailableError,
    UnknownNameError,
)
from gatekeeper.services import customers
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import PriceRecord, PurchaseStatus
from gatekeeper.stripe.checkout import CheckoutLink
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.testing.stripe import Simulator
from tests.stripe.shop import Shop, make_price, open_shop
from tests.stripe.world import ManualClock

pytestmark = pytest.mark.anyio

# -- the story ----------------------------------------------------------------------------------


async def test_a_subscription_from_the_link_to_its_renewal_and_its_end(durable_shop: Shop) -> None:
    shop = durable_shop
    link = await shop.start("team_monthly")
    assert link.url.startswith(shop.sim.url)
    assert (await shop.checkout.status(link.purchase_id, "org_1")).status is PurchaseStatus.PENDING
    shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    assert (await shop.entitlements()).has_plan("team")
    assert await shop.available() == 5_005
    purchase = await shop.checkout.status(link.purchase_id, "org_1")
    assert purchase.status is PurchaseStatus.PAID
    assert purchase.subscription_id is not None

    shop.sim.advance(days=32)  # past the renewal and its hour of draft
    await shop.settle()
    assert (await shop.entitlements()).has_plan("team")
    assert await shop.available() == 5_005

    shop.sim.client().v1.subscriptions.update(
        purchase.subscription_id, {"cancel_at_period_end": True}
    )
    await shop.settle()
    assert (await shop.entitlements()).has_plan("team")
    shop.sim.advance(days=32)
    await shop.settle()
    assert (await shop.entitlements()).plans == {"free"}
    assert await shop.available() == 5


async def test_a_pack_is_granted_once_by_the_return_page_and_the_webhook(
    durable_shop: Shop,
) -> None:
    shop = durable_shop
    link = await shop.start(quantity=3)
    shop.sim.pay_checkout(link.session_id)
    purchase = await shop.checkout.status(link.purchase_id, "org_1")  # before any webhook
    assert purchase.status is PurchaseStatus.PAID
    assert (await shop.available(), await shop.available("exports")) == (305, 6)
    await shop.settle()
    for event in shop.sim.events("checkout.session.completed"):
        shop.sim.redeliver(event["id"], 3)
    await shop.settle()
    assert await shop.available() == 305
    session = await shop.gateway.fetch("checkout.session", link.session_id)
    assert session is not None
    assert session["success_url"] == f"https://app.test/ok?{link.purchase_id}"
    assert session["client_reference_id"] == link.purchase_id


async def test_case_31_a_bank_debit_grants_when_it_succeeds_and_not_when_it_fails(
    durable_shop: Shop,
) -> None:
    shop = durable_shop
    good, bad = await shop.start(), await shop.start()
    shop.sim.pay_checkout(good.session_id, iban="DE89370400440532013000")
    shop.sim.pay_checkout(bad.session_id, iban="DE62370400440532013001")
    await shop.settle()
    assert await shop.available() == 5
    shop.sim.advance(minutes=10)
    await shop.settle()
    assert await shop.available() == 105
    assert (await shop.checkout.status(good.purchase_id, "org_1")).status is PurchaseStatus.PAID
    assert (await shop.checkout.status(bad.purchase_id, "org_1")).status is PurchaseStatus.FAILED


async def test_whatever_webhooks_are_shuffled_doubled_and_lost_the_state_converges(
    durable_shop: Shop,
) -> None:
    shop = durable_shop
    shop.sim.hold()
    link = await shop.start("team_monthly")
    shop.sim.pay_checkout(link.session_id)
    for number, event in enumerate(shop.sim.events()):
        if event["type"].startswith("invoice"):
            shop.sim.drop(event["id"])
        elif number % 2:
            shop.sim.redeliver(event["id"])
    shop.sim.shuffle()
    shop.sim.release()
    await shop.settle()
    assert (await shop.entitlements()).has_plan("team")
    assert await shop.available() == 5_005


# -- starting -----------------------------------------------------------------------------------


async def test_the_same_idempotency_key_gives_the_same_session(shop: Shop) -> None:
    first = await shop.start(idempotency_key="button-1")
    again = await shop.start(idempotency_key="button-1")
    assert (first.purchase_id, first.session_id) == (again.purchase_id, again.session_id)
    assert first.url == again.url
    other = await shop.start(idempotency_key="button-2")
    assert other.session_id != first.session_id
    with pytest.raises(IdempotencyConflictError):
        await shop.start(idempotency_key="button-1", quantity=2)
    theirs = await shop.start(customer="org_2", idempotency_key="button-1")
    assert theirs.purchase_id != first.purchase_id


async def test_the_same_key_at_once_gives_one_session(durable_shop: Shop) -> None:
    links: list[CheckoutLink] = []

    async def start() -> None:
        try:
            links.append(await durable_shop.start(idempotency_key="button-1"))
        except StripeUnavailableError:  # Stripe is at work on the other one: try again
            links.append(await durable_shop.start(idempotency_key="button-1"))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(start)
    assert len({(link.purchase_id, link.session_id) for link in links}) == 1


async def test_an_expired_session_is_replaced_and_a_paid_one_is_not(shop: Shop) -> None:
    first = await shop.start(idempotency_key="button-1")
    shop.sim.advance(days=2)
    await shop.settle()
    expired = await shop.checkout.status(first.purchase_id, "org_1")
    assert expired.status is PurchaseStatus.EXPIRED
    second = await shop.start(idempotency_key="button-1")
    assert second.purchase_id == first.purchase_id
    assert second.session_id != first.session_id
    shop.sim.pay_checkout(second.session_id)
    with pytest.raises(ConflictError, match="completed"):
        await shop.start(idempotency_key="button-1")
    await shop.settle()
    assert await shop.available() == 105


async def test_case_40_two_requests_at_once_make_one_stripe_customer(durable_shop: Shop) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(durable_shop.start)
    assert len(durable_shop.sim.events("customer.created")) == 1
    assert (await durable_shop.customer()).stripe_id is not None


async def test_case_41_a_customer_whose_making_was_not_heard_of_is_not_made_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = httpx.AsyncClient.request
    lost: list[str] = []

    async def lose_one(self: httpx.AsyncClient, method: str, url: str, **options: Any) -> Any:
        answer = await send(self, method, url, **options)
        if url.endswith("/v1/customers") and not lost:
            lost.append(url)
            raise httpx.ReadTimeout("the answer was lost")
        return answer

    monkeypatch.setattr(httpx.AsyncClient, "request", lose_one)
    with pytest.raises(StripeUnavailableError):
        await shop.start()
    await shop.start()
    made = shop.sim.events("customer.created")
    assert [event["data"]["object"]["id"] for event in made] == [(await shop.customer()).stripe_id]


async def test_a_customer_who_was_deleted_at_stripe_gets_another(shop: Shop) -> None:
    await shop.store.write(lambda tx: customers.ensure(tx, "org_1", email="a@example.com"))
    await shop.start()
    first = (await shop.customer()).stripe_id
    assert first is not None
    shop.sim.client().v1.customers.delete(first)
    await shop.settle()
    assert await shop.checkout.portal("org_1", "https://app.test/") != ""
    second = (await shop.customer()).stripe_id
    assert second != first
    link = await shop.start()
    shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    assert await shop.available() == 105


async def test_somebody_else_may_have_made_the_customer_meanwhile(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = shop.gateway.post

    async def and_somebody_else_too(path: str, *args: Any, **options: Any) -> Any:
        made = await post(path, *args, **options)

        def take(tx: Transaction) -> None:
            row = tx.customers.get("org_1")
            assert row is not None
            tx.customers.save(replace(row, stripe_id="cus_theirs"))

        await shop.store.write(take)
        return made

    monkeypatch.setattr(shop.gateway, "post", and_somebody_else_too)
    assert (
        await StripeIdentities(
            shop.gateway, OutgoingRequests(shop.gateway, shop.store), shop.store
        ).ensure("org_1")
        == "cus_theirs"
    )
    assert (await shop.customer()).stripe_id == "cus_theirs"


async def test_a_trial_is_for_those_who_never_had_a_subscription(shop: Shop) -> None:
    link = await shop.start("pro_monthly")
    shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    purchase = await shop.checkout.status(link.purchase_id, "org_1")
    assert purchase.status is PurchaseStatus.PAID
    assert (await shop.entitlements()).has_plan("pro")
    assert await shop.available() == 5  # the trial grants nothing that it does not declare
    again = await shop.start("pro_monthly")
    shop.sim.pay_checkout(again.session_id)
    await shop.settle()
    found = await shop.checkout.status(again.purchase_id, "org_1")
    assert found.subscription_id is not None
    second = await shop.gateway.fetch("subscription", found.subscription_id)
    assert second is not None
    assert second["status"] == "active"
    assert await shop.available() == 1_005


async def trials(shop: Shop) -> int:
    """Pay every open checkout; how many of the subscriptions began with a trial."""
    await shop.settle()
    made = shop.sim.events("customer.subscription.created")
    return sum(event["data"]["object"]["status"] == "trialing" for event in made)


async def test_five_tabs_are_one_trial(durable_shop: Shop) -> None:
    shop = durable_shop
    links: list[CheckoutLink] = []

    async def tab() -> None:
        links.append(await shop.start("pro_monthly"))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(tab)
    for session_id in {link.session_id for link in links}:
        shop.sim.pay_checkout(session_id)
    assert await trials(shop) == 1


async def test_the_open_checkout_of_a_subscription_is_used_again(shop: Shop) -> None:
    first = await shop.start("pro_monthly")
    assert await shop.start("pro_monthly") == first
    others = [
        await shop.start("pro_yearly"),
        await shop.start("pro_monthly", cancel_url="https://app.test/else"),
        await shop.start("pro_monthly", idempotency_key="button-1"),
    ]
    assert len({link.session_id for link in [first, *others]}) == 4
    for link in [first, *others]:
        shop.sim.pay_checkout(link.session_id)
    assert await trials(shop) == 1


async def test_a_checkout_that_expired_or_never_began_leaves_the_trial(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = shop.gateway.post

    async def fail(path: str, *args: Any, **options: Any) -> Any:
        if path == "/v1/checkout/sessions":
            raise StripeUnavailableError
        return await post(path, *args, **options)

    with monkeypatch.context() as broken:
        broken.setattr(shop.gateway, "post", fail)
        with pytest.raises(StripeUnavailableError):
            await shop.start("pro_monthly")
    await shop.start("pro_monthly")
    shop.sim.advance(days=2)  # and its event has not come yet
    link = await shop.start("pro_yearly")
    shop.sim.pay_checkout(link.session_id)
    assert await trials(shop) == 1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"price": "nothing_like_it"}, UnknownNameError),
        ({"customer": ""}, InvalidIdError),
        ({"customer": "a\x00b"}, InvalidIdError),
        ({"quantity": 0}, InvalidAmountError),
        ({"quantity": -1}, InvalidAmountError),
        ({"quantity": True}, InvalidAmountError),
        ({"quantity": 10**9}, InvalidAmountError),
        ({"quantity": 10**30}, InvalidAmountError),
        ({"success_url": "javascript:alert(1)"}, InvalidInputError),
        ({"success_url": "/relative"}, InvalidInputError),
        ({"success_url": "https://[1"}, InvalidInputError),
        ({"success_url": "https://a.test/" + "x" * 5_000}, InvalidInputError),
        ({"cancel_url": "https://a.test/\r\nSet-Cookie: a"}, InvalidInputError),
        ({"cancel_url": None}, InvalidInputError),
        ({"idempotency_key": ""}, InvalidIdError),
        ({"idempotency_key": "x" * 256}, InvalidIdError),
    ],
)
async def test_bad_input_is_a_named_error_and_starts_nothing(
    shop: Shop, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await shop.start(**wrong)
    assert shop.sim.events("customer.created") == []


async def test_amounts_that_no_balance_can_hold_are_refused(
    stripe_sim: Simulator, memory_store: Store, clock: ManualClock
) -> None:
    huge = Unit("grains")
    pack = Pack("sack", grants=huge(2**52), price=Price("sack", amount_minor=1, currency="eur"))
    shop = await open_shop(stripe_sim, memory_store, clock)
    shop.rules = Rules(Catalog(plans=[Plan("free", default=True)], packs=[pack]))
    with pytest.raises(InvalidAmountError, match="granted"):
        await shop.start("sack", quantity=3)
    await shop.gateway.aclose()


async def test_a_price_that_stripe_has_otherwise_is_not_sold(shop: Shop) -> None:
    def priced(amount_minor: int, **more: Any) -> Rules:
        price = Price("topup_100", amount_minor=amount_minor, currency="eur", **more)
        pack = Pack("credits_100", grants=Unit("credits")(100), price=price)
        return Rules(Catalog(plans=[Plan("free", default=True)], packs=[pack]))

    shop.rules = priced(499)
    with pytest.raises(ConfigurationError, match=r"amount is 5.00 EUR, not 4.99 EUR"):
        await shop.start()
    shop.rules = Rules(
        Catalog(
            plans=[Plan("free", default=True)],
            packs=[
                Pack(
                    "p", Unit("credits")(1), price=Price("nowhere", amount_minor=5, currency="eur")
                )
            ],
        )
    )
    with pytest.raises(ConfigurationError, match="it is missing"):
        await shop.start("nowhere")


async def test_a_price_is_found_by_its_declared_id_too(shop: Shop) -> None:
    made = await make_price(shop.gateway, unit_amount=700)
    price = Price("old", amount_minor=700, currency="eur", ids=["price_gone", made["id"]])
    pack = Pack("old", grants=Unit("credits")(7), price=price)
    shop.rules = Rules(Catalog(plans=[Plan("free", default=True)], packs=[pack]))
    link = await shop.start(made["id"])  # by its id, as by its lookup key
    shop.sim.pay_checkout(link.session_id)
    purchase = await shop.checkout.status(link.purchase_id, "org_1")
    assert purchase.price_lookup_key == "old"
    assert await shop.available() == 7


async def test_a_price_that_stood_for_something_else_is_not_sold(shop: Shop) -> None:
    prices = await shop.gateway.prices_by_lookup_key(["topup_100"])
    await shop.store.write(
        lambda tx: tx.subscriptions.record_price(
            PriceRecord(
                price_id=prices["topup_100"]["id"],
                lookup_key="old",
                pack="old",
                first_seen_at=tx.now(),
            )
        )
    )
    with pytest.raises(ConfigurationError, match="was sold as something else"):
        await shop.start()


async def test_a_purchase_is_shown_to_nobody_else(shop: Shop) -> None:
    link = await shop.start()
    for purchase_id, customer in ((link.purchase_id, "org_2"), ("pur_nothing", "org_1")):
        with pytest.raises(NotFoundError):
            await shop.checkout.status(purchase_id, customer)
    with pytest.raises(InvalidIdError):
        await shop.checkout.status("a\x00b", "org_1")


async def test_the_portal_is_the_customers_own(shop: Shop) -> None:
    url = await shop.checkout.portal("org_1", "https://app.test/account")
    assert url.startswith(shop.sim.url)
    assert (await shop.customer()).stripe_id is not None
    with pytest.raises(InvalidInputError):
        await shop.checkout.portal("org_1", "ftp://app.test/")


async def test_another_refusal_of_stripes_is_raised_as_it_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(params: object) -> Any:
        raise StripeRequestError("no portal is configured", stripe_code="resource_missing")

    monkeypatch.setattr(shop.gateway, "create_portal_session", refuse)
    with pytest.raises(StripeRequestError, match="no portal is configured"):
        await shop.checkout.portal("org_1", "https://app.test/")


async def test_a_customer_whom_the_host_deleted_can_buy_nothing(shop: Shop) -> None:
    await shop.store.write(lambda tx: customers.ensure(tx, "org_1"))
    await shop.store.write(lambda tx: customers.delete(tx, "org_1"))
    with pytest.raises(CustomerNotFoundError):
        await shop.start()


# -- overage --------------------------------------------------------------------------------------


def with_overage() -> Rules:
    """A plan whose overage costs a hundredth of a cent, by the month."""
    credits = Unit("credits")
    price = MeterPrice("over_monthly", amount_minor=1, currency="eur", per=100)
    overage = Meter("over", event_name="ai_credits", prices=[price])
    pro = Plan(
        "pro",
        prices=[
            Price("pro_monthly", 999, "eur", every="month"),
            Price("pro_yearly", 9_999, "eur", every="year"),
        ],
        grants=[credits.every("month", 1_000, overage=overage)],
    )
    return Rules(Catalog(plans=[Plan("free", default=True), pro]))


async def test_the_price_of_the_overage_is_bought_beside_the_plan(
    stripe_sim: Simulator,
    memory_store: Store,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = await open_shop(stripe_sim, memory_store, clock, with_overage())
    link = await shop.start("pro_monthly")
    stripe_sim.pay_checkout(link.session_id)
    await shop.settle()
    purchase = await shop.checkout.status(link.purchase_id, "org_1")
    assert purchase.status is PurchaseStatus.PAID
    assert (await shop.entitlements()).has_plan("pro")
    assert await shop.available() == 1_000
    assert purchase.subscription_id is not None
    found = await shop.gateway.fetch("subscription", purchase.subscription_id)
    assert found is not None
    keys = [item["price"]["lookup_key"] for item in found["items"]["data"]]
    assert sorted(keys) == ["over_monthly", "pro_monthly"]
    assert "is not in the catalogue" not in caplog.text  # it buys nothing, and is no stranger
    stripe_sim.advance(days=32)
    await shop.settle()
    assert (await shop.entitlements()).has_plan("pro")
    await shop.gateway.aclose()


async def test_a_price_of_another_interval_is_not_bought_and_a_missing_one_is_named(
    stripe_sim: Simulator, memory_store: Store, clock: ManualClock
) -> None:
    rules = with_overage()
    shop = await open_shop(stripe_sim, memory_store, clock, rules)
    link = await shop.start("pro_yearly")
    session = await shop.gateway.fetch("checkout.session", link.session_id)
    assert session is not None
    assert len(session["line_items"]["data"]) == 1
    price = (await shop.gateway.prices_by_lookup_key(["over_monthly"]))["over_monthly"]
    stripe_sim.client().v1.prices.update(price["id"], {"active": False})
    with pytest.raises(ConfigurationError, match="'over_monthly' is not the catalogue's"):
        await shop.start("pro_monthly", "org_2")
    await shop.gateway.aclose()
