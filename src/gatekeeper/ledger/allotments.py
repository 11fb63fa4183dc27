"""Grants as targets: what each window should have received, less what it has.

Granting the difference makes every path to it safe to repeat: a duplicate event, a deploy or two
racing requests find nothing left to give, and an upgrade gives just the rest.
"""

from datetime import datetime

import msgspec

from gatekeeper.formulas import Formula
from gatekeeper.ledger.draft import NO_POLICY, Draft
from gatekeeper.ledger.moves import add_grant, begin, end_grant, pause, repay_without_bound
from gatekeeper.ledger.series import adjoins
from gatekeeper.ledger.values import (
    Account,
    Change,
    GrantKind,
    LiveGrant,
    Received,
    UnitPolicy,
)
from gatekeeper.types import Every


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


class CapTarget(msgspec.Struct, frozen=True):
    """How much of the account may be used in each window of the UTC calendar, by the plans."""

    every: Every
    limit: int


class Allotment(msgspec.Struct, frozen=True):
    """The targets of one account that are due by now, and the series that will never renew.

    Targets of one series are in window order. Where unused credits roll over, the windows that
    went by since the account's last entry are among them, so that a customer who was away for
    three months has what daily use of the service would have left. Suspended series keep what they
    have granted, but make nothing new without bound.

    No later than `until` the same facts may say something else; None is never: it takes an event.
    `caps` are those of the plans in force, and `formulas` their own rates, by the key of the cost.
    """

    targets: tuple[Target, ...] = ()
    ended: frozenset[str] = frozenset()
    suspended: frozenset[str] = frozenset()
    until: datetime | None = None
    caps: tuple[CapTarget, ...] = ()
    formulas: dict[str, Formula] = {}


def refresh(
    account: Account, allotment: Allotment, now: datetime, *, policy: UnitPolicy = NO_POLICY
) -> Change:
    """Bring an account up to `now`: grant what is due, expire what has expired.

    Runs before every command, in its transaction; running it again changes nothing. Targets come
    first, since a new window takes over what the last one may carry into it. A series only moves
    forward: a window before the latest one that was granted, or on another grid with the same
    start, gives nothing, since the later one has taken its place.
    """
    draft = Draft(account, now, policy)
    for target in allotment.targets:
        _materialise(draft, target)
    for grant in tuple(draft.grants.values()):
        _bring_up_to_date(draft, grant, allotment)
    if allotment.ended:
        draft.series.close(allotment.ended)
    if account.received or allotment.targets:
        draft.series.forget_until(draft.now)
    if allotment.caps or account.caps:
        limits = {target.every: target.limit for target in allotment.caps}
        draft.with_budget().set_plan(limits)
    repay_without_bound(draft)
    return draft.change()


def _bring_up_to_date(draft: Draft, grant: LiveGrant, allotment: Allotment) -> None:
    if grant.pending and grant.starts_at is not None and grant.starts_at <= draft.now:
        begin(draft, grant.id)
        grant = draft.find(grant.id)
    if _has_ended(grant, allotment.ended, draft.now):
        is_canceled = grant.series in allotment.ended
        if not is_canceled:
            draft.series.remember_left(grant.window_key, grant.remaining)
        end_grant(draft, grant.id, lapses=is_canceled and grant.on_cancel == "expire")
    elif grant.mints:
        pause(draft, grant.id, paused=grant.series in allotment.suspended)


def _has_ended(grant: LiveGrant, ended: frozenset[str], now: datetime) -> bool:
    if grant.expires_at is not None and grant.expires_at <= now:
        return True
    if grant.series is None or grant.series not in ended:
        return False
    if grant.on_cancel == "expire":
        return True
    return grant.window_end is not None and grant.window_end <= now  # no renewal, so no grace


def _materialise(draft: Draft, target: Target) -> None:
    received = draft.series.get(target.key)
    already, left = 0, 0
    room: int | None = 0
    if received is not None:
        if received.amount is None:
            return
        already, left, room = received.amount, received.left, received.room
        if target.amount is not None and already >= target.amount:
            return  # a lower target never takes back: a downgrade waits for the next window
    elif _is_overtaken(draft, target):
        return
    else:
        carried = _close_earlier_windows(draft, target)
        room = None if target.rollover is None else target.rollover - carried
        if carried:
            live = _live(target, draft, "rollover", carried)
            add_grant(draft, live, GrantKind.ROLLOVER, carried)
    draft.series.put(
        target.key,
        Received(
            target.amount,
            None if target.window_end is None else target.expires_at,
            target.series,
            target.window_start,
            target.window_end,
            left,
            room,
        ),
    )
    amount = None if target.amount is None else target.amount - already
    if amount != 0:
        add_grant(draft, _live(target, draft, str(already), amount), target.kind, amount)


def _is_overtaken(draft: Draft, target: Target) -> bool:
    latest = draft.series.latest_start(target.series)
    return latest is not None and target.window_start is not None and target.window_start <= latest


def _close_earlier_windows(draft: Draft, target: Target) -> int:
    """End what earlier windows of the series have left; return how much of it is carried over.

    A window that ended before this one starts (there was none between, for want of coverage) has
    nothing to hand over. What had expired before this one was paid for is handed over all the same:
    whether somebody looked at the account in between makes no difference.
    """
    left = draft.series.take_left(target.series, target.window_start)
    for grant in tuple(draft.grants.values()):
        if grant.series == target.series:
            left += grant.remaining if adjoins(grant.window_end, target.window_start) else 0
            end_grant(draft, grant.id)
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
