"""Erasure: nobody can tell any more who it was, and every sum is what it was."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text

from gatekeeper import Gatekeeper
from gatekeeper.errors import (
    CustomerActiveError,
    CustomerNotFoundError,
    GatekeeperError,
    InvalidIdError,
)
from gatekeeper.ledger import EntryKind
from gatekeeper.services import customers
from gatekeeper.services.audit import Auditor, Erased
from gatekeeper.services.audit.erasure import PSEUDONYM_PREFIX
from gatekeeper.storage.audit import UsageQuery
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.storage.sql import erasure
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.storage.sql.tables import metadata
from gatekeeper.testing.clock import ManualClock
from gatekeeper.testing.conformance.storage import samples
from tests.audit.accounts import DAY, HOUR, NOW, breaches, grant, some_life, use
from tests.audit.conftest import auditor_of
from tests.gates import new_gate

pytestmark = pytest.mark.anyio

SECRETS = ("ada@example.com", "ann-the-actor", "Ada Lovelace", "cus_ada", "design-team")


def finished(tx: Transaction) -> None:
    """A customer whose id is an e-mail address, with nothing open."""
    ada = SECRETS[0]
    tx.customers.insert(
        Customer(id=ada, created_at=NOW, email=ada, name="Ada Lovelace", stripe_id="cus_ada")
    )
    said: dict[str, Any] = {
        "actor": "ann-the-actor",
        "metadata": '{"mail": "ada@example.com"}',
    }
    grant(tx, ada, 100, "g-1", reason="for Ada Lovelace", **said)
    grant(tx, ada, 10, "g-2", unit="exports")
    for number, day in enumerate((0, 0, 1)):
        use(
            tx,
            ada,
            f"h-{number}",
            5 + number,
            at=NOW + day * DAY,
            feature="chat" if number else "image",
            reference="ada@example.com",
            scope="design-team/ann-the-actor",
            **said,
        )
    use(tx, ada, "h-9", 3, unit="exports", feature="export")


async def sums(store: Store) -> Counter[tuple[str, str | None, str, datetime]]:
    """What all customers have moved, by unit, feature, kind and day."""

    def work(tx: Transaction) -> Counter[tuple[str, str | None, str, datetime]]:
        found: Counter[tuple[str, str | None, str, datetime]] = Counter()
        for one in tx.audit.ledgered(None, 100):
            for entry in tx.ledger.entries(*one.key, 0, 1_000):
                day = entry.at.replace(hour=0, minute=0)
                found[entry.unit, entry.feature, entry.kind, day] += entry.posted_delta
        return found

    return await store.read(work)


async def test_nothing_tells_any_more_who_it_was(
    sql_store: SqlStore,
) -> None:
    """No column of any table holds any of it."""
    await sql_store.write(finished)
    await auditor_of(sql_store, []).erase(SECRETS[0])

    def look(connection: Connection) -> list[str]:
        return [
            f"{table.name}: {row}"
            for table in metadata.sorted_tables
            for row in connection.execute(text(f"SELECT * FROM {table.name}"))
        ]

    rows = await sql_store._runner.read(look)
    assert any("erased_" in row for row in rows)
    assert [row for row in rows if any(secret in row for secret in SECRETS)] == []


async def test_the_sums_over_all_customers_stay(store: Store, auditor: Auditor) -> None:
    await store.write(finished)
    await store.write(lambda tx: some_life(tx, "bob"))
    before = await sums(store)
    erased = await auditor.erase(SECRETS[0])
    assert await sums(store) == before
    assert await breaches(auditor) == []
    query = UsageQuery(customer=erased.pseudonym, since=NOW - DAY, until=NOW + 9 * DAY)
    assert await store.read(lambda tx: tx.audit.totals(query)) == {"credits": 18, "exports": 3}


async def test_the_pseudonym_is_made_at_random_and_the_cache_forgets(
    store: Store, auditor: Auditor, forgotten: list[tuple[str, int]]
) -> None:
    await store.write(finished)
    erased = await auditor.erase(SECRETS[0])
    assert erased == Erased(erased.pseudonym, released=0, unbilled=0)
    prefix, digits = erased.pseudonym[: len(PSEUDONYM_PREFIX)], erased.pseudonym[7:]
    assert prefix == "erased_"
    assert len(digits) == 32
    assert int(digits, 16)
    assert forgotten == [(SECRETS[0], 1)]


async def test_the_id_is_not_used_again(store: Store, auditor: Auditor) -> None:
    await store.write(finished)
    await auditor.erase(SECRETS[0])
    asked: list[Callable[[Transaction], object]] = [
        lambda tx: customers.ensure(tx, SECRETS[0]),
        lambda tx: customers.state_of(tx, SECRETS[0]),
        lambda tx: customers.update(tx, SECRETS[0], name="Ada"),
    ]
    for ask in asked:
        with pytest.raises(CustomerNotFoundError):
            await store.write(ask)
    with pytest.raises(CustomerNotFoundError):
        await auditor.erase(SECRETS[0])


async def test_nobody_is_erased_who_is_not_known(store: Store, auditor: Auditor) -> None:
    with pytest.raises(CustomerNotFoundError):
        await auditor.erase("ada")
    with pytest.raises(InvalidIdError):
        await auditor.erase("")
    assert await auditor.count() == 0


async def test_a_customer_who_was_deleted_is_erased(store: Store, auditor: Auditor) -> None:
    await store.write(finished)
    await store.write(lambda tx: customers.delete(tx, SECRETS[0]))
    erased = await auditor.erase(SECRETS[0])
    found = await store.read(lambda tx: tx.customers.get(erased.pseudonym))
    assert found is not None
    assert found.deleted_at == NOW


async def test_somebody_with_accounts_alone_is_erased(store: Store, auditor: Auditor) -> None:
    """A host may have written accounts before there was a customer."""
    await store.write(lambda tx: grant(tx, "ada", 5, "g"))
    erased = await auditor.erase("ada")
    assert [
        a.posted for a in await store.read(lambda tx: tx.ledger.accounts(erased.pseudonym))
    ] == [5]
    assert await store.read(lambda tx: tx.audit.is_erased("ada"))


async def test_what_is_not_finished_stands_in_the_way(store: Store, auditor: Auditor) -> None:
    def fill(tx: Transaction) -> None:
        some_life(tx)
        tx.subscriptions.save(samples.subscription(), [samples.item()])
        tx.metering.record([samples.usage()])
        tx.outbox.add([samples.message("m", topic="other")])

    await store.write(fill)
    before = await store.read(lambda tx: tx.ledger.accounts("ada"))
    with pytest.raises(CustomerActiveError) as refused:
        await auditor.erase("ada")
    assert refused.value.params == {"open_holds": 2, "subscriptions": ["sub_1"], "unbilled": 1}
    assert "2 open hold(s); running subscription(s) sub_1; 1 use(s)" in str(refused.value)
    assert await store.read(lambda tx: tx.ledger.accounts("ada")) == before
    assert not await store.read(lambda tx: tx.audit.is_erased("ada"))


async def test_by_force_holds_are_given_back_and_the_books_agree(
    store: Store, auditor: Auditor, clock: ManualClock
) -> None:
    await store.write(some_life)
    await store.write(lambda tx: grant(tx, "ada", 9, "e", unit="exports"))
    await store.write(
        lambda tx: use(tx, "ada", "short", 4, captured=-1, at=NOW - HOUR / 2, unit="exports")
    )
    clock.advance(HOUR * 0.75)  # by now one hold has expired
    erased = await auditor.erase("ada", force=True)
    assert erased.released == 3
    found = await store.read(lambda tx: tx.ledger.accounts(erased.pseudonym))
    assert [(account.unit, account.posted, account.held) for account in found] == [
        ("credits", 67, 0),
        ("exports", 9, 0),
    ]
    assert await breaches(auditor) == []

    def kinds(tx: Transaction) -> set[EntryKind]:
        return {entry.kind for entry in tx.ledger.entries(erased.pseudonym, "exports", 0, 99)}

    assert EntryKind.HOLD_EXPIRED in await store.read(kinds)


@pytest.mark.parametrize("rows", [1, 7])
async def test_long_histories_are_rewritten_in_parts(
    sql_store: SqlStore, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    def fill(tx: Transaction) -> None:
        finished(tx)
        for number in range(20):
            use(tx, SECRETS[0], f"more-{number}", 1, at=NOW + 2 * DAY)

    await sql_store.write(fill)
    before = await sums(sql_store)
    monkeypatch.setattr(erasure, "ROWS_AT_A_TIME", rows)
    auditor = auditor_of(sql_store, [])
    await auditor.erase(SECRETS[0])
    assert await sql_store.read(lambda tx: list(tx.ledger.accounts(SECRETS[0]))) == []
    assert await sums(sql_store) == before
    assert await breaches(auditor) == []


# -- with a gate that is running ------------------------------------------------------------------


async def refused(asked: Awaitable[object]) -> type[GatekeeperError] | None:
    try:
        await asked
    except GatekeeperError as error:
        return type(error)
    return None


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_gate_that_has_the_account_in_mind_writes_nothing_more(
    request: pytest.FixtureRequest, kind: str
) -> None:
    url: str = request.getfixturevalue(f"migrated_{kind}_url")
    async with new_gate(url) as gate, new_gate(url) as other:
        for _ in range(3):
            await _use(gate)
        erased = await other.auditor.erase("ada")
        assert await refused(_reserve(gate)) is CustomerNotFoundError
        assert await refused(_reserve(other)) is CustomerNotFoundError
        assert await refused(gate.balance("ada", "credits")) is CustomerNotFoundError
        assert (
            await refused(gate.grant("ada", "credits", 5, reason="test")) is CustomerNotFoundError
        )
        assert await refused(gate.customers.ensure("ada")) is CustomerNotFoundError
        async with store_for(url) as store:
            assert (
                await store.read(lambda tx: list(tx.ledger.entries("ada", "credits", 0, 9))) == []
            )
            kept = await store.read(lambda tx: tx.ledger.accounts(erased.pseudonym))
            assert [account.unit for account in kept] == ["credits"]
            assert await store.read(lambda tx: list(tx.ledger.accounts("ada"))) == []
            assert await breaches(auditor_of(store, [])) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_commands_that_race_with_the_erasure_come_before_it_or_are_refused(
    request: pytest.FixtureRequest, kind: str
) -> None:
    url: str = request.getfixturevalue(f"migrated_{kind}_url")
    async with new_gate(url) as gate, new_gate(url) as other:
        await gate.grant("ada", "credits", 1_000, reason="test")

        async def spend() -> int:
            done = 0
            while await refused(_use(gate)) is None:
                done += 1
            return done

        spending = [asyncio.create_task(spend()) for _ in range(4)]
        await _use(gate)
        erased = await other.auditor.erase("ada", force=True)
        done = sum(await asyncio.gather(*spending))
        async with store_for(url) as store:
            assert (
                await store.read(lambda tx: list(tx.ledger.entries("ada", "credits", 0, 9))) == []
            )
            captured = await store.read(
                lambda tx: tx.audit.totals(
                    UsageQuery(
                        customer=erased.pseudonym,
                        since=datetime.fromisoformat("2000-01-01T00:00:00+00:00"),
                        until=datetime.fromisoformat("2100-01-01T00:00:00+00:00"),
                    )
                )
            )
            assert captured.get("credits", 0) == done + 1
            assert await breaches(auditor_of(store, [])) == []


async def _reserve(gate: Gatekeeper) -> None:
    await gate.reserve("ada", "credits", 1)


async def _use(gate: Gatekeeper) -> None:
    hold = await gate.reserve("ada", "credits", 1)
    await gate.capture(hold.id, customer="ada")
