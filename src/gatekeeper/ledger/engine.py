"""The ledger engine: every rule about credits is decided here, once, for every store.

`apply(account, command, now)` and `settle(account, hold, command, now)` are pure: they return all
that changes, or raise and change nothing. The caller has locked the account and brought it up to
date with `allotments.refresh`. After TigerBeetle's two-phase transfers
(https://docs.tigerbeetle.com/coding/two-phase-transfers/): a hold is pending until it is captured,
released or expired, exactly once.
"""

from datetime import datetime

from msgspec.structs import replace

from gatekeeper.errors import (
    CreditsRequiredError,
    DebtOutstandingError,
    HoldEndedError,
    InvalidAmountError,
    OverrunError,
)
from gatekeeper.ledger.burn import allocate, burn_order, spendable
from gatekeeper.ledger.commands import (
    AccountCommand,
    Capture,
    Clawback,
    Expire,
    Extend,
    GrantCredits,
    HoldCommand,
    Release,
    Reserve,
)
from gatekeeper.ledger.draft import Draft
from gatekeeper.ledger.values import (
    Account,
    Allocation,
    Change,
    EntryKind,
    Hold,
    HoldStatus,
    LiveGrant,
)
from gatekeeper.types import check_amount


def apply(account: Account, command: AccountCommand, now: datetime) -> Change:
    """Carry out a command on an account.

    Raises:
        CreditsRequiredError: a reserve asks for more than is there.
        DebtOutstandingError: a reserve while something is owed.
        InvalidAmountError: an amount that is not a whole number from 1 on.
    """
    if isinstance(command, GrantCredits):
        return _grant(account, command, now)
    if isinstance(command, Reserve):
        return _reserve(account, command, now)
    return _claw_back(account, command, now)


def settle(account: Account, hold: Hold, command: HoldCommand, now: datetime) -> Change:
    """Carry out a command on an open hold.

    Raises:
        HoldEndedError: the hold has ended, or its time is over; nothing changes.
        OverrunError: a capture beyond the hold under the policy `refuse`; the hold stays open.
        CreditsRequiredError, DebtOutstandingError: an extension that is not there.
    """
    if hold.status is not HoldStatus.OPEN:
        raise HoldEndedError(
            f"Hold {hold.id!r} was {hold.status} and can't be changed any more.",
            hold=hold.id,
            ended=str(hold.status),
        )
    draft = Draft(account, now, actor=hold.actor, feature=hold.feature, reference=hold.reference)
    if isinstance(command, Expire):
        return _expire(draft, hold)
    if hold.expires_at <= draft.now:
        raise HoldEndedError(
            f"The time of hold {hold.id!r} was over at {hold.expires_at.isoformat()}.",
            hold=hold.id,
            ended=str(HoldStatus.EXPIRED),
        )
    if isinstance(command, Capture):
        return _capture(draft, hold, command)
    if isinstance(command, Release):
        return _end(draft, hold, HoldStatus.RELEASED, EntryKind.RELEASE, captured=0)
    return _extend(account, draft, hold, command)


def _grant(account: Account, command: GrantCredits, now: datetime) -> Change:
    amount = check_amount(command.amount, "The amount of a grant")
    draft = Draft(account, now, actor=command.actor, reference=command.source_key)
    live = LiveGrant(
        id=command.grant_id,
        remaining=amount,
        created_at=draft.now,
        priority=command.priority,
        expires_at=command.expires_at,
    )
    draft.add_grant(
        live, command.kind, amount, source_key=command.source_key, reason=command.reason
    )
    return draft.change()


def _reserve(account: Account, command: Reserve, now: datetime) -> Change:
    wanted = check_amount(command.amount, "The amount of a hold")
    draft = Draft(
        account, now, actor=command.actor, feature=command.feature, reference=command.reference
    )
    if command.expires_at <= draft.now:
        raise InvalidAmountError("A hold must end after it begins.")
    allocations = _claim(account, draft, command.hold_id, wanted, partial=command.partial)
    hold = Hold(
        id=command.hold_id,
        customer=account.customer,
        unit=account.unit,
        amount=sum(allocation.amount for allocation in allocations),
        allocations=allocations,
        created_at=draft.now,
        expires_at=command.expires_at,
        cost_numerator=command.cost_numerator,
        cost_denominator=command.cost_denominator,
        actor=command.actor,
        feature=command.feature,
        reference=command.reference,
    )
    return draft.change(hold)


def _claim(
    account: Account, draft: Draft, hold_id: str, wanted: int, *, partial: bool
) -> tuple[Allocation, ...]:
    if draft.debt:
        raise DebtOutstandingError(
            f"{draft.debt} {account.unit} are owed after a refund and have to be repaid first.",
            unit=account.unit,
            debt=draft.debt,
        )
    shares = tuple(allocate(account.grants, wanted, draft.now))
    found = sum(amount for _, amount in shares)
    if found < wanted and not (partial and found):
        there = spendable(account, draft.now)
        raise CreditsRequiredError(
            f"{wanted} {account.unit} are needed and {there} are there.",
            unit=account.unit,
            required=wanted,
            available=there,
        )
    for grant, amount in shares:
        draft.hold_from(grant.id, amount, hold_id)
    return tuple(Allocation(grant.id, amount) for grant, amount in shares)


def _capture(draft: Draft, hold: Hold, command: Capture) -> Change:
    amount = (
        hold.amount
        if command.amount is None
        else check_amount(command.amount, "The amount of a capture", minimum=0)
    )
    if amount > hold.amount and command.overrun == "refuse":
        raise OverrunError(
            f"Hold {hold.id!r} has {hold.amount} {hold.unit}; {amount} can't be captured from it.",
            hold=hold.id,
            held=hold.amount,
            requested=amount,
        )
    captured = min(amount, hold.amount)
    return _end(
        draft,
        replace(hold, overrun=amount - captured),
        HoldStatus.CAPTURED,
        EntryKind.RELEASE,
        captured=captured,
    )


def _expire(draft: Draft, hold: Hold) -> Change:
    if hold.expires_at > draft.now:
        return draft.change(hold)  # it was extended since somebody looked: nothing to do
    return _end(draft, hold, HoldStatus.EXPIRED, EntryKind.HOLD_EXPIRED, captured=0)


def _end(draft: Draft, hold: Hold, status: HoldStatus, back: EntryKind, *, captured: int) -> Change:
    """End a hold: spend from its first allocations on, and give back the rest to its grants."""
    left = captured
    for allocation in hold.allocations:
        spent = min(left, allocation.amount)
        left -= spent
        if spent:
            draft.capture_from(allocation.grant_id, spent, hold.id)
        if unspent := allocation.amount - spent:
            draft.give_back(allocation.grant_id, unspent, hold.id, back)
    ended = replace(hold, status=status, captured=captured, ended_at=draft.now)
    return draft.change(ended)


def _extend(account: Account, draft: Draft, hold: Hold, command: Extend) -> Change:
    added: tuple[Allocation, ...] = ()
    if command.add_amount:
        wanted = check_amount(command.add_amount, "The amount to extend a hold by")
        added = _claim(account, draft, hold.id, wanted, partial=False)
    return draft.change(
        replace(
            hold,
            amount=hold.amount + sum(allocation.amount for allocation in added),
            allocations=_merged(draft, hold.allocations + added),
            expires_at=max(hold.expires_at, command.expires_at),
        )
    )


def _merged(draft: Draft, allocations: tuple[Allocation, ...]) -> tuple[Allocation, ...]:
    """One allocation for each grant, in burn order: what is paid for is spent before overage."""
    amounts: dict[str, int] = {}
    for allocation in allocations:
        amounts[allocation.grant_id] = amounts.get(allocation.grant_id, 0) + allocation.amount
    ordered = burn_order(grant for grant in draft.grants.values() if grant.id in amounts)
    return tuple(Allocation(grant.id, amounts[grant.id]) for grant in ordered)


def _claw_back(account: Account, command: Clawback, now: datetime) -> Change:
    left = check_amount(command.amount, "The amount of a clawback")
    draft = Draft(account, now, actor=command.actor, reference=command.reference)
    own = [grant for grant in account.grants if grant.id == command.grant_id]
    others = [grant for grant in account.grants if grant.id != command.grant_id]
    for grants in (own, others):
        for grant, taken in allocate((g for g in grants if not g.mints), left, draft.now):
            draft.take(grant.id, taken)
            left -= taken
    if left:
        draft.post(EntryKind.DEBT, debt=left)
    return draft.change()
