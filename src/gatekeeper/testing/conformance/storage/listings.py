"""What the back office lists: customers, copies of everybody's, purchases, grants."""

import pytest

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import CustomerSearch
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.mirror import obj
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW


def _people(tx: Transaction) -> None:
    tx.customers.insert(samples.customer("ada", email="Ada@Example.org", name="Ada L"))
    tx.customers.insert(samples.customer("bob", email="bob@example.org", name="adam"))
    tx.customers.insert(samples.customer("cid"))
    tx.customers.insert(samples.customer("dan", name="Ada D", deleted_at=NOW + DAY))


class ListingConformance:
    """What every store must do to list. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            (CustomerSearch(), ["ada", "bob", "cid"]),
            (CustomerSearch(deleted=True), ["ada", "bob", "cid", "dan"]),
            (CustomerSearch(email="Ada@Example.org"), ["ada"]),
            (CustomerSearch(email="BOB@example.org"), ["bob"]),
            (CustomerSearch(email="ada@example.org"), []),
            (CustomerSearch(email="example.org"), []),
            (CustomerSearch(name="aDA"), ["ada", "bob"]),
            (CustomerSearch(name="ada%"), []),
            (CustomerSearch(name="ada", email="bob@example.org"), ["bob"]),
        ],
        ids=lambda value: "",
    )
    async def test_customers_are_found(
        self, store: Store, search: CustomerSearch, found: list[str]
    ) -> None:
        await store.write(_people)
        first = await store.read(lambda tx: tx.customers.find(search, 1))
        rest = [] if not first else await self._after(store, search, first[0].id)
        assert [*(one.id for one in first), *rest] == found

    async def _after(self, store: Store, search: CustomerSearch, last: str) -> list[str]:
        rest = await store.read(lambda tx: tx.customers.find(search, 9, last))
        return [one.id for one in rest]

    async def test_everybodys_copies_of_a_kind_are_listed_the_newest_first(
        self, store: Store
    ) -> None:
        def fill(tx: Transaction) -> None:
            tx.mirror.put(obj("re_1"))
            tx.mirror.put(obj("re_2", customer="bob", status="failed", created_at=NOW + HOUR))
            tx.mirror.put(obj("re_3", customer=None, created_at=NOW + DAY))
            tx.mirror.put(obj("re_4", account="acct_1"))
            tx.mirror.put(obj("re_5", created_at=None))
            tx.mirror.put(obj("dp_1", kind="dispute", status="lost"))
            tx.mirror.put(obj("ch_1", kind="charge"))

        await store.write(fill)
        first = await store.read(lambda tx: tx.mirror.listed("refund", 2))
        rest = await store.read(lambda tx: tx.mirror.listed("refund", 9, first[-1].place))
        assert [one.id for one in (*first, *rest)] == ["re_3", "re_2", "re_1"]
        failed = await store.read(lambda tx: tx.mirror.listed("refund", 9, None, ["failed"]))
        assert [one.id for one in failed] == ["re_2"]
        adas = await store.read(lambda tx: tx.mirror.listed("refund", 9, customer="ada"))
        assert [one.id for one in adas] == ["re_1"]
        for kind, name in (("dispute", "dp_1"), ("charge", "ch_1")):
            (one,) = await store.read(lambda tx, kind=kind: tx.mirror.listed(kind, 9))  # type: ignore[misc]
            assert one.id == name

    async def test_a_customers_purchases_come_the_newest_first(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            for number, hours in ((1, 0), (2, 2), (3, 1)):
                one = samples.purchase(f"pur_{number}", created_at=NOW + hours * HOUR)
                tx.purchases.insert(one)
            tx.purchases.insert(samples.purchase("pur_b", customer="bob"))

        await store.write(fill)
        first = await store.read(lambda tx: tx.purchases.newest("ada", 2))
        place = (first[-1].created_at, first[-1].id)
        rest = await store.read(lambda tx: tx.purchases.newest("ada", 9, place))
        assert [one.id for one in (*first, *rest)] == ["pur_2", "pur_3", "pur_1"]

    async def test_a_customers_last_grants_are_listed(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            samples.fund(tx, 5, grant_id="g_1")
            samples.fund(tx, 5, grant_id="g_2")
            samples.fund(tx, 5, "bob", grant_id="g_3")

        await store.write(fill)
        found = await store.read(lambda tx: tx.ledger.newest_grants("ada", 9))
        assert [one.id for one in found] == ["g_2", "g_1"]
        assert len(await store.read(lambda tx: tx.ledger.newest_grants("ada", 1))) == 1
