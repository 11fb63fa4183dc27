"""Hard case 27: two checkout tabs, both paid."""

from typing import Any

import pytest

from gatekeeper.errors import StripeUnavailableError
from gatekeeper.services.outbox import Signal, SignalRegistry
from gatekeeper.services.outbox.deliverer import Deliverer
from gatekeeper.stripe.checkout import CheckoutLink
from gatekeeper.stripe.duplicates import NAME, DuplicateRefunds
from gatekeeper.stripe.outgoing import OutgoingRequests
from tests.stripe.shop import Shop

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

FREE = 5
MONTH = 5_000


async def two_tabs(shop: Shop, price: str = "team_monthly") -> tuple[CheckoutLink, CheckoutLink]:
    """The same plan, begun twice at once, and paid twice; its events have not come yet."""
    links = [await shop.start(price, idempotency_key=key) for key in ("tab 1", "tab 2")]
    for link in links:
        shop.sim.pay_checkout(link.session_id)
        shop.sim.advance(seconds=30)
    return links[0], links[1]


async def told(shop: Shop, refunds: DuplicateRefunds | None = None) -> list[Signal]:
    """What a host hears of duplicates."""
    found: list[Signal] = []
    registry = SignalRegistry()

    @registry.on("payment.duplicate", name="host")
    async def hear(signal: Signal) -> None:
        found.append(signal)

    if refunds is not None:
        registry.on("payment.duplicate", name=NAME)(refunds.settle)
    deliverer = Deliverer(shop.store, registry)
    while await deliverer.run_once():
        pass
    return found


async def test_case_27_two_tabs_that_are_paid_are_one_entitlement_and_the_second_is_flagged(
    durable_shop: Shop,
) -> None:
    shop = durable_shop
    first, second = await two_tabs(shop)
    await shop.settle()
    found = await shop.entitlements()
    assert found.has_plan("team")
    assert [source.kind for source in found.sources].count("item") == 1
    assert await shop.available() == FREE + MONTH
    listed = await shop.store.read(lambda tx: tx.purchases.duplicates(10))
    assert [(one.id, one.duplicate_of) for one in listed] == [
        (second.purchase_id, first.purchase_id)
    ]
    (signal,) = await told(shop)
    assert signal.customer == "org_1"
    assert signal.body["purchase"] == second.purchase_id
    assert signal.body["duplicate_of"]["purchase"] == first.purchase_id
    assert len(shop.sim.events("refund.created")) == 0  # by default nothing is refunded
    for event in shop.sim.events():  # all of it once more
        shop.sim.redeliver(event["id"])
    await shop.settle()
    assert await shop.available() == FREE + MONTH
    assert await told(shop) == []


async def test_case_27_what_the_second_had_granted_before_it_was_known_is_taken_back(
    durable_shop: Shop,
) -> None:
    shop = durable_shop
    await two_tabs(shop)
    shop.sim.hold()  # the checkouts' own events are late
    await shop.settle()
    for event in shop.sim.events("customer.subscription.created", "invoice.paid"):
        await shop.sim.deliver(event["id"])
    await shop.receiver.drain()
    assert await shop.available() == FREE + 2 * MONTH
    await shop.spend(FREE)
    shop.sim.release()
    await shop.settle()
    assert await shop.available() == MONTH


async def test_case_27_by_policy_the_second_is_canceled_and_refunded_once(
    durable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = durable_shop
    _, second = await two_tabs(shop)
    await shop.settle()
    outgoing = OutgoingRequests(shop.gateway, shop.store)
    refunds = DuplicateRefunds(shop.gateway, outgoing)
    post = shop.gateway.post

    async def lose_the_answer(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(shop.gateway, "post", post)
        await post(*args, **options)
        raise StripeUnavailableError("The answer was lost.")

    monkeypatch.setattr(shop.gateway, "post", lose_the_answer)
    (signal,) = await told(shop, refunds)
    await refunds.settle(signal)  # and again, as after a crash
    await refunds.settle(signal)
    (refund,) = shop.sim.events("refund.created")
    assert refund["data"]["object"]["amount"] == 2_999
    (canceled,) = shop.sim.events("customer.subscription.deleted")
    assert canceled["data"]["object"]["id"] == signal.body["subscription"]
    await shop.settle()
    assert (await shop.entitlements()).has_plan("team")
    owed = await shop.balance()
    assert (owed.available, owed.debt) == (FREE + MONTH, 0)
    assert second.purchase_id == signal.body["purchase"]
    shop.clock.advance(days=2)  # the key is spent: Stripe is asked
    await refunds.settle(signal)
    assert len(shop.sim.events("refund.created")) == 1


async def test_case_27_the_second_takes_the_place_of_the_first_when_that_ends(
    durable_shop: Shop,
) -> None:
    shop = durable_shop
    first, _ = await two_tabs(shop)
    await shop.settle()
    await shop.spend(100)
    purchase = await shop.store.read(lambda tx: tx.purchases.get(first.purchase_id))
    assert purchase is not None
    assert purchase.subscription_id is not None
    await shop.gateway.cancel_subscription(purchase.subscription_id)
    await shop.settle()
    assert (await shop.entitlements()).has_plan("team")
    assert await shop.available() == FREE + MONTH


async def test_case_27_what_was_paid_goes_before_a_trial(durable_shop: Shop) -> None:
    shop = durable_shop
    first, second = await two_tabs(shop, "pro_monthly")  # the first of them has the trial
    await shop.settle()
    (flagged,) = await shop.store.read(lambda tx: tx.purchases.duplicates(10))
    assert (flagged.id, flagged.duplicate_of) == (first.purchase_id, second.purchase_id)
    assert await shop.available() == FREE + 1_000


async def test_who_buys_another_one_later_means_it(shop: Shop) -> None:
    for key in ("today", "tomorrow"):
        link = await shop.start("team_monthly", idempotency_key=key)
        shop.sim.pay_checkout(link.session_id)
        await shop.settle()
        shop.sim.advance(days=1)
    assert await shop.store.read(lambda tx: tx.purchases.duplicates(10)) == []
    assert await shop.available() == FREE + 2 * MONTH


async def test_another_plan_is_no_duplicate(shop: Shop) -> None:
    links = [await shop.start(price) for price in ("pro_monthly", "team_monthly")]
    for link in links:
        shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    assert await shop.store.read(lambda tx: tx.purchases.duplicates(10)) == []
