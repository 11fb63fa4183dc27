"""Customers, versions, overrides."""

import asyncio

import pytest
from msgspec.structs import replace

from gatekeeper.entitlements.state import CustomerState, Override
from gatekeeper.errors import ConflictError, CustomerNotFoundError, TransactionConflictError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, NOW
from gatekeeper.types import UNLIMITED


class CustomerConformance:
    """What every store must do with customers. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_customer_comes_back_as_inserted(self, store: Store) -> None:
        full = samples.customer(
            version=7, stripe_id="cus_1", email="ada@example.org", name="Ada", deleted_at=NOW + DAY
        )
        assert await store.write(lambda tx: tx.customers.insert(full))
        assert await store.read(lambda tx: tx.customers.get("ada")) == full
        assert await store.write(lambda tx: tx.customers.get("ada", lock=True)) == full
        assert await store.read(lambda tx: tx.customers.by_stripe_id("cus_1")) == full

    async def test_an_unknown_customer_is_none(self, store: Store) -> None:
        def work(tx: Transaction) -> list[object]:
            return [
                tx.customers.get("nobody"),
                tx.customers.get("nobody", lock=True),
                tx.customers.by_stripe_id("cus_nobody"),
                tx.customers.state("nobody"),
            ]

        assert await store.write(work) == [None] * 4

    async def test_a_second_insert_of_an_id_changes_nothing(self, store: Store) -> None:
        first = samples.customer(deleted_at=NOW)
        await store.write(lambda tx: tx.customers.insert(first))
        assert not await store.write(lambda tx: tx.customers.insert(samples.customer(name="Eve")))
        assert await store.read(lambda tx: tx.customers.get("ada")) == first

    async def test_of_racing_inserts_exactly_one_wins(self, store: Store) -> None:
        racers = [samples.customer(name=f"racer {number}") for number in range(16)]
        won = await asyncio.gather(*(_insert(store, one) for one in racers))
        assert won.count(True) == 1
        stored = await store.read(lambda tx: tx.customers.get("ada"))
        assert stored == racers[won.index(True)]

    async def test_save_writes_the_fields_but_not_the_version(self, store: Store) -> None:
        await store.write(lambda tx: tx.customers.insert(samples.customer(stripe_id="cus_1")))
        await store.write(lambda tx: tx.customers.touch("ada"))
        changed = samples.customer(
            version=99, stripe_id="cus_2", email="new@example.org", name="New", deleted_at=NOW
        )
        await store.write(lambda tx: tx.customers.save(changed))
        assert await store.read(lambda tx: tx.customers.get("ada")) == replace(changed, version=1)
        assert await store.read(lambda tx: tx.customers.by_stripe_id("cus_1")) is None
        found = await store.read(lambda tx: tx.customers.by_stripe_id("cus_2"))
        assert found == replace(changed, version=1)

    async def test_fields_can_be_emptied(self, store: Store) -> None:
        full = samples.customer(stripe_id="cus_1", email="ada@example.org", name="Ada")
        await store.write(lambda tx: tx.customers.insert(full))
        await store.write(lambda tx: tx.customers.save(samples.customer()))
        assert await store.read(lambda tx: tx.customers.get("ada")) == samples.customer()
        assert await store.read(lambda tx: tx.customers.by_stripe_id("cus_1")) is None

    async def test_two_customers_can_not_have_one_stripe_id(self, store: Store) -> None:
        await store.write(lambda tx: tx.customers.insert(samples.customer(stripe_id="cus_1")))
        await store.write(lambda tx: tx.customers.insert(samples.customer("bob")))
        taken = samples.customer("bob", stripe_id="cus_1")
        with pytest.raises((ConflictError, TransactionConflictError)):
            await store.write(lambda tx: tx.customers.save(taken))
        assert await store.read(lambda tx: tx.customers.get("bob")) == samples.customer("bob")

    async def test_touch_moves_the_version_on_by_one(self, store: Store) -> None:
        await store.write(lambda tx: tx.customers.insert(samples.customer()))
        assert [await store.write(lambda tx: tx.customers.touch("ada")) for _ in range(3)] == [
            1,
            2,
            3,
        ]

    async def test_racing_touches_are_all_counted(self, store: Store) -> None:
        await store.write(lambda tx: tx.customers.insert(samples.customer()))
        versions = await asyncio.gather(
            *(store.write(lambda tx: tx.customers.touch("ada")) for _ in range(12))
        )
        assert sorted(versions) == list(range(1, 13))

    async def test_a_locked_read_and_write_loses_no_update(self, store: Store) -> None:
        await store.write(lambda tx: tx.customers.insert(samples.customer(name="0")))

        def increment(tx: Transaction) -> None:
            stored = tx.customers.get("ada", lock=True)
            assert stored is not None
            tx.customers.save(replace(stored, name=str(int(stored.name or "") + 1)))

        await asyncio.gather(*(store.write(increment) for _ in range(12)))
        stored = await store.read(lambda tx: tx.customers.get("ada"))
        assert stored == samples.customer(name="12")

    async def test_versions_are_those_of_customers_who_are_there(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            for name in ("ada", "bob", "eve"):
                tx.customers.insert(samples.customer(name))
            tx.customers.insert(samples.customer("gone", version=5, deleted_at=NOW))
            tx.customers.touch("bob")

        await store.write(work)

        async def versions(names: list[str]) -> dict[str, int]:
            return await store.read(lambda tx: tx.customers.versions(names))

        assert await versions(["ada", "bob", "gone", "nobody"]) == {"ada": 0, "bob": 1}
        assert await versions([]) == {}

    async def test_touching_an_unknown_customer_is_an_error(self, store: Store) -> None:
        with pytest.raises(CustomerNotFoundError):
            await store.write(lambda tx: tx.customers.touch("nobody"))

    async def test_the_state_of_a_new_customer_is_bare(self, store: Store) -> None:
        await store.write(lambda tx: tx.customers.insert(samples.customer()))
        state = await store.read(lambda tx: tx.customers.state("ada"))
        assert state == CustomerState(customer="ada", created_at=NOW)

    async def test_a_deleted_customer_has_no_state(self, store: Store) -> None:
        await store.write(lambda tx: tx.customers.insert(samples.customer(deleted_at=NOW)))
        assert await store.read(lambda tx: tx.customers.state("ada")) is None

    async def test_the_state_holds_items_lines_overrides_and_the_version(
        self, store: Store
    ) -> None:
        override = Override(kind="feature", key="downloads", value=False)

        def work(tx: Transaction) -> None:
            tx.customers.insert(samples.customer())
            tx.customers.insert(samples.customer("bob"))
            tx.subscriptions.save(
                samples.subscription(), [samples.item(), samples.item("si_2", terms=None)]
            )
            tx.subscriptions.save(
                (second := samples.subscription("sub_2", status="past_due")),
                [samples.item("si_3", of=second)],
            )
            tx.subscriptions.save(
                (other := samples.subscription("sub_3", customer="bob")),
                [samples.item("si_4", of=other)],
            )
            tx.subscriptions.add_paid_lines("ada", [samples.paid_line()])
            tx.subscriptions.set_unpaid_since("sub_2", NOW + DAY)
            tx.customers.put_override("ada", override)
            tx.customers.touch("ada")

        await store.write(work)
        state = await store.read(lambda tx: tx.customers.state("ada"))
        assert state is not None
        assert (state.customer, state.created_at, state.version) == ("ada", NOW, 1)
        assert state.overrides == (override,)
        second = samples.subscription("sub_2", status="past_due")
        assert {one.id: one for one in state.items} == {
            "si_1": samples.item(paid_lines=(samples.paid_line(),)),
            "si_2": samples.item("si_2", terms=None),
            "si_3": samples.item("si_3", of=second, unpaid_since=NOW + DAY),
        }

    async def test_an_override_is_set_replaced_and_removed(self, store: Store) -> None:
        await store.write(lambda tx: tx.customers.insert(samples.customer()))
        full = Override(
            kind="limit",
            key="seats",
            value=UNLIMITED,
            expires_at=NOW + DAY,
            reason="a friend",
            actor="support",
        )
        others = [
            Override(kind="limit", key="projects", value=0),
            Override(kind="feature", key="seats", value=True),
            Override(kind="feature", key="off", value=False),
            Override(kind="limit", key="one", value=1),
            Override(kind="plan", key="pro"),
        ]
        for one in (Override(kind="limit", key="seats", value=3), full, *others):
            await _put(store, one)
        stored = await _overrides(store)
        assert stored == {(one.kind, one.key): one for one in (full, *others)}
        types = {type(one.value) for key, one in stored.items() if key[1] in {"off", "one"}}
        assert types == {bool, int}  # False is not 0, and True is not 1

        removed = [
            await store.write(lambda tx: tx.customers.remove_override("ada", "limit", "seats"))
            for _ in range(2)
        ]
        assert removed == [True, False]
        assert await _overrides(store) == {(one.kind, one.key): one for one in others}

    async def test_overrides_belong_to_one_customer(self, store: Store) -> None:
        override = Override(kind="plan", key="pro")

        def work(tx: Transaction) -> bool:
            tx.customers.insert(samples.customer())
            tx.customers.insert(samples.customer("bob"))
            tx.customers.put_override("bob", override)
            return tx.customers.remove_override("ada", "plan", "pro")

        assert not await store.write(work)
        assert await _overrides(store) == {}
        assert await _overrides(store, "bob") == {("plan", "pro"): override}


async def _overrides(store: Store, customer: str = "ada") -> dict[tuple[str, str], Override]:
    state = await store.read(lambda tx: tx.customers.state(customer))
    assert state is not None
    return {(one.kind, one.key): one for one in state.overrides}


async def _insert(store: Store, customer: Customer) -> bool:
    return await store.write(lambda tx: tx.customers.insert(customer))


async def _put(store: Store, override: Override) -> None:
    await store.write(lambda tx: tx.customers.put_override("ada", override))
