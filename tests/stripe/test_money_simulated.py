"""Money and plans as the simulated Stripe tells of them: its events, doubled and out of order."""

from datetime import timedelta
from typing import Any

import pytest

from gatekeeper.errors import CreditsFrozenError
from gatekeeper.storage.records import EventStatus
from tests.stripe.shop import Shop

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]


async def settle(shop: Shop) -> None:
    """Every waiting event comes twice, in a random order."""
    for delivery in shop.sim.undelivered():
        shop.sim.redeliver(delivery.event["id"])
    shop.sim.shuffle()
    await shop.settle()
    counts = await shop.store.read(lambda tx: tx.inbox.counts())
    assert set(counts) <= {EventStatus.DONE}


async def buy(shop: Shop, price: str = "topup_100", **how: Any) -> str:
    """Pay for something by checkout; the charge."""
    link = await shop.start(price)
    shop.sim.pay_checkout(link.session_id, **how)
    await settle(shop)
    return str(shop.sim.state.store.all("charge")[0]["id"])


async def refund(shop: Shop, charge: str, amount: int | None = None, **more: Any) -> str:
    asked = {"charge": charge, **({"amount": amount} if amount else {}), **more}
    made = await shop.gateway.post("/v1/refunds", asked, what="refund")
    return str(made["id"])


async def test_case_34_refunds_in_any_order_take_their_share(shop: Shop) -> None:
    charge = await buy(shop)
    assert await shop.available() == 105
    await refund(shop, charge, 150)
    await refund(shop, charge, 100)
    await settle(shop)
    assert await shop.available() == 55
    await refund(shop, charge)
    await settle(shop)
    assert await shop.available() == 5


@pytest.mark.parametrize("card", ["4000000000005126", "4000000000007726"])
async def test_case_35_a_refund_that_fails_is_given_back(shop: Shop, card: str) -> None:
    charge = await buy(shop, card=card)
    made = await refund(shop, charge, 250)
    await settle(shop)
    assert await shop.available() == 55
    shop.sim.advance(minutes=2)
    await settle(shop)
    fails = card == "4000000000005126"
    assert await shop.available() == (105 if fails else 55)
    if not fails:
        shop.sim.cancel_refund(made)
        await settle(shop)
        assert await shop.available() == 105


async def test_case_37_a_dispute_is_taken_once_and_given_back_when_won(shop: Shop) -> None:
    charge = await buy(shop, card="4000000000000259")
    assert await shop.available() == 5
    (dispute,) = shop.sim.state.store.all("dispute")
    evidence = {"evidence": {"uncategorized_text": "winning_evidence"}}
    await shop.gateway.post(f"/v1/disputes/{dispute['id']}", evidence, what="evidence")
    await settle(shop)
    assert await shop.available() == 5
    shop.sim.advance(seconds=5)
    await settle(shop)
    assert await shop.available() == 105
    await refund(shop, charge, 250)
    await settle(shop)
    assert await shop.available() == 55


async def test_case_38_an_inquiry_takes_nothing_until_it_escalates(shop: Shop) -> None:
    charge = await buy(shop, card="4000000000001976")
    shop.sim.dispute(charge, status="prevented")
    await settle(shop)
    assert await shop.available() == 105
    inquiry = shop.sim.state.store.where("dispute", status="warning_needs_response")[0]["id"]
    shop.sim.escalate_dispute(inquiry)
    await settle(shop)
    assert await shop.available() == 5


async def test_case_39_refund_and_lost_dispute_take_no_more_than_all(shop: Shop) -> None:
    charge = await buy(shop)
    await refund(shop, charge, 250)
    dispute = shop.sim.dispute(charge)
    shop.sim.close_dispute(dispute["id"], "lost")
    await settle(shop)
    assert await shop.available() == 5
    assert (await shop.balance()).debt == 0


async def test_case_49_an_early_fraud_warning_freezes_the_credits(shop: Shop) -> None:
    await buy(shop, card="4000000000005423")
    with pytest.raises(CreditsFrozenError):
        await shop.spend(1)


async def test_case_62_a_yearly_invoice_is_refunded_in_full(shop: Shop) -> None:
    link = await shop.start("pro_yearly")
    shop.sim.pay_checkout(link.session_id)
    shop.sim.advance(days=14, hours=2)  # the trial, and an hour of draft
    await settle(shop)
    (charge,) = (one["id"] for one in shop.sim.state.store.all("charge"))
    assert await shop.available() == 1_005
    await refund(shop, charge)
    await settle(shop)
    shop.sim.advance(days=40)
    await settle(shop)
    assert await shop.available() == 5


async def test_case_26_an_unpaid_pending_update_expires_and_the_plan_stays(shop: Shop) -> None:
    await buy(shop, "team_monthly")
    (subscription,) = shop.sim.state.store.all("subscription")
    post, own = shop.gateway.post, f"/v1/subscriptions/{subscription['id']}"
    card = await post(
        "/v1/payment_methods/pm_card_chargeCustomerFail/attach",
        {"customer": subscription["customer"]},
        what="card",
    )
    await post(own, {"default_payment_method": card["id"]}, what="card")
    item = subscription["items"]["data"][0]["id"]
    change = {
        "items": [{"id": item, "quantity": 7}],
        "payment_behavior": "pending_if_incomplete",
        "proration_behavior": "always_invoice",
    }
    assert (await post(own, change, what="update"))["pending_update"] is not None
    await settle(shop)
    assert (await shop.entitlements()).limit("seats") == 1
    shop.sim.advance(hours=23)
    await settle(shop)
    assert shop.sim.events("customer.subscription.pending_update_expired")
    entitled = await shop.entitlements()
    assert (entitled.has_plan("team"), entitled.limit("seats")) == (True, 1)


async def test_a_scheduled_downgrade_begins_with_its_period(shop: Shop) -> None:
    await buy(shop, "team_monthly")
    (subscription,) = shop.sim.state.store.all("subscription")
    post = shop.gateway.post
    made = await post(
        "/v1/subscription_schedules", {"from_subscription": subscription["id"]}, what="schedule"
    )
    (phase,) = made["phases"]
    price = shop.sim.state.store.where("price", lookup_key="pro_monthly")[0]["id"]
    now = {"items": phase["items"], "start_date": phase["start_date"]}
    now["items"] = [{"price": phase["items"][0]["price"], "quantity": 1}]
    phases = [{**now, "end_date": phase["end_date"]}, {"items": [{"price": price}]}]
    path = f"/v1/subscription_schedules/{made['id']}"
    await post(path, {"phases": phases}, what="schedule")
    await settle(shop)
    assert (await shop.entitlements()).has_plan("team")
    shop.sim.advance_to(shop.sim.now + timedelta(days=31, hours=2))
    await settle(shop)
    entitled = await shop.entitlements()
    assert (entitled.has_plan("team"), entitled.has_plan("pro")) == (False, True)
    assert await shop.available() == 1_005


async def test_a_hold_that_is_let_go_takes_nothing(shop: Shop) -> None:
    await buy(shop)
    known = (await shop.customer()).stripe_id
    terms = {
        "amount": 500,
        "currency": "eur",
        "customer": known,
        "payment_method": "pm_card_visa",
        "capture_method": "manual",
        "confirm": True,
        "return_url": "https://app.test/",
    }
    held = await shop.gateway.post("/v1/payment_intents", terms, what="hold")
    await shop.gateway.post(f"/v1/payment_intents/{held['id']}/cancel", {}, what="hold")
    await settle(shop)
    assert await shop.available() == 105
