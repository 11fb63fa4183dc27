"""What is done to an account by hand or by a purchase: grants, clawbacks, revocations, caps."""

from datetime import datetime

import msgspec

from gatekeeper.errors import InvalidAmountError
from gatekeeper.ledger.burn import allocate
from gatekeeper.ledger.commands import Clawback, GrantCredits, Revoke, SetCap
from gatekeeper.ledger.draft import Draft
from gatekeeper.ledger.moves import (
    add_grant,
    repay_without_bound,
    revoke_grant,
    take,
    take_pending,
)
from gatekeeper.ledger.values import Account, Cap, Change, EntryKind, LiveGrant, UnitPolicy
from gatekeeper.types import check_amount


def grant(account: Account, command: GrantCredits, now: datetime, policy: UnitPolicy) -> Change:
    """Add a grant: spendable at once, or from its effective date on."""
    amount = check_amount(command.amount, "The amount of a grant")
    draft = Draft(
        account,
        now,
        policy,
        actor=command.actor,
        reference=command.source_key,
        metadata=command.metadata,
    )
    starts_at, expires_at = command.effective_at, command.expires_at
    if starts_at is not None and expires_at is not None and expires_at <= starts_at:
        raise InvalidAmountError("A grant must expire after it begins.")
    is_pending = starts_at is not None and starts_at > draft.now
    live = LiveGrant(
        id=command.grant_id,
        remaining=0 if is_pending else amount,
        created_at=draft.now,
        priority=command.priority,
        expires_at=expires_at,
        pending=amount if is_pending else 0,
        starts_at=starts_at if is_pending else None,
    )
    add_grant(
        draft,
        live,
        command.kind,
        amount,
        source_key=command.source_key,
        reason=command.reason,
    )
    return draft.change()


def claw_back(account: Account, command: Clawback, now: datetime, policy: UnitPolicy) -> Change:
    """Take back, from its own grant first; what can't be found becomes debt."""
    left = check_amount(command.amount, "The amount of a clawback")
    draft = Draft(account, now, policy, actor=command.actor, reference=command.reference)
    own = draft.grants.get(command.grant_id or "")
    if own is not None:
        if own.pending:
            taken = min(left, own.pending)
            take_pending(draft, own.id, taken)
            left -= taken
        left = _take_from([own], draft, left)
    left = _take_from([one for one in account.grants if one.id != command.grant_id], draft, left)
    if left:
        draft.post(EntryKind.DEBT, debt=left)
        repay_without_bound(draft)
    return draft.change()


def _take_from(grants: list[LiveGrant], draft: Draft, amount: int) -> int:
    for one, taken in allocate((g for g in grants if not g.mints), amount, draft.now):
        take(draft, one.id, taken, EntryKind.CLAWBACK)
        amount -= taken
    return amount


def revoke(account: Account, command: Revoke, now: datetime, policy: UnitPolicy) -> Change:
    """End a grant now. One that is used up, or was ended before, is left as it is."""
    reason = command.reason
    note = None if reason is None else msgspec.json.encode({"reason": reason}).decode()
    draft = Draft(account, now, policy, actor=command.actor, metadata=note)
    found = draft.grants.get(command.grant_id)
    if found is not None and not found.lapses:
        revoke_grant(draft, found.id)
    return draft.change()


def set_cap(
    account: Account, command: SetCap, now: datetime, policy: UnitPolicy, scoped: tuple[Cap, ...]
) -> Change:
    """Set, change or lift a cap of the host's; see `Budget.set_host`."""
    draft = Draft(account, now, policy, scoped, actor=command.actor)
    draft.with_budget().set_host(command.every, command.limit, command.scope, command.used)
    return draft.change()
