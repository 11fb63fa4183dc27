"""Holds whose time is over: ended by a sweep, one account in each transaction, so that a locked or
damaged one keeps no other waiting."""

from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.commands import ExpireCommand
from gatekeeper.services.ledger.overdue import SWEEP_BATCH
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction


def overdue_accounts(tx: Transaction) -> list[tuple[str, str]]:
    """The customer and unit of holds whose time is over, the oldest first."""
    holds = tx.ledger.expired_holds(tx.now(), SWEEP_BATCH)
    return list(dict.fromkeys((hold.customer, hold.unit) for hold in holds))


def expire_account(tx: Transaction, rules: Rules, customer: str, unit: str) -> int:
    """End the overdue holds of one account, at most SWEEP_BATCH of them; returns how many."""
    return carry_out(tx, rules, ExpireCommand((customer, unit)))
