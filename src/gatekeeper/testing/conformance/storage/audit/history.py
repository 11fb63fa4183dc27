"""What the suites of the audit store first: a history of Ada's."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from gatekeeper.entitlements.state import Override
from gatekeeper.ledger import (
    Capture,
    Change,
    Clawback,
    GrantCredits,
    GrantKind,
    Hold,
    Receipt,
    Release,
    Reserve,
    SetCap,
    apply,
    settle,
)
from gatekeeper.ledger.books import Books
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND

NOON = datetime.fromisoformat("2026-01-31T12:00:00+00:00")
MIDNIGHT = datetime.fromisoformat("2026-01-31T00:00:00+00:00")
CREDITS = ("ada", "credits")


def grant(
    tx: Transaction, amount: int, unit: str = "credits", grant_id: str = "grant_1", **said: object
) -> Change:
    """Give Ada a grant, of which something is said."""
    before = tx.ledger.account("ada", unit, lock=True)
    command = replace(GrantCredits(grant_id, amount, GrantKind.MANUAL), **said)
    change = apply(before, command, NOW)
    tx.ledger.save(before, change)
    return change


def reserve(
    tx: Transaction, hold_id: str, amount: int, at: datetime, unit: str = "credits", **said: object
) -> Hold:
    """Hold something of Ada's, of which something is said."""
    before = tx.ledger.account("ada", unit, lock=True)
    command = replace(Reserve(hold_id, amount, at + HOUR), **said)
    change = apply(before, command, at)
    tx.ledger.save(before, change)
    assert change.hold is not None
    return change.hold


def end(tx: Transaction, hold: Hold, command: Capture | Release, at: datetime) -> None:
    """End a hold of Ada's."""
    before = tx.ledger.account(hold.customer, hold.unit, lock=True)
    tx.ledger.save(before, settle(before, hold, command, at))


def use(
    tx: Transaction, hold_id: str, amount: int, at: datetime, unit: str = "credits", **said: object
) -> None:
    """Use something of Ada's."""
    hold = reserve(tx, hold_id, amount, at, unit, **said)
    end(tx, hold, Capture(), at)


def a_little_of_everything(tx: Transaction) -> None:
    """A grant, one that is used up, one that begins later and is clawed back in part; holds that
    ended in every way, and one that is open and captured in part."""
    grant(tx, 3, grant_id="gone", priority=-1)
    use(tx, "hold_0", 3, NOW)
    grant(tx, 100)
    grant(tx, 50, grant_id="later", effective_at=NOW + DAY)
    before = tx.ledger.account(*CREDITS, lock=True)
    tx.ledger.save(before, apply(before, Clawback(5, "later"), NOW))
    end(tx, reserve(tx, "hold_1", 10, NOW), Capture(7), NOW + SECOND)
    end(tx, reserve(tx, "hold_2", 10, NOW + SECOND), Release(), NOW + 2 * SECOND)
    end(tx, reserve(tx, "hold_3", 25, NOW + HOUR), Capture(5, final=False), NOW + HOUR)


def some_use(tx: Transaction) -> None:
    """Use of several features, by several actors and scopes, on one day and the next."""
    grant(tx, 100)
    grant(tx, 10, "exports", "grant_2")
    minutes = timedelta(minutes=1)
    use(tx, "1", 2, NOON, feature="chat", actor="ann", scope="design")
    use(tx, "2", 3, NOON + 59 * minutes, feature="chat", actor="ann", scope="design")
    use(tx, "3", 4, NOON + 59 * minutes, feature="image", actor="ann", scope="design/ann")
    use(tx, "4", 1, NOON + 59 * minutes, scope="designer")
    use(tx, "5", 10, NOON, "exports", feature="chat")
    use(tx, "6", 6, NOON + HOUR, feature="chat")
    use(tx, "7", 7, NOON + 12 * HOUR, feature="chat")
    end(tx, reserve(tx, "8", 9, NOON + 12 * HOUR, feature="chat"), Release(), NOON + 12 * HOUR)
    reserve(tx, "9", 9, NOON + 12 * HOUR, feature="chat")


def all_of_a_customer(tx: Transaction) -> None:
    """A row of Ada's in every table that names customers."""
    said = {"actor": "ann", "metadata": '{"mail": "ann@example.com"}'}
    ada = samples.customer(stripe_id="cus_ada", email="ada@example.com", name="Ada")
    tx.customers.insert(ada)
    grant(tx, 100, source_key="paid_1", reason="sorry, Ada", **said)
    reserve(
        tx, "hold_1", 40, NOW, feature="chat", reference="mail to Ada", scope="design/ann", **said
    )
    before = tx.ledger.account(*CREDITS, lock=True)
    tx.ledger.save(before, apply(before, SetCap("day", 500, "design/ann", actor="ann"), NOW))
    before = tx.ledger.account(*CREDITS, lock=True)
    tx.ledger.save(before, apply(before, SetCap("day", 500), NOW))
    tx.ledger.put_receipt(Receipt("ada", "key", "f", "{}", NOW))
    tx.customers.put_override("ada", beta(reason="she", actor="bob"))
    tx.subscriptions.save(samples.subscription(), [samples.item()])
    tx.subscriptions.add_paid_lines("ada", [samples.paid_line()])
    tx.subscriptions.save_invoice(samples.invoice())
    tx.purchases.insert(samples.purchase())
    tx.outbox.add([samples.message(), samples.message("msg_2")])


def beta(**said: str) -> Override:
    """An override, of which something is said."""
    return replace(Override(kind="feature", key="beta", value=True), **said)


async def books_of(store: Store, key: tuple[str, str]) -> Books:
    """The books of one account, as of `NOW`."""
    (found,) = await store.read(lambda tx: tx.audit.books([key], NOW))
    return found


async def keys_after(
    store: Store,
    after: tuple[str, str | None] | None,
    limit: int,
    customer: str | None = None,
) -> list[tuple[str, str]]:
    """The keys of accounts with a history, behind a place."""
    found = await store.read(lambda tx: tx.audit.ledgered(after, limit, customer=customer))
    return [one.key for one in found]
