"""Books that can be verified and restored."""

import pytest
from msgspec.structs import replace

from gatekeeper.ledger import Account
from gatekeeper.ledger.books import Books, find_breaches
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.audit.history import (
    CREDITS,
    a_little_of_everything,
    books_of,
    keys_after,
)
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW


class BooksConformance:
    """What every store must do with books. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_the_books_of_what_commands_did_agree(self, store: Store) -> None:
        await store.write(a_little_of_everything)
        books = await books_of(store, CREDITS)
        assert find_breaches(books) == ()
        account = books.account
        assert account is not None
        assert books.entries.is_whole
        assert books.entries.last == account.version
        assert (books.entries.posted, books.entries.held) == (account.posted, account.held)
        assert books.entries.last_at == NOW + HOUR
        assert books.holds.count == 1
        assert books.holds.remaining == account.held
        assert books.holds.due_at == NOW + 2 * HOUR
        assert books.unreadable == ()

    async def test_the_sums_of_grants_are_those_that_have_something(self, store: Store) -> None:
        await store.write(a_little_of_everything)
        books = await books_of(store, CREDITS)
        assert set(books.grants) == {"grant_1", "later"}
        assert set(books.records) == {"grant_1", "later"}
        sums = books.grants["grant_1"]
        assert (sums.posted, sums.held, sums.granted, sums.revoked) == (88, 20, 100, False)
        assert books.grants["later"].granted == 5
        assert books.records["later"].amount == 50

    async def test_an_account_that_was_never_used_has_empty_books(self, store: Store) -> None:
        books = await books_of(store, CREDITS)
        assert books == Books(*CREDITS)
        assert find_breaches(books) == ()

    async def test_books_come_in_the_order_of_their_keys(self, store: Store) -> None:
        await store.write(lambda tx: samples.fund(tx, 5, "bob", grant_id="g"))
        keys = [("bob", "credits"), ("ada", "exports"), ("ada", "credits"), ("bob", "credits")]
        found = await store.read(lambda tx: tx.audit.books(keys, NOW))
        assert [(one.customer, one.unit) for one in found] == sorted(set(keys))
        assert [one.account is not None for one in found] == [False, False, True]
        assert await store.read(lambda tx: list(tx.audit.books([], NOW))) == []

    async def test_locking_books_shows_what_they_are(self, store: Store) -> None:
        await store.write(a_little_of_everything)
        keys = [CREDITS, ("ada", "exports")]
        plain = await store.read(lambda tx: tx.audit.books(keys, NOW))
        locked = await store.write(lambda tx: tx.audit.books(keys, NOW, lock=True))
        assert locked == plain

    async def test_a_restored_account_is_read_back_as_it_is(self, store: Store) -> None:
        await store.write(a_little_of_everything)
        before = await store.read(lambda tx: tx.ledger.account(*CREDITS, lock=False))
        wrong = replace(before, posted=before.posted + 7, debt=3, revision=before.revision + 1)
        await store.write(lambda tx: tx.audit.restore(wrong))
        assert await store.read(lambda tx: tx.ledger.account(*CREDITS, lock=False)) == wrong
        named = {one.what for one in find_breaches(await books_of(store, CREDITS))}
        assert named == {"posted", "debt", "left and held in grants"}
        await store.write(lambda tx: tx.audit.restore(Account("new", "credits", revision=1)))
        assert await store.read(lambda tx: tx.audit.count("new")) == 1

    async def test_everything_with_a_history_is_found_once_in_pages(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            for customer in ("ada", "bob", "cy"):
                for unit in ("credits", "exports"):
                    samples.fund(tx, 5, customer, unit, grant_id=f"{customer}/{unit}")

        await store.write(fill)
        seen: list[tuple[str, str]] = []
        after: tuple[str, str | None] | None = None
        while page := await keys_after(store, after, 2):
            assert len(page) <= 2
            seen += page
            after = page[-1]
        wanted = [(c, u) for c in ("ada", "bob", "cy") for u in ("credits", "exports")]
        assert seen == wanted
        assert await keys_after(store, ("ada", None), 10) == wanted[2:]
        assert await keys_after(store, None, 10, customer="bob") == wanted[2:4]
        assert await keys_after(store, ("bob", "credits"), 10, customer="bob") == wanted[3:4]
        assert await keys_after(store, ("bob", None), 10, customer="bob") == []
        assert await store.read(lambda tx: tx.audit.count()) == 6
        assert await store.read(lambda tx: tx.audit.count("bob")) == 2
        found = await store.read(lambda tx: tx.audit.ledgered(None, 1))
        assert [one.version for one in found] == [1]
