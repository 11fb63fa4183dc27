"""Progress: how far long work has come, for one process at a time."""

import asyncio

import pytest

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.progress import Milestone
from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW, SECOND


class ProgressConformance:
    """What every store must do with progress, and with the listings that long work goes through.
    Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_progress_comes_back_as_put(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.progress.get("backfill")) is None
        await store.write(lambda tx: tx.progress.put("backfill", '{"after": "cus_ü"}', NOW))
        await store.write(lambda tx: tx.progress.put("move", "{}", NOW))
        assert await store.read(lambda tx: tx.progress.get("backfill")) == Milestone(
            name="backfill", state='{"after": "cus_ü"}', updated_at=NOW
        )
        await store.write(lambda tx: tx.progress.put("backfill", "{}", NOW + HOUR))
        found = await store.read(lambda tx: tx.progress.get("backfill"))
        assert found == Milestone(name="backfill", state="{}", updated_at=NOW + HOUR)

    async def test_one_process_at_a_time_has_the_work(self, store: Store) -> None:
        taken = await asyncio.gather(*(_lease(store) for _ in range(6)))
        assert taken.count(True) == 1
        found = await store.read(lambda tx: tx.progress.get("work"))
        assert found == Milestone(name="work", state="{}", updated_at=NOW, leased_until=NOW + HOUR)

    async def test_a_lease_that_ran_out_can_be_taken(self, store: Store) -> None:
        assert await _lease(store)

        def later(tx: Transaction) -> bool:
            return tx.progress.lease("work", NOW + HOUR, NOW + 2 * HOUR, state="other")

        assert await store.write(later)
        found = await store.read(lambda tx: tx.progress.get("work"))
        assert found is not None
        assert (found.state, found.leased_until) == ("{}", NOW + 2 * HOUR)

    async def test_putting_leaves_the_lease(self, store: Store) -> None:
        assert await _lease(store)
        await store.write(lambda tx: tx.progress.put("work", "[1]", NOW + SECOND))
        found = await store.read(lambda tx: tx.progress.get("work"))
        assert found == Milestone(
            name="work", state="[1]", updated_at=NOW + SECOND, leased_until=NOW + HOUR
        )

    async def test_only_the_holder_renews_and_ends_a_lease(self, store: Store) -> None:
        assert await _lease(store)
        until = NOW + 2 * HOUR
        renew = store.write
        assert not await renew(lambda tx: tx.progress.renew("work", NOW + SECOND, until))
        assert not await renew(lambda tx: tx.progress.renew("other", NOW + HOUR, until))
        assert await renew(lambda tx: tx.progress.renew("work", NOW + HOUR, until))
        assert not await renew(lambda tx: tx.progress.renew("work", NOW + HOUR, None))
        assert await renew(lambda tx: tx.progress.renew("work", until, None))
        assert await _lease(store)

    async def test_running_subscriptions_are_listed_in_pages(self, store: Store) -> None:
        running = [samples.subscription(f"sub_{n}") for n in (3, 1, 2)]
        over = [
            samples.subscription("sub_0", status="canceled", ended_at=NOW),
            samples.subscription("sub_4", status="incomplete_expired", ended_at=NOW),
        ]

        def save(tx: Transaction) -> None:
            for one in (*running, *over):
                tx.subscriptions.save(one, [])

        await store.write(save)
        first = await store.read(lambda tx: tx.subscriptions.running_after("", 2))
        assert [one.id for one in first] == ["sub_1", "sub_2"]
        assert first[0] == running[1]
        rest = await store.read(lambda tx: tx.subscriptions.running_after("sub_2", 2))
        assert [one.id for one in rest] == ["sub_3"]

    async def test_pending_purchases_are_listed_in_pages(self, store: Store) -> None:
        rows = [
            samples.purchase("pur_3", customer="bob", checkout_session_id="cs_3"),
            samples.purchase("pur_1", checkout_session_id="cs_1"),
            samples.purchase("pur_2", checkout_session_id="cs_2"),
            samples.purchase("pur_4"),
            samples.purchase("pur_5", status=PurchaseStatus.PAID, checkout_session_id="cs_5"),
        ]

        def insert(tx: Transaction) -> None:
            for row in rows:
                tx.purchases.insert(row)

        await store.write(insert)
        first = await store.read(lambda tx: tx.purchases.pending_after("", 2))
        assert list(first) == [rows[1], rows[2]]
        rest = await store.read(lambda tx: tx.purchases.pending_after("pur_2", 2))
        assert list(rest) == [rows[0]]


async def _lease(store: Store) -> bool:
    return await store.write(lambda tx: tx.progress.lease("work", NOW, NOW + HOUR, state="{}"))
