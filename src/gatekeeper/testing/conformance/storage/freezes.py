"""Freezes."""

import pytest
from msgspec.structs import replace

from gatekeeper.storage.freezes import Freeze
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage.samples import DAY, NOW

DISPUTE = Freeze(customer="org_1", key="dispute/dp_1", reason="a dispute", since=NOW)
WARNING = Freeze(customer="org_1", key="warning/w_1", reason="a warning", since=NOW + DAY)


class FreezeConformance:
    """What every store must do with freezes. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_freeze_of_a_key_is_added_once(self, store: Store) -> None:
        def add(tx: Transaction) -> list[bool]:
            return [tx.freezes.add(one) for one in (WARNING, DISPUTE, WARNING)]

        assert await store.write(add) == [True, True, False]
        assert await store.read(lambda tx: list(tx.freezes.of("org_1"))) == [DISPUTE, WARNING]
        assert await store.read(lambda tx: list(tx.freezes.of("org_2"))) == []

    async def test_freezes_are_lifted_one_or_all_and_once(self, store: Store) -> None:
        end = NOW + 2 * DAY

        def work(tx: Transaction) -> list[int]:
            tx.freezes.add(DISPUTE)
            tx.freezes.add(WARNING)
            return [
                tx.freezes.lift("org_1", end, "stripe", key=DISPUTE.key),
                tx.freezes.lift("org_1", end, "stripe", key=DISPUTE.key),
                tx.freezes.lift("org_1", end, "ann"),
                tx.freezes.lift("org_1", end, "ann"),
            ]

        assert await store.write(work) == [1, 0, 1, 0]
        assert await store.read(lambda tx: list(tx.freezes.of("org_1"))) == [
            replace(DISPUTE, lifted_at=end, actor="stripe"),
            replace(WARNING, lifted_at=end, actor="ann"),
        ]
        assert not await store.write(lambda tx: tx.freezes.add(DISPUTE))

    async def test_an_erased_customer_has_no_freezes(self, store: Store) -> None:
        def erase(tx: Transaction) -> None:
            tx.freezes.add(DISPUTE)
            tx.audit.erase("org_1", "erased_1", NOW)

        await store.write(erase)
        assert await store.read(lambda tx: list(tx.freezes.of("org_1"))) == []
        assert await store.read(lambda tx: list(tx.freezes.of("erased_1"))) == []
