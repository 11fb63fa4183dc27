"""Usage put together: one window for each customer, meter and hour (or minute).

A window is sealed once it is over and a grace for stragglers has passed. What comes later still, a
correction or a late row, is sealed as a further window of its own: what Stripe was told never
changes.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import anyio
from msgspec.structs import replace

from gatekeeper.errors import ConflictError
from gatekeeper.services.metering.windows import identifier_of, log_dead
from gatekeeper.storage.metering import UsageWindow, WindowStatus
from gatekeeper.storage.port import Store, Transaction

logger = logging.getLogger("gatekeeper.metering")

WindowLength = Literal["hour", "minute"]
"""How long the windows are that usage is put together in."""

MAX_AGE: Final = timedelta(days=35)
"""The oldest usage that Stripe takes:
https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api"""

TOO_OLD: Final = "too old: Stripe takes usage of the last 35 days only"

SWEEP_SECONDS: Final = 30.0
_AT_ONCE: Final = 500
LENGTHS: Final = {"hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
"""How long each is."""


class Sealer:
    """Seals windows that are over. Several may run at once.

    Args:
        grace: how long after a window's end it is sealed: rows that come later are a further
            window, which costs one more meter event and nothing else.
    """

    def __init__(self, store: Store, *, length: WindowLength, grace: timedelta) -> None:
        self._store = store
        self._length = LENGTHS[length]
        self._grace = grace

    async def run(self) -> None:
        """Do it for ever. An outage of the database is waited out."""
        while True:
            try:
                await self.seal_due()
            except Exception:
                logger.exception("sealing usage was interrupted; it goes on")
            await anyio.sleep(SWEEP_SECONDS)

    async def seal_due(self) -> int:
        """Seal all that is over; returns how many windows that were."""
        sealed = 0
        before = self._start_of(await self._store.read(lambda tx: tx.now()) - self._grace)
        while True:
            found = await self._store.read(lambda tx: tx.metering.unsealed(before, _AT_ONCE))
            for one in found:
                start = self._start_of(one.since)
                sealed += await self._seal(one.customer, one.meter, start)
            if not found:
                return sealed

    async def _seal(self, customer: str, meter: str, start: datetime) -> bool:
        def work(tx: Transaction) -> bool:
            sequence = tx.metering.windows_at(customer, meter, start)
            window_id = f"{start:%Y%m%dT%H%MZ}/{sequence}"
            end = start + self._length
            marked = tx.metering.mark(customer, meter, start, end, window_id)
            if marked is None:
                return False
            now = tx.now()
            window = UsageWindow(
                customer=customer,
                meter=meter,
                id=window_id,
                start=start,
                at=marked.at,
                quantity=marked.quantity,
                identifier=identifier_of(customer, meter, window_id),
                status=WindowStatus.PENDING if marked.quantity else WindowStatus.EMPTY,
                created_at=now,
                due_at=now,
            )
            if marked.quantity and marked.at < now - MAX_AGE:
                window = replace(window, status=WindowStatus.DEAD, last_error=TOO_OLD)
            tx.metering.add_window(window)
            if window.status is WindowStatus.DEAD:
                tx.after_commit(lambda: log_dead(window))
            return True

        try:
            return await self._store.write(work)
        except ConflictError:  # somebody else has sealed it meanwhile
            return False

    def _start_of(self, at: datetime) -> datetime:
        """The start of the window that a moment is in, in UTC."""
        at = at.astimezone(UTC)
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + (at - midnight) // self._length * self._length
