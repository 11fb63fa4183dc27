"""How credits move: into a grant, from a grant to a hold, back, away. Each move leaves entries."""

from msgspec.structs import replace

from gatekeeper.errors import DuplicateGrantError
from gatekeeper.ledger.burn import has_expired, is_boundless
from gatekeeper.ledger.draft import Draft
from gatekeeper.ledger.values import EntryKind, Grant, GrantKind, LiveGrant, OverageUse

# -- grants ---------------------------------------------------------------------------------------


def add_grant(
    draft: Draft,
    live: LiveGrant,
    kind: GrantKind,
    amount: int | None,
    *,
    source_key: str | None = None,
    reason: str | None = None,
) -> None:
    """Add a grant; what is owed is repaid from it first (DESIGN invariant 2).

    Raises:
        DuplicateGrantError: the account holds a grant of this id. (One that is used up is not seen
            here; the store refuses it.)
    """
    if live.id in draft.grants:
        raise DuplicateGrantError(f"There is a grant {live.id!r} already.", grant=live.id)
    record = Grant(
        id=live.id,
        customer=draft.account.customer,
        unit=draft.account.unit,
        kind=kind,
        amount=amount,
        created_at=draft.now,
        expires_at=live.expires_at,
        source_key=source_key,
        actor=draft.actor,
        reason=reason,
        effective_at=live.starts_at,
        priority=live.priority,
        metadata=draft.metadata,
    )
    draft.record(live, record)
    if live.remaining:
        draft.post(EntryKind.GRANT, live.remaining, grant_id=live.id)
        repay(draft, live.id, live.remaining)


def add_to(draft: Draft, grant_id: str, amount: int) -> None:
    """Add what came back to a grant that holds such."""
    grant = draft.find(grant_id)
    draft.put(replace(grant, remaining=grant.remaining + amount))
    draft.post(EntryKind.GRANT, amount, grant_id=grant_id)


def begin(draft: Draft, grant_id: str) -> None:
    """Make what was pending of a grant spendable."""
    grant = draft.find(grant_id)
    draft.put(replace(grant, remaining=grant.pending, pending=0, starts_at=None))
    draft.post(EntryKind.GRANT, grant.pending, grant_id=grant_id)
    repay(draft, grant_id, grant.pending)


def end_grant(draft: Draft, grant_id: str, *, lapses: bool = False) -> None:
    """End a grant: what it has left is lost; what holds claim stays with them until they end.

    With `lapses` that is lost as well when it comes back, whatever the unit's policy is.
    """
    grant = draft.find(grant_id)
    if grant.remaining:
        draft.post(EntryKind.GRANT_EXPIRED, -grant.remaining, grant_id=grant_id)
    _end(draft, grant, lapses=lapses)


def revoke_grant(draft: Draft, grant_id: str) -> None:
    """End a grant on purpose, whether it has begun or not."""
    grant = draft.find(grant_id)
    draft.post(EntryKind.GRANT_REVOKED, -grant.remaining, grant_id=grant_id)
    _end(draft, grant, lapses=True)


def _end(draft: Draft, grant: LiveGrant, *, lapses: bool) -> None:
    over = has_expired(grant, draft.now)
    ended = replace(
        grant,
        remaining=0,
        pending=0,
        mint_left=0 if grant.mints else None,
        expires_at=grant.expires_at if over else draft.now,
        lapses=grant.lapses or lapses,
    )
    if ended != grant:
        draft.put(ended)


def pause(draft: Draft, grant_id: str, *, paused: bool) -> None:
    """Let a minting grant make nothing for now, or go on."""
    grant = draft.find(grant_id)
    if grant.paused is not paused:
        draft.put(replace(grant, paused=paused))


# -- holds ----------------------------------------------------------------------------------------


def hold_from(draft: Draft, grant_id: str, amount: int, hold_id: str) -> None:
    """Claim `amount` of a grant for a hold; a minting grant makes it first."""
    grant = draft.find(grant_id)
    if grant.mints:
        draft.post(EntryKind.MINT, amount, 0, 0, grant_id, hold_id)
        left = None if grant.mint_left is None else grant.mint_left - amount
        draft.put(replace(grant, held=grant.held + amount, mint_left=left))
    else:
        draft.put(replace(grant, remaining=grant.remaining - amount, held=grant.held + amount))
    draft.post(EntryKind.HOLD, 0, amount, 0, grant_id, hold_id)


def capture_from(draft: Draft, grant_id: str, amount: int, hold_id: str) -> None:
    """Spend `amount` of what a hold has claimed of a grant."""
    grant = draft.find(grant_id)
    draft.put(replace(grant, held=grant.held - amount))
    sequence = draft.post(EntryKind.CAPTURE, -amount, -amount, 0, grant_id, hold_id)
    if grant.meter is not None:
        draft.bill(OverageUse(grant.meter, amount, sequence))


def give_back(draft: Draft, grant_id: str, amount: int, hold_id: str, kind: EntryKind) -> int:
    """Return `amount` of a hold to its grant; what is owed is repaid from it first.

    Returns:
        How much of it a grant has got whose time is over: it can't stay there.
    """
    grant = draft.find(grant_id)
    draft.post(kind, 0, -amount, 0, grant_id, hold_id)
    if grant.mints:
        draft.post(EntryKind.UNMINT, -amount, 0, 0, grant_id, hold_id)
        left = None if grant.mint_left is None else grant.mint_left + amount
        draft.put(replace(grant, held=grant.held - amount, mint_left=left))
        return 0
    draft.put(replace(grant, remaining=grant.remaining + amount, held=grant.held - amount))
    if draft.debt:
        amount -= repay(draft, grant_id, amount)
    return amount if has_expired(grant, draft.now) else 0


# -- away -----------------------------------------------------------------------------------------


def take(draft: Draft, grant_id: str, amount: int, kind: EntryKind) -> None:
    """Take `amount` away out of what a grant has left."""
    grant = draft.find(grant_id)
    draft.put(replace(grant, remaining=grant.remaining - amount))
    draft.post(kind, -amount, grant_id=grant_id)


def take_pending(draft: Draft, grant_id: str, amount: int) -> None:
    """Claw `amount` back out of what a grant will have: so much of it is given now, and taken."""
    grant = draft.find(grant_id)
    draft.put(replace(grant, pending=grant.pending - amount))
    draft.post(EntryKind.GRANT, amount, grant_id=grant_id)
    draft.post(EntryKind.CLAWBACK, -amount, grant_id=grant_id)


def repay(draft: Draft, grant_id: str, amount: int) -> int:
    """Repay what is owed out of `amount` that has just become spendable; returns how much."""
    repaid = min(draft.debt, amount)
    if repaid:
        grant = draft.find(grant_id)
        draft.put(replace(grant, remaining=grant.remaining - repaid))
        draft.post(EntryKind.DEBT_REPAID, -repaid, 0, -repaid, grant_id)
    return repaid


def repay_without_bound(draft: Draft) -> None:
    """Repay all that is owed, if a grant makes as much as anybody asks for.

    It would make that much for any hold; and since nothing is ever given to such an account, the
    debt would refuse its holds for ever.
    """
    if not draft.debt:
        return
    for grant in draft.grants.values():
        if is_boundless(grant, draft.now):
            owed = draft.debt
            draft.post(EntryKind.MINT, owed, grant_id=grant.id)
            draft.post(EntryKind.DEBT_REPAID, -owed, 0, -owed, grant.id)
            return
