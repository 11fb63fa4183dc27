"""Verification: every account is held against its entries, its grants and its holds."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from gatekeeper.ledger.books import Breach, find_breaches
from gatekeeper.services.audit.pages import pages_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.postings import AccountKey


@dataclass(frozen=True, slots=True)
class Verified:
    """What a page of accounts came to: which they were, and every contradiction in their books."""

    keys: tuple[AccountKey, ...]
    breaches: tuple[Breach, ...]


async def verify(
    store: Store, *, customer: str | None = None, after: str | None = None
) -> AsyncIterator[Verified]:
    """Verify all accounts, or those of a customer, or those after a customer, page by page.

    Each page is read on one snapshot, without locks: the gate goes on working meanwhile. Memory is
    bounded by what the accounts of a page have at present, not by their history.
    """
    async for keys in pages_of(store, customer=customer, after=after):
        yield await _verified(store, keys)


async def _verified(store: Store, keys: tuple[AccountKey, ...]) -> Verified:
    def work(tx: Transaction) -> tuple[Breach, ...]:
        books = tx.audit.books(keys, tx.now())
        return tuple(breach for one in books for breach in find_breaches(one))

    return Verified(keys, await store.read(work))
