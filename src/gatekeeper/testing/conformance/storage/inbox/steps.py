"""What the suites of the inbox do again and again."""

from datetime import datetime
from typing import Any, Final

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW

AFRESH: Final[dict[str, Any]] = {
    "status": EventStatus.PENDING,
    "attempts": 0,
    "last_error": None,
    "error_kind": None,
    "leased_until": None,
}
"""What an event has that is brought back."""


async def insert(store: Store, *events: InboxEvent) -> None:
    """Insert events that are new."""

    def work(tx: Transaction) -> list[bool]:
        return [tx.inbox.insert(one) for one in events]

    assert all(await store.write(work))


async def claim(
    store: Store, *, now: datetime = NOW, until: datetime | None = None, limit: int = 10
) -> list[str]:
    """Claim what is due; the keys of the events."""
    lease_until = until or now + HOUR
    claimed = await store.write(lambda tx: tx.inbox.claim(now, lease_until, limit))
    return [one.key for one in claimed]


def get(tx: Transaction, key: str) -> InboxEvent | None:
    """An event by its key."""
    return tx.inbox.get(key)
