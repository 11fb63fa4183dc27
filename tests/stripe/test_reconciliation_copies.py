"""The sweep of copies: what was there before us, and what no event told of, is copied."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gatekeeper.errors import (
    StripeRequestError,
    StripeUnavailableError,
    TransactionConflictError,
)
from gatekeeper.projection.shapes import SHAPES
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.kinds import KINDS
from gatekeeper.stripe.long_work import held, state_of
from gatekeeper.stripe.reconciled import NAME
from gatekeeper.stripe.reconciliation import CopyCount, Report, RunOptions
from gatekeeper.stripe.reconciliation.compared import METHOD, ORDER
from gatekeeper.stripe.reconciliation.copies import CopySweep
from gatekeeper.stripe.reconciliation.report import unwatched
from gatekeeper.stripe.webhooks.projecting import object_key
from gatekeeper.testing.events import invoice, make_event
from gatekeeper.testing.stripe.core.store import Obj
from tests.stripe.shop import Shop
from tests.stripe.test_reconciliation import (
    dump,
    introduce,
    lose_webhooks,
    reconcile,
    reconciler_of,
    subscribe,
)
from tests.stripe.world import FakeStripe, World

pytestmark = pytest.mark.anyio

COPIES = RunOptions(events=False, objects=False, copies=True)
DRY = RunOptions(events=False, objects=False, copies=True, dry_run=True)


async def live_through(shop: Shop) -> None:
    """Something of every kind happens at Stripe, and nothing of it is told."""
    post = shop.gateway.post
    subscription = await subscribe(shop)
    await post("/v1/subscription_schedules", {"from_subscription": subscription}, what="")
    link = await shop.start()
    session = shop.sim.pay_checkout(link.session_id)
    reviewed = await shop.start(idempotency_key="reviewed")
    shop.sim.pay_checkout(reviewed.session_id, card="4000000000009235")
    intent = {"payment_intent": session["payment_intent"]}
    await post("/v1/refunds", {**intent, "amount": 250}, what="")
    terms = {"amount": 700, "currency": "eur", "customer": session["customer"], "confirm": True}
    for card in ("pm_card_createDispute", "pm_card_createIssuerFraudRecord"):
        how = {"payment_method": card, "off_session": True}
        await post("/v1/payment_intents", {**terms, **how}, what="")
    how = {"customer": session["customer"], "payment_method": "pm_card_visa", "confirm": True}
    await post("/v1/setup_intents", {**how, "usage": "off_session"}, what="")
    seller = (await post("/v1/accounts", {"type": "express"}, what=""))["id"]
    shop.sim.onboard(seller)
    paid = {"amount": 900, "currency": "eur", "destination": seller}
    sent = await post("/v1/transfers", paid, what="")
    await post(f"/v1/transfers/{sent['id']}/reversals", {"amount": 300}, what="")
    sold = {"amount": 1_000, "currency": "eur", "application_fee_amount": 100, "confirm": True}
    await post(
        "/v1/payment_intents", {**sold, "payment_method": "pm_card_visa"}, what="", account=seller
    )
    lose_webhooks(shop)


def of_kind(report: Report) -> dict[str, CopyCount]:
    return {one.kind: one for one in report.copies}


async def copies(shop: Shop) -> dict[tuple[str, str], MirrorObject | None]:
    """What is kept of everything that Stripe has."""

    def work(tx: Transaction) -> dict[tuple[str, str], MirrorObject | None]:
        return {
            (kind, one["id"]): tx.mirror.get(kind, one["id"])
            for kind in SHAPES
            for one in shop.sim.state.store.all(kind)
        }

    return await shop.store.read(work)


def test_every_kind_that_is_copied_is_looked_at_or_comes_with_another() -> None:
    inside = {kind for shape in SHAPES.values() for _, kind in shape.inside}
    assert set(SHAPES) == {*ORDER, METHOD, *inside}
    assert set(ORDER) <= set(KINDS)


async def test_what_was_there_before_is_copied_and_then_nothing_differs(durable_shop: Shop) -> None:
    shop = durable_shop
    await live_through(shop)
    shown = await reconcile(shop, DRY)
    assert of_kind(shown)["product"].missing == len(shop.sim.state.store.all("product"))
    assert not shown.is_clean
    assert set((await copies(shop)).values()) == {None}
    assert (await reconcile(shop, RunOptions(events=False, copies=True))).is_clean
    lacking = {key for key, copy in (await copies(shop)).items() if copy is None}
    nobodys = [one["id"] for one in shop.sim.state.store.where(METHOD, customer=None)]
    assert lacking == {(METHOD, name) for name in nobodys}
    assert {kind for kind, _ in await copies(shop)} >= set(SHAPES) - {"fee_refund", "payout"}
    again = await reconcile(shop, DRY)
    assert again.is_clean, [str(one) for one in again.copies]
    assert of_kind(again)["charge"].objects == len(shop.sim.state.store.all("charge"))


async def test_a_refund_that_takes_something_back_is_left_to_the_sweep_of_money(
    durable_shop: Shop,
) -> None:
    shop = durable_shop
    link = await shop.start()
    session = shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    assert await shop.available() == 105
    back = {"payment_intent": session["payment_intent"], "amount": 250}
    refund = await shop.gateway.post("/v1/refunds", back, what="refund")
    lose_webhooks(shop)
    await reconcile(shop, COPIES)
    assert (await copies(shop))["refund", refund["id"]] is None  # or nothing would be taken
    await reconcile(shop, RunOptions(events=False, copies=True))
    assert await shop.available() == 55
    assert (await copies(shop))["refund", refund["id"]] is not None


async def test_a_copy_that_differs_is_fetched_again(shop: Shop) -> None:
    await reconcile(shop, COPIES)
    (product, *_) = shop.sim.state.store.all("product")
    await shop.gateway.post(f"/v1/products/{product['id']}", {"active": False}, what="product")
    lose_webhooks(shop)
    before = dump(shop.store)
    shown = of_kind(await reconcile(shop, DRY))["product"]
    assert (shown.missing, shown.differing) == (0, 1)
    assert str(shown).endswith("0 without a copy, 1 copied otherwise")
    assert dump(shop.store) == before
    done = of_kind(await reconcile(shop, COPIES))["product"]
    assert (done.differing, done.failed) == (1, ())
    found = (await copies(shop))["product", product["id"]]
    assert found is not None
    assert '"active":false' in found.facts
    assert (await reconcile(shop, DRY)).is_clean


async def test_a_sweep_that_was_cut_off_goes_on_where_it_was(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await live_through(shop)
    asked: list[str] = []
    ask = shop.gateway._connection.ask

    async def answer(method: Any, path: str, *args: Any, **options: Any) -> Obj:
        asked.append(path)
        if path == "/v1/charges" and outage:
            raise StripeUnavailableError
        return await ask(method, path, *args, **options)

    monkeypatch.setattr(shop.gateway._connection, "ask", answer)
    outage = True
    with pytest.raises(StripeUnavailableError):
        await reconcile(shop, COPIES)
    left = (await state_of(shop.store, NAME))["copies"]
    assert left["kind"] == "setup_intent"
    outage = False
    asked.clear()
    report = await reconcile(shop, COPIES)
    assert report.copies[0].kind == "setup_intent"
    assert "/v1/products" not in asked
    assert of_kind(report)["charge"].missing > 0
    assert (await state_of(shop.store, NAME))["copies"] is None


async def test_a_sweep_goes_on_though_what_it_saw_last_was_deleted(shop: Shop) -> None:
    places = {"kind": "product", "after": "prod_gone", "since": None}

    def put(tx: Transaction) -> None:
        state = msgspec.json.encode({"copies": places}).decode()
        tx.progress.put(NAME, state, tx.now())

    await reconcile(shop, COPIES)
    await shop.store.write(put)
    report = await reconcile(shop, COPIES)
    assert of_kind(report)["product"].objects == len(shop.sim.state.store.all("product"))


async def test_only_what_was_made_since_is_looked_at(shop: Shop) -> None:
    await subscribe(shop, "org_1")
    shop.sim.advance(days=3)
    since = shop.sim.now
    await subscribe(shop, "org_2")
    lose_webhooks(shop)
    options = RunOptions(events=False, objects=False, copies=True, since=since)
    assert of_kind(await reconcile(shop, options))["charge"].missing == 1
    assert of_kind(await reconcile(shop, COPIES))["charge"].missing == 1


async def test_nothing_is_written_of_persons_who_are_nobodys(shop: Shop) -> None:
    """They may have been the host's, and erased."""
    made = await shop.gateway.post("/v1/customers", {"name": "Ada"}, what="customer")
    lose_webhooks(shop)
    assert of_kind(await reconcile(shop, COPIES))["customer"].missing == 0
    assert (await copies(shop))["customer", made["id"]] is None


async def test_what_can_not_be_listed_or_read_holds_up_nothing(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ask = shop.gateway._connection.ask

    async def answer(method: Any, path: str, *args: Any, **options: Any) -> Obj:
        if path == "/v1/payouts":
            raise StripeRequestError("no", stripe_status=403)
        found = await ask(method, path, *args, **options)
        if path == "/v1/products":
            found["data"][0]["active"] = "perhaps"
            found["data"][1]["created"] = "yesterday"
        return found

    monkeypatch.setattr(shop.gateway._connection, "ask", answer)
    report = await reconcile(shop, COPIES)
    assert "no payout was compared" in caplog.text
    product = of_kind(report)["product"]
    assert len(product.failed) == 1
    assert report.unrepaired == product.failed
    assert product.missing == product.objects - 1
    assert "payout" not in of_kind(report)
    monkeypatch.setattr(shop.gateway._connection, "ask", ask)
    second = of_kind(await reconcile(shop, COPIES))["product"]
    assert (second.missing, second.differing, second.failed) == (1, 1, ())


async def test_what_was_fetched_counts_before_what_was_listed(memory_world: World) -> None:
    """While a listing is on its way, an event has its object looked at: it is gone."""
    world = memory_world
    price = {"id": "price_1", "object": "price", "livemode": False}
    world.stripe.put(price)
    listing = FakeStripe.pages

    class Slow(FakeStripe):
        async def pages(self, path: str, *args: Any, **options: Any) -> AsyncIterator[Any]:
            async for page in listing(world.stripe, path, *args, **options):
                if path == "/v1/prices":
                    world.stripe.remove(price)
                    await world.deliver(make_event("price.deleted", price))
                yield page

    sweep = CopySweep(Slow(), world.store, world.projections)
    async with held(world.store, NAME) as work:
        await sweep.run(None, unwatched, work)
    assert await world.store.read(lambda tx: tx.mirror.get("price", "price_1")) is None


async def test_what_an_earlier_release_fetched_and_did_not_copy_is_copied(
    memory_world: World,
) -> None:
    world = memory_world
    world.stripe.put(invoice(customer="cus_9"))
    key = object_key("invoice", "in_1", livemode=False, account=None)

    def fetched(tx: Transaction) -> bool:
        return tx.inbox.use_ticket(key, tx.inbox.take_ticket(key), terminal=True)

    assert await world.store.write(fetched)
    sweep = CopySweep(world.stripe, world.store, world.projections)
    async with held(world.store, NAME) as work:
        await sweep.run(None, unwatched, work)
    assert await world.store.read(lambda tx: tx.mirror.get("invoice", "in_1")) is not None


async def test_what_connected_accounts_have_is_copied_where_it_is_switched_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    post = shop.gateway.post
    sellers = [(await post("/v1/accounts", {"type": "express"}, what=""))["id"] for _ in "12"]
    for seller in sellers:
        shop.sim.onboard(seller)
        terms = {"amount": 1_000, "currency": "eur", "confirm": True}
        how = {**terms, "payment_method": "pm_card_visa"}
        paid = await post("/v1/payment_intents", how, what="", account=seller)
        await post("/v1/refunds", {"payment_intent": paid["id"]}, what="", account=seller)
    lose_webhooks(shop)
    reconciler = reconciler_of(shop, connected=True)
    shop.clock.now = shop.sim.now
    found = of_kind(await reconciler.run(COPIES))
    assert (found["charge"].missing, found["refund"].missing) == (2, 2)

    def kept(tx: Transaction) -> list[tuple[str | None, str | None]]:
        rows = [
            tx.mirror.get(kind, one["id"], seller)
            for seller in sellers
            for kind in ("charge", "refund")
            for one in shop.sim.state.of(seller).store.all(kind)
        ]
        return [(row.account, row.customer) for row in rows if row is not None]

    assert await shop.store.read(kept) == [(one, None) for one in sellers for _ in "12"]
    assert (await reconciler.run(DRY)).is_clean
    ask = shop.gateway._connection.ask

    async def answer(*args: Any, **options: Any) -> Obj:
        if options.get("stripe_account") == sellers[0]:
            raise StripeRequestError("no access", stripe_status=403)
        return await ask(*args, **options)

    monkeypatch.setattr(shop.gateway._connection, "ask", answer)
    again = of_kind(await reconciler.run(COPIES))
    assert again["charge"].objects == 1
    assert f"no charge of account {sellers[0]} was compared" in caplog.text


async def test_a_sweep_of_connected_accounts_that_was_cut_off_goes_on_where_it_was(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [{"type": "express"}] * 2
    sellers = sorted(
        [(await shop.gateway.post("/v1/accounts", one, what=""))["id"] for one in made]
    )
    lose_webhooks(shop)
    asked: list[tuple[str | None, str]] = []
    ask, outage = shop.gateway._connection.ask, True

    async def answer(method: Any, path: str, *args: Any, **options: Any) -> Obj:
        asked.append((options.get("stripe_account"), path))
        if outage and asked[-1] == (sellers[1], "/v1/prices"):
            raise StripeUnavailableError
        return await ask(method, path, *args, **options)

    monkeypatch.setattr(shop.gateway._connection, "ask", answer)
    for seller in sellers:
        await shop.gateway.post("/v1/products", {"name": "theirs"}, what="", account=seller)
    shop.clock.now = shop.sim.now
    reconciler = reconciler_of(shop, connected=True)
    with pytest.raises(StripeUnavailableError):
        await reconciler.run(COPIES)
    outage = False
    asked.clear()
    await reconciler.run(COPIES)
    assert {account for account, _ in asked} == {None, sellers[1]}  # ours tells of the accounts
    assert (None, "/v1/charges") not in asked
    assert (sellers[1], "/v1/prices") in asked
    assert (sellers[1], "/v1/customers") not in asked


async def test_what_stripe_books_without_an_object_is_copied_and_becomes_available(
    shop: Shop,
) -> None:
    await subscribe(shop)
    await reconcile(shop, RunOptions(events=False, copies=True))
    (booked,) = shop.sim.state.store.all("balance_transaction")
    before = (await copies(shop))["balance_transaction", booked["id"]]
    assert before is not None
    fee = {**booked, "id": "txn_fee", "type": "stripe_fee", "source": None, "amount": -30}
    shop.sim.state.store.add("balance_transaction", fee)
    booked["status"] = "available"
    found = of_kind(await reconcile(shop, COPIES))["balance_transaction"]
    assert (found.missing, found.differing) == (1, 1)
    kept = await copies(shop)
    after, own = (kept["balance_transaction", name] for name in (booked["id"], "txn_fee"))
    assert after is not None
    assert own is not None
    assert (before.status, after.status) == ("pending", "available")
    assert (after.parent, after.customer) == (before.parent, "org_1")
    assert (own.amount_minor, own.parent) == (-30, None)
    assert (await reconcile(shop, DRY)).is_clean


async def test_a_scheduled_run_compares_copies_by_policy(shop: Shop) -> None:
    for copies_too in (False, True):
        scheduled = reconciler_of(shop, every=timedelta(hours=24), copies=copies_too)
        shop.clock.now = shop.sim.now
        await scheduled.run_if_due()
        shop.clock.now = shop.sim.advance(hours=24)
        report = await scheduled.run_if_due()
        assert report is not None
        assert bool(report.copies) is copies_too


async def test_objects_that_somebody_is_at_are_copied_one_by_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, gave_way = shop.store.write, list[int]()

    async def give_way(work: Any) -> Any:
        seen = getattr(work, "keywords", {}).get("seen", ())
        if len(seen) > 1:
            gave_way.append(len(seen))
            raise TransactionConflictError
        return await write(work)

    monkeypatch.setattr(shop.store, "write", give_way)
    report = of_kind(await reconcile(shop, COPIES))
    assert report["price"].missing in gave_way
    assert (await reconcile(shop, DRY)).is_clean


async def test_a_warning_of_somebody_who_becomes_the_hosts_customer_freezes_still(
    shop: Shop,
) -> None:
    made = await shop.gateway.post("/v1/customers", {}, what="customer")
    terms = {"amount": 700, "currency": "eur", "customer": made["id"], "confirm": True}
    how = {"payment_method": "pm_card_createIssuerFraudRecord", "off_session": True}
    await shop.gateway.post("/v1/payment_intents", {**terms, **how}, what="intent")
    lose_webhooks(shop)
    await reconcile(shop, COPIES)
    (charge,) = shop.sim.state.store.all("charge")
    assert (await copies(shop))["charge", charge["id"]] is not None
    await introduce(shop.store, "org_1", made["id"])
    await reconcile(shop, RunOptions(events=False))
    (frozen,) = await shop.store.read(lambda tx: tx.freezes.of("org_1"))
    assert "an early fraud warning" in frozen.reason


async def test_what_went_back_long_ago_is_copied_and_takes_nothing(shop: Shop) -> None:
    link = await shop.start()
    session = shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    back = {"payment_intent": session["payment_intent"], "amount": 250}
    refund = await shop.gateway.post("/v1/refunds", back, what="refund")
    lose_webhooks(shop)
    shop.sim.advance(days=121)
    await reconcile(shop, RunOptions(events=False, copies=True))
    assert (await copies(shop))["refund", refund["id"]] is not None
    assert await shop.available() == 105


async def test_a_copy_that_can_not_be_fetched_is_told_and_holds_up_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reconcile(shop, COPIES)
    first, second, *_ = sorted(one["id"] for one in shop.sim.state.store.all("product"))
    for product in (first, second):
        await shop.gateway.post(f"/v1/products/{product}", {"active": False}, what="product")
    lose_webhooks(shop)
    fetch = shop.gateway.fetch

    async def refuse(kind: str, name: str, **more: Any) -> Obj | None:
        if name == first:
            raise StripeRequestError("no", stripe_status=400)
        return await fetch(kind, name, **more)

    monkeypatch.setattr(shop.gateway, "fetch", refuse)
    report = await reconcile(shop, COPIES)
    assert (of_kind(report)["product"].failed, report.unrepaired) == ((first,), (first,))
    assert not report.is_clean
    assert of_kind(await reconcile(shop, DRY))["product"].differing == 1
