"""An account as it stands: with all that is due, and without what has expired.

Grants materialise lazily (DESIGN section 5): the command that first needs them writes them, in its
own transaction; whoever only looks sees them without writing anything. How long that holds good is
kept in the account, so that the next commands need not look.
"""

from datetime import datetime

from msgspec.structs import replace

from gatekeeper.entitlements import CustomerState, allotment
from gatekeeper.errors import CustomerNotFoundError
from gatekeeper.ledger import (
    Account,
    Allotment,
    Change,
    Fresh,
    next_turn,
    refresh,
)
from gatekeeper.services import customers
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.overdue import end_overdue, has_due_holds
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction


def is_fresh(account: Account, rules: Rules, version: int | None, now: datetime) -> bool:
    """Whether bringing the account up to date would change nothing, holds that are due aside."""
    fresh = account.fresh
    return (
        fresh is not None
        and fresh.version == version
        and fresh.rules == rules.key
        and (fresh.until is None or now < fresh.until)
    )


def make_ready(tx: Transaction, rules: Rules, desk: Desk, version: int | None) -> None:
    """End the overdue holds of a locked account and grant what is due.

    `version` is the customer's; None if they are not known, or were deleted: then nothing more is
    due, and `desk.refusal` says so.
    """
    if has_due_holds(desk.account, desk.now):
        end_overdue(tx, rules, desk)
    if is_fresh(desk.account, rules, version, desk.now):
        return
    customer = desk.key[0]
    try:
        if version is None:
            customers.ensure(tx, customer)
        state = customers.state_of(tx, customer)
    except CustomerNotFoundError as error:
        desk.refusal = error
        tx.audit.drop_unused(customer)  # locking has made a row of somebody who is no customer
        return
    desk.now = max(desk.now, state.created_at)  # a customer who was made known just now
    due = _due(state, rules, desk.account, desk.now)
    change = refresh(desk.account, due, desk.now, policy=rules.policy_of(desk.key[1]))
    if change.account != desk.account:
        desk.take(change)
    frozen = next((one.reason for one in tx.freezes.of(customer) if one.lifted_at is None), None)
    desk.be_fresh(_fresh(state, rules, due, desk.account, desk.now, frozen))


def as_it_stands(tx: Transaction, rules: Rules, account: Account, now: datetime) -> Change:
    """What bringing the account up to date would change; nothing is written.

    Raises:
        CustomerNotFoundError: the customer was deleted.
    """
    state = customers.state_of(tx, account.customer)
    now = max(now, state.created_at)  # of somebody unknown: this very moment
    due = _due(state, rules, account, now)
    return refresh(account, due, now, policy=rules.policy_of(account.unit))


def brought_up(
    state: CustomerState,
    rules: Rules,
    account: Account,
    now: datetime,
    *,
    frozen: str | None = None,
) -> Account:
    """The account of a customer of this state as `make_ready` would leave it, overdue holds aside;
    nothing is written."""
    if is_fresh(account, rules, state.version, now):
        return account
    due = _due(state, rules, account, now)
    after = refresh(account, due, now, policy=rules.policy_of(account.unit)).account
    return replace(after, fresh=_fresh(state, rules, due, after, now, frozen))


def _due(state: CustomerState, rules: Rules, account: Account, now: datetime) -> Allotment:
    return allotment(
        state,
        rules.default_terms,
        account.unit,
        rules.policy,
        since=account.last_entry_at,
        now=now,
        terms_of=rules.terms_of,
        calendar_windows=rules.catalog.calendar_windows,
    )


def _fresh(
    state: CustomerState,
    rules: Rules,
    due: Allotment,
    account: Account,
    now: datetime,
    frozen: str | None,
) -> Fresh:
    turns = [turn for turn in (due.until, next_turn(account, now)) if turn is not None]
    return Fresh(state.version, rules.key, min(turns, default=None), dict(due.formulas), frozen)
