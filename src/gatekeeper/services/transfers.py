"""What is owed to sellers, and how far it has come: plain functions over a transaction."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gatekeeper.errors import ConflictError, NotFoundError
from gatekeeper.services.backoff import after_failures
from gatekeeper.services.outbox import tell
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.transfers import Transfer, TransferStatus
from gatekeeper.types import check_amount, check_id

logger = logging.getLogger("gatekeeper.stripe")

FAILED: Final = "transfer.failed"
"""The topic of the signal."""

_FIRST_SECONDS: Final = 60.0
_LONGEST_SECONDS: Final = 6 * 3_600.0


def owe(
    tx: Transaction,
    transfer_id: str,
    *,
    customer: str,
    charge_id: str,
    destination: str,
    amount_minor: int,
    currency: str,
) -> Transfer:
    """Note that a part of a charge that was paid is owed to a seller; it is sent soon after the
    commit, once, however often that is noted.

    Raises:
        ConflictError: this id is owed to somebody else, or is of another amount.
        InvalidIdError, InvalidAmountError.
    """
    check_id(transfer_id, "transfer")
    check_amount(amount_minor, "The amount of a transfer")
    now = tx.now()
    wanted = Transfer(
        id=transfer_id,
        customer=check_id(customer, "customer"),
        charge_id=charge_id,
        destination=destination,
        amount_minor=amount_minor,
        currency=currency,
        status=TransferStatus.OWED,
        created_at=now,
        due_at=now,
    )
    if tx.transfers.insert(wanted):
        return wanted
    known = tx.transfers.get(transfer_id)
    if known is None or _asked(known) != _asked(wanted):
        raise ConflictError(f"Transfer {transfer_id!r} is of something else.")
    return known


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
    if known is None or known.status is TransferStatus.SENT:
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


def retry(tx: Transaction, transfer_id: str) -> Transfer:
    """Let a transfer that has failed be tried at once.

    Raises:
        NotFoundError: there is none of this id, or it was sent.
    """
    known = tx.transfers.get(transfer_id, lock=True)
    if known is None or known.status is TransferStatus.SENT:
        raise NotFoundError(f"There is no transfer {transfer_id!r} that was not sent.")
    due = replace(known, due_at=tx.now())
    tx.transfers.save(due)
    return due


def _asked(transfer: Transfer) -> tuple[str, str, str, int, str]:
    return (
        transfer.customer,
        transfer.charge_id,
        transfer.destination,
        transfer.amount_minor,
        transfer.currency,
    )
