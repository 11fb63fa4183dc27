"""Accounts in pages: as many at a time as can be added up in one statement without haste."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from gatekeeper.storage.audit import Ledgered
from gatekeeper.storage.port import Store
from gatekeeper.storage.postings import AccountKey
from gatekeeper.types import check_id

MAX_ACCOUNTS: Final = 100
"""How many accounts a page has at most."""

MAX_ENTRIES: Final = 200_000
"""How many entries the accounts of a page have at most; one account may have more."""


async def pages_of(
    store: Store, *, customer: str | None = None, after: str | None = None
) -> AsyncIterator[tuple[AccountKey, ...]]:
    """The keys of all accounts (of a customer; of those after a customer), page by page.

    Whatever has entries, grants or open holds is among them, though its account be lost. Accounts
    that are made meanwhile may be or not. The order is the database's own.
    """
    for given in (customer, after):
        if given is not None:
            check_id(given, "customer")
    place: tuple[str, str | None] | None = None if after is None else (after, None)
    while True:
        found = await _next(store, place, customer)
        for page in _by_weight(found):
            yield page
        if len(found) < MAX_ACCOUNTS:
            return
        place = found[-1].key


async def _next(
    store: Store, place: tuple[str, str | None] | None, customer: str | None
) -> Sequence[Ledgered]:
    return await store.read(lambda tx: tx.audit.ledgered(place, MAX_ACCOUNTS, customer=customer))


def _by_weight(found: Sequence[Ledgered]) -> list[tuple[AccountKey, ...]]:
    pages: list[tuple[AccountKey, ...]] = []
    page: list[AccountKey] = []
    weight = 0
    for one in found:
        if page and weight + one.version > MAX_ENTRIES:
            pages.append(tuple(page))
            page, weight = [], 0
        page.append(one.key)
        weight += one.version
    return [*pages, tuple(page)] if page else pages
