"""What a customer's account of a unit should have received by now: the ledger's targets.

Pure and repeatable: the same facts give the same targets, whichever event or request asks. What is
due is granted by `ledger.refresh`, less what was granted before (DESIGN section 5).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gatekeeper.catalog import TermGrant, Terms
from gatekeeper.entitlements.access import AccessPolicy, access_of, has_ended
from gatekeeper.entitlements.amounts import bounded, size
from gatekeeper.entitlements.coverage import Coverage
from gatekeeper.entitlements.item_grants import ItemSeries, grants_of, once_due
from gatekeeper.entitlements.sources import NO_TERMS, gifts
from gatekeeper.entitlements.state import CustomerState, Item
from gatekeeper.entitlements.windows import Due, Span, due_windows
from gatekeeper.ledger import Allotment, GrantKind, Target
from gatekeeper.periods import window_at
from gatekeeper.types import UNLIMITED, Amount, Every

CALENDAR: Final = datetime(2001, 1, 1, tzinfo=UTC)
"""An anchor from which every cadence follows the calendar: midnight, a Monday, 1 January."""

_NO_GRACE: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question: which unit, by which policy, and for what time."""

    unit: str
    policy: AccessPolicy
    since: datetime | None
    now: datetime


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

    Args:
        since: when the account was last changed (`Account.last_entry_at`); None if it never was.
        terms_of: the catalogue's terms of each plan, for plans that are given as a gift.
        calendar_windows: the default plan's windows follow the calendar (UTC) instead of beginning
            when the customer did.
    """
    asked = _Asked(unit, policy, since, now)
    items = sorted(state.items, key=lambda item: item.id)
    given = gifts(state, now, terms_of)
    targets = [target for item in items for target in _item_targets(item, asked)]
    for gift in given:
        targets += _free_targets(f"gift:{gift.id}", gift.terms, state, state.created_at, asked)
    taken = any(grants_of(gift.terms, unit) for gift in given)
    taken = taken or any(_grants_now(item, asked) for item in items)
    anchor = CALENDAR if calendar_windows else state.created_at
    for target in _free_targets("default", default_terms, state, anchor, asked):
        if target.window_start is None or not taken:
            targets.append(target)
    alive = [default_terms, *(gift.terms for gift in given)]
    ended = _ended(state, alive, terms_of, asked)
    suspended = _suspended(state, alive, asked) - ended
    return Allotment(targets=_unique(targets), ended=ended, suspended=suspended)


# -- subscription items ---------------------------------------------------------------------------


def _item_targets(item: Item, asked: _Asked) -> Iterator[Target]:
    over = has_ended(item, asked.now)
    if not over and not access_of(item, asked.policy, asked.now).allowed:
        return
    coverage = Coverage(item)
    for series, once in sorted(_series_of(item, asked.unit)):
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


def _series_of(item: Item, unit: str) -> set[tuple[str, bool]]:
    """The series that the item grants or has granted, and whether each is granted once."""
    known = (item.terms, *(line.terms for line in item.paid_lines))
    return {
        (grant.series, grant.cadence == "once")
        for terms in known
        for grant in grants_of(terms, unit)
    }


def _still_owed(item: Item, due: list[Due], *, over: bool) -> list[Due]:
    """Of what was due before the item's end, what is due after it."""
    if not over:
        return due
    end = item.ended_at
    return [d for d in due if d.grant.on_cancel == "keep" and end is not None and d.start < end]


def _grants_now(item: Item, asked: _Asked) -> bool:
    """Whether the item takes the default plan's place for the unit.

    A trial that grants nothing of it does not: nobody should have less for trying a better plan.
    """
    if not access_of(item, asked.policy, asked.now).allowed:
        return False
    trialing = item.trial_end is not None and asked.now < item.trial_end
    grants = grants_of(item.terms, asked.unit)
    return any(grant.amount_for(item.quantity, trialing=trialing) != 0 for grant in grants)


# -- the default plan and gifts -------------------------------------------------------------------


def _free_targets(
    prefix: str, terms: Terms, state: CustomerState, anchor: datetime, asked: _Asked
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
        yield from _window_targets(f"{prefix}:{grant.series}", due, asked.policy, billable=False)


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


def _ended(
    state: CustomerState, alive: Iterable[Terms], terms_of: Mapping[str, Terms], asked: _Asked
) -> frozenset[str]:
    """The series of items and gifts that are over, unless something else keeps them up."""
    running = {grant.series for terms in alive for grant in grants_of(terms, asked.unit)}
    ended: set[str] = set()
    for item in state.items:
        series = _series_of(item, asked.unit)
        if has_ended(item, asked.now):
            ended |= _names(item.id, series)
        else:
            running |= {name for name, once in series if once}
    for override in state.overrides:
        expired = override.expires_at is not None and override.expires_at <= asked.now
        if override.kind == "plan" and expired and override.key in terms_of:
            grants = grants_of(terms_of[override.key], asked.unit)
            names = {(grant.series, grant.cadence == "once") for grant in grants}
            ended |= _names(f"gift:{override.key}", names)
    return frozenset(ended - running)


def _suspended(state: CustomerState, alive: Iterable[Terms], asked: _Asked) -> frozenset[str]:
    """The series of items that have no access now and may have it again, unless something else
    keeps them up."""
    running = {grant.series for terms in alive for grant in grants_of(terms, asked.unit)}
    suspended: set[str] = set()
    for item in state.items:
        names = _names(item.id, _series_of(item, asked.unit))
        if access_of(item, asked.policy, asked.now).allowed:
            running |= names
        else:
            suspended |= names
    return frozenset(suspended - running)


def _names(prefix: str, series: Iterable[tuple[str, bool]]) -> set[str]:
    """The ledger's names of series."""
    names: set[str] = set()
    for name, once in series:
        names |= {name} if once else {f"{prefix}:{name}", f"{prefix}:{name}:overage"}
    return names
