"""What is asked all the time is found by an index, its condition included."""

from typing import Any

import pytest
from sqlalchemy import Connection, event

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sql.sqlite_runner import SqliteRunner
from gatekeeper.storage.sql.store import SqlStore, store_for
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW

pytestmark = pytest.mark.anyio


async def plan_of(store: SqlStore, work: object) -> str:
    """SQLite's plans of every statement that `work` executes."""
    runner = store._runner
    assert isinstance(runner, SqliteRunner)
    plans: list[str] = []

    def explain(
        connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            cursor = connection.connection.cursor()
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in cursor.fetchall())

    event.listen(runner.engine, "before_cursor_execute", explain)
    await store.write(work)  # type: ignore[arg-type]  # a callable of each test's own
    event.remove(runner.engine, "before_cursor_execute", explain)
    return "\n".join(plans)


@pytest.mark.parametrize(
    ("work", "index"),
    [
        (lambda tx: tx.ledger.expired_holds(NOW, 10), "ix_gatekeeper_holds_open_expiry"),
        (lambda tx: tx.ledger.open_holds("ada", "credits"), "ix_gatekeeper_holds_open"),
        (lambda tx: tx.ledger.find_hold("hold_1"), "ix_gatekeeper_holds_id"),
        (lambda tx: tx.ledger.grant_by_source("in_1"), "uq_gatekeeper_grants_source_key"),
        (
            lambda tx: tx.inbox.claim(NOW, NOW + HOUR, 10),
            "ix_gatekeeper_inbox_status_received_at_key",
        ),
        (lambda tx: tx.inbox.purge_payloads(NOW, 10), "ix_gatekeeper_inbox_payload"),
        (
            lambda tx: tx.outbox.claim(NOW, NOW + HOUR, 10),
            "ix_gatekeeper_outbox_order (customer=? AND receiver=?)",
        ),
        (
            lambda tx: tx.outbox.behind(samples.message(), NOW, 10),
            "ix_gatekeeper_outbox_order (customer=? AND receiver=? AND",
        ),
        (
            lambda tx: tx.survey.take(NOW),
            "gatekeeper_usage USING INDEX ix_gatekeeper_usage_unsealed",
        ),
        (lambda tx: tx.outbox.waiting_for("caches", 10), "ix_gatekeeper_outbox_receiver"),
        (lambda tx: tx.ledger.prune_receipts(NOW, 10), "ix_gatekeeper_receipts_created_at"),
        (lambda tx: tx.requests.claim(NOW, NOW + HOUR, 10), "ix_gatekeeper_requests_open"),
        (lambda tx: tx.requests.prune(NOW, 10), "ix_gatekeeper_requests_ended"),
        (lambda tx: tx.subscriptions.oldest_unpaid("sub_1"), "ix_gatekeeper_invoices_open"),
        (
            lambda tx: tx.mirror.of_customer("ada", "refund", 9, before=(NOW, "re_1")),
            "ix_gatekeeper_objects_customer_kind",
        ),
        (lambda tx: tx.mirror.of_parent("refund", "charge/ch_1"), "ix_gatekeeper_objects_parent"),
        (lambda tx: tx.mirror.adopt("cus_ada", "ada"), "ix_gatekeeper_objects_nobodys"),
        (
            lambda tx: tx.mirror.history("ada", 9, before=(NOW, "sub_1", 1)),
            "ix_gatekeeper_subscription_changes_customer",
        ),
    ],
)
async def test_an_index_serves(migrated_sqlite_url: str, work: object, index: str) -> None:
    async with store_for(migrated_sqlite_url) as store:
        assert index in await plan_of(store, work)


async def test_a_command_on_an_account_scans_nothing(migrated_sqlite_url: str) -> None:
    def command(tx: Transaction) -> None:
        samples.fund(tx, 100, source_key="in_1")
        samples.hold(tx)
        tx.customers.state("ada")
        tx.ledger.receipt("ada", "key")
        tx.ledger.entries("ada", "credits", 0, 10)

    async with store_for(migrated_sqlite_url) as store:
        plan = await plan_of(store, command)
        assert "SEARCH" in plan
        assert "SCAN gatekeeper" not in plan


async def test_a_batch_of_accounts_scans_nothing(migrated_sqlite_url: str) -> None:
    """SQLite would read a whole table for `(a, b) IN (...)`."""
    names = ("ada", "bob", "cyd")

    def batch(tx: Transaction) -> None:
        tx.ledger.lock([(name, "credits") for name in names], wait=True)
        tx.ledger.find_holds([(name, "hold_1") for name in names])
        tx.ledger.receipts([(name, "key") for name in names])
        tx.customers.versions(names)
        tx.audit.books([(name, "credits") for name in names], NOW, lock=True)
        tx.outbox.add([samples.message(f"out_{name}", customer=name) for name in names])
        assert len(tx.outbox.claim(NOW + HOUR, NOW + HOUR, 10)) == len(names)

    async with store_for(migrated_sqlite_url) as store:
        plan = await plan_of(store, batch)
        assert "SEARCH gatekeeper_outbox" in plan
        assert "SCAN gatekeeper" not in plan.replace("SCAN gatekeeper_outbox USING INDEX", "")
