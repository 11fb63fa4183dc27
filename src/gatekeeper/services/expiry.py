"""Holds whose time is over: ended by a sweep, or before it by whoever needs their credits."""

from collections.abc import Iterable
from datetime import datetime

from gatekeeper.ledger import Account, Expire, Hold, HoldStatus, settle
from gatekeeper.storage.port import Transaction

SWEEP_BATCH = 200
"""How many expired holds one transaction ends."""


def expire_holds(tx: Transaction, limit: int = SWEEP_BATCH) -> int:
    """End holds whose time is over, the oldest first; returns how many."""
    return _expire(tx, tx.ledger.expired_holds(tx.now(), limit))


def expire_overdue(tx: Transaction, account: Account, now: datetime) -> int:
    """End the overdue holds of one account; returns how many."""
    overdue = tx.ledger.expired_holds(
        now, SWEEP_BATCH, customer=account.customer, unit=account.unit
    )
    return _expire(tx, overdue)


def _expire(tx: Transaction, holds: Iterable[Hold]) -> int:
    """Accounts are locked in one order by everybody, so that two sweeps never wait for each other
    in a circle."""
    ordered = sorted(holds, key=lambda hold: (hold.customer, hold.unit, hold.expires_at, hold.id))
    return sum(_expire_one(tx, hold) for hold in ordered)


def _expire_one(tx: Transaction, found: Hold) -> bool:
    account = tx.ledger.account(found.customer, found.unit, lock=True)
    hold = tx.ledger.find_hold(found.id, customer=found.customer)  # as it is under the lock
    if hold is None or hold.status is not HoldStatus.OPEN:
        return False  # somebody else ended it while we waited
    change = settle(account, hold, Expire(), tx.now())
    tx.ledger.save(account, change)
    return change.hold is not None and change.hold.status is HoldStatus.EXPIRED
