"""Copies of Stripe's objects, and the history of subscriptions."""

import asyncio

import pytest
from msgspec.structs import replace

from gatekeeper.storage.mirror import MirrorObject, SubscriptionChange, Tally
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, NOW


def obj(object_id: str = "re_1", **fields: object) -> MirrorObject:
    """A refund of Ada's."""
    plain = MirrorObject(
        kind="refund",
        id=object_id,
        customer="ada",
        stripe_customer="cus_ada",
        parent="charge/ch_1",
        status="succeeded",
        amount_minor=500,
        currency="eur",
        created_at=NOW,
        facts='{"reason":"duplicate"}',
        seen_at=NOW,
    )
    return replace(plain, **fields)


def change(subscription_id: str = "sub_1", **fields: object) -> SubscriptionChange:
    """A subscription of Ada's that became active."""
    plain = SubscriptionChange(
        subscription_id=subscription_id,
        customer="ada",
        at=NOW,
        cause="event",
        event_key="evt_1",
        status="active",
        facts="{}",
    )
    return replace(plain, **fields)


class MirrorConformance:
    """What every store must do with copies. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_copy_comes_back_as_put_and_is_replaced(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.mirror.get("refund", "re_1")) is None
        await store.write(lambda tx: tx.mirror.put(obj()))
        assert await store.read(lambda tx: tx.mirror.get("refund", "re_1")) == obj()
        bare = MirrorObject(kind="refund", id="re_1", facts="{}", seen_at=NOW + DAY, deleted=True)
        await store.write(lambda tx: tx.mirror.put(bare))
        assert await store.read(lambda tx: tx.mirror.get("refund", "re_1")) == bare

    async def test_kinds_and_accounts_are_told_apart(self, store: Store) -> None:
        rows = [obj(), obj(account="acct_1"), obj(kind="charge")]

        def work(tx: Transaction) -> list[object]:
            for row in rows:
                tx.mirror.put(row)
            return [
                tx.mirror.get("refund", "re_1"),
                tx.mirror.get("refund", "re_1", "acct_1"),
                tx.mirror.get("charge", "re_1"),
                list(tx.mirror.of_parent("refund", "charge/ch_1")),
                list(tx.mirror.of_parent("refund", "charge/ch_1", "acct_1")),
            ]

        assert await store.write(work) == [*rows, rows[:1], rows[1:2]]

    async def test_what_belongs_to_a_parent_comes_the_oldest_first(self, store: Store) -> None:
        rows = [
            obj("re_2"),
            obj("re_1", created_at=NOW + DAY),
            obj("re_3"),
            obj("re_0", created_at=None),
            obj("re_4", parent="charge/ch_2"),
        ]

        def work(tx: Transaction) -> list[str]:
            for row in rows:
                tx.mirror.put(row)
            return [one.id for one in tx.mirror.of_parent("refund", rows[0].parent or "")]

        assert await store.write(work) == ["re_0", "re_2", "re_3", "re_1"]

    async def test_a_customers_objects_come_in_pages_the_newest_first(self, store: Store) -> None:
        rows = [
            obj("re_1", created_at=NOW + DAY),
            obj("re_2"),
            obj("re_3", account="acct_1"),
            obj("re_4", created_at=None),
            obj("re_5", customer="bob"),
            obj("re_6", kind="charge"),
        ]

        def work(tx: Transaction) -> list[list[str]]:
            for row in rows:
                tx.mirror.put(row)
            first = tx.mirror.of_customer("ada", "refund", 2)
            last = first[-1]
            assert last.created_at is not None
            rest = tx.mirror.of_customer("ada", "refund", 9, before=(last.created_at, last.id))
            return [[one.id for one in page] for page in (first, rest)]

        assert await store.write(work) == [["re_1", "re_3"], ["re_2", "re_4"]]

    async def test_what_customers_have_is_counted_in_one_question(self, store: Store) -> None:
        later = NOW + DAY
        rows = [
            obj("ch_1", kind="charge"),
            obj("ch_2", kind="charge", status="failed", seen_at=later),
            obj("ch_3", kind="charge", status="pending", created_at=None),
            obj("ch_4", kind="charge", customer="bob", status=None),
            obj("ch_5", kind="charge", customer="eve"),
            obj("re_1"),
        ]
        await store.write(lambda tx: [tx.mirror.put(row) for row in rows])

        def work(tx: Transaction) -> list[dict[str, Tally]]:
            ends = ("failed", "succeeded")
            return [
                tx.mirror.tallies(customers, "charge", ends)
                for customers in (("ada", "bob", "zoe"), ("eve",), ())
            ]

        found = await store.read(work)
        assert found == [
            {"ada": Tally(3, 2, later), "bob": Tally(1, 0, NOW)},
            {"eve": Tally(1, 1, NOW)},
            {},
        ]

    async def test_nobodys_objects_are_adopted_with_all_that_belongs_to_them(
        self, store: Store
    ) -> None:
        rows = [
            obj("ch_1", kind="charge", customer=None, parent=None),
            obj("re_1", customer=None, stripe_customer=None),
            obj(
                "txn_1",
                kind="balance_transaction",
                customer=None,
                stripe_customer=None,
                parent="refund/re_1",
            ),
            obj("ch_2", kind="charge", customer=None, stripe_customer="cus_eve", parent=None),
            obj("ch_3", kind="charge", customer="bob", parent=None),
            obj("ch_1", kind="charge", customer=None, account="acct_1", parent=None),
            obj("re_1", customer=None, stripe_customer=None, account="acct_1"),
        ]

        def work(tx: Transaction) -> list[str | None]:
            for row in rows:
                tx.mirror.put(row)
            assert tx.mirror.adopt("cus_ada", "ada") == 3
            assert tx.mirror.adopt("cus_ada", "ada") == 0
            found = [tx.mirror.get(row.kind, row.id, row.account) for row in rows]
            return [None if one is None else one.customer for one in found]

        assert await store.write(work) == ["ada", "ada", "ada", None, "bob", None, None]

    async def test_changes_are_numbered_within_their_subscription(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            for name in ("sub_1", "sub_2"):
                tx.subscriptions.save(samples.subscription(name), [])
            assert tx.mirror.add_change(change(status="trialing")).sequence == 1
            assert tx.mirror.add_change(change(cause="invoice", event_key=None)).sequence == 2
            numbered = change("sub_2", at=NOW + DAY, sequence=1)
            assert tx.mirror.add_change(numbered) == numbered

        await store.write(work)
        found = await store.read(lambda tx: list(tx.mirror.changes("sub_1")))
        first = change(status="trialing", sequence=1)
        second = change(cause="invoice", event_key=None, sequence=2)
        assert found == [first, second]
        assert await store.write(lambda tx: tx.mirror.last_change("sub_1")) == second
        assert await store.write(lambda tx: tx.mirror.last_change("sub_9")) is None
        assert await store.read(lambda tx: list(tx.mirror.changes("sub_1", 1))) == [second]
        assert await store.read(lambda tx: list(tx.mirror.changes("sub_1", 0, 1))) == [first]
        third = change("sub_2", at=NOW + DAY, sequence=1)
        newest = await store.read(lambda tx: list(tx.mirror.history("ada", 2)))
        assert newest == [third, second]
        rest = await store.read(lambda tx: list(tx.mirror.history("ada", 2, second.place)))
        assert rest == [first]
        assert await store.read(lambda tx: list(tx.mirror.history("bob", 2))) == []

    async def test_racing_changes_get_numbers_without_gaps(self, store: Store) -> None:
        await store.write(lambda tx: tx.subscriptions.save(samples.subscription(), []))
        added = await asyncio.gather(
            *(store.write(lambda tx: tx.mirror.add_change(change())) for _ in range(8))
        )
        assert sorted(one.sequence for one in added) == list(range(1, 9))

    async def test_copies_and_history_of_an_erased_customer_are_the_pseudonyms(
        self, store: Store
    ) -> None:
        def work(tx: Transaction) -> None:
            for name in ("ada", "bob"):
                tx.customers.insert(samples.customer(name))
                tx.mirror.put(obj(f"re_{name}", customer=name, stripe_customer=f"cus_{name}"))
            tx.subscriptions.save(samples.subscription(), [])
            tx.mirror.add_change(change())
            tx.audit.erase("ada", "erased_1", NOW)

        await store.write(work)

        def look(tx: Transaction) -> None:
            assert tx.mirror.get("refund", "re_ada") == obj(
                "re_ada", customer="erased_1", stripe_customer=None
            )
            bob = tx.mirror.get("refund", "re_bob")
            assert bob == obj("re_bob", customer="bob", stripe_customer="cus_bob")
            assert list(tx.mirror.history("ada", 9)) == []
            assert list(tx.mirror.changes("sub_1")) == [change(customer="erased_1", sequence=1)]

        await store.read(look)
