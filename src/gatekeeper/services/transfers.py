"""What is owed to sellers, and how far it has come."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypedDict, Unpack

import msgspec
from msgspec.structs import replace

from gatekeeper.catalog import find_currency
from gatekeeper.errors import (
    IdempotencyConflictError,
    InvalidInputError,
    NotFoundError,
)
from gatekeeper.services import customers
from gatekeeper.services.back_office.mandates import Change, Mandate, act, carry_out
from gatekeeper.services.backoff import after_failures
from gatekeeper.services.once import write_once
from gatekeeper.services.outbox import tell
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.paybacks import Payback
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.transfers import Transfer, TransferStatus
from gatekeeper.types import check_amount, check_id, check_limit

logger = logging.getLogger("gatekeeper.stripe")

FAILED: Final = "transfer.failed"
"""The topic of the signal."""

_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_FIRST_SECONDS: Final = 60.0
_LONGEST_SECONDS: Final = 6 * 3_600.0


class Owed(TypedDict):
    """What is owed; see `Gatekeeper.owe_transfer`."""

    customer: str
    charge_id: str
    destination: str
    amount_minor: int
    currency: str


def owing(transfer_id: str, **owed: Unpack[Owed]) -> Callable[[Transaction], Transfer]:
    """What notes, in its transaction, that a part of a charge is owed to a seller; it is sent soon
    after the commit, once, however often that is noted. What is wrong with it is told at once.

    Raises:
        InvalidIdError, InvalidAmountError.
        InvalidInputError: Stripe takes no such currency.
        CustomerNotFoundError: in the transaction: the customer was erased.
        IdempotencyConflictError: in the transaction: this id is of another charge, seller or
            amount.
    """
    check_id(transfer_id, "transfer")
    check_id(owed["customer"], "customer")
    check_id(owed["charge_id"], "charge")
    check_id(owed["destination"], "destination")
    check_amount(owed["amount_minor"], "The amount of a transfer")
    if find_currency(owed["currency"]) is None:
        raise InvalidInputError("The currency must be one that Stripe takes, such as 'eur'.")

    def work(tx: Transaction) -> Transfer:
        if tx.audit.is_erased(owed["customer"]):
            raise customers.deleted(owed["customer"])
        now = tx.now()
        wanted = Transfer(
            id=transfer_id, status=TransferStatus.OWED, created_at=now, due_at=now, **owed
        )
        if tx.transfers.insert(wanted):
            return wanted
        known = tx.transfers.get(transfer_id)
        if known is None or _asked(known) != _asked(wanted):
            raise IdempotencyConflictError(f"Transfer {transfer_id!r} is of something else.")
        return known

    return work


def note_sent(tx: Transaction, transfer_id: str, sent: Mapping[str, Any]) -> None:
    """Note what Stripe has made of a transfer."""
    known = tx.transfers.get(transfer_id, lock=True)
    if known is None or known.status is TransferStatus.SENT:
        return
    done = replace(
        known,
        status=TransferStatus.SENT,
        transfer_id=sent["id"],
        sent_at=tx.now(),
        last_error=None,
    )
    tx.transfers.save(done)


def note_refused(tx: Transaction, transfer_id: str, error: str) -> None:
    """Note that Stripe has refused a transfer: it is told once, and tried again later."""
    known = tx.transfers.get(transfer_id, lock=True)
    if known is None or known.status in (TransferStatus.SENT, TransferStatus.DISCARDED):
        return
    attempts = known.attempts + 1
    now = tx.now()
    failed = replace(
        known,
        status=TransferStatus.FAILED,
        attempts=attempts,
        due_at=now + after_failures(attempts, _FIRST_SECONDS, _LONGEST_SECONDS),
        last_error=error,
    )
    tx.transfers.save(failed)
    if known.status is TransferStatus.OWED:
        logger.error("transfer %s to %s was refused: %s", known.id, known.destination, error)
        body = {
            "transfer": known.id,
            "charge": known.charge_id,
            "destination": known.destination,
            "amount_minor": known.amount_minor,
            "currency": known.currency,
            "error": error,
        }
        tell(tx, FAILED, known.customer, body, now)


def note_copy(tx: Transaction, copy: MirrorObject, now: datetime) -> None:
    """Note what of a transfer was reversed, as its copy says: an amount in all, not a step."""
    known = tx.transfers.by_stripe_id(copy.id)
    if known is None:
        return
    locked = tx.transfers.get(known.id, lock=True)
    taken = msgspec.json.decode(copy.facts, type=dict[str, Any]).get("amount_reversed") or 0
    if locked is not None and locked.reversed_minor != taken:
        tx.transfers.save(replace(locked, reversed_minor=taken))


def unsent(
    tx: Transaction, limit: int, after: tuple[str, datetime, str] | None = None
) -> Sequence[Transfer]:
    """What was not sent yet: what Stripe has refused first, and of each the oldest first. `after`
    is the status, the instant of noting and the id of the last of the page before."""
    place = None if after is None else after[1:]
    if after is not None and after[0] != TransferStatus.FAILED:
        return tx.transfers.listed(TransferStatus.OWED, limit, place)
    failed = tx.transfers.listed(TransferStatus.FAILED, limit, place)
    return [*failed, *tx.transfers.listed(TransferStatus.OWED, limit - len(failed))]


def retry(tx: Transaction, transfer_id: str) -> Transfer:
    """Let a transfer that has failed, or was discarded, be tried at once.

    Raises:
        NotFoundError: there is none of this id, or it was sent.
    """
    known = tx.transfers.get(transfer_id, lock=True)
    if known is None or known.status is TransferStatus.SENT:
        raise NotFoundError(f"There is no transfer {transfer_id!r} that was not sent.")
    status = TransferStatus.FAILED if known.attempts else TransferStatus.OWED
    due = replace(known, status=status, due_at=tx.now())
    tx.transfers.save(due)
    return due


def discard(tx: Transaction, transfer_id: str) -> Transfer:
    """Say that a transfer is not to be sent. One that is on its way counts as sent if it arrives.

    Raises:
        NotFoundError: there is none of this id, or it was sent.
    """
    known = tx.transfers.get(transfer_id, lock=True)
    if known is None or known.status is TransferStatus.SENT:
        raise NotFoundError(f"There is no transfer {transfer_id!r} that was not sent.")
    # Due never: releases that know of no discarded transfers don't send it either.
    discarded = replace(known, status=TransferStatus.DISCARDED, due_at=_NEVER)
    tx.transfers.save(discarded)
    return discarded


def _asked(transfer: Transfer) -> tuple[str, str, str, int, str]:
    return (
        transfer.customer,
        transfer.charge_id,
        transfer.destination,
        transfer.amount_minor,
        transfer.currency,
    )


def _shown(transfer: Transfer) -> dict[str, Any]:
    return {"status": transfer.status, "due_at": transfer.due_at}


class TransferDesk:
    """What is owed to the sellers of one gate."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def owe(
        self, transfer_id: str, *, session: object = None, **owed: Unpack[Owed]
    ) -> Transfer:
        """See `owing`. `session` is the host's open transaction, which it is then a part of.

        Raises:
            HostTransactionError: see `Store.join`.
        """
        work = owing(transfer_id, **owed)
        return await write_once(self._store, owed["customer"], work, session)

    def owe_in(self, session: object, transfer_id: str, **owed: Unpack[Owed]) -> Transfer:
        """As `owe`, in a synchronous host's own transaction and on its own thread."""
        return self._store.join_sync(session).run(owing(transfer_id, **owed))

    async def unsent(
        self, limit: int, after: tuple[str, datetime, str] | None = None
    ) -> Sequence[Transfer]:
        """See the function `unsent`.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_limit(limit)
        return await self._store.read(lambda tx: unsent(tx, limit, after))

    async def retry(self, transfer_id: str) -> Transfer:
        """See the function `retry`."""
        return await self._store.write(lambda tx: retry(tx, transfer_id))

    async def discard(self, transfer_id: str) -> Transfer:
        """See the function `discard`."""
        return await self._store.write(lambda tx: discard(tx, transfer_id))

    async def retry_by(self, mandate: Mandate, transfer_id: str) -> Transfer:
        """As `retry`, with who asks for it, and why, in the record of the back office."""
        return await self._changed(mandate, "transfer.retry", transfer_id, retry)

    async def discard_by(self, mandate: Mandate, transfer_id: str) -> Transfer:
        """As `discard`, with who asks for it, and why, in the record of the back office."""
        return await self._changed(mandate, "transfer.discard", transfer_id, discard)

    async def _changed(
        self,
        mandate: Mandate,
        kind: str,
        transfer_id: str,
        change: Callable[[Transaction, str], Transfer],
    ) -> Transfer:
        def effect(tx: Transaction) -> Change:
            known = tx.transfers.get(transfer_id)
            done = change(tx, transfer_id)
            return Change(
                before=None if known is None else _shown(known),
                after=_shown(done),
                subject=f"transfer/{transfer_id}",
                customer=done.customer,
            )

        check_id(transfer_id, "transfer")
        await carry_out(self._store, act(mandate, kind, transfer=transfer_id), effect)
        found = await self._store.read(lambda tx: tx.transfers.get(transfer_id))
        if found is None:
            raise NotFoundError(f"There is no transfer {transfer_id!r}.")
        return found

    async def unmade_paybacks(
        self, limit: int = 100, after: tuple[datetime, str] | None = None
    ) -> Sequence[Payback]:
        """What sellers are to give back of orders and did not yet, the oldest first; `after` is the
        instant of noting and the id of the last of the page before.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_limit(limit)
        return await self._store.read(lambda tx: tx.paybacks.unmade(limit, after))

    async def listed(
        self,
        status: TransferStatus,
        limit: int = 100,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[Transfer]:
        """The transfers of a status, the oldest first; `after` is the instant of noting and the id
        of the last of the page before.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_limit(limit)
        return await self._store.read(lambda tx: tx.transfers.listed(status, limit, after))
