"""Copies of what the simulator has, over the real gateway: what each fetch asks for is answered."""

import json
from collections.abc import AsyncIterator
from functools import partial

import pytest

from gatekeeper.services.upcoming import subscriptions_of
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.testing.events import make_event, unix
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.billing import accounts
from gatekeeper.testing.stripe.core.store import Obj
from tests.stripe.shop import Shop, open_shop
from tests.stripe.test_reconciliation import introduce, subscribe
from tests.stripe.world import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(
    stripe_sim: Simulator, memory_store: Store, clock: ManualClock
) -> AsyncIterator[Shop]:
    opened = await open_shop(stripe_sim, memory_store, clock)
    yield opened
    await opened.gateway.aclose()


async def tell(shop: Shop) -> None:
    """Every event that Stripe has made comes, the newest first."""
    for event in shop.sim.events():
        await shop.receiver.replay(json.dumps(event).encode())
    await shop.receiver.drain()
    counts = await shop.store.read(lambda tx: tx.inbox.counts())
    assert set(counts) == {EventStatus.DONE}


async def of_parent(shop: Shop, kind: str, parent: Obj) -> list[MirrorObject]:
    name = f"{parent['object']}/{parent['id']}"
    return list(await shop.store.read(lambda tx: tx.mirror.of_parent(kind, name)))


async def test_a_payment_and_its_refund_come_with_their_balance_transactions(shop: Shop) -> None:
    post = shop.gateway.post
    subscription = await subscribe(shop)
    (charge,) = shop.sim.state.store.all("charge")
    await post("/v1/refunds", {"charge": charge["id"], "amount": 100}, what="refund")
    await tell(shop)
    (refund,) = await of_parent(shop, "refund", charge)
    assert (refund.customer, refund.amount_minor) == ("org_1", 100)
    (taken,) = await of_parent(shop, "balance_transaction", charge)
    (back,) = await of_parent(shop, "balance_transaction", {"object": "refund", "id": refund.id})
    assert (taken.amount_minor, taken.customer) == (charge["amount"], "org_1")
    assert (back.amount_minor, back.customer) == (-100, "org_1")
    (bill,) = await of_parent(shop, "invoice", {"object": "subscription", "id": subscription})
    (paid,) = await of_parent(shop, "invoice_payment", {"object": "invoice", "id": bill.id})
    assert (bill.customer, paid.customer) == ("org_1", "org_1")


async def test_a_payment_of_an_invoice_that_has_not_succeeded_comes_with_the_invoice(
    shop: Shop,
) -> None:
    post = shop.gateway.post
    made = await post("/v1/customers", {}, what="customer")
    await introduce(shop.store, "org_1", made["id"])
    attached = "/v1/payment_methods/pm_card_chargeCustomerFail/attach"
    method = await post(attached, {"customer": made["id"]}, what="method")
    prices = await shop.gateway.prices_by_lookup_key(["pro_monthly"])
    await post(
        "/v1/subscriptions",
        {
            "customer": made["id"],
            "default_payment_method": method["id"],
            "items": [{"price": prices["pro_monthly"]["id"]}],
            "payment_behavior": "allow_incomplete",
        },
        what="subscription",
    )
    await tell(shop)
    (bill,) = shop.sim.state.store.all("invoice")
    (payment,) = await of_parent(shop, "invoice_payment", bill)
    assert (payment.status, payment.customer) == ("open", "org_1")


async def test_transfers_are_copied_with_their_reversals(shop: Shop) -> None:
    post = shop.gateway.post
    seller = await post("/v1/accounts", {"type": "express"}, what="account")
    shop.sim.onboard(seller["id"])
    terms = {"amount": 900, "currency": "eur", "destination": seller["id"]}
    sent = await post("/v1/transfers", terms, what="transfer")
    await post(f"/v1/transfers/{sent['id']}/reversals", {"amount": 300}, what="reversal")
    await post("/v1/customers", {"name": "Theirs"}, what="customer", account=seller["id"])
    await tell(shop)
    (reversal,) = await of_parent(shop, "transfer_reversal", sent)
    assert (reversal.amount_minor, reversal.currency) == (300, "eur")
    (theirs,) = shop.sim.state.of(seller["id"]).store.all("customer")

    for account in ("", seller["id"]):
        name = theirs["id"]
        found = await shop.store.read(partial(_copy_of, name=name, account=account))
        assert (found is None) is (account == "")


async def test_a_fee_of_a_direct_charge_is_ours_and_the_charge_is_theirs(shop: Shop) -> None:
    post = shop.gateway.post
    seller = (await post("/v1/accounts", {"type": "express"}, what="account"))["id"]
    shop.sim.onboard(seller)
    terms = {"amount": 1_000, "currency": "eur", "application_fee_amount": 100}
    how = {"confirm": True, "payment_method": "pm_card_visa"}
    paid = await post("/v1/payment_intents", {**terms, **how}, what="payment", account=seller)
    back = {"payment_intent": paid["id"], "amount": 500, "refund_application_fee": True}
    await post("/v1/refunds", back, what="refund", account=seller)
    await tell(shop)
    (fee,) = shop.sim.state.store.all("application_fee")
    (returned,) = await of_parent(shop, "fee_refund", fee)
    assert returned.amount_minor == 50
    copy = await shop.store.read(lambda tx: tx.mirror.get("application_fee", fee["id"]))
    assert copy is not None
    assert (copy.amount_minor, json.loads(copy.facts)["amount_refunded"]) == (100, 50)
    name, charge = paid["latest_charge"], f"charge/{paid['latest_charge']}"
    assert await shop.store.read(lambda tx: tx.mirror.get("charge", name)) is None
    assert await shop.store.read(lambda tx: tx.mirror.get("charge", name, seller)) is not None
    (theirs,) = await shop.store.read(lambda tx: tx.mirror.of_parent("refund", charge, seller))
    assert (theirs.amount_minor, theirs.customer) == (500, None)


async def test_a_downgrade_at_the_end_of_the_period_is_seen_coming_and_comes(shop: Shop) -> None:
    post = shop.gateway.post
    subscription = await subscribe(shop, price="team_monthly")
    made = await post("/v1/subscription_schedules", {"from_subscription": subscription}, what="")
    (running,) = made["phases"]
    prices = await shop.gateway.prices_by_lookup_key(["pro_monthly", "team_monthly"])
    items = {key: [{"price": price["id"], "quantity": 1}] for key, price in prices.items()}
    first = {"items": items["team_monthly"], "start_date": running["start_date"]}
    phases = [{**first, "end_date": running["end_date"]}, {"items": items["pro_monthly"]}]
    await post(f"/v1/subscription_schedules/{made['id']}", {"phases": phases}, what="")
    await shop.settle()
    (found,) = await shop.store.read(partial(subscriptions_of, rules=shop.rules, customer="org_1"))
    assert [item.plan for item in found.items] == ["team"]
    assert [(unix(one.at), one.items[0].plan) for one in found.upcoming] == [
        (running["end_date"], "pro")
    ]
    await shop.sim.play(days=32)
    await shop.settle()
    (found,) = await shop.store.read(partial(subscriptions_of, rules=shop.rules, customer="org_1"))
    assert ([item.plan for item in found.items], found.upcoming) == (["pro"], ())


async def test_an_account_that_leaves_is_marked_and_asked_for_no_more(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    seller = (await shop.gateway.post("/v1/accounts", {"type": "standard"}, what="account"))["id"]
    shop.sim.onboard(seller)
    await tell(shop)
    known = await shop.store.read(lambda tx: tx.mirror.get("account", seller))
    assert known is not None
    assert not known.deleted
    accounts.deauthorize(shop.sim.state, seller)
    payout = make_event("payout.paid", {"id": "po_1", "object": "payout"}, account=seller)
    await shop.receiver.replay(json.dumps(payout).encode())
    await tell(shop)
    known = await shop.store.read(lambda tx: tx.mirror.get("account", seller))
    assert known is not None
    assert known.deleted
    assert f"account {seller} has left: po_1 is not copied" in caplog.text


async def test_what_our_own_account_takes_back_is_done_with(shop: Shop) -> None:
    made = make_event("account.application.deauthorized", {"id": "ca_1", "object": "application"})
    await shop.receiver.replay(json.dumps(made).encode())
    await tell(shop)


def _copy_of(tx: Transaction, name: str, account: str) -> MirrorObject | None:
    return tx.mirror.get("customer", name, account)
