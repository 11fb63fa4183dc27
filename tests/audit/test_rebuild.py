"""`rebuild` mends what an account says wrongly, tells what it does, and touches nothing else."""

import asyncio
from functools import partial

import pytest
from msgspec.structs import replace

from gatekeeper.ledger import Account, GrantKind, Release, settle
from gatekeeper.services.audit import Auditor
from gatekeeper.services.audit import pages as pages_module
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.postings import posting_of
from gatekeeper.storage.sql.store import SqlStore
from tests.audit.accounts import (
    HOUR,
    NOW,
    account,
    breaches,
    execute,
    grant,
    mend,
    named,
    overwrite,
    some_life,
)
from tests.audit.conftest import auditor_of

pytestmark = pytest.mark.anyio

ADA = "customer = 'ada' AND unit = 'credits'"


def essence(found: Account) -> Account:
    """An account without what rebuilding moves on, or has looked at again."""
    grants = tuple(sorted(found.grants, key=lambda live: live.id))
    return replace(found, revision=0, fresh=None, holds_due_at=None, grants=grants)


@pytest.mark.parametrize(
    "fields",
    [
        {"posted": 70},
        {"held": 24},
        {"debt": 5},
        {"version": 7},
        {"grants": ()},
        {"last_entry_at": None},
        {"posted": 30, "held": 1, "debt": 9, "version": 2, "grants": ()},
    ],
)
async def test_what_an_account_says_wrongly_is_mended(
    store: Store, auditor: Auditor, fields: dict[str, object]
) -> None:
    await store.write(some_life)
    right = await account(store)
    await overwrite(store, "ada", **fields)
    (mended,) = await mend(auditor)
    assert mended.key == ("ada", "credits")
    assert mended.differences
    assert (mended.obstacles, mended.left) == ((), ())
    after = await account(store)
    assert essence(after) == essence(right)
    assert after.revision == right.revision + 1
    assert after.holds_due_at == NOW + HOUR
    assert await breaches(auditor) == []
    assert await mend(auditor) == []


@pytest.mark.parametrize(
    "statement",
    [
        f"DELETE FROM gatekeeper_accounts WHERE {ADA}",
        f"UPDATE gatekeeper_accounts SET grants = '[[1]]' WHERE {ADA}",
        f"UPDATE gatekeeper_accounts SET received = 'oops', posted = 99 WHERE {ADA}",
        f"UPDATE gatekeeper_accounts SET standing = '', grants = 'x', received = '' WHERE {ADA}",
    ],
)
async def test_a_lost_or_unreadable_account_is_had_again(
    sql_store: SqlStore, statement: str
) -> None:
    auditor = auditor_of(sql_store, [])
    await sql_store.write(some_life)
    right = await account(sql_store)
    await execute(sql_store, statement)
    (mended,) = await mend(auditor)
    assert mended.differences
    assert essence(await account(sql_store)) == essence(right)
    assert await breaches(auditor) == []
    assert await mend(auditor) == []


async def test_a_mended_account_works(store: Store, auditor: Auditor) -> None:
    """Its open hold can be released, and gives back to the grant that it came from."""
    await store.write(some_life)
    await overwrite(store, "ada", grants=(), posted=40, held=3)
    await mend(auditor)

    def release(tx: Transaction) -> None:
        before = tx.ledger.account("ada", "credits", lock=True)
        hold = tx.ledger.find_hold("ada-4", customer="ada")
        assert hold is not None
        change = settle(before, hold, Release(), NOW)
        tx.ledger.post([posting_of(before, change)])

    await store.write(release)
    assert await breaches(auditor) == []


async def test_without_write_nothing_is_changed(store: Store, auditor: Auditor) -> None:
    await store.write(some_life)
    await overwrite(store, "ada", debt=5)
    wrong = await account(store)
    (told,) = await mend(auditor, write=False)
    assert [(one.what, one.found, one.expected) for one in told.differences] == [("debt", 5, 0)]
    assert await account(store) == wrong


async def test_what_is_right_is_not_written(store: Store, auditor: Auditor) -> None:
    def fill(tx: Transaction) -> None:
        some_life(tx, "ada")
        some_life(tx, "bob")

    await store.write(fill)
    await overwrite(store, "bob", debt=5)
    right = await account(store, "ada")
    assert [one.key[0] for one in await mend(auditor)] == ["bob"]
    assert await account(store, "ada") == right
    assert await mend(auditor, customer="ada") == []


@pytest.mark.parametrize(
    ("statement", "obstacle"),
    [
        (f"DELETE FROM gatekeeper_entries WHERE {ADA} AND sequence = 4", "entries are missing"),
        ("DELETE FROM gatekeeper_grants WHERE id = 'ada/main'", "has no record"),
        (
            f"UPDATE gatekeeper_entries SET held_delta = -50 WHERE {ADA} AND sequence = 2",
            "no account can have",
        ),
    ],
)
async def test_nothing_is_built_on_damaged_entries(
    sql_store: SqlStore, statement: str, obstacle: str
) -> None:
    auditor = auditor_of(sql_store, [])
    await sql_store.write(some_life)
    await execute(sql_store, statement)
    right = await account(sql_store)
    (found,) = await mend(auditor)
    assert any(obstacle in text for text in found.obstacles)
    assert found.differences == ()
    assert found.left
    assert await account(sql_store) == right


async def test_what_is_the_holds_own_is_named_and_left(sql_store: SqlStore) -> None:
    auditor = auditor_of(sql_store, [])
    await sql_store.write(some_life)
    await execute(sql_store, "DELETE FROM gatekeeper_holds WHERE id = 'ada-4'")
    await overwrite(sql_store, "ada", debt=5)
    (found,) = await mend(auditor)
    assert [one.what for one in found.differences] == ["debt"]
    assert {one.what for one in found.left} == {
        "held by open holds",
        "held of grant ada/main by holds",
    }
    assert await named(auditor) == {one.what for one in found.left}


async def test_a_lost_account_is_not_given_its_window_again(sql_store: SqlStore) -> None:
    key = "default:every:credits@2026-03-01T00:00:00+00:00"

    def fill(tx: Transaction) -> None:
        grant(tx, "ada", 100, f"{key}/0", kind=GrantKind.PLAN, expires_at=NOW + 30 * 24 * HOUR)

    await sql_store.write(fill)
    await execute(sql_store, f"DELETE FROM gatekeeper_accounts WHERE {ADA}")
    await mend(auditor_of(sql_store, []))
    after = await account(sql_store)
    assert after.received[key].amount == 100
    assert after.received[key].series == "default:every:credits"


async def test_a_run_goes_on_behind_a_customer(
    store: Store, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "MAX_ACCOUNTS", 2)

    def fill(tx: Transaction) -> None:
        for customer in "abcde":
            some_life(tx, customer)

    await store.write(fill)
    for customer in "abcde":
        await overwrite(store, customer, debt=5)
    pages = auditor.rebuild(write=True)
    first = await anext(pages)
    assert [one.key[0] for one in first.mended] == ["a", "b"]
    assert {breach.customer for breach in await breaches(auditor)} == {"c", "d", "e"}
    rest = [one.key[0] async for page in auditor.rebuild(after="b") for one in page.mended]
    assert rest == ["c", "d", "e"]


async def test_an_account_is_derived_under_its_lock(sql_store: SqlStore) -> None:
    """Commands go on meanwhile: none of them is lost, and none is written over."""
    auditor = auditor_of(sql_store, [])
    await sql_store.write(some_life)

    async def give() -> None:
        for number in range(20):
            gift = f"gift-{number}"
            await sql_store.write(partial(grant, customer="ada", amount=1, grant_id=gift))

    async def damage_and_mend() -> None:
        for _ in range(10):
            await overwrite(sql_store, "ada", last_entry_at=None)
            await mend(auditor)

    await asyncio.gather(give(), damage_and_mend())
    assert await breaches(auditor) == []
    gifts = [live for live in (await account(sql_store)).grants if live.id.startswith("gift")]
    assert len(gifts) == 20
