"""Holds of an account whose time is over: ended before anybody is refused for want of them."""

from datetime import datetime
from functools import partial
from typing import Final

from gatekeeper.ledger import Account, Expire, holds_swept, paths_of
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.telemetry import metrics

SWEEP_BATCH: Final = 200
"""How many overdue holds of an account one transaction ends."""


def has_due_holds(account: Account, now: datetime) -> bool:
    """Whether an open hold may be overdue. An account that was never brought up to date by this
    release may have holds that nothing is noted of."""
    if account.fresh is None:
        return account.held > 0
    return account.holds_due_at is not None and account.holds_due_at <= now


def end_overdue(tx: Transaction, rules: Rules, desk: Desk) -> None:
    """End the holds whose time is over, and note when the next one's will be."""
    customer, unit = desk.key
    overdue = tx.ledger.expired_holds(desk.now, SWEEP_BATCH, customer=customer, unit=unit)
    scopes = {path for hold in overdue for path in paths_of(hold.scope)}
    if scopes:  # what comes back has its place in their caps again
        desk.add_scoped(tx.ledger.caps(customer, unit, scopes))
    before = desk.expired
    for hold in overdue:
        if hold.id not in desk.posting.changed:
            desk.settle(hold, Expire())
            desk.expired += 1
    if ended := desk.expired - before:
        tx.after_commit(partial(rules.telemetry.count, metrics.HOLDS_EXPIRED, amount=ended))
    if len(overdue) < SWEEP_BATCH:
        earliest = tx.ledger.next_hold_expiry(customer, unit, after=desk.now)
        desk.take(holds_swept(desk.account, earliest))
