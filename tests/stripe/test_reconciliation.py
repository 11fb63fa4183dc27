"""Hard cases 46 and 47, and the guard of DESIGN section 9: what webhooks did not tell is found."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gatekeeper.entitlements.state import CustomerState, Item
from gatekeeper.errors import ConflictError, StripeUnavailableError, SweepStoppedError
from gatekeeper.services import customers
from gatekeeper.services.history import history
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, PurchaseStatus
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.long_work import held
from gatekeeper.stripe.reconciled import NAME
from gatekeeper.stripe.reconciliation import ReconcilePolicy, Reconciler, Report, RunOptions
from gatekeeper.stripe.webhooks import Projections, WebhookReceiver, WebhookRegistry
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.core.store import Obj
from tests.stripe.shop import Shop, open_shop
from tests.stripe.world import RULES, ManualClock

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

DRY = RunOptions(dry_run=True)
OBJECTS = RunOptions(events=False)


@pytest.fixture
async def shop(stripe_sim: Simulator, store: Store, clock: ManualClock) -> AsyncIterator[Shop]:
    opened = await open_shop(stripe_sim, store, clock)
    yield opened
    await opened.gateway.aclose()


@pytest.fixture
async def memory_shop(
    stripe_sim: Simulator, memory_store: Store, clock: ManualClock
) -> AsyncIterator[Shop]:
    """For what does not depend on the database."""
    opened = await open_shop(stripe_sim, memory_store, clock)
    yield opened
    await opened.gateway.aclose()


async def nobody(customer: str, version: int) -> None:
    """There is no cache."""


def reconciler_of(shop: Shop, **policy: Any) -> Reconciler:
    projections = Projections(shop.gateway, shop.store, RULES, nobody)
    return Reconciler(
        shop.gateway, shop.store, shop.receiver, projections, ReconcilePolicy(**policy)
    )


async def reconcile(shop: Shop, options: RunOptions | None = None) -> Report:
    shop.clock.now = shop.sim.now
    return await reconciler_of(shop).run(options)


async def introduce(store: Store, customer: str, stripe_id: str) -> None:
    def work(tx: Transaction) -> None:
        row = customers.ensure(tx, customer)
        tx.customers.save(replace(row, stripe_id=stripe_id))

    await store.write(work)


async def subscribe(
    shop: Shop, customer: str = "org_1", price: str = "pro_monthly", quantity: int = 1
) -> str:
    """Make a customer of ours and a paid subscription at Stripe; its id."""
    post = shop.gateway.post
    made = await post("/v1/customers", {"email": "a@b.example"}, what="customer")
    method = await post(
        "/v1/payment_methods/pm_card_visa/attach", {"customer": made["id"]}, what="method"
    )
    prices = await shop.gateway.prices_by_lookup_key([price])
    await introduce(shop.store, customer, made["id"])
    found = await post(
        "/v1/subscriptions",
        {
            "customer": made["id"],
            "default_payment_method": method["id"],
            "items": [{"price": prices[price]["id"], "quantity": quantity}],
        },
        what="subscription",
    )
    return str(found["id"])


async def update(shop: Shop, subscription_id: str, **params: Any) -> Obj:
    return await shop.gateway.post(
        f"/v1/subscriptions/{subscription_id}", params, what="subscription update"
    )


async def cancel(shop: Shop, subscription_id: str) -> None:
    await shop.gateway.cancel_subscription(subscription_id)


def lose_webhooks(shop: Shop) -> int:
    """Nothing that waits to be delivered ever is; how many events were lost."""
    lost = {waiting.event["id"] for waiting in shop.sim.undelivered()}
    for event_id in lost:
        shop.sim.drop(event_id)
    return len(lost)


async def state(store: Store, customer: str = "org_1") -> CustomerState:
    found = await store.read(lambda tx: tx.customers.state(customer))
    assert found is not None
    return found


async def items(store: Store, customer: str = "org_1") -> tuple[Item, ...]:
    return (await state(store, customer)).items


def dump(store: Store) -> Any:
    """All that a store in memory holds, to compare."""
    assert isinstance(store, MemoryStore)
    transaction = store._transaction
    return repr(
        [
            sorted((repr(key), repr(value)) for key, value in table.items())
            for part in (
                transaction.customers,
                transaction.subscriptions,
                transaction.purchases,
                transaction.inbox,
                transaction.progress,
            )
            for table in vars(part).values()
            if hasattr(table, "items")
        ]
    )


# -- the replay of events -------------------------------------------------------------------------


async def test_case_46_four_days_of_outage_converge_by_replay(
    shop: Shop, stripe_sim: Simulator
) -> None:
    kept = await subscribe(shop, "org_1", quantity=2)
    leaving = await subscribe(shop, "org_2")
    await shop.settle()
    await reconcile(shop)

    for step in range(4):
        stripe_sim.advance(days=1)
        match step:
            case 0:
                found = await shop.gateway.fetch("subscription", kept)
                assert found is not None
                item = {"id": found["items"]["data"][0]["id"], "quantity": 7}
                await update(shop, kept, items=[item])
            case 1:
                await cancel(shop, leaving)
            case 2:
                await subscribe(shop, "org_3", "team_monthly")
    assert lose_webhooks(shop) > 4
    assert (await items(shop.store))[0].quantity == 2

    report = await reconcile(shop, RunOptions(objects=False))
    assert report.missed > 4
    assert report.is_clean

    told = MemoryStore(clock=shop.clock)  # one that was told of everything, in order
    async with told:
        for customer in ("org_1", "org_2", "org_3"):
            row = await shop.customer(customer)
            await introduce(told, customer, str(row.stripe_id))
        receiver = WebhookReceiver(
            WebhookRegistry(),
            told,
            [],
            livemode=False,
            projectors=Projections(shop.gateway, told, RULES, nobody).by_type,
        )
        for event in stripe_sim.events():
            await receiver.replay(msgspec.json.encode(event))
        await receiver.drain()
        for customer in ("org_1", "org_2", "org_3"):
            assert await items(shop.store, customer) == await items(told, customer)
    assert (await items(shop.store))[0].quantity == 7
    assert (await shop.entitlements("org_2")).plans == {"free"}
    assert "team" in (await shop.entitlements("org_3")).plans

    again = await reconcile(shop)
    assert (again.missed, again.drift) == (0, ())


async def test_a_replayed_event_is_stored_as_a_webhook_is_and_reaches_the_hosts_handlers(
    shop: Shop,
) -> None:
    seen = []

    async def note(event: Any) -> None:
        seen.append((event.id, event.type))

    shop.receiver.registry.on("customer.subscription.created")(note)
    await reconcile(shop)
    await subscribe(shop)
    lose_webhooks(shop)
    await reconcile(shop)
    [event] = shop.sim.events("customer.subscription.created")
    assert seen == [(event["id"], event["type"])]
    stored = await shop.store.read(lambda tx: tx.inbox.get(f"/{event['id']}"))
    assert stored is not None
    assert (stored.status, stored.object_id) == (EventStatus.DONE, event["data"]["object"]["id"])
    assert stored.payload is not None
    body = msgspec.json.decode(stored.payload)
    assert {**body, "pending_webhooks": 0} == {**event, "pending_webhooks": 0}


async def test_what_came_is_not_replayed_and_a_dead_letter_stays_dead(memory_shop: Shop) -> None:
    shop = memory_shop
    await subscribe(shop)
    await shop.settle()
    since = RunOptions(since=shop.sim.now - timedelta(days=2))
    await reconcile(shop, since)  # the catalogue was made before anybody listened
    [event] = shop.sim.events("customer.subscription.created")
    key = f"/{event['id']}"
    await shop.store.write(lambda tx: tx.inbox.settle(key, EventStatus.DEAD, error="no"))
    report = await reconcile(shop, since)
    assert (report.missed, report.drift) == (0, ())
    assert report.events > 1
    stored = await shop.store.read(lambda tx: tx.inbox.get(key))
    assert stored is not None
    assert stored.status is EventStatus.DEAD


async def test_a_replay_that_is_cut_off_goes_on_in_the_next_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reconcile(shop)
    for day in range(3):
        shop.sim.advance(days=1)
        await subscribe(shop, f"org_{day}")
    lose_webhooks(shop)
    shop.clock.now = shop.sim.now
    wanted = (await reconcile(shop, DRY)).missed
    received = 0
    replay = shop.receiver.replay

    async def dying(body: bytes) -> bool:
        nonlocal received
        received += 1
        if received > 6:
            raise StripeUnavailableError
        return await replay(body)

    with monkeypatch.context() as patched:
        patched.setattr(shop.receiver, "replay", dying)
        with pytest.raises(StripeUnavailableError):
            await reconciler_of(shop).run(RunOptions(objects=False))
    progress = await shop.store.read(lambda tx: tx.progress.get(NAME))
    assert progress is not None
    through = msgspec.json.decode(progress.state)["through"]
    assert through > int((shop.sim.now - timedelta(days=3)).timestamp())

    report = await reconcile(shop, RunOptions(objects=False))
    assert report.missed == wanted - 6
    for day in range(3):
        assert "downloads" in (await shop.entitlements(f"org_{day}")).features
    assert (await reconcile(shop)).drift == ()


async def test_what_stripe_lists_late_is_replayed_by_the_next_run(memory_shop: Shop) -> None:
    shop = memory_shop
    await subscribe(shop)
    lose_webhooks(shop)
    shop.sim.advance(minutes=5)
    async with held(shop.store, NAME) as work:  # a run has ended since, which was not shown them
        await work.save(through=int(shop.sim.now.timestamp()))
    shop.clock.advance(minutes=10)

    assert (await reconcile(shop, RunOptions(objects=False))).missed > 0
    assert "downloads" in (await shop.entitlements("org_1")).features


async def test_events_older_than_stripe_lists_are_left_to_the_sweep(memory_shop: Shop) -> None:
    shop = memory_shop
    await reconcile(shop)
    await subscribe(shop)
    shop.sim.advance(days=32)
    lose_webhooks(shop)
    report = await reconcile(shop, RunOptions(objects=False))
    assert report.is_clean
    assert report.missed < len(shop.sim.events())


# -- the sweep of objects -------------------------------------------------------------------------


async def test_case_47_a_change_that_made_no_event_is_repaired(shop: Shop) -> None:
    subscription_id = await subscribe(shop, quantity=3)
    await shop.settle()
    await reconcile(shop)
    there = shop.sim.state.store.get("subscription", subscription_id)
    there["items"]["data"][0]["quantity"] = 9
    there["cancel_at"] = int((shop.sim.now + timedelta(days=5)).timestamp())

    found = await reconcile(shop, DRY)
    fields = {one.field.rpartition(".")[2]: (one.ours, one.theirs) for one in found.drift}
    assert fields["quantity"] == ("3", "9")
    assert not found.is_clean
    assert (await items(shop.store))[0].quantity == 3

    mended = await reconcile(shop)
    assert mended.missed == 0
    assert mended.drift == found.drift
    assert mended.is_clean
    assert (await items(shop.store))[0].quantity == 9
    assert (await reconcile(shop)).drift == ()
    newest = (await shop.store.read(lambda tx: history(tx, "org_1", 1)))[0]
    assert (newest.cause, newest.event_id) == ("reconciliation", None)
    assert set(newest.changed) == {"items", "cancel_at"}


async def test_a_subscription_and_its_payment_of_which_nothing_came_are_found(shop: Shop) -> None:
    subscription_id = await subscribe(shop)
    lose_webhooks(shop)
    report = await reconcile(shop, OBJECTS)
    assert [(one.kind, one.ours, one.theirs) for one in report.drift] == [
        ("subscription", None, "active"),
        ("invoice", None, "paid"),
    ]
    assert report.drift[0].id == subscription_id
    assert await shop.available() == 1_005
    assert (await reconcile(shop, OBJECTS)).drift == ()


async def test_a_renewal_whose_payment_never_came_is_found(memory_shop: Shop) -> None:
    shop = memory_shop
    await subscribe(shop)
    await shop.settle()
    shop.sim.advance(days=32)
    lose_webhooks(shop)
    report = await reconcile(shop, OBJECTS)
    names = {one.field.split(".")[0] for one in report.drift}
    assert {"latest_invoice_id", "items", "paid_lines"} <= names
    assert len((await items(shop.store))[0].paid_lines) == 2


async def test_a_payment_before_the_latest_is_found_too(shop: Shop) -> None:
    """A subscription shows its latest invoice alone."""
    await subscribe(shop)
    await shop.settle()
    shop.sim.advance(days=63)
    lose_webhooks(shop)
    report = await reconcile(shop, OBJECTS)
    assert [one.theirs for one in report.drift if one.kind == "invoice"] == ["paid", "paid"]
    assert len((await items(shop.store))[0].paid_lines) == 3
    assert (await reconcile(shop, OBJECTS)).drift == ()


async def test_a_checkout_that_was_paid_or_ran_out_unheard_is_settled(shop: Shop) -> None:
    paid = await shop.start("topup_100")
    open_ = await shop.start("topup_100", "org_2")
    shop.sim.pay_checkout(paid.session_id)
    lose_webhooks(shop)
    report = await reconcile(shop, OBJECTS)
    assert [(one.kind, one.id, one.theirs) for one in report.drift] == [
        ("checkout.session", paid.session_id, "paid")
    ]
    assert await shop.available() == 105
    found = await shop.store.read(lambda tx: tx.purchases.get(open_.purchase_id))
    assert found is not None
    assert found.status is PurchaseStatus.PENDING


async def test_case_19_what_stripe_has_no_more_is_buried(shop: Shop) -> None:
    subscription_id = await subscribe(shop)
    await subscribe(shop, "org_2")
    await shop.settle()
    del shop.sim.state.store._tables["subscription"][subscription_id]
    found = await reconcile(shop, DRY)
    assert [(one.id, one.theirs, one.revokes) for one in found.drift] == [
        (subscription_id, "gone", True)
    ]
    assert (await reconcile(shop)).is_clean
    assert (await shop.entitlements()).plans == {"free"}
    assert "pro" in (await shop.entitlements("org_2")).plans


async def test_case_19_a_sweep_that_would_revoke_more_than_a_hundredth_stops(shop: Shop) -> None:
    for number in range(7):
        await subscribe(shop, f"org_{number}")
    await shop.settle()
    table = shop.sim.state.store._tables["subscription"]
    kept = dict(table)
    table.clear()
    with pytest.raises(SweepStoppedError, match="7 of 7"):
        await reconcile(shop)
    assert "pro" in (await shop.entitlements("org_3")).plans
    assert len((await reconcile(shop, DRY)).drift) == 7
    table.update(kept)
    assert (await reconcile(shop)).drift == ()
    table.clear()
    await reconcile(shop, RunOptions(allow_revocations=True))
    assert (await shop.entitlements("org_3")).plans == {"free"}


async def test_strangers_are_counted_and_left_alone(memory_shop: Shop) -> None:
    shop = memory_shop
    await subscribe(shop)
    row = await shop.customer()
    await shop.store.write(lambda tx: tx.customers.save(replace(row, stripe_id=None)))
    report = await reconcile(shop)
    assert (report.strangers, report.objects, report.drift) == (1, 0, ())


async def test_a_dry_run_writes_nothing(memory_shop: Shop) -> None:
    shop = memory_shop
    subscription_id = await subscribe(shop)
    await shop.settle()
    await cancel(shop, subscription_id)
    await shop.start("topup_100", "org_2")
    lose_webhooks(shop)
    shop.clock.now = shop.sim.now
    before = dump(shop.store)
    report = await reconcile(shop, DRY)
    assert report.missed
    assert report.drift
    assert dump(shop.store) == before


async def test_what_can_not_be_repaired_is_told_and_holds_up_nothing(
    memory_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = memory_shop
    bad, good = await subscribe(shop), await subscribe(shop, "org_2")
    lose_webhooks(shop)
    fetch = StripeGateway.fetch

    async def broken(self: StripeGateway, kind: str, id_: str, **more: Any) -> Obj | None:
        found = await fetch(self, kind, id_, **more)
        if found is not None and id_ == bad:
            found["billing_cycle_anchor"] = "soon"
        return found

    monkeypatch.setattr(StripeGateway, "fetch", broken)
    report = await reconcile(shop, OBJECTS)
    assert [one.split("_")[0] for one in report.unrepaired] == ["sub", "in"]  # and its invoice
    assert report.unrepaired[0] == bad
    assert not report.is_clean
    assert await shop.store.read(lambda tx: tx.subscriptions.get(good)) is not None


# -- one at a time, and when it is due ------------------------------------------------------------


async def test_one_process_reconciles_at_a_time_and_a_dead_ones_lease_runs_out(shop: Shop) -> None:
    async with held(shop.store, NAME):
        with pytest.raises(ConflictError, match="Another process"):
            await reconcile(shop)
    await reconcile(shop)  # the lease was given back

    def die(tx: Transaction) -> bool:
        return tx.progress.lease(NAME, tx.now(), tx.now() + timedelta(minutes=5), state="{}")

    assert await shop.store.write(die)
    with pytest.raises(ConflictError):
        await reconcile(shop)
    shop.sim.advance(minutes=5)
    await reconcile(shop)


async def test_a_process_whose_lease_was_taken_stops(shop: Shop) -> None:
    async with held(shop.store, NAME) as first:
        await first.save(through=1)
        shop.clock.advance(minutes=5)
        async with held(shop.store, NAME) as second:
            assert second.state == {"through": 1}
            with pytest.raises(ConflictError, match="taken over"):
                await first.save(through=2)
            await second.save(through=3)


async def test_the_schedule_runs_when_it_is_due(memory_shop: Shop) -> None:
    shop = memory_shop
    shop.clock.now = shop.sim.now
    scheduled = reconciler_of(shop, every=timedelta(hours=24))
    assert await scheduled.run_if_due() is None  # from now on events are ours to have
    await subscribe(shop)
    lose_webhooks(shop)
    shop.clock.now = shop.sim.advance(hours=23)
    assert await scheduled.run_if_due() is None
    shop.clock.now = shop.sim.advance(hours=1)
    report = await scheduled.run_if_due()
    assert report is not None
    assert report.missed
    assert await scheduled.run_if_due() is None
    assert await reconciler_of(shop, every=None).run_if_due() is None
