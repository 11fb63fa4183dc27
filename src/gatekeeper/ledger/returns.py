"""What becomes of credits that a hold gives back when the time of their grant is over.

In this order, as far as it goes:

1. They roll over. Had they come back in time, the window that followed would have taken them over,
   up to its rollover's cap; so it does now, while it is the running one and there is room under
   that cap. (What was held for longer than a whole window has missed its chance.)
2. They can be spent for the unit's `late_return`, once: what comes back again after that is lost.
3. They lapse. If no window has followed yet, one that is paid for late takes them over.

What was ended on purpose, by a cancellation or a revocation, just lapses.
"""

from datetime import datetime, timedelta
from typing import Final

from gatekeeper.ledger.draft import Draft
from gatekeeper.ledger.moves import add_grant, add_to, take
from gatekeeper.ledger.series import adjoins
from gatekeeper.ledger.values import EntryKind, GrantKind, LiveGrant
from gatekeeper.periods import CALENDAR

LATE_STEPS: Final = 4
"""Late returns that expire in the same quarter of `late_return` share a grant, so that an account
has few of them, however many holds come back; they live up to a quarter longer by that."""


def place(draft: Draft, grant_id: str, amount: int) -> None:
    """Find a place for `amount` that a grant has got back after its time."""
    grant = draft.find(grant_id)
    if grant.lapses:
        take(draft, grant_id, amount, EntryKind.GRANT_EXPIRED)
        return
    carried = _carry_over(draft, grant, amount)
    if carried == amount:
        return
    take(draft, grant_id, amount - carried, EntryKind.GRANT_EXPIRED)
    if draft.policy.late_return and not _came_late_before(grant):
        _give(draft, _late(draft, grant, amount - carried), GrantKind.RETURNED)
    else:
        _remember(draft, grant, amount - carried)


def _carry_over(draft: Draft, grant: LiveGrant, amount: int) -> int:
    """Let the window that followed take over what it may; returns how much that was."""
    latest = None if grant.series is None else draft.series.latest(grant.series)
    if latest is None:
        return 0
    key, received = latest
    is_over = received.until is not None and received.until <= draft.now
    if key == grant.window_key or is_over or not adjoins(grant.window_end, received.start):
        return 0
    carried = draft.series.take_room(key, amount)
    if carried:
        take(draft, grant.id, carried, EntryKind.GRANT_EXPIRED)
        live = LiveGrant(
            id=f"{key}/rollover/{draft.next_sequence}",
            remaining=carried,
            created_at=draft.now,
            priority=grant.priority,
            expires_at=received.until,
            series=grant.series,
            window_key=key,
            window_end=received.end,
            on_cancel=grant.on_cancel,
            returned=True,
        )
        _give(draft, live, GrantKind.ROLLOVER)
    return carried


def _late(draft: Draft, grant: LiveGrant, amount: int) -> LiveGrant:
    late_return = draft.policy.late_return
    step = max(late_return / LATE_STEPS, timedelta.resolution)
    return LiveGrant(
        id=f"late/{draft.next_sequence}",
        remaining=amount,
        created_at=draft.now,
        priority=grant.priority,
        expires_at=_next_multiple(draft.now + late_return, step),
        returned=True,
    )


def _came_late_before(grant: LiveGrant) -> bool:
    return grant.returned and grant.series is None


def _remember(draft: Draft, grant: LiveGrant, lapsed: int) -> None:
    """Note what has lapsed of the latest window, for one that is paid for late."""
    latest = None if grant.series is None else draft.series.latest(grant.series)
    if latest is not None and latest[0] == grant.window_key:
        draft.series.remember_left(grant.window_key, lapsed)


def _give(draft: Draft, live: LiveGrant, kind: GrantKind) -> None:
    """Add what came back to the grant of such that there is already, or make it."""
    for grant in draft.grants.values():
        if grant.returned and (grant.window_key, grant.priority, grant.expires_at) == (
            live.window_key,
            live.priority,
            live.expires_at,
        ):
            add_to(draft, grant.id, live.remaining)
            return
    add_grant(draft, live, kind, live.remaining)


def _next_multiple(at: datetime, step: timedelta) -> datetime:
    return CALENDAR + -(-(at - CALENDAR) // step) * step
