"""Holds: made, extended, captured in parts or in full, released, expired. Each ends once."""

from msgspec.structs import replace

from gatekeeper.errors import InvalidAmountError, OverrunError
from gatekeeper.ledger.burn import burn_order
from gatekeeper.ledger.caps import check_scope
from gatekeeper.ledger.claims import claim, use_beyond
from gatekeeper.ledger.commands import Capture, Extend, Reserve
from gatekeeper.ledger.draft import Draft
from gatekeeper.ledger.moves import capture_from, give_back
from gatekeeper.ledger.returns import place
from gatekeeper.ledger.values import Allocation, Change, EntryKind, Hold, HoldStatus
from gatekeeper.types import check_amount


def reserve(draft: Draft, command: Reserve) -> Change:
    """Make a hold.

    Raises:
        InvalidAmountError, InvalidIdError: what is asked for can't be.
        CreditsRequiredError, DebtOutstandingError: see `claims.claim`.
    """
    wanted = check_amount(command.amount, "The amount of a hold")
    if command.expires_at <= draft.now:
        raise InvalidAmountError("A hold must end after it begins.")
    scope = check_scope(command.scope)
    allocations = claim(draft, command.hold_id, wanted, scope, partial=command.partial)
    amount = 0
    for allocation in allocations:
        amount += allocation.amount
    hold = Hold(
        command.hold_id,
        draft.account.customer,
        draft.account.unit,
        amount,
        allocations,
        draft.now,
        command.expires_at,
        cost_numerator=command.cost_numerator,
        cost_denominator=command.cost_denominator,
        actor=command.actor,
        feature=command.feature,
        reference=command.reference,
        scope=scope,
        metadata=command.metadata,
        formula=command.formula,
    )
    return draft.change(hold)


def capture(draft: Draft, hold: Hold, command: Capture) -> Change:
    """Spend of a hold, and beyond it by the declared policy.

    It ends with a final capture, which gives back the rest, and with one that takes all there is.

    Raises:
        InvalidAmountError: the amount is not a whole number from 0 on.
        OverrunError: it is more than is left of the hold, and the policy is to refuse that.
    """
    left = hold.amount - hold.captured
    amount = command.amount
    if amount is None:
        amount = left
    else:
        check_amount(amount, "The amount of a capture", minimum=0)
    if amount > left:
        return _overrun(draft, hold, command, amount - left)
    if command.final or amount == left:
        return end(draft, hold, HoldStatus.CAPTURED, EntryKind.RELEASE, spent=amount)
    if not amount:
        return Change(draft.account, hold=hold)
    rest = _spend(draft, hold, amount)
    return draft.change(replace(hold, captured=hold.captured + amount, allocations=rest))


def _overrun(draft: Draft, hold: Hold, command: Capture, excess: int) -> Change:
    """Spend all of a hold, and see to what was used beyond it: never silence (hard case 56)."""
    left = hold.amount - hold.captured
    if command.overrun == "refuse":
        raise OverrunError(
            f"Hold {hold.id!r} has {left} {hold.unit} left; {left + excess} can't be captured "
            "from it.",
            hold=hold.id,
            held=left,
            requested=left + excess,
        )
    _spend(draft, hold, left)
    found = 0
    if command.overrun == "overage":
        found = use_beyond(draft, hold.id, excess, hold.scope)
        if found < excess:
            draft.post(EntryKind.DEBT, debt=excess - found, hold_id=hold.id)
    ended = replace(
        hold,
        amount=hold.amount + found,
        captured=hold.amount + found,
        overrun=hold.overrun + excess - found,
        status=HoldStatus.CAPTURED,
        ended_at=draft.now,
    )
    return draft.change(ended)


def _spend(draft: Draft, hold: Hold, amount: int) -> tuple[Allocation, ...]:
    """Spend the first of what a hold claims; returns what it goes on claiming."""
    rest: list[Allocation] = []
    for allocation in hold.allocations:
        spent = min(amount, allocation.amount)
        if spent:
            amount -= spent
            capture_from(draft, allocation.grant_id, spent, hold.id)
        if spent < allocation.amount:
            rest.append(Allocation(allocation.grant_id, allocation.amount - spent))
    return tuple(rest)


def end(draft: Draft, hold: Hold, status: HoldStatus, back: EntryKind, *, spent: int = 0) -> Change:
    """End a hold: spend the first of what it claims, and give the rest back to its grants."""
    rest = _spend(draft, hold, spent) if spent else hold.allocations
    unspent = 0
    for allocation in rest:
        amount = allocation.amount
        unspent += amount
        late = give_back(draft, allocation.grant_id, amount, hold.id, back)
        if late:
            place(draft, allocation.grant_id, late)
    if unspent and draft.budget is not None:
        draft.budget.give_back(unspent, hold.scope, hold.created_at)
    captured = hold.captured + spent
    return draft.change(replace(hold, status=status, captured=captured, ended_at=draft.now))


def expire(draft: Draft, hold: Hold) -> Change:
    """End a hold whose time is over; one that was extended since somebody looked stays."""
    if hold.expires_at > draft.now:
        return Change(draft.account, hold=hold)
    return end(draft, hold, HoldStatus.EXPIRED, EntryKind.HOLD_EXPIRED)


def extend(draft: Draft, hold: Hold, command: Extend) -> Change:
    """Keep a hold for longer, and claim more for it, which must be there.

    Raises:
        InvalidAmountError, CreditsRequiredError, DebtOutstandingError: as for a reserve.
    """
    allocations, amount = hold.allocations, hold.amount
    if command.add_amount:
        wanted = check_amount(command.add_amount, "The amount to extend a hold by")
        added = claim(draft, hold.id, wanted, hold.scope, partial=False)
        allocations = _merged(draft, allocations + added)
        amount += wanted
    expires_at = max(hold.expires_at, command.expires_at)
    if amount == hold.amount and expires_at == hold.expires_at:
        return Change(draft.account, hold=hold)
    return draft.change(
        replace(hold, amount=amount, allocations=allocations, expires_at=expires_at)
    )


def _merged(draft: Draft, allocations: tuple[Allocation, ...]) -> tuple[Allocation, ...]:
    """One allocation for each grant, in burn order: what is paid for is spent before overage."""
    amounts: dict[str, int] = {}
    for allocation in allocations:
        amounts[allocation.grant_id] = amounts.get(allocation.grant_id, 0) + allocation.amount
    ordered = burn_order(grant for grant in draft.grants.values() if grant.id in amounts)
    return tuple(Allocation(grant.id, amounts[grant.id]) for grant in ordered)
