"""Rebuilding: accounts that contradict their entries are derived anew from them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from msgspec.structs import replace

from gatekeeper.ledger import Account
from gatekeeper.ledger.books import Books, Breach, find_breaches
from gatekeeper.ledger.rebuild import find_differences
from gatekeeper.ledger.rebuild import rebuild as derive
from gatekeeper.services.audit.pages import pages_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.postings import AccountKey


@dataclass(frozen=True, slots=True)
class Mended:
    """What is to be said of one account.

    Attributes:
        differences: what is changed by it, or would be.
        obstacles: why it can't be derived anew; then nothing is changed.
        left: the contradictions that stay, because they are not the account's own.
    """

    key: AccountKey
    differences: tuple[Breach, ...]
    obstacles: tuple[str, ...]
    left: tuple[Breach, ...]

    @property
    def is_sound(self) -> bool:
        """Whether there was nothing to say."""
        return not (self.differences or self.obstacles or self.left)


@dataclass(frozen=True, slots=True)
class MendedPage:
    """A page of accounts: which they were, and those of which there is something to say."""

    keys: tuple[AccountKey, ...]
    mended: tuple[Mended, ...]


async def rebuild(
    store: Store,
    *,
    customer: str | None = None,
    after: str | None = None,
    write: bool = False,
) -> AsyncIterator[MendedPage]:
    """Derive accounts anew that are not what their entries say; without `write`, only tell.

    An account is written in a transaction of its own, under its lock, and only if it differs then.
    """
    async for keys in pages_of(store, customer=customer, after=after):
        found = await _looked_at(store, keys)
        if write:
            found = tuple([await _mend(store, one.key) for one in found])
        yield MendedPage(keys, tuple(one for one in found if not one.is_sound))


async def _looked_at(store: Store, keys: tuple[AccountKey, ...]) -> tuple[Mended, ...]:
    def work(tx: Transaction) -> tuple[Mended, ...]:
        found = (_judged(books)[0] for books in tx.audit.books(keys, tx.now()))
        return tuple(one for one in found if not one.is_sound)

    return await store.read(work)


async def _mend(store: Store, key: AccountKey) -> Mended:
    def work(tx: Transaction) -> Mended:
        (books,) = tx.audit.books([key], tx.now(), lock=True)
        mended, account = _judged(books)
        if account is not None and mended.differences:
            tx.audit.restore(account)
        return mended

    return await store.write(work)


def _judged(books: Books) -> tuple[Mended, Account | None]:
    """What is to be said of an account, and the account derived anew, if it can be."""
    key = books.customer, books.unit
    derived = derive(books)
    account = derived.account
    if account is None:
        return Mended(key, (), derived.obstacles, find_breaches(books)), None
    after = replace(books, account=account, unreadable=())
    return Mended(key, find_differences(books, account), (), find_breaches(after)), account
