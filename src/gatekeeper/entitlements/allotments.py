"""What a customer's account of a unit should have received by now: the ledger's targets.

Pure and repeatable: the same facts give the same targets, whichever event or request asks. What is
due is granted by `ledger.refresh`, less what was granted before (DESIGN section 5).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from gatekeeper.catalog import TermGrant, Terms
from gatekeeper.entitlements.access import AccessPolicy, access_of, has_ended
from gatekeeper.entitlements.amounts import bounded, size
from gatekeeper.entitlements.coverage import Coverage
from gatekeeper.entitlements.horizon import next_change
from gatekeeper.entitlements.item_grants import ItemSeries, grants_of, once_due
from gatekeeper.entitlements.plan_rules import Speaking, caps_of, formulas_of, speaking
from gatekeeper.entitlements.series import Asked, ended, series_of, suspended
from gatekeeper.entitlements.sources import NO_TERMS, gifts
from gatekeeper.entitlements.state import CustomerState, Item
from gatekeeper.entitlements.windows import Due, Span, due_windows
from gatekeeper.ledger import Allotment, GrantKind, Target
from gatekeeper.periods import CALENDAR, window_at
from gatekeeper.types import UNLIMITED, Amount, Every

_NO_GRACE: Final = timedelta(0)


def allotment(
    state: CustomerState,
    default_terms: Terms,
    unit: str,
    policy: AccessPolicy,
    *,
    since: datetime | None,
    now: datetime,
    terms_of: Mapping[str, Terms] = NO_TERMS,
    calendar_windows: bool = False,
) -> Allotment:
    """What is due of `unit` at `now`, and which series will never renew.

    - An item that has access grants what its lines have paid for, or what its trial gives.
    - A suspended item (late beyond the grace, unpaid, paused) grants nothing new and takes nothing
      away.
    - An item that has ended still owes the window that was bought before its end, if the grant is
      declared to outlive it: whoever has not looked at their account yet loses nothing by that.
    - The default plan's recurring grants are due while nothing else grants the unit; what it
      grants once is always due. A gift grants as the default plan does.
    - Its caps and rates are those of the plans in force (see `plan_rules.py`).

    Args:
        since: when the account was last changed (`Account.last_entry_at`); None if it never was.
        terms_of: the catalogue's terms of each plan, for plans that are given as a gift.
        calendar_windows: the default plan's windows follow the calendar (UTC) instead of beginning
            when the customer did.
    """
    asked = Asked(unit, policy, since, now)
    items = sorted(state.items, key=lambda item: item.id)
    given = gifts(state, now, terms_of)
    anchor = CALENDAR if calendar_windows else state.created_at
    sources = speaking(items, given, asked)
    alone = not any(source.grants for source in sources)
    if alone:
        sources.append(Speaking(default_terms, bool(grants_of(default_terms, unit))))
    targets = [target for item in items for target in _item_targets(item, asked)]
    for gift in given:
        targets += _free_targets(f"gift:{gift.id}", gift.terms, state, state.created_at, asked)
    for target in _free_targets("default", default_terms, state, anchor, asked):
        if target.window_start is None or alone:
            targets.append(target)
    alive = [default_terms, *(gift.terms for gift in given)]
    over = ended(state, default_terms, alive, terms_of, asked)
    return Allotment(
        targets=_unique(targets),
        ended=over,
        suspended=suspended(state, alive, asked) - over,
        until=next_change(state, default_terms, anchor, terms_of, asked),
        caps=caps_of(sources, unit),
        formulas=formulas_of(sources, unit),
    )


# -- subscription items ---------------------------------------------------------------------------


def _item_targets(item: Item, asked: Asked) -> Iterator[Target]:
    over = has_ended(item, asked.now)
    if not over and not access_of(item, asked.policy, asked.now).allowed:
        return
    coverage = Coverage(item)
    for series, once in sorted(series_of(item, asked.unit)):
        if once:
            due = once_due(coverage, asked.unit, series, asked.now)
            yield from _once_targets(_still_owed(item, due, over=over), asked.now)
            continue
        due = due_windows(
            ItemSeries(coverage, asked.unit, series, asked.now).span_at,
            since=asked.since,
            now=asked.now,
            grace=_NO_GRACE if over else asked.policy.renewal_grace,
            begins=item.started_at,
        )
        due = _still_owed(item, due, over=over)
        yield from _window_targets(f"{item.id}:{series}", due, asked.policy, billable=not over)


def _still_owed(item: Item, due: list[Due], *, over: bool) -> list[Due]:
    """Of what was due before the item's end, what is due after it."""
    if not over:
        return due
    end = item.ended_at
    return [d for d in due if d.grant.on_cancel == "keep" and end is not None and d.start < end]


# -- the default plan and gifts -------------------------------------------------------------------


def _free_targets(
    prefix: str, terms: Terms, state: CustomerState, anchor: datetime, asked: Asked
) -> Iterator[Target]:
    """What terms that nobody pays for grant: every window, from the customer's start on."""
    begins = state.created_at
    for grant in grants_of(terms, asked.unit):
        amount = grant.amount_for(1)
        if grant.cadence == "once":
            yield from _once_targets([Due(begins, begins, begins, grant, amount)], asked.now)
            continue
        due = due_windows(
            _free_spans(grant, amount, grant.cadence, anchor, begins),
            since=asked.since,
            now=asked.now,
            grace=asked.policy.renewal_grace,
            begins=begins,
        )
        for target in _window_targets(
            f"{prefix}:{grant.series}", due, asked.policy, billable=False
        ):
            # Nobody cancels the default plan: its windows end where another plan takes its place.
            yield replace(target, on_cancel=grant.on_upgrade) if prefix == "default" else target


def _free_spans(
    grant: TermGrant, amount: Amount, every: Every, anchor: datetime, begins: datetime
) -> Callable[[datetime], Span]:
    def span_at(at: datetime) -> Span:
        if at < begins:
            return Span(at, None)
        window = window_at(anchor, every, at)
        start = max(window.start, begins)
        return Span(start, Due(window.start, start, window.end, grant, amount))

    return span_at


# -- from what is due to targets ------------------------------------------------------------------


def _window_targets(
    series: str, due: list[Due], policy: AccessPolicy, *, billable: bool
) -> Iterator[Target]:
    for window in due:
        at = window.grid_start.isoformat()
        expires_at = window.end + policy.renewal_grace
        grant = window.grant
        yield Target(
            series=series,
            key=f"{series}@{at}",
            amount=bounded(window.amount),
            kind=GrantKind.TRIAL if window.trial else GrantKind.PLAN,
            window_start=window.start,
            window_end=window.end,
            expires_at=expires_at,
            priority=grant.priority,
            rollover=bounded(grant.rollover),
            on_cancel=grant.on_cancel,
            mints=window.amount is UNLIMITED,
        )
        if grant.overage is None or not billable or window.trial or window is not due[-1]:
            continue
        yield Target(
            series=f"{series}:overage",
            key=f"{series}:overage@{at}",
            amount=grant.overage_limit,
            kind=GrantKind.OVERAGE,
            window_start=window.start,
            window_end=window.end,
            expires_at=expires_at,
            priority=grant.priority,
            mints=True,
            meter=grant.overage,
        )


def _once_targets(due: list[Due], now: datetime) -> Iterator[Target]:
    """A grant that is made once is known by its series alone, and that for ever."""
    for once in due:
        days = once.grant.expires_after_days
        expires_at = None if days is None else once.start + timedelta(days=days)
        if expires_at is not None and expires_at <= now:
            continue
        yield Target(
            series=once.grant.series,
            key=once.grant.series,
            amount=bounded(once.amount),
            kind=GrantKind.TRIAL if once.trial else GrantKind.PLAN,
            expires_at=expires_at,
            priority=once.grant.priority,
            on_cancel=once.grant.on_cancel,
            mints=once.amount is UNLIMITED,
        )


def _unique(targets: Iterable[Target]) -> tuple[Target, ...]:
    """One target for each key: a grant that is made once may come from several sources, of which
    the largest counts."""
    best: dict[str, Target] = {}
    for target in targets:
        held = best.get(target.key)
        if held is None or _target_size(held) < _target_size(target):
            best[target.key] = target
    return tuple(best.values())


def _target_size(target: Target) -> tuple[bool, int]:
    return size(UNLIMITED if target.amount is None else target.amount)
