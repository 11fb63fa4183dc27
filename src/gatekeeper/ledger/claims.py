"""Claims: whether there is enough, in the balance and in every cap, and which grants it is of."""

from gatekeeper.errors import CreditsFrozenError, CreditsRequiredError, DebtOutstandingError
from gatekeeper.ledger.burn import allocate, spendable
from gatekeeper.ledger.caps import Headroom
from gatekeeper.ledger.draft import Draft
from gatekeeper.ledger.moves import capture_from, hold_from
from gatekeeper.ledger.values import Allocation


def claim(
    draft: Draft, hold_id: str, wanted: int, scope: str, *, partial: bool
) -> tuple[Allocation, ...]:
    """Claim `wanted` for a hold, in burn order: all of it, or with `partial` what there is.

    Raises:
        CreditsFrozenError: the customer's credits are frozen.
        DebtOutstandingError: something is owed.
        CreditsRequiredError: there is not enough, in the balance or under a cap.
    """
    fresh = draft.account.fresh
    if fresh is not None and fresh.frozen is not None:
        # Why is for the host's people (`gate.freezes`): it may warn who is being looked at.
        raise CreditsFrozenError(unit=draft.account.unit)
    if draft.debt:
        raise DebtOutstandingError(
            f"{draft.debt} {draft.account.unit} are owed after a refund and have to be repaid "
            "first.",
            unit=draft.account.unit,
            debt=draft.debt,
        )
    most, tightest = wanted, None
    if draft.budget is not None:
        tightest = draft.budget.tightest(scope)
        if tightest is not None:
            most = min(wanted, max(tightest.room, 0))
    shares = allocate(draft.grants.values(), most, draft.now)
    found = 0
    for grant, amount in shares:
        found += amount
        hold_from(draft, grant.id, amount, hold_id)
    if found < wanted and not (partial and found):
        raise _refusal(draft, wanted, tightest)
    if draft.budget is not None:
        draft.budget.count(found, scope)
    return tuple([Allocation(grant.id, amount) for grant, amount in shares])


def use_beyond(draft: Draft, hold_id: str, excess: int, scope: str) -> int:
    """Spend what a hold's work has used beyond it, as far as there is anything; returns how much.

    It has been used, so neither debt nor a cap stands in its way; the caps count all of it.
    """
    shares = allocate(draft.grants.values(), excess, draft.now)
    for grant, amount in shares:
        hold_from(draft, grant.id, amount, hold_id)
        capture_from(draft, grant.id, amount, hold_id)
    if draft.budget is not None:
        draft.budget.count(excess, scope)
    return sum(amount for _, amount in shares)


def _refusal(draft: Draft, wanted: int, tightest: Headroom | None) -> CreditsRequiredError:
    """The smallest headroom decides; a balance goes before a cap that has as much left."""
    unit = draft.account.unit
    there = spendable(draft.account, draft.now)
    if tightest is None or (there is not None and there <= tightest.room):
        return CreditsRequiredError(
            f"{wanted} {unit} are needed and {there} are there.",
            unit=unit,
            required=wanted,
            available=there,
            limited_by="balance",
        )
    cap = tightest.cap
    room = max(tightest.room, 0)
    whose = f"{cap.scope!r} has" if cap.scope else "There is"
    return CreditsRequiredError(
        f"{wanted} {unit} are needed. {whose} a cap of {cap.limit} every {cap.every}, "
        f"of which {room} are left until {cap.window_end.isoformat()}.",
        unit=unit,
        required=wanted,
        available=room,
        limited_by="cap",
        cap_every=cap.every,
        cap_scope=cap.scope,
        cap_limit=cap.limit,
        resets_at=cap.window_end.isoformat(),
    )
