"""Customers who sell."""

import asyncio

import pytest
from msgspec.structs import replace

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.sellers import Seller
from gatekeeper.testing.conformance.storage.samples import NOW

ADA = Seller(customer="ada", country="IE", created_at=NOW)
BOB = replace(ADA, customer="bob", country="NL")


class SellerConformance:
    """What every store must do with sellers. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_seller_gets_one_account_and_keeps_it(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.sellers.get("ada")) is None
        assert await store.write(lambda tx: tx.sellers.insert(ADA))
        assert not await store.write(lambda tx: tx.sellers.insert(replace(ADA, country="FR")))
        assert await store.write(lambda tx: tx.sellers.get("ada", lock=True)) == ADA
        assert await store.read(lambda tx: tx.sellers.by_account("acct_1")) is None

        def give(tx: Transaction) -> bool:
            tx.sellers.get("ada", lock=True)
            return tx.sellers.set_account("ada", "acct_1")

        given = await asyncio.gather(*(store.write(give) for _ in range(3)))
        assert sorted(given) == [False, False, True]
        assert not await store.write(lambda tx: tx.sellers.set_account("ada", "acct_2"))
        made = replace(ADA, account_id="acct_1")
        assert await store.read(lambda tx: tx.sellers.by_account("acct_1")) == made
        assert not await store.write(lambda tx: tx.sellers.withdraw("ada"))
        assert await store.read(lambda tx: tx.sellers.get("ada")) == made
        assert not await store.write(lambda tx: tx.sellers.set_account("nobody", "acct_3"))
        await store.write(lambda tx: tx.sellers.insert(BOB))
        assert not await store.write(lambda tx: tx.sellers.set_account("bob", "acct_1"))

    async def test_a_seller_without_an_account_is_withdrawn(self, store: Store) -> None:
        assert not await store.write(lambda tx: tx.sellers.withdraw("bob"))
        await store.write(lambda tx: tx.sellers.insert(BOB))
        assert await store.write(lambda tx: tx.sellers.withdraw("bob"))
        assert await store.read(lambda tx: tx.sellers.get("bob")) is None

    async def test_sellers_are_listed_a_part_at_a_time(self, store: Store) -> None:
        def save(tx: Transaction) -> None:
            for one in (BOB, ADA):
                tx.sellers.insert(one)

        await store.write(save)
        assert list(await store.read(lambda tx: tx.sellers.listed(9))) == [ADA, BOB]
        assert list(await store.read(lambda tx: tx.sellers.listed(1))) == [ADA]
        assert list(await store.read(lambda tx: tx.sellers.listed(9, "ada"))) == [BOB]

    async def test_nobody_sells_any_more_who_was_erased(self, store: Store) -> None:
        await store.write(lambda tx: tx.sellers.insert(replace(ADA, account_id="acct_1")))
        await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW))
        assert await store.read(lambda tx: tx.sellers.get("ada")) is None
        assert await store.read(lambda tx: tx.sellers.by_account("acct_1")) is None
        assert list(await store.read(lambda tx: tx.sellers.listed(9))) == []
