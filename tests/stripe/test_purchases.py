"""Hard cases 29, 31, 32 and 50: a purchase gives what was bought, once, and only if it was paid."""

from collections.abc import Sequence
from datetime import timedelta

import anyio
import pytest

from gatekeeper.catalog import Catalog, Pack, Plan, Price
from gatekeeper.errors import IdempotencyConflictError
from gatekeeper.ledger import Grant
from gatekeeper.services import customers, purchases
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import (
    EventStatus,
    PriceRecord,
    Purchase,
    PurchaseStatus,
    Stamp,
)
from gatekeeper.stripe.checkout import Checkout
from gatekeeper.stripe.webhooks.handlers.checkout import read_session
from gatekeeper.testing.events import (
    Obj,
    checkout_session,
    invoice,
    make_event,
    price,
    subscription,
)
from tests.stripe.world import World, credits

pytestmark = pytest.mark.anyio

COMPLETED = "checkout.session.completed"
SUCCEEDED = "checkout.session.async_payment_succeeded"
FAILED = "checkout.session.async_payment_failed"

PACK_KEY = "test/acct_1/pi_1/pack/credits"


async def begin(world: World, *, lookup_key: str = "topup_100", mode: str = "payment") -> None:
    """Org 1 was sent to session cs_1 to buy a pack, or a plan."""
    await world.customer()
    recorded = [
        PriceRecord(price_id=id_, lookup_key=key, pack=pack, plan=plan, first_seen_at=world.clock())
        for id_, key, pack, plan in (
            ("price_pack", "topup_100", "credits_100", None),
            ("price_yen", "topup_yen", "credits_yen", None),
            ("price_pro", "pro_monthly", None, "pro"),
        )
    ]

    def work(tx: Transaction) -> None:
        for record in recorded:
            tx.subscriptions.record_price(record)
        tx.purchases.insert(
            Purchase(
                id="pur_1",
                customer="org_1",
                price_lookup_key=lookup_key,
                quantity=1,
                mode=mode,
                status=PurchaseStatus.PENDING,
                created_at=tx.now(),
                checkout_session_id="cs_1",
            )
        )

    await world.store.write(work)


async def status(world: World) -> PurchaseStatus:
    found = await world.store.read(lambda tx: tx.purchases.get("pur_1"))
    assert found is not None
    return found.status


async def grant(world: World, key: str = PACK_KEY) -> Grant | None:
    return await world.store.read(lambda tx: tx.ledger.grant_by_source(key))


async def test_a_paid_pack_grants_what_the_catalogue_says_it_holds(world: World) -> None:
    await begin(world)
    world.stripe.put(checkout_session())
    await world.deliver(make_event(COMPLETED, checkout_session()))
    assert (await world.available(), await world.available("exports")) == (105, 2)
    made = await grant(world)
    assert made is not None
    assert (made.amount, made.kind, made.reason) == (100, "top_up", "credits_100")
    assert made.expires_at == world.clock.now + timedelta(days=365)
    found = await world.store.read(lambda tx: tx.purchases.get("pur_1"))
    assert found is not None
    assert (found.status, found.payment_intent_id, found.settled_at) == (
        PurchaseStatus.PAID,
        "pi_1",
        world.clock.now,
    )


async def test_a_pack_that_costs_nothing_after_all_is_known_by_its_session(world: World) -> None:
    await begin(world)
    free = checkout_session(payment_status="no_payment_required", payment_intent=None)
    world.stripe.put(free)
    await world.deliver(make_event(COMPLETED, free))
    assert await grant(world, "test/acct_1/cs_1/pack/credits") is not None


async def test_case_31_completed_but_unpaid_gives_nothing_until_the_payment_succeeds(
    world: World,
) -> None:
    await begin(world)
    waiting = checkout_session(payment_status="unpaid")
    world.stripe.put(waiting)
    await world.deliver(make_event(COMPLETED, waiting))
    assert (await world.available(), await status(world)) == (5, PurchaseStatus.PENDING)
    world.stripe.put(checkout_session())
    for _ in range(3):
        await world.deliver(make_event(SUCCEEDED, checkout_session()))
    await world.deliver(make_event(COMPLETED, waiting))  # late, and again
    assert (await world.available(), await status(world)) == (105, PurchaseStatus.PAID)


async def test_case_31_a_delayed_payment_that_fails_gives_nothing(world: World) -> None:
    await begin(world)
    unpaid = checkout_session(payment_status="unpaid")
    world.stripe.put(unpaid)
    await world.deliver(make_event(COMPLETED, unpaid), make_event(FAILED, unpaid))
    assert (await world.available(), await status(world)) == (5, PurchaseStatus.FAILED)
    await world.deliver(make_event(FAILED, unpaid))
    assert await status(world) is PurchaseStatus.FAILED


async def test_a_failure_is_not_lost_to_a_newer_fetch_by_the_return_page(world: World) -> None:
    await begin(world)
    unpaid = checkout_session(payment_status="unpaid")
    world.stripe.put(unpaid)
    checkout = Checkout(world.stripe, world.store, world.rules, world._invalidate)

    async def return_page(object_id: str) -> None:
        world.stripe.during_fetch = None
        assert (await checkout.status("pur_1", "org_1")).status is PurchaseStatus.PENDING

    world.stripe.during_fetch = return_page  # while the event's own fetch is on its way
    await world.deliver(make_event(FAILED, unpaid))
    assert await status(world) is PurchaseStatus.FAILED
    world.stripe.put(checkout_session())
    await world.deliver(make_event(SUCCEEDED, checkout_session()))
    assert (await world.available(), await status(world)) == (105, PurchaseStatus.PAID)


def pay_during_the_next_fetch(world: World) -> None:
    """It is paid while an event's fetch is on its way, and the return page sees it first."""
    checkout = Checkout(world.stripe, world.store, world.rules, world._invalidate)

    async def return_page(object_id: str) -> None:
        world.stripe.during_fetch = None
        world.stripe.put(checkout_session())
        assert (await checkout.status("pur_1", "org_1")).status is PurchaseStatus.PAID

    world.stripe.during_fetch = return_page


async def test_a_failure_does_not_undo_what_was_paid_meanwhile(world: World) -> None:
    await begin(world)
    unpaid = checkout_session(payment_status="unpaid")
    world.stripe.put(unpaid)
    pay_during_the_next_fetch(world)
    await world.deliver(make_event(FAILED, unpaid))
    assert (await world.available(), await status(world)) == (105, PurchaseStatus.PAID)


async def test_an_older_fetch_writes_nothing_over_what_was_paid_meanwhile(world: World) -> None:
    await begin(world)
    unpaid = checkout_session(payment_status="unpaid")
    world.stripe.put(unpaid)
    pay_during_the_next_fetch(world)
    await world.deliver(make_event(COMPLETED, unpaid))
    assert (await world.available(), await status(world)) == (105, PurchaseStatus.PAID)


async def test_a_session_that_is_open_or_expired_gives_nothing(world: World) -> None:
    await begin(world)
    running = checkout_session(status="open", payment_status="unpaid")
    world.stripe.put(running)
    await world.deliver(make_event(COMPLETED, running))
    assert await status(world) is PurchaseStatus.PENDING
    world.stripe.put(checkout_session(status="expired", payment_status="unpaid"))
    await world.deliver(make_event("checkout.session.expired", running))
    assert (await world.available(), await status(world)) == (5, PurchaseStatus.EXPIRED)


async def test_case_32_the_return_page_and_the_webhook_race_for_one_grant(world: World) -> None:
    await begin(world)
    world.stripe.put(checkout_session())
    checkout = Checkout(world.stripe, world.store, world.rules, world._invalidate)
    seen: list[PurchaseStatus] = []

    async def return_page() -> None:
        seen.append((await checkout.status("pur_1", "org_1")).status)

    async def webhook() -> None:
        await world.deliver(make_event(COMPLETED, checkout_session()))

    async with anyio.create_task_group() as group:
        for racer in (return_page, webhook) * 5:
            group.start_soon(racer)
    assert seen == [PurchaseStatus.PAID] * 5
    assert await world.available() == 105
    entries = await world.store.read(lambda tx: tx.ledger.entries("org_1", "credits", 0, 100))
    assert sorted(entry.posted_delta for entry in entries) == [5, 100]


FORGED: dict[str, Obj] = {
    "another amount": checkout_session(amount_total=1),
    "no amount": checkout_session(amount_total=None),
    "a cheaper price": checkout_session(
        of_price=price("price_yen", lookup_key="topup_yen", amount_minor=1, every=None)
    ),
    "an unknown price": checkout_session(
        of_price=price("price_own", lookup_key="topup_100", amount_minor=500, every=None)
    ),
    "another currency": checkout_session(currency="usd"),
    "another customer": checkout_session(customer="cus_other"),
    "no customer": checkout_session(customer=None),
    "another quantity": checkout_session(quantity=2, amount_total=500),
    "two lines": {**checkout_session(), "line_items": {"object": "list", "data": []}},
    "another mode": checkout_session(mode="setup"),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=list(FORGED))
async def test_case_50_what_was_not_started_by_us_grants_nothing(
    world: World, forged: Obj, caplog: pytest.LogCaptureFixture
) -> None:
    await begin(world)
    world.stripe.put(forged)
    await world.deliver(make_event(COMPLETED, forged))
    assert (await world.available(), await world.available("exports")) == (5, 0)
    assert await status(world) is PurchaseStatus.FAILED
    assert "was paid in session cs_1 and gives nothing" in caplog.text


async def test_case_50_metadata_and_references_decide_nothing(world: World) -> None:
    await begin(world)
    await world.customer("org_2", "cus_2")
    forged = checkout_session(
        customer="cus_2",
        client_reference_id="org_2",
        metadata={"gatekeeper_purchase": "pur_1", "customer": "org_2", "credits": "1000000"},
    )
    unknown = {**forged, "id": "cs_stranger"}
    world.stripe.put(forged, unknown)
    await world.deliver(make_event(COMPLETED, forged), make_event(COMPLETED, unknown))
    assert await world.available() == 5
    assert await world.available(customer="org_2") == 5
    assert await status(world) is PurchaseStatus.FAILED
    assert await world.counts() == {EventStatus.DONE: 2}


async def test_case_50_a_live_session_is_not_fulfilled_by_a_test_key(world: World) -> None:
    await begin(world)
    world.stripe.put(checkout_session(livemode=True))
    event = make_event(COMPLETED, checkout_session())
    await world.deliver(event)
    assert (await world.stored(event)).last_error is not None
    assert await status(world) is PurchaseStatus.PENDING
    assert await world.available() == 5


async def test_case_50_the_mode_is_checked_by_whoever_fulfils(world: World) -> None:
    await begin(world)
    live = read_session(checkout_session(livemode=True))
    stamp = Stamp(account="acct_1", livemode=False)
    await world.store.write(lambda tx: purchases.fulfil(tx, world.rules, stamp, live))
    assert await status(world) is PurchaseStatus.FAILED
    assert await world.available() == 5


async def test_case_29_a_pack_in_yen_has_no_decimals_and_is_paid_in_yen(world: World) -> None:
    await begin(world, lookup_key="topup_yen")
    yen = price("price_yen", lookup_key="topup_yen", amount_minor=500, currency="jpy", every=None)
    world.stripe.put(checkout_session(of_price=yen))
    await world.deliver(make_event(COMPLETED, checkout_session()))
    assert await world.available() == 15
    made = await grant(world)
    assert made is not None
    assert made.expires_at is None


def rules_with(packs: Sequence[Pack]) -> Rules:
    return Rules(Catalog(plans=[Plan("free", default=True)], packs=packs, declares=[credits]))


async def test_a_price_that_was_raised_meanwhile_is_not_held_against_the_customer(
    memory_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await begin(memory_world)
    raised = Price("topup_100", amount_minor=600, currency="eur")
    memory_world.rules = rules_with([Pack("credits_100", grants=credits(100), price=raised)])
    memory_world.stripe.put(checkout_session())
    await memory_world.deliver(make_event(COMPLETED, checkout_session()))
    assert await memory_world.available() == 100
    assert "it is 600 now" in caplog.text


async def test_a_pack_that_is_no_longer_sold_and_was_paid_is_an_alert(
    memory_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await begin(memory_world)
    memory_world.rules = rules_with([])
    memory_world.stripe.put(checkout_session())
    await memory_world.deliver(make_event(COMPLETED, checkout_session()))
    assert await status(memory_world) is PurchaseStatus.FAILED
    assert "the catalogue has no price 'topup_100' any more" in caplog.text


async def test_a_customer_who_was_deleted_while_paying_is_an_alert(
    memory_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await begin(memory_world)
    await memory_world.store.write(lambda tx: customers.delete(tx, "org_1"))
    memory_world.stripe.put(checkout_session())
    await memory_world.deliver(make_event(COMPLETED, checkout_session()))
    assert await status(memory_world) is PurchaseStatus.FAILED
    assert "the customer was deleted" in caplog.text


async def test_a_paid_subscription_checkout_brings_access_with_it(world: World) -> None:
    await begin(world, lookup_key="pro_monthly", mode="subscription")
    bought = checkout_session(mode="subscription", subscription="sub_1", of_price=price())
    world.stripe.put(bought, subscription(latest_invoice=invoice()))
    await world.deliver(make_event(COMPLETED, bought))
    assert (await world.entitlements()).has_plan("pro")
    assert await world.available() == 1_005
    found = await world.store.read(lambda tx: tx.purchases.get("pur_1"))
    assert found is not None
    assert (found.status, found.subscription_id) == (PurchaseStatus.PAID, "sub_1")


async def test_the_same_request_finds_its_purchase_and_another_does_not(world: World) -> None:
    await begin(world)

    def again(tx: Transaction, quantity: int) -> Purchase:
        known = tx.purchases.get("pur_1")
        assert known is not None
        wanted = Purchase(
            id="pur_1",
            customer="org_1",
            price_lookup_key="topup_100",
            quantity=quantity,
            mode="payment",
            status=PurchaseStatus.PENDING,
            created_at=tx.now(),
        )
        return purchases.open_purchase(tx, wanted)

    found = await world.store.write(lambda tx: again(tx, 1))
    assert found.checkout_session_id == "cs_1"
    with pytest.raises(IdempotencyConflictError):
        await world.store.write(lambda tx: again(tx, 2))


async def test_a_session_takes_the_place_of_the_one_it_was_made_for_and_of_no_other(
    world: World,
) -> None:
    await begin(world)

    async def attached(session_id: str, replaces: str | None) -> str | None:
        found = await world.store.write(
            lambda tx: purchases.attach_session(tx, "pur_1", session_id, replaces)
        )
        assert found is not None
        return found.checkout_session_id

    assert await attached("cs_late", None) == "cs_1"
    assert await attached("cs_2", "cs_1") == "cs_2"
    nobody = await world.store.write(lambda tx: purchases.attach_session(tx, "pur_9", "cs_9", None))
    assert nobody is None
