"""Whatever is asked of a long history is found by an index, and looked at in little memory."""

import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert

from gatekeeper.ledger import EntryKind, LiveGrant
from gatekeeper.storage.audit import UsageQuery
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sql.packing import packed
from gatekeeper.storage.sql.store import SqlStore
from gatekeeper.storage.sql.tables import accounts, entries, grants
from tests.audit.accounts import DAY, NOW, breaches, execute, mend, overwrite
from tests.audit.conftest import auditor_of

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

SECOND = timedelta(seconds=1)
ROWS_AT_A_TIME = 2_000
MEGABYTE = 2**20


def history(customer: str, pairs: int) -> Iterator[dict[str, Any]]:
    """A grant, then holds of 1 that are captured: two entries each."""

    def entry(sequence: int, kind: EntryKind, posted: int, held: int) -> dict[str, Any]:
        return {
            "customer": customer,
            "unit": "credits",
            "sequence": sequence,
            "kind": kind,
            "at": NOW + sequence * SECOND,
            "posted_delta": posted,
            "held_delta": held,
            "debt_delta": 0,
            "grant_id": "main",
            "hold_id": None if kind is EntryKind.GRANT else f"h-{sequence // 2}",
            "feature": "chat",
        }

    yield entry(1, EntryKind.GRANT, 1_000_000, 0)
    for sequence in range(2, 2 * pairs + 2, 2):
        yield entry(sequence, EntryKind.HOLD, 0, 1)
        yield entry(sequence + 1, EntryKind.CAPTURE, -1, -1)


def fill(connection: Connection, customer: str, pairs: int) -> None:
    some: list[dict[str, Any]] = []
    for row in history(customer, pairs):
        some.append(row)
        if len(some) == ROWS_AT_A_TIME:
            connection.execute(insert(entries), some)
            some.clear()
    if some:
        connection.execute(insert(entries), some)
    left = 1_000_000 - pairs
    connection.execute(
        insert(accounts),
        {
            "customer": customer,
            "unit": "credits",
            "posted": left,
            "held": 0,
            "debt": 0,
            "version": 2 * pairs + 1,
            "grants": packed((LiveGrant("main", left, NOW),)),
            "received": "{}",
            "last_entry_at": NOW + (2 * pairs + 1) * SECOND,
            "revision": 2 * pairs + 1,
        },
    )
    connection.execute(
        insert(grants),
        {
            "customer": customer,
            "unit": "credits",
            "id": "main",
            "kind": "manual",
            "amount": 1_000_000,
            "created_at": NOW,
        },
    )


async def test_a_hundred_thousand_entries_are_verified_in_little_memory(
    sql_store: SqlStore,
) -> None:
    """One long account and many short ones."""

    def work(connection: Connection) -> None:
        fill(connection, "long", 30_000)
        for number in range(200):
            fill(connection, f"short-{number:03}", 100)

    await sql_store._runner.write(work)
    auditor = auditor_of(sql_store, [])
    assert await breaches(auditor, "short-000") == []  # what is imported and compiled only once
    tracemalloc.start()
    try:
        found = [page async for page in auditor.verify()]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(len(page.keys) for page in found) == 201
    assert [breach for page in found for breach in page.breaches] == []
    assert peak < 4 * MEGABYTE
    await overwrite(sql_store, "long", debt=5)
    (mended,) = await mend(auditor)
    assert mended.key == ("long", "credits")
    assert await breaches(auditor, "long") == []


# -- indexes --------------------------------------------------------------------------------------

QUERY = UsageQuery(customer="c-7", since=NOW, until=NOW + DAY)
HOUR_QUERY = UsageQuery(
    customer="c-7", since=NOW, until=NOW + DAY, by="hour", unit="credits", scope="x", feature="y"
)


ASKED: list[tuple[Callable[[Transaction], object], str]] = [
    (lambda tx: tx.audit.used(QUERY, None, 101), "ix_gatekeeper_entries_captures"),
    (
        lambda tx: tx.audit.used(HOUR_QUERY, (NOW, "credits", "y"), 101),
        "ix_gatekeeper_entries_captures",
    ),
    (lambda tx: tx.audit.totals(QUERY), "ix_gatekeeper_entries_captures"),
    (lambda tx: tx.audit.newest("c-7", "credits", 50, 10), "entries"),
    (lambda tx: tx.audit.books([("c-7", "credits")], NOW), "entries"),
    (lambda tx: tx.audit.ledgered(("c-7", "credits"), 1), "entries"),
    (lambda tx: tx.audit.ledgered(None, 1, customer="c-7"), "entries"),
]
"""What is asked of a history, and the index that serves it."""


async def test_an_index_serves_whatever_is_asked(sql_store: SqlStore) -> None:
    def work(connection: Connection) -> None:
        for number in range(40):
            fill(connection, f"c-{number}", 250)

    await sql_store._runner.write(work)
    await execute(sql_store, "ANALYZE")
    for ask, index in ASKED:
        plan = await plan_of(sql_store, ask)
        assert index in plan
        assert "Seq Scan on gatekeeper_entries" not in plan
        assert "SCAN gatekeeper_entries" not in plan


async def plan_of(store: SqlStore, ask: Callable[[Transaction], object]) -> str:
    """The database's plans of what `ask` executes."""
    runner: Any = store._runner  # each kind has its own engines
    engine = getattr(runner, "_read_engine", None) or runner.engine.sync_engine
    seen: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, given: Any, *_: object) -> None:
        if "gatekeeper_" in statement:
            seen.append((statement, given))

    event.listen(engine, "before_cursor_execute", note)
    await store.read(ask)
    event.remove(engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "

    def work(connection: Connection) -> str:
        rows = [
            row
            for statement, given in seen
            for row in connection.exec_driver_sql(explain + statement, given)
        ]
        return "\n".join(str(row[-1]) for row in rows) + "\n"

    return str(await store._runner.read(work))
