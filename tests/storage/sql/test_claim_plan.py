"""How much PostgreSQL looks at to claim from an outbox that has filled up since it was analyzed.

Autovacuum analyzes a table once a minute at most by default; till then plans go by what was seen
before it (https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM).
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from gatekeeper.storage.sql.dialects import POSTGRESQL
from gatekeeper.storage.sql.transaction import SqlTransaction
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW

pytestmark = pytest.mark.anyio

MANY = 3_000
OTHERS = 100
LIMIT = 20

# The deletion of the statistics is rolled back with the rest.
FORGET = (
    "TRUNCATE gatekeeper_outbox",
    "DELETE FROM pg_statistic WHERE starelid = 'gatekeeper_outbox'::regclass",
)
FILL = (
    "INSERT INTO gatekeeper_outbox (customer, id, topic, body, created_at, due_at, attempts, dead,"
    " receiver) SELECT {customer}, '{name}' || n, 'meter', '{{}}', at, at, 0, false, 'mail' FROM"
    " (SELECT n, timestamptz '2020-01-01' + n * interval '1 second' AS at"
    "  FROM generate_series({first}, {last}) n) AS filled"
)


def fill(customer: str, count: int, *, first: int = 1, name: str = "msg_") -> str:
    last = first + count - 1
    return FILL.format(customer=customer, first=first, last=last, name=name)


EACH_THEIR_OWN = (fill("'customer ' || n", MANY),)
ONE_BEFORE_OTHERS = (
    fill("'hot'", MANY),
    fill("'customer ' || n", OTHERS, first=MANY + 1),
)
NEVER_ANALYZED: tuple[str, ...] = ()
ANALYZED_WHEN_ALL_WAS_SENT = (
    fill("'customer ' || n", MANY, name="old_"),
    "UPDATE gatekeeper_outbox SET sent_at = created_at",
    "ANALYZE gatekeeper_outbox",
)
ANALYZED_WITH_ONE_CUSTOMER = (
    fill("'ada'", MANY, name="old_"),
    "ANALYZE gatekeeper_outbox",
    "DELETE FROM gatekeeper_outbox",
)


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes_of(inner)


def examined(plan: dict[str, Any]) -> float:
    """How many rows the plan's nodes have returned or thrown away, all told."""
    total = 0.0
    for node in nodes_of(plan):
        removed = (count for name, count in node.items() if name.startswith("Rows Removed by"))
        total += node["Actual Loops"] * (node["Actual Rows"] + sum(removed))
    return total


async def claim(url: str, *before: str) -> tuple[float, list[str]]:
    """Claim after some statements, all in one transaction that is rolled back, so that nobody
    analyzes the table meanwhile: how many rows the search looked at, and whose messages came."""
    plans: list[dict[str, Any]] = []

    def explain(
        connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> None:
        if statement.startswith("SELECT"):
            cursor = connection.connection.cursor()
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            plans.append(cursor.fetchall()[0][0][0]["Plan"])

    def search(connection: Connection) -> list[str]:
        event.listen(connection, "before_cursor_execute", explain)
        outbox = SqlTransaction(connection, POSTGRESQL).outbox
        return [one.customer for one in outbox.claim(NOW, NOW + HOUR, LIMIT, but_not=("caches",))]

    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        for statement in (*FORGET, *before):
            await connection.execute(text(statement))
        claimed = await connection.run_sync(search)
        await connection.rollback()
    assert len(plans) == 1
    return examined(plans[0]), claimed


@pytest.mark.parametrize(
    "known", [NEVER_ANALYZED, ANALYZED_WHEN_ALL_WAS_SENT, ANALYZED_WITH_ONE_CUSTOMER]
)
async def test_a_claim_looks_at_no_more_than_it_takes(
    migrated_postgres_url: str, known: tuple[str, ...]
) -> None:
    looked_at, claimed = await claim(migrated_postgres_url, *known, *EACH_THEIR_OWN)
    assert claimed == [f"customer {n}" for n in range(1, LIMIT + 1)]
    assert looked_at <= 10 * LIMIT


@pytest.mark.parametrize(
    "known", [NEVER_ANALYZED, ANALYZED_WHEN_ALL_WAS_SENT, ANALYZED_WITH_ONE_CUSTOMER]
)
async def test_a_customer_of_many_messages_is_passed_with_one_look_at_each(
    migrated_postgres_url: str, known: tuple[str, ...]
) -> None:
    looked_at, claimed = await claim(migrated_postgres_url, *known, *ONE_BEFORE_OTHERS)
    assert claimed == ["hot", *(f"customer {MANY + n}" for n in range(1, LIMIT))]
    assert looked_at <= 4 * MANY
