"""Grants as targets: what each window should have received, less what it has.

Granting the difference makes every path to it safe to repeat: a duplicate event, a deploy or two
racing requests find nothing left to give, and an upgrade gives just the rest.
"""

from datetime import datetime

import msgspec

from gatekeeper.ledger.draft import Draft, adjoins
from gatekeeper.ledger.values import Account, Change, GrantKind, LiveGrant, Received


class Target(msgspec.Struct, frozen=True):
    """What one window of one series should have received by now.

    `series` names the recurring grant (one subscription item's credits, say); `key` names its
    window, or is the series itself for what is given once. `amount` None means no bound, and is
    valid only where `mints`. `expires_at` already includes the renewal grace.
    """

    series: str
    key: str
    amount: int | None
    kind: GrantKind = GrantKind.PLAN
    window_start: datetime | None = None
    window_end: datetime | None = None
    expires_at: datetime | None = None
    priority: int = 0
    rollover: int | None = 0
    on_cancel: str = "expire"
    mints: bool = False
    meter: str | None = None


class Allotment(msgspec.Struct, frozen=True):
    """The targets of one account that are due by now, and the series that will never renew.

    Targets of one series are in window order. Where unused credits roll over, the windows that
    went by since the account's last entry are among them, so that a customer who was away for
    three months has what daily use of the service would have left. Suspended series keep what they
    have granted, but make nothing new without bound.
    """

    targets: tuple[Target, ...] = ()
    ended: frozenset[str] = frozenset()
    suspended: frozenset[str] = frozenset()


def refresh(account: Account, allotment: Allotment, now: datetime) -> Change:
    """Bring an account up to `now`: grant what is due, expire what has expired.

    Runs before every command, in its transaction; running it again changes nothing. Targets come
    first, since a new window takes over what the last one may carry into it. A series only moves
    forward: a window before the latest one that was granted, or on another grid with the same
    start, gives nothing, since the later one has taken its place.
    """
    draft = Draft(account, now)
    for target in allotment.targets:
        _materialise(draft, target)
    for grant in tuple(draft.grants.values()):
        if _has_ended(grant, allotment.ended, draft.now):
            if grant.series not in allotment.ended:
                draft.remember_left(grant)
            draft.expire_grant(grant.id)
        elif grant.mints:
            draft.pause(grant.id, paused=grant.series in allotment.suspended)
    draft.forget_received_until(draft.now)
    return draft.change()


def _has_ended(grant: LiveGrant, ended: frozenset[str], now: datetime) -> bool:
    if grant.expires_at is not None and grant.expires_at <= now:
        return True
    if grant.series is None or grant.series not in ended:
        return False
    if grant.on_cancel == "expire":
        return True
    return grant.window_end is not None and grant.window_end <= now  # no renewal, so no grace


def _materialise(draft: Draft, target: Target) -> None:
    received = draft.received.get(target.key)
    already = 0
    if received is not None:
        if received.amount is None:
            return
        already = received.amount
        if target.amount is not None and already >= target.amount:
            return  # a lower target never takes back: a downgrade waits for the next window
    elif _is_overtaken(draft, target):
        return
    else:
        carried = _close_earlier_windows(draft, target)
        if carried:
            draft.add_grant(_live(target, draft, "rollover", carried), GrantKind.ROLLOVER, carried)
    forgotten_at = None if target.window_end is None else target.expires_at
    draft.received[target.key] = Received(
        target.amount,
        forgotten_at,
        target.series,
        target.window_start,
        target.window_end,
        0 if received is None else received.left,
    )
    amount = None if target.amount is None else target.amount - already
    if amount != 0:
        draft.add_grant(_live(target, draft, str(already), amount), target.kind, amount)


def _is_overtaken(draft: Draft, target: Target) -> bool:
    latest = draft.latest_start(target.series)
    return latest is not None and target.window_start is not None and target.window_start <= latest


def _close_earlier_windows(draft: Draft, target: Target) -> int:
    """End what earlier windows of the series have left; return how much of it is carried over.

    A window that ended before this one starts (there was none between, for want of coverage) has
    nothing to hand over. What had expired before this one was paid for is handed over all the same:
    whether somebody looked at the account in between makes no difference.
    """
    left = draft.take_left(target.series, target.window_start)
    for grant in tuple(draft.grants.values()):
        if grant.series == target.series:
            left += grant.remaining if adjoins(grant.window_end, target.window_start) else 0
            draft.expire_grant(grant.id)
    return left if target.rollover is None else min(left, target.rollover)


def _live(target: Target, draft: Draft, suffix: str, amount: int | None) -> LiveGrant:
    """The grant of one step of a target; its id is derived, so that it needs no chance."""
    mints = target.mints and suffix != "rollover"
    return LiveGrant(
        id=f"{target.key}/{suffix}",
        remaining=0 if mints or amount is None else amount,
        created_at=draft.now,
        priority=target.priority,
        expires_at=target.expires_at,
        series=target.series,
        window_key=target.key,
        window_end=target.window_end,
        on_cancel=target.on_cancel,
        mints=mints,
        mint_left=amount if mints else None,
        meter=target.meter,
    )
