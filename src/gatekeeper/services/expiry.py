"""Holds whose time is over: ended by a sweep, or before it by whoever needs their credits."""

from gatekeeper.errors import HoldEndedError
from gatekeeper.ledger import Expire, HoldStatus
from gatekeeper.services.rules import Rules
from gatekeeper.services.standing import settled
from gatekeeper.storage.port import Transaction

SWEEP_BATCH = 200
"""How many expired holds one transaction ends, and one look finds."""


def overdue_accounts(tx: Transaction) -> list[tuple[str, str]]:
    """The customer and unit of holds whose time is over, the oldest first."""
    holds = tx.ledger.expired_holds(tx.now(), SWEEP_BATCH)
    return list(dict.fromkeys((hold.customer, hold.unit) for hold in holds))


def expire_account(tx: Transaction, rules: Rules, customer: str, unit: str) -> int:
    """End the overdue holds of one account; returns how many.

    One account in each transaction: a locked or damaged one keeps no other waiting.
    """
    ended = 0
    while overdue := tx.ledger.expired_holds(tx.now(), SWEEP_BATCH, customer=customer, unit=unit):
        before = ended
        for hold in overdue:
            try:
                change = settled(tx, rules, hold, lambda now: Expire())
            except HoldEndedError:  # somebody else ended it while we waited for the lock
                continue
            ended += change.hold is not None and change.hold.status is HoldStatus.EXPIRED
        if ended == before:
            break
    return ended
