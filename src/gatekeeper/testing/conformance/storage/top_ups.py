"""Automatic top-ups."""

import asyncio

import pytest
from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND
from gatekeeper.topping_up import BlockReason, TopUp, TopUpState

WANTED = TopUp(
    customer="ada",
    unit="credits",
    threshold=50,
    pack="credits_100",
    price="topup_100",
    amount_minor=500,
    currency="eur",
    cap_minor=2_000,
    agreed_at=NOW,
    updated_at=NOW,
)
FULL = replace(
    WANTED,
    is_on=False,
    agreed_by="ann",
    state=TopUpState.BLOCKED,
    due_at=NOW + HOUR,
    month=NOW - DAY,
    spent_minor=1_000,
    purchase_id="pur_1",
    paying_minor=500,
    begun_at=NOW - SECOND,
    card="pm_1",
    card_mark="mark",
    declines=2,
    reason=BlockReason.DECLINED,
    error="lost_card",
)


class TopUpConformance:
    """What every store must do with top-ups. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_top_up_comes_back_as_written(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.top_ups.get("ada", "credits")) is None
        assert await store.write(lambda tx: tx.top_ups.insert(WANTED))
        again = replace(WANTED, threshold=1)
        assert not await store.write(lambda tx: tx.top_ups.insert(again))
        assert await store.read(lambda tx: tx.top_ups.get("ada", "credits")) == WANTED
        await store.write(lambda tx: tx.top_ups.save(FULL))
        assert await store.write(lambda tx: tx.top_ups.get("ada", "credits", lock=True)) == FULL
        with pytest.raises(NotFoundError):
            await store.write(lambda tx: tx.top_ups.save(replace(FULL, unit="exports")))

    async def test_the_top_ups_of_a_customer_are_listed_by_unit(self, store: Store) -> None:
        rows = [replace(WANTED, unit="exports"), WANTED, replace(WANTED, customer="bob")]

        def save(tx: Transaction) -> None:
            for row in rows:
                tx.top_ups.insert(row)

        await store.write(save)
        assert list(await store.read(lambda tx: tx.top_ups.of("ada"))) == [rows[1], rows[0]]

    async def test_what_is_due_is_claimed_by_one_caller(self, store: Store) -> None:
        rows = [
            replace(WANTED, due_at=NOW),
            replace(WANTED, customer="bob", due_at=NOW - HOUR),
            replace(WANTED, customer="cid", due_at=NOW + SECOND),
            replace(WANTED, customer="dan", due_at=None),
        ]

        def save(tx: Transaction) -> None:
            for row in rows:
                tx.top_ups.insert(row)

        def claim(tx: Transaction) -> list[TopUp]:
            return list(tx.top_ups.claim(NOW, NOW + HOUR, 10))

        await store.write(save)
        assert await store.write(lambda tx: len(tx.top_ups.claim(NOW - DAY, NOW, 10))) == 0
        found = await asyncio.gather(*(store.write(claim) for _ in range(3)))
        claimed = [one for each in found for one in each]
        expected = [replace(row, due_at=NOW + HOUR) for row in (rows[1], rows[0])]
        assert sorted(claimed, key=lambda one: one.customer, reverse=True) == expected
        assert await store.read(lambda tx: tx.top_ups.get("bob", "credits")) == expected[0]

    async def test_the_longest_due_is_claimed_first(self, store: Store) -> None:
        def save(tx: Transaction) -> None:
            for number, name in enumerate(["ada", "bob", "cid"]):
                tx.top_ups.insert(replace(WANTED, customer=name, due_at=NOW - number * HOUR))

        await store.write(save)
        found = await store.write(lambda tx: tx.top_ups.claim(NOW, NOW + HOUR, 2))
        assert [one.customer for one in found] == ["cid", "bob"]

    async def test_an_erased_customer_has_agreed_to_nothing(self, store: Store) -> None:
        await store.write(lambda tx: tx.top_ups.insert(WANTED))
        await store.write(lambda tx: tx.top_ups.insert(replace(WANTED, customer="bob")))
        await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW))
        for customer, left in (("ada", 0), ("erased_1", 0), ("bob", 1)):
            found = await store.read(lambda tx, of=customer: tx.top_ups.of(of))  # type: ignore[misc]
            assert len(found) == left
