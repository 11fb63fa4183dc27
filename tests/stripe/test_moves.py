"""Bulk moves of subscriptions to new prices: shown first, done once, gone on with after a crash."""

from datetime import timedelta
from typing import Any

import pytest

from gatekeeper.catalog import Catalog, Pack, Plan, Price
from gatekeeper.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    StripeUnavailableError,
)
from gatekeeper.stripe.long_work import held
from gatekeeper.stripe.moves import MoveOptions, MovePlan, MoveReport, PriceMover
from gatekeeper.stripe.moves import mover as mover_module
from gatekeeper.stripe.moves.mover import NAME
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.testing.stripe.core.store import Obj
from tests.stripe.shop import Shop, make_price
from tests.stripe.test_outgoing import Crash, rows
from tests.stripe.test_reconciliation import (
    introduce,
    memory_shop,  # noqa: F401 -- fixture
    shop,  # noqa: F401 -- fixture
    subscribe,
    update,
)
from tests.stripe.world import CATALOG, credits, downloads, seats

pytestmark = pytest.mark.anyio


def dearer(amount_minor: int = 1_299, **more: Any) -> Catalog:
    """The catalogue with another price for pro by the month."""
    pro = Plan(
        "pro",
        includes="free",
        prices=[
            Price("pro_monthly", amount_minor, currency="eur", every="month", **more),
            Price("pro_yearly", 9_999, currency="eur", every="year"),
        ],
        features=[downloads],
        limits={seats: seats.per_quantity()},
        grants=[credits.every("month", 1_000)],
    )
    others = [plan for key, plan in CATALOG.plans.items() if key != "pro"]
    return Catalog(plans=[pro, *others], packs=[Pack("p", credits(1), Price("pk", 100, "eur"))])


class Move:
    """A price that has changed, and what moves its subscriptions."""

    def __init__(self, shop: Shop, catalog: Catalog) -> None:  # noqa: F811
        self.shop = shop
        self.catalog = catalog
        self.outgoing = OutgoingRequests(shop.gateway, shop.store)
        self.mover = PriceMover(shop.gateway, shop.store, catalog, self.outgoing)

    async def plan(self, **options: Any) -> MovePlan:
        self.shop.clock.now = self.shop.sim.now
        return await self.mover.plan(MoveOptions(**options))

    async def run(self, **options: Any) -> MoveReport:
        return await self.mover.run(MoveOptions(**options), per_second=10_000)

    async def price_id(self, lookup_key: str = "pro_monthly") -> str:
        found = await self.shop.gateway.prices_by_lookup_key([lookup_key])
        return str(found[lookup_key]["id"])

    def at_stripe(self, subscription_id: str) -> Obj:
        return self.shop.sim.state.store.get("subscription", subscription_id)

    def price_of(self, subscription_id: str) -> str:
        [item] = self.at_stripe(subscription_id)["items"]["data"]
        return str(item["price"]["id"])

    def updates(self) -> int:
        """How often a subscription was given another price."""
        events = self.shop.sim.events("customer.subscription.updated")
        return sum("items" in event["data"]["previous_attributes"] for event in events)


async def changed(shop: Shop, catalog: Catalog | None = None) -> Move:  # noqa: F811
    """Give the catalogue's price another amount, as an operator does."""
    await shop.settle()
    catalog = dearer() if catalog is None else catalog
    await apply_setup(await plan_setup(catalog, shop.gateway), shop.gateway)
    return Move(shop, catalog)


async def test_the_plan_shows_what_it_costs_whom_and_changes_nothing(memory_shop: Shop) -> None:  # noqa: F811
    shop = memory_shop  # noqa: F811
    old, other = await subscribe(shop, quantity=2), await subscribe(shop, "org_2", "team_monthly")
    move = await changed(shop)
    old_price, new_price = move.price_of(old), await move.price_id()
    shop.sim.advance(days=15)
    plan = await move.plan(proration="always_invoice")
    [moved] = plan.moves
    assert (moved.subscription_id, moved.customer) == (old, "org_1")
    assert plan.change() == {("eur", "every month"): 600}
    [item] = moved.items
    left = (item.period_end - shop.sim.now) / (item.period_end - item.period_start)
    assert item.prorated_minor(shop.sim.now) == round(600 * left)
    told = plan.lines("always_invoice")
    assert told[0].startswith(
        f"{old} (org_1): {old_price} -> {new_price}, +6.00 EUR every month, about +"
    )
    assert told[0].endswith(" EUR now")
    assert "about" not in plan.lines("none")[0]
    assert plan.lines("create_prorations")[0].endswith("on the next invoice")
    assert told[-2:] == [
        "in all +6.00 EUR every month",
        "1 subscription(s) to move, 0 left alone, 0 nobody's.",
    ]
    assert move.updates() == 0
    assert move.price_of(other) != new_price
    assert await rows(shop.store) == []


async def test_subscriptions_of_a_changed_price_are_moved_once(shop: Shop) -> None:  # noqa: F811
    old = [await subscribe(shop, f"org_{number}", quantity=number + 1) for number in range(3)]
    move = await changed(shop)
    bought_since = await subscribe(shop, "org_new")
    report = await move.run()
    assert (report.moved, report.earlier, report.refused) == (3, 0, ())
    new_price = await move.price_id()
    for number, subscription_id in enumerate(old):
        [item] = move.at_stripe(subscription_id)["items"]["data"]
        assert (item["price"]["id"], item["quantity"]) == (new_price, number + 1)
    assert move.price_of(bought_since) == new_price
    assert move.updates() == 3
    again = await move.run()
    assert (again.moved, again.earlier) == (0, 0)
    assert move.updates() == 3
    assert await rows(shop.store) == []

    await shop.settle()
    assert "pro" in (await shop.entitlements("org_0")).plans
    assert await shop.available(customer="org_0") == 1_005


@pytest.mark.parametrize(
    ("proration", "invoices", "pending"),
    [("none", 1, 0), ("create_prorations", 1, 2), ("always_invoice", 2, 0)],
)
async def test_the_rest_of_the_period_is_billed_as_the_operator_says(
    proration: str,
    invoices: int,
    pending: int,
    memory_shop: Shop,  # noqa: F811
) -> None:
    shop = memory_shop  # noqa: F811
    subscription_id = await subscribe(shop)
    move = await changed(shop)
    shop.sim.advance(days=10)
    await move.run(proration=proration)
    made = await shop.gateway.listed(
        "/v1/invoices", {"subscription": subscription_id}, what="listing invoices"
    )
    assert len(made) == invoices
    hidden = shop.sim.state.store.hidden(move.at_stripe(subscription_id))
    assert len(hidden["pending_lines"]) == pending


async def test_what_must_not_be_moved_is_told_and_left_alone(memory_shop: Shop) -> None:  # noqa: F811
    shop = memory_shop  # noqa: F811
    names = ("schedule", "pending", "ending", "at_end", "late", "over", "fine")
    made = {name: await subscribe(shop, f"org_{name}") for name in names}
    yearly = await subscribe(shop, "org_yearly", "pro_yearly")
    move = await changed(shop)
    move.at_stripe(made["schedule"])["schedule"] = "sub_sched_1"
    move.at_stripe(made["pending"])["pending_update"] = {"expires_at": 1}
    move.at_stripe(made["late"])["status"] = "past_due"
    ends = int((shop.sim.now + timedelta(days=3)).timestamp())
    await update(shop, made["ending"], cancel_at=ends)
    await update(shop, made["at_end"], cancel_at_period_end=True)
    move.at_stripe(made["over"])["status"] = "incomplete_expired"

    report = await move.run()
    reasons = {one.customer: one.reason for one in report.skipped}
    assert reasons == {
        "org_schedule": "a schedule directs it",
        "org_pending": "an update of it waits for a payment",
        "org_ending": "it is about to end",
        "org_at_end": "it is about to end",
        "org_late": "it is past_due",
    }
    assert report.moved == 1
    assert move.price_of(made["fine"]) == await move.price_id()
    [skipped, *_] = report.skipped
    assert str(skipped).endswith(f"is left alone: {skipped.reason}")

    # From one interval to another would begin a new period, and bill it.
    old = move.price_of(yearly)
    [other] = (await move.plan(old=old, new="pro_monthly")).skipped
    assert other.reason == "it is billed every year, and the new price every month"


async def test_from_one_price_to_another_by_ids_or_lookup_keys(memory_shop: Shop) -> None:  # noqa: F811
    shop = memory_shop  # noqa: F811
    subscription_id = await subscribe(shop)
    move = await changed(shop, CATALOG)
    await move.run(old="pro_monthly", new="team_monthly")
    assert move.price_of(subscription_id) == await move.price_id("team_monthly")
    await shop.settle()
    assert "team" in (await shop.entitlements()).plans

    pack = await move.price_id("topup_100")
    made = {"currency": "eur", "unit_amount": 5, "recurring": {"interval": "month"}}
    price = await shop.gateway.fetch("price", pack)
    assert price is not None
    unknown = await make_price(shop.gateway, **made, product=price["product"])
    with pytest.raises(ConfigurationError, match="would lose access"):
        await move.plan(old="team_monthly", new=unknown["id"])
    for bad, message in (
        ({"old": "team_monthly"}, "both"),
        ({"old": "nothing", "new": "pro_monthly"}, "no price"),
        ({"old": "topup_100", "new": "pro_monthly"}, "not a recurring"),
        ({"old": "pro_monthly", "new": "pro_monthly"}, "the same"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            await move.plan(**bad)


async def test_a_price_that_is_not_the_catalogues_is_moved_to_by_nobody(
    memory_shop: Shop,  # noqa: F811
) -> None:
    shop = memory_shop  # noqa: F811
    await subscribe(shop)
    move = Move(shop, dearer())  # and `stripe setup` was forgotten
    with pytest.raises(ConfigurationError, match="stripe setup"):
        await move.plan()


async def test_declared_ids_stay_and_strangers_are_left_alone(memory_shop: Shop) -> None:  # noqa: F811
    shop = memory_shop  # noqa: F811
    kept = await subscribe(shop)
    stranger = await subscribe(shop, "org_2")
    move = await changed(shop)
    old = move.price_of(kept)
    await introduce(shop.store, "org_2", "cus_somebody_else")
    row = move.at_stripe(stranger)
    row["id"] = "sub_unknown_here"
    plan = await move.plan()
    assert (len(plan.moves), plan.strangers) == (1, 1)
    assert (await Move(shop, dearer(ids=[old])).plan()).moves == ()


def dying(move: Move, monkeypatch: pytest.MonkeyPatch, *, at: int, sent: bool) -> None:
    """The process dies at a move, before or after Stripe has done it."""
    gateway, posts = move.shop.gateway, 0
    post = gateway.post

    async def die(*args: Any, **options: Any) -> Any:
        nonlocal posts
        posts += 1
        if posts == at:
            monkeypatch.setattr(gateway, "post", post)
            if sent:
                await post(*args, **options)
            raise Crash
        return await post(*args, **options)

    monkeypatch.setattr(gateway, "post", die)


@pytest.mark.parametrize("sent", [False, True])
async def test_case_41_a_move_that_crashed_goes_on_and_moves_each_once(
    sent: bool,
    shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [await subscribe(shop, f"org_{number}") for number in range(3)]
    move = await changed(shop)
    dying(move, monkeypatch, at=2, sent=sent)
    with pytest.raises(Crash):
        await move.run()
    assert len(await rows(shop.store)) == 1
    assert move.updates() == (2 if sent else 1)

    reborn = Move(shop, move.catalog)
    report = await reborn.run()
    assert (report.moved, report.earlier) == (1 if sent else 2, 1)
    new_price = await move.price_id()
    assert {move.price_of(one) for one in made} == {new_price}
    assert move.updates() == 3
    shop.clock.advance(minutes=2)
    assert await reborn.outgoing.resume() == (1 if sent else 0)
    assert await rows(shop.store) == []
    assert move.updates() == 3


async def test_a_move_that_was_left_open_is_not_sent_over_the_customers_own_change(
    shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscription_id = await subscribe(shop)
    move = await changed(shop)
    dying(move, monkeypatch, at=1, sent=False)
    with pytest.raises(Crash):
        await move.run()
    team = await move.price_id("team_monthly")
    [item] = move.at_stripe(subscription_id)["items"]["data"]
    await update(shop, subscription_id, items=[{"id": item["id"], "price": team}])
    shop.clock.advance(minutes=2)
    assert await move.outgoing.resume() == 1
    assert move.price_of(subscription_id) == team
    assert await rows(shop.store) == []


@pytest.mark.parametrize("hours", [0, 30])
async def test_a_move_that_was_left_open_is_done_in_the_background_within_the_life_of_its_key(
    hours: int,
    shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscription_id = await subscribe(shop)
    move = await changed(shop)
    dying(move, monkeypatch, at=1, sent=False)
    with pytest.raises(Crash):
        await move.run()
    shop.clock.advance(hours=hours, minutes=2)
    assert await move.outgoing.resume() == 1
    is_moved = move.price_of(subscription_id) == await move.price_id()
    assert is_moved is (hours == 0)
    assert await rows(shop.store) == []
    await move.run()  # whoever asks again is served
    assert move.price_of(subscription_id) == await move.price_id()
    assert move.updates() == 1


async def test_a_change_between_the_plan_and_the_move_counts(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    first, second = await subscribe(shop), await subscribe(shop, "org_2")
    third = await subscribe(shop, "org_3")
    move = await changed(shop)
    plan, team = PriceMover._plan, await move.price_id("team_monthly")

    async def slow(self: PriceMover, *args: Any) -> Any:
        found = await plan(self, *args)
        [item] = move.at_stripe(first)["items"]["data"]
        await update(shop, first, items=[{"id": item["id"], "price": team}])
        await update(shop, second, cancel_at_period_end=True)
        shop.sim.state.store._tables["subscription"].pop(third)
        return found

    monkeypatch.setattr(PriceMover, "_plan", slow)
    report = await move.run()
    assert report.moved == 0
    assert [one.reason for one in report.skipped] == ["it is about to end"]
    assert move.price_of(first) == team


async def test_an_outage_ends_it_and_refusals_are_told_until_there_are_too_many(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    made = [await subscribe(shop, f"org_{number}") for number in range(3)]
    move = await changed(shop)
    price = shop.sim.state.store.get("price", await move.price_id())

    async def away(*args: Any, **options: Any) -> Any:
        raise StripeUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(shop.gateway, "post", away)
        with pytest.raises(StripeUnavailableError):
            await move.run()
    plan = await move.plan()
    choosing = await move.mover._targets.of_catalog()
    price["active"] = False  # after the plan: Stripe refuses it from now on

    async def planned(*args: Any) -> Any:
        return plan

    async def chosen(*args: Any) -> Any:
        return choosing

    monkeypatch.setattr(PriceMover, "_plan", planned)
    monkeypatch.setattr(PriceMover, "_choosing", chosen)
    report = await move.run()
    assert len(report.refused) == len(made)
    assert "not an active recurring price" in report.refused[0]
    monkeypatch.setattr(mover_module, "MAX_REFUSED_IN_A_ROW", 2)
    with pytest.raises(ConflictError, match="one move after the other"):
        await move.run()
    assert move.updates() == 0
    price["active"] = True  # mended: Stripe's refusals are not repeated under the same keys
    assert (await move.run()).moved == len(made)


async def test_one_process_moves_at_a_time_and_another_move_begins_anew(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    await subscribe(shop)
    await subscribe(shop, "org_2")
    move = await changed(shop)
    async with held(shop.store, NAME):
        with pytest.raises(ConflictError, match="Another process"):
            await move.run()
    dying(move, monkeypatch, at=2, sent=False)
    with pytest.raises(Crash):
        await move.run()
    report = await move.run(proration="create_prorations")
    assert (report.earlier, report.moved) == (0, 1)
