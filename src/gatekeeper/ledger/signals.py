"""Thresholds: what an account tells of itself, once for each crossing.

What is told is latched in `Account.alerts` until the reason for it is gone. What counts is what is
not spent yet, held or not: a hold that comes back has crossed nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from gatekeeper.ledger.burn import is_boundless
from gatekeeper.ledger.values import Account, Cap, Change, LiveGrant, Signal, SignalKind, UnitPolicy

MAX_ALERTS: Final = 100
"""How many alerts an account keeps at most. The expiry of grants beyond them is told of once
others are gone."""

_LOW: Final = "low"
_EXHAUSTED: Final = "exhausted"
_TOP_UP: Final = "top_up"
_EXPIRING: Final = "expiring:"


def crossed(
    account: Account, left: int, grants: Sequence[LiveGrant], policy: UnitPolicy, now: datetime
) -> tuple[tuple[str, ...], list[Signal]]:
    """The alerts that stand once `left` is left in these grants, and what is to be told.

    Only what has become less can have crossed a threshold: an account that never had anything has
    not run out. One with a grant without bound never does.
    """
    alerts = _of_these(account.alerts, grants)
    less = left < _unspent(account)
    endless = any(is_boundless(grant, now) for grant in grants)
    told: list[Signal] = []
    kinds: tuple[tuple[str, SignalKind, int | None], ...] = (
        (_LOW, "credits.low", policy.low),
        (_EXHAUSTED, "credits.exhausted", 0),
    )
    for alert, kind, threshold in kinds:
        if threshold is None or left > threshold:
            alerts = tuple(one for one in alerts if one != alert)
        elif less and not endless and alert not in alerts:
            alerts += (alert,)
            told.append(
                Signal(
                    kind=kind,
                    customer=account.customer,
                    unit=account.unit,
                    left=left,
                    threshold=threshold,
                )
            )
    return alerts, told


def top_up_due(
    account: Account,
    available: int,
    grants: Sequence[LiveGrant],
    alerts: tuple[str, ...],
    now: datetime,
) -> tuple[tuple[str, ...], list[Signal]]:
    """The alerts that stand once `available` can be spent, and whether a top-up is due is to be
    told. What holds claim can't be spent: it counts as gone."""
    below = account.top_up_below
    if below is None or available >= below or any(is_boundless(one, now) for one in grants):
        return tuple(one for one in alerts if one != _TOP_UP), []
    if _TOP_UP in alerts:
        return alerts, []
    due = Signal(
        kind="top_up.due",
        customer=account.customer,
        unit=account.unit,
        left=available,
        threshold=below,
    )
    return (*alerts, _TOP_UP), [due]


def watched(account: Account, below: int | None, now: datetime) -> Change:
    """Have it told when less than `below` can be spent; None is never. What is so already is not
    told: whoever sets it sees the balance. The account is up to date."""
    after = replace(account, top_up_below=below)
    alerts, _ = top_up_due(after, account.available, account.grants, account.alerts, now)
    after = replace(after, alerts=alerts)
    if after == account:
        return Change(account)
    return Change(replace(after, revision=account.revision + 1))


def cap_reached(account: Account, left: int, cap: Cap) -> Signal:
    """That a cap is used up."""
    return Signal(
        kind="cap.reached",
        customer=account.customer,
        unit=account.unit,
        left=left,
        threshold=cap.limit,
        scope=cap.scope,
        every=cap.every,
    )


def notice_due(
    grants: Iterable[LiveGrant], alerts: tuple[str, ...], notice: timedelta, now: datetime
) -> datetime | None:
    """When the next grant is to be told of whose expiry is to be told `notice` before."""
    if len(alerts) >= MAX_ALERTS:
        return None
    due = [
        grant.expires_at - notice
        for grant in grants
        if grant.expires_at is not None
        and grant.expires_at > now
        and (grant.remaining or (grant.held and not grant.mints))
        and _EXPIRING + grant.id not in alerts
    ]
    return min(due, default=None)


def notices(account: Account, now: datetime, policy: UnitPolicy) -> Change:
    """Tell of the grants that expire within the unit's `expiry_notice`, once of each.

    For the sweep that finds accounts by their `notice_due_at`; the account is up to date.
    """
    notice, alerts = policy.expiry_notice, account.alerts
    told: list[Signal] = []
    due: datetime | None = None
    if notice is not None:
        for grant in sorted(account.grants, key=lambda grant: (grant.expires_at or now, grant.id)):
            due = notice_due([grant], alerts, notice, now)
            if due is not None and due <= now:
                alerts += (_EXPIRING + grant.id,)
                told.append(_expiring(account, grant))
        due = notice_due(account.grants, alerts, notice, now)
    if not told and due == account.notice_due_at:
        return Change(account)
    after = replace(account, alerts=alerts, notice_due_at=due, revision=account.revision + 1)
    return Change(after, signals=tuple(told))


def _expiring(account: Account, grant: LiveGrant) -> Signal:
    return Signal(
        kind="grant.expiring",
        customer=account.customer,
        unit=account.unit,
        left=_unspent(account),
        grant_id=grant.id,
        expires_at=grant.expires_at,
    )


def _unspent(account: Account) -> int:
    """What is left, held or not, of what was granted; what holds have made does not count."""
    return account.posted - sum(grant.held for grant in account.grants if grant.mints)


def _of_these(alerts: tuple[str, ...], grants: Iterable[LiveGrant]) -> tuple[str, ...]:
    """The alerts that are still about something."""
    if not any(alert.startswith(_EXPIRING) for alert in alerts):
        return alerts
    there = {_EXPIRING + grant.id for grant in grants}
    return tuple(one for one in alerts if one in there or not one.startswith(_EXPIRING))
