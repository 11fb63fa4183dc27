"""The ledger engine: every rule about credits is decided here, once, for every store.

`apply(account, command, now)` and `settle(account, hold, command, now)` are pure: they return all
that changes, or raise and change nothing. The caller has locked the account and brought it up to
date with `allotments.refresh`; `scoped` are the caps of the scopes above the one that is used.
After TigerBeetle's two-phase transfers
(https://docs.tigerbeetle.com/coding/two-phase-transfers/): a hold is pending until it is captured,
released or expired, exactly once.
"""

from datetime import datetime

from gatekeeper.errors import HoldEndedError
from gatekeeper.ledger import holds, manual
from gatekeeper.ledger.commands import (
    AccountCommand,
    Capture,
    Clawback,
    Expire,
    GrantCredits,
    HoldCommand,
    Release,
    Reserve,
    Revoke,
)
from gatekeeper.ledger.draft import NO_POLICY, Draft
from gatekeeper.ledger.values import (
    Account,
    Cap,
    Change,
    EntryKind,
    Hold,
    HoldStatus,
    UnitPolicy,
)


def apply(
    account: Account,
    command: AccountCommand,
    now: datetime,
    *,
    policy: UnitPolicy = NO_POLICY,
    scoped: tuple[Cap, ...] = (),
) -> Change:
    """Carry out a command on an account. A change of nothing has the account itself.

    Raises:
        CreditsRequiredError: a reserve asks for more than is there, or than a cap allows.
        DebtOutstandingError: a reserve while something is owed.
        DuplicateGrantError: there is a grant of this id already.
        InvalidAmountError, InvalidIdError, UnknownNameError: the command asks for what can't be.
    """
    if isinstance(command, Reserve):
        draft = Draft(
            account,
            now,
            policy,
            scoped,
            actor=command.actor,
            feature=command.feature,
            reference=command.reference,
            scope=command.scope,
            metadata=command.metadata,
        )
        return holds.reserve(draft, command)
    if isinstance(command, GrantCredits):
        return manual.grant(account, command, now, policy)
    if isinstance(command, Clawback):
        return manual.claw_back(account, command, now, policy)
    if isinstance(command, Revoke):
        return manual.revoke(account, command, now, policy)
    return manual.set_cap(account, command, now, policy, scoped)


def settle(
    account: Account,
    hold: Hold,
    command: HoldCommand,
    now: datetime,
    *,
    policy: UnitPolicy = NO_POLICY,
    scoped: tuple[Cap, ...] = (),
) -> Change:
    """Carry out a command on an open hold. A change of nothing has the account itself.

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
    draft = Draft(
        account,
        now,
        policy,
        scoped,
        actor=hold.actor,
        feature=hold.feature,
        reference=hold.reference,
        scope=hold.scope,
        metadata=hold.metadata,
    )
    if isinstance(command, Expire):
        return holds.expire(draft, hold)
    if hold.expires_at <= draft.now:
        raise HoldEndedError(
            f"The time of hold {hold.id!r} was over at {hold.expires_at.isoformat()}.",
            hold=hold.id,
            ended=str(HoldStatus.EXPIRED),
        )
    if isinstance(command, Capture):
        return holds.capture(draft, hold, command)
    if isinstance(command, Release):
        return holds.end(draft, hold, HoldStatus.RELEASED, EntryKind.RELEASE)
    return holds.extend(draft, hold, command)
