"""Credits inside a transaction that is open already: one command each, waiting for its account.

Whoever calls these shares the transaction: what the engine refuses is raised, and rolls it back.
"""

from collections.abc import Sequence
from datetime import timedelta

from gatekeeper.errors import HoldNotFoundError
from gatekeeper.ledger import Balance, Capture, Grant, GrantCredits, Hold, Overrun, balance_of
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.commands import (
    CaptureCommand,
    ExtendCommand,
    GrantCommand,
    ReleaseCommand,
    ReserveCommand,
)
from gatekeeper.services.ledger.readiness import as_it_stands
from gatekeeper.services.ledger.reserving import ReserveRequest
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.postings import AccountKey
from gatekeeper.types import check_id

__all__ = [
    "ReserveRequest",
    "balance",
    "capture",
    "capture_all",
    "extend",
    "grant",
    "key_of",
    "release",
    "reserve",
]


def reserve(tx: Transaction, rules: Rules, request: ReserveRequest) -> Hold:
    """See `ReserveCommand`."""
    return carry_out(tx, rules, ReserveCommand(rules, request))


def capture(
    tx: Transaction,
    rules: Rules,
    hold_id: str,
    amount: int | None = None,
    *,
    overrun: Overrun = "refuse",
    final: bool = True,
    customer: str | None = None,
    idempotency_key: str | None = None,
) -> Hold:
    """Spend `amount` of a hold (None: all of it) and give the rest back, if it is `final`.

    Raises:
        HoldNotFoundError, HoldEndedError, OverrunError: nothing changes.
    """
    key = key_of(tx, hold_id, customer)
    command = Capture(amount=amount, overrun=overrun, final=final)
    return carry_out(tx, rules, CaptureCommand(key, hold_id, command, idempotency_key))


def capture_all(tx: Transaction, rules: Rules, holds: Sequence[Hold]) -> Sequence[Hold]:
    """Spend several holds in full: all of them, or none if one of them can't be.

    Raises:
        HoldNotFoundError, HoldEndedError: nothing changes.
    """
    ended: dict[str, Hold] = {}
    # In the order of the accounts: whoever locks several does so in this one.
    for hold in sorted(holds, key=lambda hold: (hold.customer, hold.unit, hold.id)):
        ended[hold.id] = capture(tx, rules, hold.id, customer=hold.customer)
    return [ended[hold.id] for hold in holds]


def release(
    tx: Transaction,
    rules: Rules,
    hold_id: str,
    *,
    customer: str | None = None,
    idempotency_key: str | None = None,
) -> Hold:
    """Give a hold back unspent.

    Raises:
        HoldNotFoundError, HoldEndedError: nothing changes.
    """
    key = key_of(tx, hold_id, customer)
    return carry_out(tx, rules, ReleaseCommand(key, hold_id, idempotency_key))


def extend(
    tx: Transaction,
    rules: Rules,
    hold_id: str,
    ttl: timedelta,
    *,
    add_amount: int = 0,
    customer: str | None = None,
    idempotency_key: str | None = None,
) -> Hold:
    """Keep a hold for `ttl` from now, and claim `add_amount` more.

    Raises:
        HoldNotFoundError, HoldEndedError, CreditsRequiredError: nothing changes.
    """
    key = key_of(tx, hold_id, customer)
    return carry_out(tx, rules, ExtendCommand(key, hold_id, ttl, add_amount, idempotency_key))


def grant(
    tx: Transaction,
    rules: Rules,
    customer: str,
    unit: str,
    command: GrantCredits,
    *,
    idempotency_key: str | None = None,
) -> Grant:
    """See `GrantCommand`."""
    return carry_out(tx, rules, GrantCommand(rules, (customer, unit), command, idempotency_key))


def balance(tx: Transaction, rules: Rules, customer: str, unit: str) -> Balance:
    """The account as a command would find it now, with all that is due; nothing is written.

    Raises:
        UnknownNameError, CustomerNotFoundError.
    """
    rules.catalog.unit(unit)
    check_id(customer, "customer")
    now = tx.now()
    account = tx.ledger.account(customer, unit, lock=False)
    return balance_of(as_it_stands(tx, rules, account, now).account, now)


def key_of(tx: Transaction, hold_id: str, customer: str | None) -> AccountKey:
    """The account that a hold belongs to.

    Raises:
        HoldNotFoundError: it is not known.
    """
    found = tx.ledger.find_hold(check_id(hold_id, "hold"), customer=customer)
    if found is None:
        raise HoldNotFoundError(f"Hold {hold_id!r} is not known.", hold=hold_id)
    return found.customer, found.unit
