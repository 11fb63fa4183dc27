"""The backfill of an existing account: nothing is guessed, nothing overwritten, all projected."""

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from gatekeeper.errors import StripeUnavailableError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer, OutboxState
from gatekeeper.stripe.backfill import Backfill, by_list, by_metadata
from gatekeeper.stripe.stamp import check_stamp
from gatekeeper.stripe.webhooks import Projections
from tests.stripe.shop import Shop
from tests.stripe.test_reconciliation import (
    dump,
    items,
    lose_webhooks,
    memory_shop,  # noqa: F401 -- fixture
    nobody,
    reconcile,
    shop,  # noqa: F401 -- fixture
    subscribe,
)
from tests.stripe.world import RULES

pytestmark = pytest.mark.anyio

NEWS = {"payment.succeeded", "subscription.changed"}


def backfill_of(shop: Shop) -> Backfill:  # noqa: F811
    quiet, telling = (
        Projections(shop.gateway, shop.store, rules, nobody)
        for rules in (dataclasses.replace(RULES, tells=False), RULES)
    )
    return Backfill(shop.gateway, shop.store, quiet, telling)


async def strangers(shop: Shop, *names: str) -> dict[str, str]:  # noqa: F811
    """Paying customers at Stripe whom the host does not know; the host's ids by Stripe's."""
    found = {}
    for name in names:
        await subscribe(shop, name)
        row = await shop.customer(name)
        found[str(row.stripe_id)] = name
        await forget(shop.store, name)
    lose_webhooks(shop)
    shop.clock.now = shop.sim.now
    return found


async def forget(store: Store, customer: str) -> None:
    row = await store.read(lambda tx: tx.customers.get(customer))
    assert row is not None
    await store.write(lambda tx: tx.customers.save(replace(row, stripe_id=None)))


async def test_customers_are_mapped_and_what_they_bought_is_projected(shop: Shop) -> None:  # noqa: F811
    ids = await strangers(shop, "org_1", "org_2")
    shop.clock.now = shop.sim.advance(days=32)
    lose_webhooks(shop)
    report = await backfill_of(shop).run(by_list(ids), customers_per_second=1_000)
    assert (report.links, report.subscriptions, report.invoices) == (2, 2, 4)
    assert report.conflicts == ()
    for name in ("org_1", "org_2"):
        assert "pro" in (await shop.entitlements(name)).plans
        assert len((await items(shop.store, name))[0].paid_lines) == 2
    before = await items(shop.store)
    again = await backfill_of(shop).run(by_list(ids), customers_per_second=1_000)
    assert (again.links, again.skipped) == (2, 0)
    assert await items(shop.store) == before


async def test_what_is_not_certain_is_reported_and_left_alone(shop: Shop) -> None:  # noqa: F811
    ids = await strangers(shop, "org_1", "org_2", "org_3")
    first, second, third = ids
    row = await shop.customer("org_3")
    await shop.store.write(lambda tx: tx.customers.save(replace(row, stripe_id="cus_other")))
    mapping = {first: "twin", second: "twin", third: "org_3"}
    report = await backfill_of(shop).run(by_list(mapping), customers_per_second=1_000)
    assert report.links == 0
    assert sorted(one.split(":")[0] for one in report.conflicts) == ["org_3", "twin"]
    assert (await shop.customer("org_3")).stripe_id == "cus_other"
    assert await shop.store.read(lambda tx: tx.customers.get("twin")) is None


async def test_a_dry_run_writes_nothing(memory_shop: Shop) -> None:  # noqa: F811
    ids = await strangers(memory_shop, "org_1")
    await check_stamp(memory_shop.store, memory_shop.gateway)  # as every gate does at its start
    before = dump(memory_shop.store)
    assert (await backfill_of(memory_shop).run(by_list(ids), dry_run=True)).links == 1
    assert dump(memory_shop.store) == before


async def test_metadata_decides_by_the_key_that_the_operator_names(memory_shop: Shop) -> None:  # noqa: F811
    post = memory_shop.gateway.post
    await post("/v1/customers", {"metadata": {"org": "org_9", "x": "org_8"}}, what="customer")
    await post("/v1/customers", {}, what="customer")
    report = await backfill_of(memory_shop).run(by_metadata("org"), customers_per_second=1_000)
    assert (report.links, report.nobodys) == (1, 1)
    assert (await memory_shop.customer("org_9")).stripe_id is not None


async def test_a_run_that_was_cut_off_goes_on(
    shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = await strangers(shop, "org_1", "org_2", "org_3")
    work = backfill_of(shop)
    take = Backfill._take
    taken: list[str] = []

    async def dying(self: Backfill, theirs: str, *more: Any) -> Any:
        if len(taken) == 2:
            raise StripeUnavailableError
        taken.append(theirs)
        return await take(self, theirs, *more)

    with monkeypatch.context() as patched:
        patched.setattr(Backfill, "_take", dying)
        with pytest.raises(StripeUnavailableError):
            await work.run(by_list(ids), customers_per_second=1_000)
    report = await work.run(by_list(ids), customers_per_second=1_000)
    assert (report.links, report.skipped, report.subscriptions) == (3, 2, 1)
    for name in ids.values():
        assert "pro" in (await shop.entitlements(name)).plans


async def topics(shop: Shop) -> list[str]:  # noqa: F811
    """What waits to be told."""
    found = await shop.store.read(lambda tx: tx.outbox.listing(OutboxState.WAITING, 100))
    return sorted(message.topic for message in found)


@pytest.mark.parametrize("tell", [False, True])
async def test_a_takeover_is_no_news_unless_the_operator_has_it_told(
    tell: bool,
    shop: Shop,  # noqa: F811
) -> None:
    ids = await strangers(shop, "org_1")
    await backfill_of(shop).run(by_list(ids), tell=tell, customers_per_second=1_000)
    told = [name for name in await topics(shop) if name in NEWS]
    assert told == (sorted(NEWS) if tell else [])
    assert "pro" in (await shop.entitlements()).plans
    shop.clock.now = shop.sim.advance(days=34)
    lose_webhooks(shop)
    await reconcile(shop)  # what happens from then on is news
    assert set(await topics(shop)) >= NEWS


async def test_another_list_begins_anew_after_a_run_that_was_cut_off(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    ids = await strangers(shop, "org_1", "org_2")
    first, last = sorted(ids)
    work, take = backfill_of(shop), Backfill._take

    async def dying(self: Backfill, theirs: str, *more: Any) -> Any:
        if theirs == last:
            raise StripeUnavailableError
        return await take(self, theirs, *more)

    with monkeypatch.context() as patched:
        patched.setattr(Backfill, "_take", dying)
        with pytest.raises(StripeUnavailableError):
            await work.run(by_list({last: "a", first: "b"}), customers_per_second=1_000)
    await shop.store.write(lambda tx: tx.customers.save(replace(_row(tx, "b"), stripe_id=None)))
    report = await work.run(by_list({last: "a", first: "c"}), customers_per_second=1_000)
    assert (report.links, report.skipped) == (2, 0)
    assert (await shop.customer("c")).stripe_id == first


def _row(tx: Transaction, customer: str) -> Customer:
    found = tx.customers.get(customer)
    assert found is not None
    return found


async def test_what_can_not_be_projected_is_told_and_holds_up_nobody(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    ids = await strangers(shop, "org_1", "org_2")
    fetch, bad = shop.gateway.fetch, next(iter(sorted(ids)))

    async def broken(kind: str, object_id: str, **more: Any) -> Any:
        found = await fetch(kind, object_id, **more)
        if found is not None and kind == "subscription" and found["customer"] == bad:
            found["billing_cycle_anchor"] = "soon"
        return found

    monkeypatch.setattr(shop.gateway, "fetch", broken)
    report = await backfill_of(shop).run(by_list(ids), customers_per_second=1_000)
    assert report.links == 2
    assert report.failed
    assert all(one.startswith(f"{ids[bad]}: ") for one in report.failed)
    other = next(name for theirs, name in ids.items() if theirs != bad)
    assert "pro" in (await shop.entitlements(other)).plans


async def test_what_was_refunded_before_gives_nothing(memory_shop: Shop) -> None:  # noqa: F811
    shop = memory_shop  # noqa: F811
    ids = await strangers(shop, "org_1", "org_2")
    for theirs, name in ids.items():
        if name == "org_1":
            [paid] = await shop.gateway.listed("/v1/charges", {"customer": theirs}, what="charges")
            await shop.gateway.post("/v1/refunds", {"charge": paid["id"]}, what="a refund")
    lose_webhooks(shop)
    await backfill_of(shop).run(by_list(ids), customers_per_second=1_000)
    assert await shop.available(customer="org_1") == 5
    assert await shop.available(customer="org_2") > 5


async def test_case_49_a_warning_that_came_while_they_were_nobodys_freezes_who_is_taken_over(
    shop: Shop,  # noqa: F811
) -> None:
    ids = await strangers(shop, "org_1", "org_2")
    (first, second) = sorted(shop.sim.state.store.all("charge"), key=lambda one: one["customer"])
    warned = ids[first["customer"]]
    shop.sim.warn_of_fraud(first["id"])
    await shop.settle()
    assert await shop.store.read(lambda tx: tx.freezes.of(warned)) == []
    await backfill_of(shop).run(by_list(ids), customers_per_second=1_000)
    frozen = await shop.store.read(lambda tx: tx.freezes.of(warned))
    assert [one.reason.partition(" of ")[0] for one in frozen] == ["an early fraud warning"]
    assert await shop.store.read(lambda tx: tx.freezes.of(ids[second["customer"]])) == []
