"""Case 47 for money: what was taken off a payment, and what an invoice has bought, without an
event; the events of connected accounts; several processes; what a sweep takes away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from gatekeeper.errors import (
    ConflictError,
    StoreUnavailableError,
    StripeRequestError,
    StripeUnavailableError,
    SweepStoppedError,
)
from gatekeeper.services.history import state_of
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe import long_work
from gatekeeper.stripe.long_work import held
from gatekeeper.stripe.reconciliation import Reconciler, RunOptions
from gatekeeper.stripe.reconciliation.reconciler import RETRY
from gatekeeper.stripe.webhooks import Projections
from gatekeeper.testing.stripe.core.store import Obj
from tests.stripe.shop import Shop
from tests.stripe.test_reconciliation import (
    DRY,
    OBJECTS,
    introduce,
    items,
    lose_webhooks,
    memory_shop,  # noqa: F401 -- fixture
    reconcile,
    reconciler_of,
    shop,  # noqa: F401 -- fixture
    state,
    subscribe,
)
from tests.stripe.world import RULES, ManualClock

pytestmark = pytest.mark.anyio


async def bought(shop: Shop, customer: str = "org_1") -> str:  # noqa: F811
    """A pack of 100 credits that was paid and heard of; its payment intent."""
    link = await shop.start("topup_100", customer)
    session = shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    return str(session["payment_intent"])


async def refund(shop: Shop, intent: str, amount: int) -> str:  # noqa: F811
    made = await shop.gateway.post(
        "/v1/refunds", {"payment_intent": intent, "amount": amount}, what="a refund"
    )
    return str(made["id"])


async def test_case_47_refunds_that_made_no_event_are_taken_back_and_given_back(
    shop: Shop,  # noqa: F811
) -> None:
    intent = await bought(shop)
    await reconcile(shop)
    assert await shop.available() == 105
    first, second = await refund(shop, intent, 100), await refund(shop, intent, 150)
    lose_webhooks(shop)
    shop.sim.state.events.clear()

    found = await reconcile(shop, DRY)
    assert {(one.kind, one.id, one.ours, one.theirs) for one in found.drift} == {
        ("refund", first, None, "succeeded, 100"),
        ("refund", second, None, "succeeded, 150"),
    }
    assert await shop.available() == 105
    assert (await reconcile(shop)).is_clean
    assert await shop.available() == 55
    assert (await reconcile(shop)).drift == ()

    shop.sim.fail_refund(first)
    lose_webhooks(shop)
    [one] = (await reconcile(shop, OBJECTS)).drift
    assert (one.ours, one.theirs) == ("succeeded, 100", "failed, 100")
    assert await shop.available() == 75
    assert (await reconcile(shop, OBJECTS)).drift == ()


async def test_a_refund_is_known_by_its_payment_though_its_customer_has_another_id_by_now(
    shop: Shop,  # noqa: F811
) -> None:
    intent = await bought(shop)
    await introduce(shop.store, "org_1", "cus_the_next")
    await refund(shop, intent, 500)
    lose_webhooks(shop)
    [one] = (await reconcile(shop, OBJECTS)).drift
    assert one.customer == "org_1"
    assert await shop.available() == 5


async def test_case_47_a_dispute_that_made_no_event_is_taken_and_given_back(
    shop: Shop,  # noqa: F811
) -> None:
    intent = await bought(shop)
    made = shop.sim.dispute(intent)
    lose_webhooks(shop)
    await reconcile(shop, OBJECTS)
    assert await shop.available() == 5
    shop.sim.close_dispute(made["id"], "won")
    lose_webhooks(shop)
    await reconcile(shop, OBJECTS)
    assert await shop.available() == 105
    assert (await reconcile(shop, OBJECTS)).drift == ()


async def test_inquiries_and_prevented_disputes_are_known_once(memory_shop: Shop) -> None:  # noqa: F811
    shop = memory_shop  # noqa: F811
    intents = [await bought(shop), await bought(shop)]
    for intent, status in zip(intents, ("warning_needs_response", "prevented"), strict=True):
        shop.sim.dispute(intent, status=status)
    lose_webhooks(shop)
    assert len((await reconcile(shop, OBJECTS)).drift) == 2
    assert await shop.available() == 205
    assert (await reconcile(shop, OBJECTS)).drift == ()


async def test_case_49_a_fraud_warning_of_which_nothing_came_freezes_the_credits(
    shop: Shop,  # noqa: F811
) -> None:
    warning = shop.sim.warn_of_fraud(await bought(shop))
    lose_webhooks(shop)
    [one] = (await reconcile(shop, OBJECTS)).drift
    assert (one.id, one.ours, one.theirs) == (warning["id"], None, "there")
    [frozen] = await shop.store.read(lambda tx: tx.freezes.of("org_1"))
    assert frozen.key.endswith(warning["id"])
    assert (await reconcile(shop, OBJECTS)).drift == ()


async def test_refunds_of_strangers_and_of_long_ago_are_left_alone(memory_shop: Shop) -> None:  # noqa: F811
    shop = memory_shop  # noqa: F811
    post = shop.gateway.post
    paid = {"amount": 500, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
    intent = await post("/v1/payment_intents", paid, what="a payment of nobody's")
    await refund(shop, intent["id"], 100)
    old = await bought(shop)
    await refund(shop, old, 100)
    lose_webhooks(shop)
    shop.sim.advance(days=121)
    lose_webhooks(shop)
    kinds = {one.kind for one in (await reconcile(shop, OBJECTS)).drift}
    assert "refund" not in kinds


async def test_what_can_not_be_read_is_told_and_holds_up_nothing(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = memory_shop  # noqa: F811
    broken, fine = await bought(shop), await bought(shop, "org_2")
    bad, _ = await refund(shop, broken, 100), await refund(shop, fine, 500)
    strange, _ = await subscribe(shop, "org_3"), await subscribe(shop, "org_4")
    pages = shop.gateway.pages

    async def garbled(*args: Any, **options: Any) -> AsyncIterator[Sequence[Obj]]:
        async for page in pages(*args, **options):
            for one in page:
                if one["id"] == bad:
                    one["amount"] = "much"
                if one["id"] == strange:
                    one["billing_cycle_anchor"] = "soon"
                if one["object"] == "invoice":
                    one["amount_due"] = None
            yield page

    monkeypatch.setattr(shop.gateway, "pages", garbled)
    report = await reconcile(shop, OBJECTS)
    assert {one.split("_")[0] for one in report.unrepaired} == {"sub", "in", "re"}
    assert {bad, strange} < set(report.unrepaired)
    assert not report.is_clean
    assert await shop.available(customer="org_2") == 5
    assert "pro" in (await shop.entitlements("org_4")).plans
    assert f"{bad} can't be compared: refund.amount" in caplog.text
    assert not (await reconcile(shop, DRY)).is_clean


@pytest.mark.parametrize("status", [403, 400])
async def test_what_a_restricted_key_may_not_list_is_left_out_and_told(
    status: int,
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = memory_shop  # noqa: F811
    intent = await bought(shop)
    await refund(shop, intent, 500)
    lose_webhooks(shop)
    pages = shop.gateway.pages

    def forbidden(path: str, *args: Any, **options: Any) -> Any:
        if "radar" in path or "disputes" in path:
            raise StripeRequestError("no", stripe_status=status)
        return pages(path, *args, **options)

    async def listed(path: str, *args: Any, **options: Any) -> AsyncIterator[Sequence[Obj]]:
        async for page in forbidden(path, *args, **options):
            yield page

    monkeypatch.setattr(shop.gateway, "pages", listed)
    if status == 400:
        with pytest.raises(StripeRequestError):
            await reconcile(shop, OBJECTS)
        return
    assert (await reconcile(shop, OBJECTS)).is_clean
    assert await shop.available() == 5
    assert caplog.text.count("the key may not list them") == 2


# -- invoices ---------------------------------------------------------------------------------


async def test_an_invoice_whose_amounts_we_have_otherwise_is_repaired(shop: Shop) -> None:  # noqa: F811
    subscription_id = await subscribe(shop)
    await shop.settle()
    [invoice] = await shop.gateway.listed("/v1/invoices", {}, what="listing invoices")
    assert (await reconcile(shop, OBJECTS)).drift == ()
    shop.sim.state.store.get("invoice", invoice["id"])["amount_paid"] = 998
    [one] = (await reconcile(shop, OBJECTS)).drift
    assert (one.kind, one.field, one.ours, one.theirs) == (
        *("invoice", "amount_paid_minor"),
        *("999", "998"),
    )
    stored = await shop.store.read(lambda tx: tx.subscriptions.invoice(invoice["id"]))
    assert stored is not None
    assert (stored.subscription_id, stored.amount_paid_minor) == (subscription_id, 998)
    assert (await reconcile(shop, OBJECTS)).drift == ()


async def test_a_credit_note_that_nobody_told_of_is_found_and_takes_back_what_was_granted(
    memory_shop: Shop,  # noqa: F811
) -> None:
    shop = memory_shop  # noqa: F811
    await subscribe(shop)
    await shop.settle()
    granted = await shop.available()
    [invoice] = await shop.gateway.listed("/v1/invoices", {}, what="listing invoices")
    held = shop.sim.state.store.get("invoice", invoice["id"])
    held["post_payment_credit_notes_amount"] = held["amount_paid"]  # to the customer's balance
    [one] = (await reconcile(shop, OBJECTS)).drift
    assert (one.kind, one.field) == ("invoice", "credited_minor")
    assert await shop.available() < granted
    assert (await reconcile(shop, OBJECTS)).is_clean


async def test_a_line_of_an_earlier_invoice_that_we_do_not_have_is_found(
    memory_shop: Shop,  # noqa: F811
) -> None:
    shop = memory_shop  # noqa: F811
    await subscribe(shop)
    await shop.settle()
    shop.sim.advance(days=32)
    await shop.settle()
    first, _ = (await items(shop.store))[0].paid_lines
    assert isinstance(shop.store, MemoryStore)
    kept: Any = shop.store._transaction.subscriptions
    [(key, lines)] = kept._lines.items()

    def forget(tx: Transaction) -> None:
        kept._lines.put(key, lines[1:])
        kept._line_ids.delete((key[0], first.id))

    await shop.store.write(forget)
    [one] = (await reconcile(shop, OBJECTS)).drift
    assert (one.kind, one.field) == ("invoice", f"paid_lines.{first.id}")
    assert len((await items(shop.store))[0].paid_lines) == 2


# -- what a repair is said to come from, and what it takes away -----------------------------------


async def test_the_history_says_that_a_repair_was_reconciliation(shop: Shop) -> None:  # noqa: F811
    subscription_id = await subscribe(shop)
    lose_webhooks(shop)
    await reconcile(shop, OBJECTS)
    [change] = await shop.store.read(lambda tx: tx.mirror.changes(subscription_id))
    assert (change.cause, change.event_key) == ("reconciliation", None)
    assert state_of(change).status == "active"


@pytest.mark.parametrize(
    ("ending", "how"), [(5, "canceled"), (6, "canceled"), (6, "paused"), (6, "an item less")]
)
async def test_case_19_the_guard_allows_five_of_a_few_and_not_six(
    ending: int,
    how: str,
    memory_shop: Shop,  # noqa: F811
) -> None:
    shop = memory_shop  # noqa: F811
    made = [await subscribe(shop, f"org_{number}") for number in range(7)]
    await shop.settle()
    rows = [shop.sim.state.store.get("subscription", one) for one in made]
    for row in rows[:ending]:
        if how == "canceled":
            row.update(status="canceled", ended_at=int(shop.sim.now.timestamp()))
        elif how == "paused":
            row["pause_collection"] = {"behavior": "void", "resumes_at": None}
        else:
            row["items"]["data"] = [dict(row["items"]["data"][0], id=f"si_of_{row['id']}")]
    if ending > 5:
        with pytest.raises(SweepStoppedError, match="6 of 7"):
            await reconcile(shop, OBJECTS)
        assert "pro" in (await shop.entitlements("org_0")).plans
    else:
        assert (await reconcile(shop, OBJECTS)).is_clean


@pytest.mark.parametrize(("running", "allowed"), [(499, 5), (599, 5), (600, 6), (1_000, 10)])
async def test_case_19_the_guard_allows_one_in_a_hundred_of_many(
    running: int,
    allowed: int,
    memory_shop: Shop,  # noqa: F811
) -> None:
    from gatekeeper.stripe.reconciliation.report import Drift
    from gatekeeper.stripe.reconciliation.sweep import Found

    sweep = reconciler_of(memory_shop)._sweep
    drift = [
        Drift(
            kind="subscription",
            id=f"sub_{number}",
            customer="org",
            field=field,
            ours="active",
            theirs=None,
            revokes=True,
        )
        for number in range(allowed + 1)
        for field in ("status", "items.si_1")  # one subscription counts once
    ]
    sweep.guard(Found(drift[: 2 * allowed], 0, running, 0))
    with pytest.raises(SweepStoppedError, match=f"more than {allowed}:"):
        sweep.guard(Found(drift, 0, running, 0))


# -- connected accounts -----------------------------------------------------------------------


async def copied(shop: Shop, product: str, account: str = "") -> bool:  # noqa: F811
    found = await shop.store.read(lambda tx: tx.mirror.get("product", product, account))
    return found is not None


async def test_events_of_connected_accounts_are_replayed_where_it_is_switched_on(
    shop: Shop,  # noqa: F811
) -> None:
    seller = await shop.gateway.post("/v1/accounts", {"type": "express"}, what="an account")
    other = await shop.gateway.post("/v1/accounts", {"type": "express"}, what="an account")
    await reconcile(shop)
    products: dict[str, str] = {}
    for account in (seller["id"], other["id"]):
        made = await shop.gateway.post(
            "/v1/products", {"name": "theirs"}, what="a product", account=account
        )
        products[account] = made["id"]
    lose_webhooks(shop)
    assert (await reconcile(shop)).missed == 0

    shop.clock.now = shop.sim.now
    work = reconciler_of(shop, connected=True)
    since = RunOptions(objects=False, since=shop.sim.now - timedelta(days=1))
    report = await work.run(since)
    assert report.missed >= 2
    for account, product in products.items():
        assert await copied(shop, product, account)
        assert not await copied(shop, product)
    assert (await work.run(since)).missed == 0


async def test_a_replay_of_connected_accounts_that_is_cut_off_goes_on_with_the_account_at_hand(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    accounts = sorted(
        [
            (await shop.gateway.post("/v1/accounts", {"type": "express"}, what="an account"))["id"]
            for _ in range(3)
        ]
    )
    shop.clock.now = shop.sim.now
    work = reconciler_of(shop, connected=True)
    await work.run(RunOptions(objects=False))
    asked: list[str | None] = []
    pages = shop.gateway.pages

    def dying(path: str, params: Any = None, **options: Any) -> Any:
        if path == "/v1/events":
            asked.append(options.get("account"))
            if options.get("account") == accounts[1] and asked.count(accounts[1]) == 1:
                raise StripeUnavailableError
        return pages(path, params, **options)

    monkeypatch.setattr(shop.gateway, "pages", dying)
    with pytest.raises(StripeUnavailableError):
        await work.run(RunOptions(objects=False))
    await work.run(RunOptions(objects=False))
    assert [one for one in asked if one is not None] == [*accounts[:2], *accounts[1:]]


async def test_what_befell_an_account_while_the_replay_was_cut_off_is_not_lost(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    post, pages = shop.gateway.post, shop.gateway.pages
    first, second = sorted(
        [(await post("/v1/accounts", {"type": "express"}, what="an account"))["id"] for _ in "12"]
    )
    shop.clock.now = shop.sim.now
    work = reconciler_of(shop, connected=True)
    await work.run(RunOptions(objects=False))

    def dying(path: str, params: Any = None, **options: Any) -> Any:
        if options.get("account") == second:
            raise StripeUnavailableError
        return pages(path, params, **options)

    monkeypatch.setattr(shop.gateway, "pages", dying)
    with pytest.raises(StripeUnavailableError):
        await work.run(RunOptions(objects=False))
    monkeypatch.setattr(shop.gateway, "pages", pages)
    shop.clock.now = shop.sim.advance(hours=1)
    made = await post("/v1/products", {"name": "theirs"}, what="a product", account=first)
    lose_webhooks(shop)
    for _ in range(2):
        shop.clock.now = shop.sim.advance(hours=1)
        await work.run(RunOptions(objects=False))
    assert await copied(shop, made["id"], first)


async def test_an_account_that_refuses_and_an_event_that_is_none_hold_up_nothing(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = memory_shop  # noqa: F811
    post = shop.gateway.post
    seller = await post("/v1/accounts", {"type": "express"}, what="an account")
    shop.clock.now = shop.sim.now
    work = reconciler_of(shop, connected=True)
    await work.run(RunOptions(objects=False))
    shop.clock.now = shop.sim.advance(hours=1)
    subscription_id = await subscribe(shop)
    lose_webhooks(shop)
    pages, replay = shop.gateway.pages, shop.receiver.replay

    def refused(path: str, params: Any = None, **options: Any) -> Any:
        if options.get("account") == seller["id"]:
            raise StripeRequestError("no access", stripe_status=403)
        return pages(path, params, **options)

    async def garbled(body: bytes) -> bool:
        return await replay(b"[]" if b"customer.subscription.created" in body else body)

    monkeypatch.setattr(shop.gateway, "pages", refused)
    monkeypatch.setattr(shop.receiver, "replay", garbled)
    await work.run(RunOptions(objects=False))
    assert f"account {seller['id']} are not to be had" in caplog.text
    assert "can't be stored" in caplog.text
    found = await shop.store.read(lambda tx: tx.subscriptions.get(subscription_id))
    assert found is not None  # by the event of its invoice


# -- several processes ------------------------------------------------------------------------


async def test_of_several_processes_that_find_a_run_due_one_does_it(
    shop: Shop,  # noqa: F811
    store_url: str | None,
    clock: ManualClock,
) -> None:
    if store_url is None:
        other = shop.store
    else:
        other = store_for(store_url, clock=clock)
        await other.open()
    shop.clock.now = shop.sim.now
    projections = Projections(shop.gateway, other, RULES, nobody)
    twins = [reconciler_of(shop), Reconciler(shop.gateway, other, shop.receiver, projections)]
    await twins[0].run_if_due()
    shop.clock.now = shop.sim.advance(hours=25)

    async def run(one: Reconciler) -> bool:
        try:
            return await one.run_if_due() is not None
        except ConflictError:
            return False

    done = await asyncio.gather(*(run(twins[number % 2]) for number in range(6)))
    assert sum(done) == 1
    assert not any(await asyncio.gather(*(run(one) for one in twins)))
    if other is not shop.store:
        await other.close()


async def test_a_run_that_fails_is_tried_again_a_while_later(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    shop.clock.now = shop.sim.now
    work = reconciler_of(shop)
    await work.run_if_due()
    shop.clock.now = shop.sim.advance(hours=25)
    tried = 0

    async def away(*args: Any, **options: Any) -> Any:
        nonlocal tried
        tried += 1
        raise StripeUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(shop.gateway, "listed", away)
        patched.setattr(work._replay, "run", away)
        with pytest.raises(StripeUnavailableError):
            await work.run_if_due()
        assert await work.run_if_due() is None  # not every minute
    assert tried == 1
    shop.clock.now = shop.sim.advance(minutes=RETRY.total_seconds() / 60)
    assert await work.run_if_due() is not None


async def test_work_that_takes_long_keeps_its_lease(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = memory_shop  # noqa: F811
    monkeypatch.setattr(long_work, "_RENEW_SECONDS", 0.0)
    write, renewed = shop.store.write, anyio.Event()
    away = True

    async def failing_first(work: Any) -> Any:
        nonlocal away
        if away:
            away = False
            raise StoreUnavailableError
        done = await write(work)
        renewed.set()
        return done

    async with held(shop.store, "long") as work:
        with monkeypatch.context() as patched:
            patched.setattr(shop.store, "write", failing_first)
            shop.clock.advance(minutes=4)
            async with work.kept():
                await renewed.wait()
        shop.clock.advance(minutes=4)  # eight since it was taken
        with pytest.raises(ConflictError):
            async with held(shop.store, "long"):
                raise AssertionError
        shop.clock.advance(minutes=5)
        async with held(shop.store, "long") as other:
            async with work.kept():  # whose it is not any more: it is let go
                await anyio.sleep(0.01)
            with pytest.raises(ConflictError, match="taken over"):
                await work.save()
            await other.save()
    assert "tried again" in caplog.text


async def test_a_lease_that_can_not_be_given_back_hides_no_error(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811

    async def away(work: Any) -> Any:
        raise StoreUnavailableError

    async def work() -> None:
        async with held(shop.store, "work"):
            monkeypatch.setattr(shop.store, "write", away)
            raise StripeUnavailableError

    with pytest.raises(StripeUnavailableError):
        await work()


async def nobody(customer: str, version: int) -> None:
    """There is no cache."""


async def test_another_customers_state_is_not_looked_at(memory_shop: Shop) -> None:  # noqa: F811
    shop = memory_shop  # noqa: F811
    await subscribe(shop)
    await shop.settle()
    before = await state(shop.store)
    await bought(shop, "org_2")
    await reconcile(shop, OBJECTS)
    assert await state(shop.store) == before


async def test_work_that_ends_while_its_lease_is_renewed_keeps_it(
    memory_store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, renewed = memory_store.write, anyio.Event()
    async with held(memory_store, "a work") as work:

        async def slow(done: Callable[[Transaction], Any]) -> Any:
            clock.advance(seconds=1)
            result = await plain(done)
            renewed.set()
            for _ in range(5):  # the answer is on its way
                await anyio.lowlevel.checkpoint()
            return result

        monkeypatch.setattr(long_work, "_RENEW_SECONDS", 0)
        monkeypatch.setattr(memory_store, "write", slow)
        async with work.kept():
            await renewed.wait()
        monkeypatch.setattr(memory_store, "write", plain)
        await work.save(far=1)


async def test_an_outage_while_missed_events_are_dispatched_is_raised_as_itself(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    await reconcile(shop)
    await subscribe(shop)
    lose_webhooks(shop)

    async def away() -> int:
        raise StoreUnavailableError

    monkeypatch.setattr(shop.receiver, "drain", away)
    with pytest.raises(StoreUnavailableError):
        await reconcile(shop)
