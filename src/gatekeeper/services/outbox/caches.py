"""Telling the caches: whose entitlements have changed is written with the change.

The process that makes a change tells the caches right after its commit, which is the quick way. If
it dies in between, or has no cache (a command line, a script), the row that it wrote is what tells
them: every open gate looks for such rows twice a second, tells the caches and then deletes them.
Telling twice does no harm, since a cache forgets what is below a version and nothing else. So
these rows need neither leases nor an order, and wait for no other message.

With Redis, one process that sees a row tells all of them. Without, it tells itself: elsewhere the
time to live bounds what is outdated, as ever (`cache/port.py`).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
import msgspec
from uuid_utils.compat import uuid7

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import OutboxMessage

logger = logging.getLogger("gatekeeper.outbox")

Invalidate = Callable[[str, int], Awaitable[None]]
"""Forgets what is cached of a customer below a version; called after the commit."""

CACHES: Final = "gatekeeper.caches"
"""The receiver of these messages."""
TOPIC: Final = "entitlements.outdated"

POLL_SECONDS: Final = 0.5
"""What was revoked is denied within a second, though whoever revoked it has died."""
_AT_ONCE: Final = 500


class _Body(msgspec.Struct):
    version: int


def outdate(tx: Transaction, customer: str) -> int:
    """Give a customer's entitlements a new version, and have the caches told of it; returns the
    version. Whoever changes what entitlements derive from calls it in the same transaction."""
    version = tx.customers.touch(customer)
    now = tx.now()
    tx.outbox.add(
        [
            OutboxMessage(
                id=str(uuid7()),
                customer=customer,
                topic=TOPIC,
                body=msgspec.json.encode(_Body(version)).decode(),
                created_at=now,
                due_at=now,
                receiver=CACHES,
            )
        ]
    )
    return version


class CacheTeller:
    """Tells the caches what changes have left to tell. Several may run at once."""

    def __init__(self, store: Store, invalidate: Invalidate) -> None:
        self._store = store
        self._invalidate = invalidate

    async def run(self) -> None:
        """Do it for ever. An outage of the database is waited out."""
        while True:
            try:
                await self.tell_due()
            except Exception:
                logger.exception("telling the caches was interrupted; it goes on")
            await anyio.sleep(POLL_SECONDS)

    async def tell_due(self) -> int:
        """Tell all that is there; returns how many rows that were."""
        told = 0
        while rows := await self._store.read(lambda tx: tx.outbox.waiting_for(CACHES, _AT_ONCE)):
            for customer, version in _latest(rows).items():
                await self._invalidate(customer, version)
            await self._store.write(lambda tx, rows=rows: tx.outbox.drop(rows))  # type: ignore[misc]
            told += len(rows)
        return told


def _latest(rows: Sequence[OutboxMessage]) -> dict[str, int]:
    """The highest version that is told of each customer."""
    latest: dict[str, int] = {}
    for row in rows:
        version = msgspec.json.decode(row.body, type=_Body).version
        latest[row.customer] = max(version, latest.get(row.customer, 0))
    return latest
