"""An account as it stands: with all that is due, and without what has expired.

Grants materialise lazily (DESIGN section 5): the command that first needs them writes them, in its
own transaction; whoever only looks sees them without writing anything.
"""

from datetime import datetime

from gatekeeper.entitlements import allotment
from gatekeeper.ledger import Account, AccountCommand, Change, apply, refresh
from gatekeeper.services import customers
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction


def refreshed(tx: Transaction, rules: Rules, account: Account, now: datetime) -> Change:
    """What bringing the account up to date changes; nothing is written.

    Raises:
        CustomerNotFoundError: the customer was deleted.
    """
    due = allotment(
        customers.state_of(tx, account.customer),
        rules.default_terms,
        account.unit,
        rules.policy,
        since=account.last_entry_at,
        now=now,
        terms_of=rules.terms_of,
        calendar_windows=rules.catalog.calendar_windows,
    )
    return refresh(account, due, now)


def up_to_date(tx: Transaction, rules: Rules, account: Account, now: datetime) -> Account:
    """Write what is due or has expired in a locked account; returns it as it then is."""
    change = refreshed(tx, rules, account, now)
    if change.account != account:
        tx.ledger.save(account, change)
    return change.account


def carry_out(tx: Transaction, account: Account, command: AccountCommand, now: datetime) -> Change:
    """Ask the engine, and write what it says."""
    change = apply(account, command, now)
    tx.ledger.save(account, change)
    return change
