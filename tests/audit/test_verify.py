"""`verify` names whatever is wrong in a database, and nothing in one that is right."""

import asyncio
import threading
from typing import Any

import pytest

from gatekeeper.errors import InvalidIdError
from gatekeeper.ledger.books import Books, Breach, find_breaches
from gatekeeper.services.audit import Auditor
from gatekeeper.services.audit import pages as pages_module
from gatekeeper.services.audit.pages import pages_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.sql.store import SqlStore, store_for
from tests.audit.accounts import (
    NOW,
    account,
    breaches,
    execute,
    grant,
    named,
    overwrite,
    some_life,
    use,
)
from tests.audit.conftest import auditor_of

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

ADA = "customer = 'ada' AND unit = 'credits'"


async def test_books_that_are_right_have_no_breach(store: Store, auditor: Auditor) -> None:
    def fill(tx: Transaction) -> None:
        for customer in ("ada", "bob", "cy"):
            some_life(tx, customer)

    await store.write(fill)
    pages = [page async for page in auditor.verify()]
    assert [page.breaches for page in pages] == [()]
    assert [customer for customer, _ in pages[0].keys] == ["ada", "bob", "cy"]
    assert await auditor.count() == 3


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("posted", 70, {"posted", "left and held in grants"}),
        ("held", 24, {"held"}),
        ("debt", 5, {"debt"}),
        ("version", 7, {"version"}),
        ("grants", (), {"left of grant ada/main", "held of grant ada/main"}),
        ("last_entry_at", NOW.replace(year=2025), {"last_entry_at"}),
    ],
)
async def test_an_account_that_is_wrong_is_named(
    store: Store, auditor: Auditor, field: str, value: object, expected: set[str]
) -> None:
    await store.write(some_life)
    await overwrite(store, "ada", **{field: value})
    found = await breaches(auditor)
    assert expected <= {breach.what for breach in found}
    assert {(breach.customer, breach.unit) for breach in found} == {("ada", "credits")}


async def test_a_breach_tells_what_should_be_and_what_is(store: Store, auditor: Auditor) -> None:
    await store.write(some_life)
    await overwrite(store, debt=5)
    assert await breaches(auditor) == [Breach("ada", "credits", "debt", 0, 5)]


async def test_only_the_account_that_is_wrong_is_named(store: Store, auditor: Auditor) -> None:
    def fill(tx: Transaction) -> None:
        for customer in ("ada", "bob"):
            some_life(tx, customer)

    await store.write(fill)
    await overwrite(store, "bob", debt=5)
    assert await breaches(auditor, "ada") == []
    assert [one.customer for one in await breaches(auditor, "bob")] == ["bob"]
    assert [one.customer for one in await breaches(auditor)] == ["bob"]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (f"DELETE FROM gatekeeper_accounts WHERE {ADA}", {"the account"}),
        (
            f"DELETE FROM gatekeeper_entries WHERE {ADA} AND sequence = 1",
            {"the number of the first entry", "the number of entries", "posted"},
        ),
        (
            f"DELETE FROM gatekeeper_entries WHERE {ADA} AND sequence = 4",
            {"the number of entries"},
        ),
        (
            f"UPDATE gatekeeper_entries SET posted_delta = 1000 WHERE {ADA} AND sequence = 2",
            {"posted", "left of grant ada/main"},
        ),
        (
            f"UPDATE gatekeeper_entries SET debt_delta = 3 WHERE {ADA} AND sequence = 2",
            {"debt"},
        ),
        (
            f"UPDATE gatekeeper_entries SET grant_id = NULL WHERE {ADA} AND sequence = 2",
            {"posted by entries without a grant", "left of grant ada/main"},
        ),
        (
            "DELETE FROM gatekeeper_grants WHERE id = 'ada/main'",
            {"the record of grant ada/main"},
        ),
        (
            "DELETE FROM gatekeeper_holds WHERE id = 'ada-4'",
            {"held by open holds", "held of grant ada/main by holds"},
        ),
        (
            "UPDATE gatekeeper_holds SET status = 'released' WHERE id = 'ada-4'",
            {"held by open holds"},
        ),
        (
            "UPDATE gatekeeper_holds SET amount = amount + 1 WHERE id = 'ada-4'",
            {"held by open holds", "the allocations of hold ada-4"},
        ),
        (
            """UPDATE gatekeeper_holds SET allocations = '[["ada/later", 5]]' WHERE id = 'ada-4'""",
            {"held of grant ada/main by holds", "held of grant ada/later by holds"},
        ),
        (
            "UPDATE gatekeeper_holds SET allocations = 'oops' WHERE id = 'ada-4'",
            {"the allocations of hold ada-4"},
        ),
        (
            f"UPDATE gatekeeper_accounts SET grants = '[[1]]' WHERE {ADA}",
            {"the packed grants", "left of grant ada/main"},
        ),
        (
            f"UPDATE gatekeeper_accounts SET received = 'oops' WHERE {ADA}",
            {"the packed received"},
        ),
        (
            f"UPDATE gatekeeper_accounts SET standing = '' WHERE {ADA}",
            {"the packed standing"},
        ),
        (
            f"UPDATE gatekeeper_accounts SET grants = '[]' WHERE {ADA}",
            {"pending of grant ada/later", "left and held in grants"},
        ),
    ],
)
async def test_a_damaged_database_is_named(
    sql_store: SqlStore, statement: str, expected: set[str]
) -> None:
    await sql_store.write(some_life)
    auditor = auditor_of(sql_store, [])
    assert await named(auditor) == set()
    await execute(sql_store, statement)
    assert expected <= await named(auditor)


async def test_more_held_than_posted_is_named_though_the_database_should_refuse_it(
    migrated_postgres_url: str, migrated_sqlite_url: str
) -> None:
    """By a dropped constraint, in a transaction that is rolled back; and by SQLite's own switch."""
    async with store_for(migrated_sqlite_url) as store:
        await store.write(some_life)
        await execute(
            store,
            "PRAGMA ignore_check_constraints = ON",
            f"UPDATE gatekeeper_accounts SET posted = 1 WHERE {ADA}",
            "PRAGMA ignore_check_constraints = OFF",
        )
        assert {"posted less held", "posted"} <= await named(auditor_of(store, []))
    async with store_for(migrated_postgres_url) as store:
        await store.write(some_life)
        drop = "ALTER TABLE gatekeeper_accounts DROP CONSTRAINT ck_gatekeeper_accounts_available"
        add = drop.replace("DROP", "ADD") + " CHECK (posted - held >= 0)"
        await execute(store, drop, f"UPDATE gatekeeper_accounts SET posted = 1 WHERE {ADA}")
        assert {"posted less held", "posted"} <= await named(auditor_of(store, []))
        await execute(store, f"DELETE FROM gatekeeper_accounts WHERE {ADA}", add)


async def test_history_without_an_account_is_found(sql_store: SqlStore) -> None:
    """Whichever of the tables still has it."""
    auditor = auditor_of(sql_store, [])
    everything = {"entries", "grants", "holds"}
    for kept in sorted(everything):
        await sql_store.write(some_life)
        lost = ["accounts", *sorted(everything - {kept})]
        await execute(sql_store, *(f"DELETE FROM gatekeeper_{table}" for table in lost))
        pages = [page async for page in auditor.verify()]
        assert [page.keys for page in pages] == [(("ada", "credits"),)]
        assert bool(pages[0].breaches) is (kept != "grants")
        await execute(sql_store, f"DELETE FROM gatekeeper_{kept}")


async def test_pages_are_cut_by_accounts_and_by_entries(
    store: Store, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(tx: Transaction) -> None:
        for customer in "abcdefg":
            some_life(tx, customer)
            use(tx, customer, f"{customer}-5", 1)

    await store.write(fill)
    monkeypatch.setattr(pages_module, "MAX_ACCOUNTS", 3)
    version = (await account(store, "a")).version
    sizes = [len(keys) async for keys in pages_of(store)]
    assert sizes == [3, 3, 1]
    monkeypatch.setattr(pages_module, "MAX_ENTRIES", 2 * version)
    assert [len(keys) async for keys in pages_of(store)] == [2, 1, 2, 1, 1]
    monkeypatch.setattr(pages_module, "MAX_ENTRIES", 1)
    assert [len(keys) async for keys in pages_of(store)] == [1] * 7
    after = [customer async for keys in pages_of(store, after="c") for customer, _ in keys]
    assert after == ["d", "e", "f", "g"]
    assert [page async for page in auditor.verify(after="g")] == []
    one = [keys async for keys in pages_of(store, customer="c")]
    assert one == [(("c", "credits"),)]


async def test_a_customer_who_cannot_be_one_is_refused(auditor: Auditor) -> None:
    with pytest.raises(InvalidIdError):
        await breaches(auditor, "")


async def test_a_page_is_read_on_one_snapshot(sql_store: SqlStore) -> None:
    """What commits between the statements of a page is in none of them."""
    await sql_store.write(some_life)
    before = await account(sql_store)
    runner: Any = sql_store._runner  # each kind has its own engine
    url = runner.engine.url.render_as_string(hide_password=False)

    async def write() -> None:
        async with store_for(url) as other:
            await other.write(lambda tx: grant(tx, "ada", 7, "meanwhile"))

    writer = threading.Thread(target=lambda: asyncio.run(write()))

    def look(tx: Transaction) -> Books:
        assert tx.ledger.account("ada", "credits", lock=False) == before
        writer.start()
        writer.join()
        (found,) = tx.audit.books([("ada", "credits")], NOW)
        return found

    books = await sql_store.read(look)
    assert books.account == before
    assert find_breaches(books) == ()
    assert (await account(sql_store)).version > before.version
