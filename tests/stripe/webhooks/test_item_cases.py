"""Hard cases 21, 23 to 25 and 28 to 30, from the event to what the customer may use."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import pytest

from gatekeeper.catalog import Catalog, Plan, Price, Unit
from gatekeeper.entitlements import AccessPolicy
from gatekeeper.services.rules import Rules
from gatekeeper.storage.records import OutboxMessage, OutboxState
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
from tests.stripe.world import CATALOG, World, seats

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

CREATED, UPDATED = "customer.subscription.created", "customer.subscription.updated"
PAID = "invoice.paid"
MONTH = timedelta(days=31)


async def said(world: World, found: Obj, type: str = UPDATED) -> None:
    """Stripe has this subscription, and says so, twice."""
    world.stripe.put(found)
    await world.deliver(make_event(type, found), make_event(type, found))


async def told(world: World, topic: str) -> list[dict[str, Any]]:
    """What the host is told of a topic."""
    found: list[OutboxMessage] = await world.store.read(
        lambda tx: list(tx.outbox.listing(OutboxState.WAITING, 99))
    )
    return [msgspec.json.decode(one.body) for one in found if one.topic == topic]


async def test_case_21_three_items_with_different_periods_expire_each_by_itself(
    world: World,
) -> None:
    await world.customer()
    keys = ("pro_monthly", "team_monthly", "pro_yearly")
    items = [
        subscription_item(f"si_{key}", of_price=price(f"price_{key}", lookup_key=key), days=days)
        for key, days in zip(keys, (10, 20, 30), strict=True)
    ]
    lines = [
        invoice_line(f"il_{key}", item=f"si_{key}", price_id=f"price_{key}", days=days)
        for key, days in zip(keys, (10, 20, 30), strict=True)
    ]
    await said(
        world,
        subscription(items=items, cancel_at_period_end=True, latest_invoice=invoice(lines=lines)),
        CREATED,
    )
    seen = []
    for day in (9, 11, 21, 31):
        world.clock.now = DEFAULT_START + timedelta(days=day)
        found = await world.entitlements()
        running = [source for source in found.sources if source.kind == "item"]
        seen.append((len(running), found.has_plan("pro"), found.has_feature("support")))
    assert seen == [(3, True, True), (2, True, True), (1, True, False), (0, False, False)]


async def test_case_23_a_trial_that_ends_without_a_card_is_denied_until_it_is_resumed(
    world: World,
) -> None:
    await world.customer()
    end = DEFAULT_START + timedelta(days=14)
    trying = subscription(status="trialing", trial_start=unix(DEFAULT_START), trial_end=unix(end))
    await said(world, trying, CREATED)
    assert (await world.entitlements()).has_plan("pro")
    world.clock.now = end + timedelta(minutes=1)
    await said(world, {**trying, "status": "paused"}, "customer.subscription.paused")
    assert not (await world.entitlements()).has_plan("pro")
    bill = invoice(start=end, lines=[invoice_line(start=end)])
    resumed = subscription(
        items=[subscription_item(start=end)], trial_end=unix(end), latest_invoice=bill
    )
    await said(
        world, {**resumed, "billing_cycle_anchor": unix(end)}, "customer.subscription.resumed"
    )
    assert (await world.entitlements()).has_plan("pro")
    assert await world.available() == 1_005


@pytest.mark.parametrize(
    ("policy", "behavior"),
    [("deny", "void"), ("deny", "mark_uncollectible"), ("keep", "keep_as_draft")],
)
async def test_case_24_paused_collection_follows_the_policy_that_was_configured(
    world: World, policy: Literal["deny", "keep"], behavior: str
) -> None:
    world.rules = Rules(CATALOG, AccessPolicy(pause_collection=policy))
    await world.customer()
    running = subscription(latest_invoice=invoice())
    await said(world, running, CREATED)
    paused = {**running, "pause_collection": {"behavior": behavior, "resumes_at": None}}
    await said(world, paused)
    assert (await world.entitlements()).has_plan("pro") is (policy == "keep")
    await said(world, running)
    assert (await world.entitlements()).has_plan("pro")
    assert await world.available() == 1_005


@pytest.mark.parametrize(
    ("policy", "behavior", "status"),
    [
        ("deny", "void", "void"),
        ("keep", "void", "void"),
        ("keep", "mark_uncollectible", "uncollectible"),
        ("keep", "keep_as_draft", "draft"),
    ],
)
async def test_case_24_a_period_that_is_not_collected_grants_nothing_whatever_the_policy(
    world: World, policy: Literal["deny", "keep"], behavior: str, status: str
) -> None:
    world.rules = Rules(CATALOG, AccessPolicy(pause_collection=policy))
    await world.customer()
    await said(world, subscription(latest_invoice=invoice()), CREATED)
    assert await world.available() == 1_005
    start = DEFAULT_START + MONTH
    lines = [invoice_line("il_2", start=start)]
    unpaid = invoice("in_2", status=status, start=start, lines=lines)
    paused = subscription(items=[subscription_item(start=start)], latest_invoice=unpaid)
    world.stripe.put(unpaid)
    world.clock.now = start + timedelta(hours=25)  # the renewal grace is over
    await said(
        world,
        {
            **paused,
            "billing_cycle_anchor": unix(DEFAULT_START),
            "pause_collection": {"behavior": behavior, "resumes_at": None},
        },
    )
    await world.deliver(make_event("invoice.updated", unpaid))
    assert (await world.entitlements()).has_plan("pro") is (policy == "keep")
    assert await world.available() == 5


async def test_case_25_from_ten_seats_to_five_the_limit_follows_once(world: World) -> None:
    await world.customer()
    for quantity, type in ((10, CREATED), (5, UPDATED)):
        items = [subscription_item(quantity=quantity)]
        await said(
            world,
            subscription(items=items, latest_invoice=invoice(lines=[invoice_line(quantity=10)])),
            type,
        )
        assert (await world.entitlements()).limit(seats.key) == quantity
    assert await world.version() == 2
    assert [one["items"][0]["quantity"] for one in await told(world, "subscription.changed")] == [
        10,
        5,
    ]


async def test_case_28_a_deleted_product_or_price_leaves_the_subscriber_what_was_bought(
    world: World,
) -> None:
    await world.customer()
    running = subscription(latest_invoice=invoice())
    product = {"id": "prod_price_pro", "object": "product", "active": True}
    world.stripe.put(price(), product)
    await said(world, running, CREATED)
    for kind, name in (("price", "price_pro"), ("product", "prod_price_pro")):
        gone = {"id": name, "object": kind, "deleted": True}
        world.stripe.put(gone)
        await world.deliver(make_event(f"{kind}.deleted", gone))
    start = DEFAULT_START + MONTH
    bare = {**price(lookup_key=None), "active": False, "product": "prod_gone"}
    lines = [invoice_line("il_2", start=start)]
    renewed = subscription(
        items=[subscription_item(of_price=bare, start=start)],
        latest_invoice=invoice("in_2", start=start, lines=lines),
    )
    world.clock.now = start + timedelta(hours=1)
    await said(world, {**renewed, "billing_cycle_anchor": unix(DEFAULT_START)})
    assert (await world.entitlements()).has_feature("downloads")
    assert await world.available() == 1_005


@pytest.mark.parametrize(
    ("currency", "minor"), [("jpy", 500), ("kwd", 4_990), ("isk", 69_900), ("eur", 999)]
)
async def test_case_29_amounts_are_in_the_minor_units_of_their_currency(
    world: World, currency: str, minor: int
) -> None:
    credits = Unit("credits")
    sold = Price("pro_monthly", amount_minor=minor, currency=currency, every="month")
    world.rules = Rules(
        Catalog(
            plans=[
                Plan("free", default=True),
                Plan("pro", prices=[sold], grants=[credits.every("month", 10)]),
            ]
        )
    )
    await world.customer()
    of_price = price(amount_minor=minor, currency=currency)
    line = {**invoice_line(amount_minor=minor), "currency": currency}
    bill = invoice(lines=[line], currency=currency, total=minor)
    await said(
        world, subscription(items=[subscription_item(of_price=of_price)], latest_invoice=bill)
    )
    assert await world.available() == 10
    (paid,) = await told(world, "payment.succeeded")
    assert (paid["amount_minor"], paid["currency"]) == (minor, currency)
    copied = await world.store.read(lambda tx: tx.mirror.get("invoice", "in_1"))
    assert copied is not None
    assert (copied.amount_minor, copied.currency) == (minor, currency)


@pytest.mark.parametrize(
    ("start", "boundaries"),
    [
        # From a last of January through a February, and back to the 31st.
        (
            datetime(2026, 1, 31, 12, tzinfo=UTC),
            [datetime(2026, 2, 28, 12, tzinfo=UTC), datetime(2026, 3, 31, 12, tzinfo=UTC)],
        ),
        # A leap year's February.
        (
            datetime(2028, 1, 30, 12, tzinfo=UTC),
            [datetime(2028, 2, 29, 12, tzinfo=UTC), datetime(2028, 3, 30, 12, tzinfo=UTC)],
        ),
        # 01:30 in Berlin on a night that has no 02:30, and one that has it twice: an instant.
        (
            datetime(2026, 2, 28, 23, 30, tzinfo=UTC),
            [datetime(2026, 3, 28, 23, 30, tzinfo=UTC), datetime(2026, 4, 28, 23, 30, tzinfo=UTC)],
        ),
    ],
)
async def test_case_30_months_of_a_year_begin_at_the_anchor_to_the_second(
    world: World, start: datetime, boundaries: list[datetime]
) -> None:
    world.clock.now = start + timedelta(hours=1)
    await world.customer()
    yearly = price("price_year", lookup_key="pro_yearly", amount_minor=9_999, every="year")
    items = [subscription_item(of_price=yearly, start=start, days=365)]
    lines = [invoice_line(price_id="price_year", amount_minor=9_999, start=start, days=365)]
    bill = invoice(lines=lines, start=start)
    await said(world, subscription(items=items, start=start, latest_invoice=bill), CREATED)
    await world.spend(700)
    for number, boundary in enumerate(boundaries):
        world.clock.now = boundary - timedelta(seconds=1)
        assert await world.available() == 305
        world.clock.now = boundary
        assert await world.available() == 1_005
        await world.spend(700, hold=f"hold_{number}_of_window")
