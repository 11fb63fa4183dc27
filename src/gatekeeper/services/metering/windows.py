"""Sealed windows of usage: each is told to Stripe once, under an identifier of its own; what can't
be billed is a dead letter, for people to retry or to discard."""

import hashlib
import logging
from typing import Final

from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.services.outbox import tell
from gatekeeper.storage.metering import UsageWindow, WindowStatus
from gatekeeper.storage.port import Store, Transaction

logger = logging.getLogger("gatekeeper.metering")

_OPEN: Final = (WindowStatus.PENDING, WindowStatus.DEAD)


def identifier_of(customer: str, meter: str, window_id: str) -> str:
    """The identifier of a window's meter event: the same whoever works it out."""
    parts = repr((customer, meter, window_id)).encode()
    return f"gatekeeper-{hashlib.sha256(parts).hexdigest()}"


def log_dead(window: UsageWindow) -> None:
    """Say that usage will not be billed unless somebody does something about it."""
    logger.error(
        "%d of meter %s of customer %s can't be billed (%s): %s",
        window.quantity,
        window.meter,
        window.customer,
        window.identifier,
        window.last_error,
    )


def reject(tx: Transaction, identifier: str, code: str, message: str) -> bool:
    """Note that Stripe took a window's meter event and could not use it: a dead letter, told as
    `usage.rejected`. False if there is no such window, or it was given up before."""
    window = tx.metering.window(identifier, lock=True)
    if window is None or window.status not in (WindowStatus.SENT, WindowStatus.PENDING):
        logger.warning("Stripe could not use the meter event %s (%s)", identifier[:100], code[:100])
        return False
    reason = f"rejected by Stripe ({code}): {message}"
    dead = replace(
        window,
        status=WindowStatus.DEAD,
        sent_at=window.sent_at or tx.now(),
        leased_until=None,
        last_error=reason,
    )
    tx.metering.save_window(dead)
    body = {
        "meter": window.meter,
        "quantity": window.quantity,
        "identifier": identifier,
        "code": code,
        "reason": message,
    }
    tell(tx, "usage.rejected", window.customer, body, tx.now())
    tx.after_commit(lambda: log_dead(dead))
    return True


def was_rejected(window: UsageWindow) -> bool:
    """Whether Stripe had the window's meter event and could not use it."""
    return window.status is WindowStatus.DEAD and window.sent_at is not None


class UsageWindows:
    """The sealed windows, for people: to see, to retry, to discard."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(
        self,
        *,
        status: WindowStatus | None = None,
        customer: str | None = None,
        meter: str | None = None,
        limit: int = 100,
    ) -> list[UsageWindow]:
        """Windows by their state, the earliest first."""
        return list(
            await self._store.read(
                lambda tx: tx.metering.windows(
                    status=status, customer=customer, meter=meter, limit=limit
                )
            )
        )

    async def retry(self, identifier: str) -> UsageWindow:
        """Have a dead window sent again; returns what is sent: the window, or, if Stripe had it and
        rejected it, a further one of the same usage. Stripe knows its identifier, and would take
        it for delivered.

        Raises:
            NotFoundError: there is no dead window of this identifier.
        """
        return await self._change(identifier, WindowStatus.PENDING, (WindowStatus.DEAD,))

    async def discard(self, identifier: str) -> UsageWindow:
        """Never bill a window that was not sent.

        Raises:
            NotFoundError: there is no pending or dead window of this identifier.
        """
        return await self._change(identifier, WindowStatus.DISCARDED, _OPEN)

    async def _change(
        self, identifier: str, status: WindowStatus, only: tuple[WindowStatus, ...]
    ) -> UsageWindow:
        def work(tx: Transaction) -> UsageWindow:
            window = tx.metering.window(identifier, lock=True)
            if window is None or window.status not in only:
                wanted = " or ".join(only)
                raise NotFoundError(f"There is no {wanted} window {identifier!r}.")
            changed = replace(
                window, status=status, due_at=tx.now(), tried_at=None, leased_until=None
            )
            if status is WindowStatus.PENDING and was_rejected(window):
                return _told_anew(tx, window)
            tx.metering.save_window(changed)
            return changed

        return await self._store.write(work)


def _told_anew(tx: Transaction, window: UsageWindow) -> UsageWindow:
    """A further window for the usage of one that Stripe has rejected, which is over."""
    sequence = tx.metering.windows_at(window.customer, window.meter, window.start)
    window_id = f"{window.id.partition('/')[0]}/{sequence}"
    identifier = identifier_of(window.customer, window.meter, window_id)
    tx.metering.save_window(
        replace(
            window,
            status=WindowStatus.DISCARDED,
            last_error=f"{window.last_error}; told anew as {identifier}",
        )
    )
    now = tx.now()
    anew = UsageWindow(
        customer=window.customer,
        meter=window.meter,
        id=window_id,
        start=window.start,
        at=window.at,
        quantity=window.quantity,
        identifier=identifier,
        status=WindowStatus.PENDING,
        created_at=now,
        due_at=now,
    )
    tx.metering.add_window(anew)
    return anew
