"""Purchases."""

import asyncio

import pytest

from gatekeeper.errors import ConflictError, TransactionConflictError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, NOW


class PurchaseConformance:
    """What every store must do with purchases. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_purchase_comes_back_as_inserted(self, store: Store) -> None:
        full = samples.purchase(
            checkout_session_id="cs_1",
            payment_intent_id="pi_1",
            subscription_id="sub_1",
            settled_at=NOW + DAY,
            status=PurchaseStatus.PAID,
        )
        await store.write(lambda tx: tx.purchases.insert(full))

        def found(tx: Transaction) -> list[object]:
            return [
                tx.purchases.get("pur_1"),
                tx.purchases.get("pur_1", lock=True),
                tx.purchases.by_session("cs_1"),
                tx.purchases.by_session("cs_1", lock=True),
                tx.purchases.by_intent("pi_1"),
                tx.purchases.by_intent("pi_1", lock=True),
            ]

        assert await store.write(found) == [full] * 6

    async def test_an_unknown_purchase_is_none(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.purchases.get("pur_1")) is None
        assert await store.write(lambda tx: tx.purchases.by_session("cs_1", lock=True)) is None
        assert await store.read(lambda tx: tx.purchases.by_intent("pi_1")) is None

    async def test_what_is_pending_is_listed_for_its_customer(self, store: Store) -> None:
        rows = [
            samples.purchase("pur_1", created_at=NOW + DAY),
            samples.purchase("pur_2"),
            samples.purchase("pur_3", status=PurchaseStatus.PAID),
            samples.purchase("pur_4", customer="somebody_else"),
        ]

        def insert(tx: Transaction) -> None:
            for row in rows:
                tx.purchases.insert(row)

        await store.write(insert)
        found = await store.read(lambda tx: list(tx.purchases.pending(rows[0].customer)))
        assert found == [rows[1], rows[0]]

    async def test_what_was_paid_and_duplicates_are_found(self, store: Store) -> None:
        paid = {"status": PurchaseStatus.PAID, "subscription_id": "sub_1"}
        rows = [
            samples.purchase("pur_1", **paid),
            samples.purchase("pur_2", created_at=NOW + DAY, duplicate_of="pur_1", **paid),
            samples.purchase("pur_3", created_at=NOW - DAY, **paid),
            samples.purchase("pur_4", status=PurchaseStatus.PAID, settled_at=NOW),
            samples.purchase("pur_5", subscription_id="sub_2"),
            samples.purchase("pur_6", customer="bob", duplicate_of="pur_7", **paid),
        ]

        def save(tx: Transaction) -> None:
            for row in rows:
                tx.purchases.insert(row)

        await store.write(save)

        def found(tx: Transaction) -> list[list[str]]:
            own = rows[0].customer
            listed = (
                tx.purchases.paid(own),
                tx.purchases.paid(own, since=NOW - DAY),
                tx.purchases.paid(own, since=NOW),
                tx.purchases.duplicates(10),
                tx.purchases.duplicates(10, own),
                tx.purchases.duplicates(1),
            )
            return [[one.id for one in some] for some in listed]

        assert await store.read(found) == [
            ["pur_3", "pur_1", "pur_4", "pur_2"],
            ["pur_4"],
            [],
            ["pur_2", "pur_6"],
            ["pur_2"],
            ["pur_2"],
        ]

    async def test_save_writes_the_fields(self, store: Store) -> None:
        await store.write(lambda tx: tx.purchases.insert(samples.purchase()))
        with_session = samples.purchase(checkout_session_id="cs_1")
        await store.write(lambda tx: tx.purchases.save(with_session))
        assert await store.read(lambda tx: tx.purchases.by_session("cs_1")) == with_session
        paid = samples.purchase(
            checkout_session_id="cs_1", status=PurchaseStatus.PAID, settled_at=NOW
        )
        await store.write(lambda tx: tx.purchases.save(paid))
        assert await store.read(lambda tx: tx.purchases.get("pur_1")) == paid

    @pytest.mark.parametrize("twin", [("pur_1", "cs_2"), ("pur_2", "cs_1")])
    async def test_ids_and_sessions_are_unique(self, store: Store, twin: tuple[str, str]) -> None:
        first = samples.purchase(checkout_session_id="cs_1")
        await store.write(lambda tx: tx.purchases.insert(first))
        second = samples.purchase(twin[0], checkout_session_id=twin[1], quantity=2)
        with pytest.raises((ConflictError, TransactionConflictError)):
            await store.write(lambda tx: tx.purchases.insert(second))
        assert await store.read(lambda tx: tx.purchases.get("pur_1")) == first
        assert await store.read(lambda tx: tx.purchases.get("pur_2")) is None

    async def test_purchases_without_a_session_do_not_clash(self, store: Store) -> None:
        await store.write(lambda tx: tx.purchases.insert(samples.purchase("pur_1")))
        await store.write(lambda tx: tx.purchases.insert(samples.purchase("pur_2")))
        assert await store.read(lambda tx: tx.purchases.get("pur_2")) == samples.purchase("pur_2")

    async def test_case_32_of_racing_settlements_exactly_one_settles(self, store: Store) -> None:
        pending = samples.purchase(checkout_session_id="cs_1")
        await store.write(lambda tx: tx.purchases.insert(pending))

        def settle(tx: Transaction) -> bool:
            stored = tx.purchases.by_session("cs_1", lock=True)
            assert stored is not None
            if stored.status is not PurchaseStatus.PENDING:
                return False
            tx.purchases.save(
                samples.purchase(checkout_session_id="cs_1", status=PurchaseStatus.PAID)
            )
            return True

        settled = await asyncio.gather(*(store.write(settle) for _ in range(8)))
        assert settled.count(True) == 1
