"""Burn order: which grant is spent first. It is total, so every store and every run agree."""

from collections.abc import Iterable
from datetime import UTC, datetime

from gatekeeper.ledger.values import Account, LiveGrant

_NEVER = datetime.max.replace(tzinfo=UTC)


def burn_order(grants: Iterable[LiveGrant]) -> list[LiveGrant]:
    """Priority (lowest first), then expiry (none last), then creation, then id.

    Overage burns last of all, whatever its priority: nobody pays for more while something that is
    already paid is left.
    """
    found = list(grants)
    if len(found) > 1:
        found.sort(key=_rank)
    return found


def _rank(grant: LiveGrant) -> tuple[bool, int, datetime, datetime, str]:
    return (
        grant.meter is not None,
        grant.priority,
        grant.expires_at or _NEVER,
        grant.created_at,
        grant.id,
    )


def allocate(
    grants: Iterable[LiveGrant], amount: int, now: datetime
) -> list[tuple[LiveGrant, int]]:
    """Split `amount` over the grants in burn order; less, if they hold less."""
    shares: list[tuple[LiveGrant, int]] = []
    for grant in burn_order(grants):
        if not amount:
            break
        if grant.expires_at is not None and grant.expires_at <= now:
            continue
        room = grant.remaining if not grant.mints else headroom(grant)
        taken = amount if room is None or room > amount else room
        if taken:
            shares.append((grant, taken))
            amount -= taken
    return shares


def headroom(grant: LiveGrant) -> int | None:
    """How much a hold could claim of this grant; None is without bound."""
    if grant.mints:
        return 0 if grant.paused else grant.mint_left
    return grant.remaining


def total_headroom(grants: Iterable[LiveGrant]) -> int | None:
    """How much a hold could claim of all these grants; None is without bound."""
    total = 0
    for grant in grants:
        room = headroom(grant)
        if room is None:
            return None
        total += room
    return total


def spendable(account: Account, now: datetime) -> int | None:
    """How much a hold could claim of the account, overage included; None is without bound."""
    return total_headroom(grant for grant in account.grants if not has_expired(grant, now))


def is_boundless(grant: LiveGrant, now: datetime) -> bool:
    """Whether the grant makes as much as anybody asks for, and nobody is billed for it."""
    return (
        grant.mints
        and grant.mint_left is None
        and grant.meter is None
        and not grant.paused
        and not has_expired(grant, now)
    )


def has_expired(grant: LiveGrant, now: datetime) -> bool:
    """Whether the grant's time is over."""
    return grant.expires_at is not None and grant.expires_at <= now
