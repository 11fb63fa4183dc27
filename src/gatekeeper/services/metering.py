"""Metered usage: recorded as it happens, sealed into windows, told to Stripe from those.

Where usage is recorded nothing is read and nothing is added up: it is one INSERT. A window is
sealed once it is over and a grace for stragglers has passed. What comes later still, a correction
or a late row, is sealed as a further window of its own: what Stripe was told never changes.
"""

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import anyio
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from gatekeeper.errors import (
    ConflictError,
    IdempotencyConflictError,
    InvalidAmountError,
    InvalidIdError,
    InvalidInputError,
    NotFoundError,
    StoreUnavailableError,
)
from gatekeeper.services.outbox import tell
from gatekeeper.services.rules import Rules
from gatekeeper.services.usage import OVERAGE_PREFIX
from gatekeeper.storage.joined import refuse_joined
from gatekeeper.storage.metering import Usage, UsageWindow, WindowStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import MAX_AMOUNT, Clock, check_amount, check_id

logger = logging.getLogger("gatekeeper.metering")

WindowLength = Literal["hour", "minute"]
"""How long the windows are that usage is put together in."""

MAX_AGE: Final = timedelta(days=35)
"""The oldest usage that Stripe takes, and how far ahead of its clock it may be:
https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api"""
MAX_AHEAD: Final = timedelta(minutes=5)

SWEEP_SECONDS: Final = 30.0
_AT_ONCE: Final = 500
_LENGTHS: Final = {"hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
_OPEN: Final = (WindowStatus.PENDING, WindowStatus.DEAD)


class UsageRecorder:
    """Records usage of the catalogue's meters.

    The clock is the process's own: asking the database for the time would be a second statement.
    """

    def __init__(self, store: Store, rules: Rules, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    async def record(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        usage_id: str | None = None,
        at: datetime | None = None,
        correction: bool = False,
        session: object = None,
    ) -> str:
        """Record that a customer has used `quantity` of a meter; returns the usage's id.

        Args:
            usage_id: the same id of a customer and meter counts once; None makes a new one.
            at: when it was used; now, if None.
            correction: `quantity` may be below zero.
            session: the host's open transaction, which it is then a part of.

        Raises:
            UnknownNameError: the catalogue has no such meter.
            InvalidIdError, InvalidAmountError.
            InvalidInputError: `at` has no time zone, or is more than 5 minutes ahead.
            IdempotencyConflictError: the id was used for another quantity or moment.
        """
        work = self.work_of(
            customer, meter, quantity, usage_id=usage_id, at=at, correction=correction
        )
        if session is not None:
            async with self._store.join(session) as joined:
                return await joined.run(work)
        refuse_joined(self._store, customer)
        try:
            return await self._store.write(work)
        except StoreUnavailableError as error:
            if error.params.get("outcome") != "unknown":
                raise
            return await self._store.write(work)  # under the same id: it counts once

    def record_in(
        self,
        session: object,
        customer: str,
        meter: str,
        quantity: int,
        *,
        usage_id: str | None = None,
        at: datetime | None = None,
        correction: bool = False,
    ) -> str:
        """As `record`, in a synchronous host's own transaction and on its own thread."""
        return self._store.join_sync(session).run(
            self.work_of(customer, meter, quantity, usage_id=usage_id, at=at, correction=correction)
        )

    def work_of(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        usage_id: str | None = None,
        at: datetime | None = None,
        correction: bool = False,
    ) -> Callable[[Transaction], str]:
        """What `record` does in its transaction; the errors of what is asked come at once."""
        row = self._row(customer, meter, quantity, usage_id, at, correction=correction)

        def work(tx: Transaction) -> str:
            if not tx.metering.record([row]):
                _check_same(tx.metering.recorded(row.customer, meter, row.id), row, at)
            return row.id

        return work

    def _row(
        self,
        customer: str,
        meter: str,
        quantity: int,
        usage_id: str | None,
        at: datetime | None,
        *,
        correction: bool,
    ) -> Usage:
        self._rules.catalog.meter(meter)
        check_id(customer, "customer")
        check_amount(quantity, "quantity", minimum=-MAX_AMOUNT if correction else 1)
        if quantity == 0:
            raise InvalidAmountError("A correction by zero says nothing.")
        if usage_id is not None and check_id(usage_id, "usage").startswith(OVERAGE_PREFIX):
            raise InvalidIdError(f"Ids of usage that begin with {OVERAGE_PREFIX!r} are reserved.")
        now = self._clock()
        if at is not None and at.tzinfo is None:
            raise InvalidInputError("The moment of usage needs a time zone.")
        if at is not None and at > now + MAX_AHEAD:
            raise InvalidInputError("The usage is more than 5 minutes in the future.")
        return Usage(
            customer=customer,
            meter=meter,
            id=usage_id or str(uuid7()),
            quantity=quantity,
            at=now if at is None else at.astimezone(UTC),
            received_at=now,
        )


def _check_same(stored: Usage | None, row: Usage, at: datetime | None) -> None:
    """What was recorded under the id before must be the same."""
    same = stored is not None and stored.quantity == row.quantity
    if not same or (at is not None and stored is not None and stored.at != row.at):
        raise IdempotencyConflictError(f"Usage {row.id!r} was recorded before, as another one.")


class Sealer:
    """Seals windows that are over. Several may run at once.

    Args:
        grace: how long after a window's end it is sealed: rows that come later are a further
            window, which costs one more meter event and nothing else.
    """

    def __init__(self, store: Store, *, length: WindowLength, grace: timedelta) -> None:
        self._store = store
        self._length = _LENGTHS[length]
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


TOO_OLD: Final = "too old: Stripe takes usage of the last 35 days only"


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
