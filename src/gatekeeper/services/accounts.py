"""Credits, as plain functions over a transaction: lock, bring up to date, ask the engine, save.

Each function locks one account, so that commands on it come one after the other; what the engine
refuses is raised and the transaction rolls back with nothing changed.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from gatekeeper.errors import DuplicateGrantError, HoldNotFoundError
from gatekeeper.ledger import (
    Balance,
    Capture,
    Change,
    Extend,
    Grant,
    GrantCredits,
    Hold,
    HoldCommand,
    Overrun,
    Receipt,
    Release,
    Reserve,
    balance_of,
    check_replay,
    fingerprint,
)
from gatekeeper.services import customers, expiry
from gatekeeper.services.reserving import ReserveRequest, check_ttl, earlier_hold
from gatekeeper.services.rules import Rules
from gatekeeper.services.standing import carry_out, moment, refreshed, settled, up_to_date
from gatekeeper.storage.port import Transaction
from gatekeeper.types import check_amount, check_id

__all__ = [
    "ReserveRequest",
    "balance",
    "capture",
    "capture_all",
    "extend",
    "grant",
    "release",
    "reserve",
]


def reserve(tx: Transaction, rules: Rules, request: ReserveRequest) -> Hold:
    """Make a hold, or return the one that the same request has made before.

    Raises:
        UnknownNameError: the catalogue has no such unit or cost: refused, never free.
        InvalidAmountError, InvalidIdError: see `ReserveRequest.check`.
        CreditsRequiredError, DebtOutstandingError: see the engine.
        IdempotencyConflictError, AlreadySettledError: the key was used before.
        CustomerNotFoundError: the customer was deleted.
    """
    cost = rules.catalog.cost_of(request.name)
    amount = cost.amount_for(check_amount(request.quantity, "The quantity"))
    request.check()
    customers.ensure(tx, request.customer)
    account = tx.ledger.account(request.customer, cost.unit_key, lock=True)
    now = moment(tx, account)
    earlier = earlier_hold(tx, request, now)
    if earlier is not None:
        return earlier
    # The sweep ends overdue holds too, but nobody should be refused, or billed for overage, for
    # want of a sweep.
    if expiry.expire_account(tx, rules, account.customer, account.unit):
        account = tx.ledger.account(account.customer, account.unit, lock=True)
    account = up_to_date(tx, rules, account, now)
    command = Reserve(
        hold_id=request.hold_id,
        amount=amount,
        expires_at=now + (request.ttl or rules.hold_ttl),
        partial=request.partial,
        cost_numerator=cost.numerator,
        cost_denominator=cost.denominator,
        actor=request.actor,
        feature=request.feature or request.name,
        reference=request.reference,
    )
    hold = _hold_of(carry_out(tx, account, command, now))
    if request.idempotency_key is not None:
        tx.ledger.put_receipt(
            Receipt(
                request.customer,
                request.idempotency_key,
                request.fingerprint(),
                hold.id,
                now,
            )
        )
    return hold


def capture(
    tx: Transaction,
    rules: Rules,
    hold_id: str,
    amount: int | None = None,
    *,
    overrun: Overrun = "refuse",
    customer: str | None = None,
) -> Hold:
    """Spend `amount` of a hold (None: all of it) and give the rest back.

    Raises:
        HoldNotFoundError, HoldEndedError, OverrunError: nothing changes.
    """
    command = Capture(amount=amount, overrun=overrun)
    return _settle(tx, rules, hold_id, customer, lambda now: command)


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


def release(tx: Transaction, rules: Rules, hold_id: str, *, customer: str | None = None) -> Hold:
    """Give a hold back unspent.

    Raises:
        HoldNotFoundError, HoldEndedError: nothing changes.
    """
    return _settle(tx, rules, hold_id, customer, lambda now: Release())


def extend(
    tx: Transaction,
    rules: Rules,
    hold_id: str,
    ttl: timedelta,
    *,
    add_amount: int = 0,
    customer: str | None = None,
) -> Hold:
    """Keep a hold for `ttl` from now, and claim `add_amount` more.

    Raises:
        HoldNotFoundError, HoldEndedError, CreditsRequiredError: nothing changes.
    """
    check_ttl(ttl)
    return _settle(
        tx,
        rules,
        hold_id,
        customer,
        lambda now: Extend(expires_at=now + ttl, add_amount=add_amount),
    )


def grant(
    tx: Transaction,
    rules: Rules,
    customer: str,
    unit: str,
    command: GrantCredits,
    *,
    idempotency_key: str | None = None,
) -> Grant:
    """Add a grant. One with a `source_key` that has been granted before is returned as it is.

    Raises:
        DuplicateGrantError: that purchase has granted something else.
        IdempotencyConflictError: the key was used for another request.
        UnknownNameError, InvalidAmountError, CustomerNotFoundError.
    """
    rules.catalog.unit(unit)
    check_amount(command.amount, "The amount of a grant")
    customers.ensure(tx, customer)
    account = tx.ledger.account(customer, unit, lock=True)
    wanted = fingerprint(
        "grant",
        unit=unit,
        amount=command.amount,
        kind=command.kind,
        reason=command.reason,
        priority=command.priority,
        expires_at=command.expires_at,
        actor=command.actor,
    )
    if idempotency_key is not None:
        receipt = tx.ledger.receipt(customer, check_id(idempotency_key, "idempotency key"))
        if receipt is not None:
            return msgspec.json.decode(check_replay(receipt, wanted), type=Grant)
    if command.source_key is not None:
        given = tx.ledger.grant_by_source(command.source_key)
        if given is not None:
            return _same_grant(given, customer, unit, command)
    now = moment(tx, account)
    account = up_to_date(tx, rules, account, now)
    change = carry_out(tx, account, command, now)
    made = change.grants[0]
    if idempotency_key is not None:
        result = msgspec.json.encode(made).decode()
        tx.ledger.put_receipt(Receipt(customer, idempotency_key, wanted, result, now))
    return made


def balance(tx: Transaction, rules: Rules, customer: str, unit: str) -> Balance:
    """The account as a command would find it now, with all that is due; nothing is written.

    Raises:
        UnknownNameError, CustomerNotFoundError.
    """
    rules.catalog.unit(unit)
    check_id(customer, "customer")
    now = tx.now()
    account = tx.ledger.account(customer, unit, lock=False)
    return balance_of(refreshed(tx, rules, account, now).account, now)


def _settle(
    tx: Transaction,
    rules: Rules,
    hold_id: str,
    customer: str | None,
    command_at: Callable[[datetime], HoldCommand],
) -> Hold:
    found = tx.ledger.find_hold(check_id(hold_id, "hold"), customer=customer)
    if found is None:
        raise HoldNotFoundError(f"Hold {hold_id!r} is not known.", hold=hold_id)
    return _hold_of(settled(tx, rules, found, command_at))


def _same_grant(given: Grant, customer: str, unit: str, command: GrantCredits) -> Grant:
    if (given.customer, given.unit, given.amount) != (customer, unit, command.amount):
        raise DuplicateGrantError(
            f"{command.source_key!r} has already granted {given.amount} {given.unit} "
            f"to {given.customer!r}.",
            source=command.source_key,
        )
    return given


def _hold_of(change: Change) -> Hold:
    if change.hold is None:
        raise AssertionError("The engine returns the hold of every command on a hold.")
    return change.hold
