"""Upkeep: what has to be done from time to time, in any one process that runs."""

import logging
from datetime import timedelta

import anyio

from gatekeeper.services.credits import Credits
from gatekeeper.storage.port import Store

logger = logging.getLogger("gatekeeper")

SWEEP_SECONDS = 5.0
PRUNE_EVERY_SWEEPS = 720
"""Once an hour."""
RECEIPT_DAYS = 31
"""Request keys are remembered for at least 30 days (DESIGN invariant 4)."""
PRUNE_BATCH = 1_000
MIN_EVENT_RETENTION = timedelta(days=31)
"""Stripe lists events, and sends one again, for up to 30 days
(https://docs.stripe.com/webhooks#manual-retries): an event that it can send must be known still,
or it would take effect twice."""


class Upkeep:
    """Expires holds, tells of grants that are about to expire, and forgets what is old."""

    def __init__(
        self,
        store: Store,
        credits_: Credits,
        *,
        payload_retention: timedelta,
        event_retention: timedelta = MIN_EVENT_RETENTION,
    ) -> None:
        self._store = store
        self._credits = credits_
        self._payload_retention = payload_retention
        self._event_retention = max(event_retention, payload_retention, MIN_EVENT_RETENTION)

    async def run(self) -> None:
        """Do it for ever. An outage of the database is waited out."""
        sweeps = 0
        while True:
            try:
                await self.expire_holds()
                await self._credits.send_notices()
                if sweeps % PRUNE_EVERY_SWEEPS == 0:
                    await self.prune()
            except Exception:
                logger.exception("upkeep was interrupted; it goes on")
            sweeps += 1
            await anyio.sleep(SWEEP_SECONDS)

    async def expire_holds(self) -> int:
        """End the holds whose time is over; returns how many."""
        expired = await self._credits.expire_holds()
        if expired:
            logger.info("%d holds expired; their credits returned", expired)
        return expired

    async def prune(self) -> int:
        """Delete what need not be remembered any longer; returns how many rows that were."""
        pruned = 0
        while True:
            batch = await self._store.write(
                lambda tx: (
                    tx.ledger.prune_receipts(tx.now() - timedelta(days=RECEIPT_DAYS), PRUNE_BATCH)
                    + tx.request_keys.prune(tx.now() - timedelta(days=RECEIPT_DAYS), PRUNE_BATCH)
                    + tx.requests.prune(tx.now() - self._payload_retention, PRUNE_BATCH)
                    + tx.inbox.purge_payloads(tx.now() - self._payload_retention, PRUNE_BATCH)
                    + tx.desk.prune(tx.now() - self._event_retention, PRUNE_BATCH)
                    + tx.outbox.prune(tx.now() - self._payload_retention, PRUNE_BATCH)
                )
            )
            pruned += batch
            if batch == 0:
                return pruned
