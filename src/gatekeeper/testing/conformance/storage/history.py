"""Entries and receipts."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest
from msgspec.structs import replace

from gatekeeper.errors import GatekeeperError
from gatekeeper.ledger import Change, Entry, EntryKind, Receipt
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, NOW, SECOND


class HistoryConformance:
    """What every store must do with history. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_entries_come_in_order_and_in_pages(self, store: Store) -> None:
        for number in range(1, 8):
            await store.write(partial(samples.fund, amount=number, grant_id=f"grant_{number}"))
            await store.write(
                partial(samples.fund, amount=9, customer_id="bob", grant_id=f"b_{number}")
            )

        async def page(after: int, limit: int) -> list[int]:
            found = await store.read(lambda tx: tx.ledger.entries("ada", "credits", after, limit))
            assert all(entry.customer == "ada" for entry in found)
            assert all(entry.posted_delta == entry.sequence for entry in found)
            return [entry.sequence for entry in found]

        assert await page(0, 3) == [1, 2, 3]
        assert await page(3, 3) == [4, 5, 6]
        assert await page(6, 3) == [7]
        assert await page(7, 3) == []
        assert await page(0, 100) == [1, 2, 3, 4, 5, 6, 7]

    async def test_an_entry_comes_back_as_written(self, store: Store) -> None:
        before = await store.write(lambda tx: tx.ledger.account("ada", "credits", lock=True))
        entry = Entry(
            customer="ada",
            unit="credits",
            sequence=1,
            kind=EntryKind.CLAWBACK,
            at=NOW,
            posted_delta=7,
            held_delta=3,
            debt_delta=2,
            grant_id="grant_1",
            hold_id="hold_1",
            actor="actor",
            feature="feature",
            reference="reference",
        )
        account = replace(before, posted=7, held=3, debt=2, version=1, last_entry_at=NOW)
        await store.write(lambda tx: tx.ledger.save(before, Change(account, (entry,))))
        assert list(await store.read(lambda tx: tx.ledger.entries("ada", "credits", 0, 9))) == [
            entry
        ]
        assert list(await store.read(lambda tx: tx.ledger.accounts("ada"))) == [account]

    async def test_entries_are_never_overwritten(self, store: Store) -> None:
        """Append-only (DESIGN invariant 12): a sequence number is written once."""
        funded = await store.write(lambda tx: samples.fund(tx, 10))
        forged = Change(
            account=replace(funded.account, posted=1_000),
            entries=(replace(funded.entries[0], posted_delta=1_000),),
        )
        with pytest.raises(GatekeeperError):
            await store.write(lambda tx: tx.ledger.save(funded.account, forged))
        entries = await store.read(lambda tx: tx.ledger.entries("ada", "credits", 0, 9))
        assert tuple(entries) == funded.entries
        account = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
        assert account == funded.account

    async def test_a_receipt_comes_back_as_put(self, store: Store) -> None:
        receipt = _receipt(result='{"hold": "ü"}')
        assert await store.read(lambda tx: tx.ledger.receipt("ada", "key")) is None
        await store.write(lambda tx: tx.ledger.put_receipt(receipt))
        assert await store.read(lambda tx: tx.ledger.receipt("ada", "key")) == receipt
        assert await store.read(lambda tx: tx.ledger.receipt("bob", "key")) is None
        assert await store.read(lambda tx: tx.ledger.receipt("ada", "KEY")) is None

    async def test_a_receipt_of_the_same_key_is_replaced(self, store: Store) -> None:
        later = _receipt(fingerprint="other", result="2", created_at=NOW + DAY)
        await store.write(lambda tx: tx.ledger.put_receipt(_receipt()))
        await store.write(lambda tx: tx.ledger.put_receipt(later))
        assert await store.read(lambda tx: tx.ledger.receipt("ada", "key")) == later

    async def test_receipts_are_found_by_their_customers_and_keys(self, store: Store) -> None:
        receipts = {
            (customer, key): _receipt(customer=customer, key=key, result=f"{customer} {key}")
            for customer in ("ada", "bob")
            for key in ("one", "two", "three")
        }
        for receipt in receipts.values():
            await _put(store, receipt)
        wanted = [("ada", "one"), ("bob", "three"), ("ada", "four"), ("eve", "one")]

        async def found(keys: list[tuple[str, str]]) -> dict[tuple[str, str], Receipt]:
            return await store.read(lambda tx: tx.ledger.receipts(keys))

        assert await found(wanted) == {key: receipts[key] for key in wanted[:2]}
        assert await found(list(receipts)) == receipts
        assert await found([]) == {}

    async def test_racing_receipts_of_one_key_leave_one(self, store: Store) -> None:
        receipts = [_receipt(result=str(number)) for number in range(8)]
        await asyncio.gather(*(_put(store, one) for one in receipts))
        assert await store.read(lambda tx: tx.ledger.receipt("ada", "key")) in receipts

    async def test_under_the_lock_of_the_account_a_key_has_its_effect_once(
        self, store: Store
    ) -> None:
        """Invariant 4, as the services use it: look for the receipt, act, leave one."""

        def once(tx: Transaction, number: int) -> str:
            tx.ledger.account("ada", "credits", lock=True)
            found = tx.ledger.receipt("ada", "key")
            if found is not None:
                return found.result
            samples.fund(tx, 10, grant_id=f"grant_{number}")
            tx.ledger.put_receipt(_receipt(result=f"grant_{number}"))
            return f"grant_{number}"

        answers = await asyncio.gather(*(store.write(partial(once, number=n)) for n in range(8)))
        assert len(set(answers)) == 1
        account = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
        assert account.posted == 10

    async def test_old_receipts_are_pruned_in_portions(self, store: Store) -> None:
        def put(tx: Transaction) -> None:
            for number in range(5):
                tx.ledger.put_receipt(
                    _receipt(key=f"key_{number}", created_at=NOW + number * SECOND)
                )

        await store.write(put)
        before = NOW + 3 * SECOND  # what is exactly this old stays
        pruned = [await store.write(lambda tx: tx.ledger.prune_receipts(before, 2)) for _ in "abc"]
        assert pruned == [2, 1, 0]

        def left(tx: Transaction) -> list[bool]:
            return [tx.ledger.receipt("ada", f"key_{n}") is not None for n in range(5)]

        assert await store.read(left) == [False, False, False, True, True]


def _receipt(**fields: object) -> Receipt:
    plain = Receipt(
        customer="ada",
        key="key",
        fingerprint="f" * 64,
        result="1",
        created_at=NOW - timedelta(microseconds=1),
    )
    return replace(plain, **fields)


async def _put(store: Store, receipt: Receipt) -> None:
    await store.write(lambda tx: tx.ledger.put_receipt(receipt))
