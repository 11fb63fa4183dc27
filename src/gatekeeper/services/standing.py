"""An account as it stands: with all that is due, and without what has expired.

Grants materialise lazily (DESIGN section 5): the command that first needs them writes them, in its
own transaction; whoever only looks sees them without writing anything.
"""

from collections.abc import Callable
from datetime import datetime

from gatekeeper.entitlements import allotment
from gatekeeper.errors import CustomerNotFoundError, HoldNotFoundError
from gatekeeper.ledger import (
    Account,
    AccountCommand,
    Change,
    Extend,
    Hold,
    HoldCommand,
    apply,
    refresh,
    settle,
)
from gatekeeper.services import customers, usage
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


def moment(tx: Transaction, account: Account) -> datetime:
    """The present moment for an account: never before its last entry, whatever the clock does."""
    now, last = tx.now(), account.last_entry_at
    return now if last is None else max(now, last)


def up_to_date(tx: Transaction, rules: Rules, account: Account, now: datetime) -> Account:
    """Write what is due or has expired in a locked account; returns it as it then is."""
    change = refreshed(tx, rules, account, now)
    if change.account != account:
        tx.ledger.save(account, change)
    return change.account


def settled(
    tx: Transaction, rules: Rules, hold: Hold, command_at: Callable[[datetime], HoldCommand]
) -> Change:
    """Lock a hold's account, bring it up to date, and carry out a command on the hold.

    A customer who was deleted has nothing more due, but what was held for them can be settled.

    Raises:
        HoldNotFoundError, and what the engine raises; nothing changes.
        CustomerNotFoundError: more is to be held for a customer who was deleted.
    """
    account = tx.ledger.account(hold.customer, hold.unit, lock=True)
    now = moment(tx, account)
    found = tx.ledger.find_hold(hold.id, customer=hold.customer)  # as it is under the lock
    if found is None:
        raise HoldNotFoundError(f"Hold {hold.id!r} is not known.", hold=hold.id)
    command = command_at(now)
    try:
        account = up_to_date(tx, rules, account, now)
    except CustomerNotFoundError:
        if isinstance(command, Extend) and command.add_amount:
            raise
    change = settle(account, found, command, now)
    tx.ledger.save(account, change)
    usage.record(tx, change)
    return change


def carry_out(tx: Transaction, account: Account, command: AccountCommand, now: datetime) -> Change:
    """Ask the engine, and write what it says."""
    change = apply(account, command, now)
    tx.ledger.save(account, change)
    return change
