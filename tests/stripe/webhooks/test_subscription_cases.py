"""Hard cases 15 to 22, 28 and 48: whatever comes in whatever order, the state is the same."""

import itertools
from datetime import timedelta

import anyio
import pytest

from gatekeeper.catalog import Catalog, Plan, Price
from gatekeeper.errors import StripeUnavailableError
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus, PriceRecord, Subscription
from gatekeeper.testing.events import (
    DEFAULT_START,
    Obj,
    invoice,
    invoice_line,
    make_event,
    price,
    subscription,
    subscription_item,
    unix,
)
from tests.stripe.world import CATALOG, World

pytestmark = pytest.mark.anyio

CREATED, UPDATED = "customer.subscription.created", "customer.subscription.updated"
DELETED = "customer.subscription.deleted"


async def row(world: World, subscription_id: str = "sub_1") -> Subscription | None:
    def work(tx: Transaction) -> Subscription | None:
        return tx.subscriptions.get(subscription_id)

    return await world.store.read(work)


async def test_case_10_an_event_in_an_old_api_version_gives_the_right_state(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    old = {"id": "sub_1", "object": "subscription", "plan": {"id": "price_pro"}, "status": "unpaid"}
    await world.deliver(make_event(UPDATED, old, api_version="2020-03-02"))
    assert (await world.entitlements()).has_plan("pro")


async def test_case_15_updated_to_active_comes_before_created_as_incomplete(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()), invoice())
    await world.deliver(
        make_event(UPDATED, subscription(status="active")),
        make_event(CREATED, subscription(status="incomplete")),
    )
    stored = await row(world)
    assert stored is not None
    assert stored.status == "active"
    assert (await world.entitlements()).has_plan("pro")


EVENTS = [
    make_event(CREATED, subscription(status="incomplete")),
    make_event(UPDATED, subscription()),
    make_event("invoice.paid", invoice()),
    make_event("invoice.finalized", invoice(status="open")),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
async def test_case_16_events_of_one_second_give_one_state_in_every_order(
    world: World, order: tuple[int, ...]
) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()), invoice())
    await world.deliver(*(EVENTS[index] for index in order))
    assert (await world.entitlements()).has_plan("pro")
    assert await world.available() == 1_005
    assert await world.counts() == {EventStatus.DONE: 4}
    assert await world.version() == 1  # one change, however many events tell of it
    assert world.invalidated == [("org_1", 1)]


async def test_case_16_the_invoice_alone_brings_access(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(), invoice())  # whose fetch shows no invoice
    await world.deliver(make_event("invoice.paid", invoice()))
    assert (await world.entitlements()).has_plan("pro")
    assert await world.available() == 1_005


async def test_the_subscription_alone_brings_its_credits(world: World) -> None:
    """The invoice's event was lost: the fetch of the subscription shows what is paid."""
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event(CREATED, subscription()))
    assert await world.available() == 1_005


async def test_case_17_a_slow_fetch_that_began_earlier_does_not_undo_a_newer_one(
    world: World,
) -> None:
    await world.customer()
    world.stripe.put(subscription(status="active", latest_invoice=invoice()))
    slow_has_fetched, newer_is_written = anyio.Event(), anyio.Event()

    async def hold_the_first(object_id: str) -> None:
        if not slow_has_fetched.is_set():
            slow_has_fetched.set()
            await newer_is_written.wait()

    world.stripe.during_fetch = hold_the_first
    async with anyio.create_task_group() as group:
        group.start_soon(world.projections.subscriptions.refresh, "sub_1")
        await slow_has_fetched.wait()
        world.stripe.put(subscription(status="unpaid"))
        await world.deliver(make_event(UPDATED, subscription(status="unpaid")))
        newer_is_written.set()
    stored = await row(world)
    assert stored is not None
    assert stored.status == "unpaid"
    assert not (await world.entitlements()).has_plan("pro")


async def test_case_18_deleted_and_then_a_late_updated_stays_canceled(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event(CREATED, subscription()))
    world.stripe.put(subscription(status="canceled"))
    await world.deliver(make_event(DELETED, subscription(status="canceled")))
    assert not (await world.entitlements()).has_plan("pro")
    world.stripe.put(subscription(status="active"))  # even if Stripe itself answered from a replica
    await world.deliver(make_event(UPDATED, subscription(status="active")))
    stored = await row(world)
    assert stored is not None
    assert stored.status == "canceled"
    assert await world.counts() == {EventStatus.DONE: 3}


async def test_case_19_an_object_that_is_gone_is_a_tombstone_and_no_retry_loop(
    world: World,
) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event(CREATED, subscription()))
    version = await world.version()
    world.stripe.remove(subscription())
    gone = make_event(UPDATED, subscription())
    await world.deliver(gone)
    assert await world.status_of(gone) is EventStatus.DONE
    assert not (await world.entitlements()).has_plan("pro")
    assert await world.version() == version + 1
    await world.deliver(make_event(UPDATED, subscription()))  # once more: nothing to change
    assert await world.version() == version + 1
    world.stripe.put(subscription())  # it was a hiccup: what is there again, counts again
    await world.deliver(make_event(UPDATED, subscription()))
    assert (await world.entitlements()).has_plan("pro")


async def test_case_19_what_another_accounts_key_does_not_see_is_not_gone(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event(CREATED, subscription()))
    world.stripe.objects.clear()
    world.stripe.account_id = "acct_of_somebody_else"
    event = make_event(UPDATED, subscription())
    await world.send(event)
    await world.new_receiver().run_once()
    stored = await world.stored(event)
    assert stored.status is EventStatus.PENDING
    assert stored.last_error is not None
    assert "DatabaseStampError" in stored.last_error
    assert (await world.entitlements()).has_plan("pro")


async def test_case_19_subscriptions_invoices_and_sessions_that_nobody_knew_are_gone(
    world: World,
) -> None:
    await world.customer()
    for kind, obj in (
        (UPDATED, subscription("sub_9")),
        ("invoice.updated", invoice("in_9")),
        ("checkout.session.expired", {"id": "cs_9", "object": "checkout.session"}),
        ("customer.updated", {"id": "cus_9", "object": "customer"}),
    ):
        await world.deliver(make_event(kind, obj))
    assert await world.counts() == {EventStatus.DONE: 4}
    assert await world.version() == 0


async def test_case_20_of_two_subscriptions_one_is_canceled_and_the_others_features_stay(
    world: World,
) -> None:
    await world.customer()
    second = subscription(
        "sub_2",
        items=[subscription_item("si_2", of_price=price("price_team", lookup_key="team_monthly"))],
    )
    world.stripe.put(subscription(latest_invoice=invoice()), second)
    await world.deliver(make_event(CREATED, subscription()), make_event(CREATED, second))
    found = await world.entitlements()
    assert found.features == {"downloads", "support"}
    canceled = {**second, "status": "canceled", "ended_at": unix(DEFAULT_START)}
    world.stripe.put(canceled)
    await world.deliver(make_event(DELETED, canceled))
    found = await world.entitlements()
    assert found.features == {"downloads"}
    assert not found.has_plan("team")


async def test_case_21_an_item_that_is_taken_out_ends_and_the_others_go_on(world: World) -> None:
    await world.customer()
    team = subscription_item("si_2", of_price=price("price_team", lookup_key="team_monthly"))
    world.stripe.put(subscription(items=[subscription_item(), team]))
    await world.deliver(make_event(CREATED, subscription()))
    assert (await world.entitlements()).has_feature("support")
    world.clock.advance(days=1)
    world.stripe.put(subscription(items=[subscription_item()]))
    await world.deliver(make_event(UPDATED, subscription()), make_event(UPDATED, subscription()))
    found = await world.entitlements()
    assert (found.has_feature("downloads"), found.has_feature("support")) == (True, False)
    assert await world.version() == 2


async def test_case_22_past_due_keeps_access_for_the_grace_from_the_oldest_unpaid_invoice(
    world: World,
) -> None:
    await world.customer()
    start = DEFAULT_START + timedelta(days=31)
    renewal = invoice("in_2", status="open", start=start, lines=[invoice_line("il_2", start=start)])
    late = subscription(
        status="past_due", items=[subscription_item(start=start)], latest_invoice=renewal
    )
    world.stripe.put(late, renewal)
    world.clock.advance(days=31)
    await world.deliver(make_event(UPDATED, late))  # the invoice's own events are lost
    assert ("invoice", "in_2") in world.stripe.fetches
    found = await world.entitlements()
    assert found.has_plan("pro")
    assert found.valid_until == start + timedelta(days=7)
    world.clock.advance(days=7)
    assert not (await world.entitlements()).has_plan("pro")

    paid = invoice("in_2", start=start, lines=[invoice_line("il_2", start=start)])
    world.stripe.put({**late, "status": "active", "latest_invoice": paid}, paid)
    await world.deliver(make_event("invoice.paid", paid), make_event(UPDATED, late))
    assert (await world.entitlements()).valid_until is None
    assert (await world.entitlements()).has_plan("pro")


async def test_case_22_what_is_paid_within_the_grace_was_never_interrupted(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()), invoice())
    await world.deliver(make_event(CREATED, subscription()))
    start = DEFAULT_START + timedelta(days=31)
    renewal = invoice("in_2", status="open", start=start, lines=[invoice_line("il_2", start=start)])
    late = subscription(
        status="past_due", items=[subscription_item(start=start)], latest_invoice=renewal
    )
    paid = {**renewal, "status": "paid", "amount_paid": renewal["amount_due"]}
    allowed = []
    for day in range(29, 60):
        world.clock.now = DEFAULT_START + timedelta(days=day)
        if day == 31:
            world.stripe.put(late, renewal)
            await world.deliver(make_event(UPDATED, late), make_event("invoice.updated", renewal))
        if day == 37:
            world.stripe.put({**late, "status": "active", "latest_invoice": paid}, paid)
            await world.deliver(make_event("invoice.paid", paid), make_event(UPDATED, late))
        found = await world.entitlements()
        allowed.append(found.has_feature("downloads"))
        assert (found.valid_until is None) is not (31 <= day < 37)
    assert all(allowed)


async def test_grace_counts_from_the_due_date_where_there_is_one(world: World) -> None:
    await world.customer()
    due = DEFAULT_START + timedelta(days=14)
    bill = invoice(status="open", due_date=unix(due))
    world.stripe.put(subscription(status="past_due", latest_invoice="in_1"), bill)
    await world.deliver(make_event("invoice.finalized", bill), make_event(CREATED, subscription()))
    assert (await world.entitlements()).valid_until == due + timedelta(days=7)
    world.stripe.put({**bill, "status": "void"})
    await world.deliver(make_event("invoice.voided", bill))
    found = await world.entitlements()
    assert found.valid_until == DEFAULT_START + timedelta(days=7)  # no invoice: by the period


async def test_case_28_a_subscriber_keeps_what_was_bought(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event(CREATED, subscription()))
    world.rules = Rules(
        Catalog(
            plans=[
                Plan("free", default=True),
                Plan("pro", prices=[Price("pro_monthly", 999, "eur", every="month")]),
            ],
            declares=[*CATALOG.units.values(), *CATALOG.features.values()],
        )
    )
    moved = subscription_item(of_price=price(lookup_key=None))  # the lookup key is elsewhere now
    start = DEFAULT_START + timedelta(days=31)
    lines = [invoice_line("il_2", start=start)]
    renewed = subscription(items=[moved], latest_invoice=invoice("in_2", start=start, lines=lines))
    world.stripe.put(renewed)
    world.clock.advance(days=31)
    await world.send(make_event(UPDATED, renewed))
    await world.new_receiver().drain()
    assert (await world.entitlements()).has_feature("downloads")
    assert await world.available() == 1_000  # the new window, by the terms of the first one


async def test_case_48_a_drafted_renewal_gives_nothing_yet_and_the_remainder_lives_on(
    world: World,
) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()), invoice())
    await world.deliver(make_event(CREATED, subscription()))
    await world.spend(400)
    start = DEFAULT_START + timedelta(days=31)
    lines = [invoice_line("il_2", start=start)]
    draft = invoice("in_2", status="draft", start=start, lines=lines)
    renewed = subscription(items=[subscription_item(start=start)], latest_invoice=draft)
    renewed["billing_cycle_anchor"] = unix(DEFAULT_START)
    world.stripe.put(renewed, draft)
    world.clock.now = start + timedelta(minutes=30)
    await world.deliver(
        make_event(UPDATED, renewed),
        make_event("invoice.created", draft),
        make_event("invoice.updated", draft),
    )
    assert await world.available() == 605
    world.clock.now = start + timedelta(hours=25)  # the renewal grace is over
    assert await world.available() == 5

    paid = invoice("in_2", start=start, lines=lines)
    world.stripe.put({**renewed, "latest_invoice": paid}, paid)
    await world.deliver(make_event("invoice.paid", paid))
    assert await world.available() == 1_005


async def test_case_59_an_unknown_price_gives_no_access_and_an_alert(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.customer()
    odd = price("price_odd", lookup_key="nobody_knows")
    lines = [invoice_line(price_id="price_odd")]
    sub = subscription(items=[subscription_item(of_price=odd)], latest_invoice=invoice(lines=lines))
    world.stripe.put(odd, sub)
    await world.deliver(make_event(CREATED, sub))
    found = await world.entitlements()
    assert found.plans == {"free"}
    assert await world.available() == 5
    assert "price price_odd (lookup key nobody_knows) is not in the catalogue" in caplog.text
    assert "lookup key None" not in caplog.text


async def test_case_29_a_price_in_another_currency_gives_no_access(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.customer()
    sub = subscription(items=[subscription_item(of_price=price(currency="usd"))])
    world.stripe.put(sub)
    await world.deliver(make_event(CREATED, sub))
    assert (await world.entitlements()).plans == {"free"}
    assert "is in usd and the catalogue's pro_monthly in eur" in caplog.text


async def test_an_invoice_that_comes_first_asks_what_its_price_is(world: World) -> None:
    """Its lines name prices by id; the lookup key is on the price."""
    await world.customer()
    world.stripe.put(invoice(of_subscription=None), price())
    line_only = make_event("invoice.paid", invoice(of_subscription=None))
    await world.deliver(line_only)
    assert ("price", "price_pro") in world.stripe.fetches
    world.stripe.put(subscription())
    await world.deliver(make_event(CREATED, subscription()))
    assert await world.available() == 1_005


async def test_an_upgrade_takes_the_new_terms_and_a_late_line_the_old_ones(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event(CREATED, subscription()))
    team = price("price_team", lookup_key="team_monthly", amount_minor=2_999)
    world.clock.advance(days=1)
    charge = invoice(
        "in_2",
        lines=[
            invoice_line("il_2", amount_minor=-900, proration=True, start=world.clock.now, days=29),
            invoice_line(
                "il_3",
                price_id="price_team",
                amount_minor=2_800,
                proration=True,
                start=world.clock.now,
                days=29,
            ),
            invoice_line("il_4", amount_minor=1, proration=True, start=world.clock.now, days=1),
        ],
    )
    upgraded = subscription(items=[subscription_item(of_price=team)], latest_invoice=charge)
    world.stripe.put(upgraded, charge)
    await world.deliver(make_event(UPDATED, upgraded))
    assert (await world.entitlements()).has_plan("team")
    assert await world.available() == 5_005

    def terms_by_line(tx: Transaction) -> dict[str, str]:
        (item,) = tx.subscriptions.items("sub_1")
        return {line.id: line.terms.plan for line in item.paid_lines}

    found = await world.store.read(terms_by_line)
    assert found == {"il_1": "pro", "il_3": "team", "il_4": "pro"}


async def test_a_payment_brings_an_incomplete_subscription_into_order(world: World) -> None:
    """Its own event is still on the way."""
    await world.customer()
    bill = invoice(status="open")
    world.stripe.put(subscription(status="incomplete", latest_invoice=bill), bill)
    await world.deliver(make_event(CREATED, subscription()), make_event("invoice.finalized", bill))
    assert (await world.entitlements()).plans == {"free"}
    world.stripe.put(subscription(latest_invoice=invoice()), invoice())
    await world.deliver(make_event("invoice.paid", invoice()))
    assert (await world.entitlements()).has_plan("pro")


async def test_a_status_that_we_do_not_know_gives_nothing_and_an_alert(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.customer()
    world.stripe.put(subscription(status="levitating", latest_invoice=invoice()))
    await world.deliver(make_event(CREATED, subscription()))
    assert (await world.entitlements()).plans == {"free"}
    assert "has the status levitating" in caplog.text


async def test_a_plan_that_the_catalogue_has_no_more_gives_a_new_subscriber_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.customer()
    record = PriceRecord(
        price_id="price_pro", lookup_key="pro_monthly", plan="gone", first_seen_at=world.clock.now
    )
    await world.store.write(lambda tx: tx.subscriptions.record_price(record))
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.deliver(make_event(CREATED, subscription()))
    assert (await world.entitlements()).plans == {"free"}
    assert "recorded for plan gone, which the catalogue does not have" in caplog.text


async def test_strangers_have_no_effect_and_are_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    second = invoice_line("il_2", price_id="price_other", proration=True)
    latest = invoice(customer="cus_x", lines=[invoice_line(), second])
    sub = subscription(customer="cus_x", latest_invoice=latest)
    bill = invoice(customer="cus_x")
    world.stripe.put(sub, bill)
    await world.deliver(
        make_event(CREATED, sub), make_event(UPDATED, sub), make_event("invoice.paid", bill)
    )
    assert await row(world) is None
    assert caplog.text.count("who is not one of ours") == 1
    assert await world.counts() == {EventStatus.DONE: 3}
    assert {kind for kind, _ in world.stripe.fetches} == {"subscription", "invoice"}


async def test_one_fetch_serves_all_waiting_events_of_an_object(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    await world.send(*(make_event(UPDATED, subscription()) for _ in range(5)))
    await world.receiver.drain()
    assert world.stripe.fetches == [("subscription", "sub_1")]
    assert await world.counts() == {EventStatus.DONE: 5}


async def test_an_outage_of_stripe_is_waited_out_together(world: World) -> None:
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()))
    world.stripe.failure = StripeUnavailableError()
    events = [make_event(UPDATED, subscription()) for _ in range(3)]
    await world.deliver(*events)
    due = {(await world.stored(event)).due_at for event in events}
    assert all(moment > world.clock.now for moment in due)
    assert await world.version() == 0
    world.stripe.failure = None
    world.clock.advance(hours=1)
    await world.receiver.drain()
    assert (await world.entitlements()).has_plan("pro")


async def test_what_has_not_the_shape_of_stripes_is_noted_and_writes_nothing(world: World) -> None:
    await world.customer()
    broken: Obj = {**subscription(), "items": None}
    world.stripe.put(broken)
    event = make_event(UPDATED, subscription())
    await world.deliver(event)
    assert (await world.stored(event)).last_error == (
        "ProjectionError: subscription.items is missing."
    )
    world.stripe.put(subscription(livemode=True))
    world.clock.advance(hours=1)
    await world.receiver.drain()
    assert (await world.stored(event)).last_error == (
        "ProjectionError: subscription.livemode is not the mode of the key."
    )
    assert await row(world) is None
