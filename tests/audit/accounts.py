"""Accounts with a history, and ways to damage them behind the library's back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, text

from gatekeeper.ledger import (
    Account,
    Capture,
    Clawback,
    GrantCredits,
    GrantKind,
    Release,
    Reserve,
    apply,
    settle,
)
from gatekeeper.ledger.books import Breach
from gatekeeper.services.audit import Auditor, Mended
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.storage.sql.store import SqlStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def grant(tx: Transaction, customer: str, amount: int, grant_id: str, **said: object) -> None:
    unit = str(said.pop("unit", "credits"))
    before = tx.ledger.account(customer, unit, lock=True)
    command = replace(GrantCredits(grant_id, amount, GrantKind.MANUAL), **said)
    tx.ledger.save(before, apply(before, command, NOW))


def use(
    tx: Transaction,
    customer: str,
    hold_id: str,
    amount: int,
    *,
    captured: int | None = None,
    final: bool = True,
    at: datetime = NOW,
    unit: str = "credits",
    **said: object,
) -> None:
    """Hold `amount`; capture all of it, or `captured`; 0 releases it, -1 leaves it open."""
    before = tx.ledger.account(customer, unit, lock=True)
    command = replace(Reserve(hold_id, amount, at + HOUR), **said)
    made = apply(before, command, at)
    tx.ledger.save(before, made)
    assert made.hold is not None
    if captured == -1:
        return
    after = tx.ledger.account(customer, unit, lock=True)
    end = Release() if captured == 0 else Capture(captured, final=final)
    tx.ledger.save(after, settle(after, made.hold, end, at))


def some_life(tx: Transaction, customer: str = "ada") -> None:
    """Three grants, one of which begins later; holds that ended, one that is open and captured in
    part, one that is open as a whole: 67 are posted, of which 25 are held."""
    if tx.customers.get(customer) is None:
        tx.customers.insert(Customer(id=customer, created_at=NOW))
    grant(tx, customer, 3, f"{customer}/gone", priority=-1)
    grant(tx, customer, 100, f"{customer}/main")
    grant(tx, customer, 50, f"{customer}/later", effective_at=NOW + DAY)
    use(tx, customer, f"{customer}-1", 20, feature="chat")
    use(tx, customer, f"{customer}-2", 9, captured=0)
    use(tx, customer, f"{customer}-3", 26, captured=6, final=False)
    use(tx, customer, f"{customer}-4", 5, captured=-1)
    before = tx.ledger.account(customer, "credits", lock=True)
    tx.ledger.save(before, apply(before, Clawback(10, f"{customer}/main"), NOW))


async def account(store: Store, customer: str = "ada", unit: str = "credits") -> Account:
    return await store.read(lambda tx: tx.ledger.account(customer, unit, lock=False))


async def overwrite(store: Store, customer: str = "ada", **fields: Any) -> None:
    """Write fields of an account as no command would."""

    def work(tx: Transaction) -> None:
        before = tx.ledger.account(customer, "credits", lock=True)
        tx.audit.restore(replace(before, **fields))

    await store.write(work)


async def execute(store: SqlStore, *statements: str) -> None:
    """SQL of the test's own."""

    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    await store._runner.write(work)


async def breaches(auditor: Auditor, customer: str | None = None) -> list[Breach]:
    found: list[Breach] = []
    async for page in auditor.verify(customer=customer):
        found += page.breaches
    return found


async def named(auditor: Auditor) -> set[str]:
    return {breach.what for breach in await breaches(auditor)}


async def mend(
    auditor: Auditor, *, write: bool = True, customer: str | None = None
) -> Sequence[Mended]:
    found: list[Mended] = []
    async for page in auditor.rebuild(customer=customer, write=write):
        found += page.mended
    return found
