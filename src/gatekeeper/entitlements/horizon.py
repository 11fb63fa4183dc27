"""Until when an account that was brought up to date stays so, if nothing happens.

Every instant at which the passing of time alone can change an allotment, or what `refresh` makes of
it, is one of a few kinds that the facts name. The earliest that is yet to come is the answer. It
may be too early, and then somebody looks for nothing; it is never too late.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from gatekeeper.catalog import TermGrant, Terms
from gatekeeper.entitlements.access import access_of
from gatekeeper.entitlements.item_grants import grants_of
from gatekeeper.entitlements.series import Asked
from gatekeeper.entitlements.state import CustomerState, Item
from gatekeeper.periods import window_at
from gatekeeper.types import Every


def next_change(
    state: CustomerState,
    default_terms: Terms,
    anchor: datetime,
    terms_of: Mapping[str, Terms],
    asked: Asked,
) -> datetime | None:
    """The earliest instant after now at which something may change by itself; None if there is
    none. `anchor` is that of the default plan's windows."""
    instants = [state.created_at, *_of_free(default_terms, anchor, state, asked)]
    for item in state.items:
        instants += _of_item(item, asked)
    for override in state.overrides:
        if override.kind == "plan" and override.key in terms_of:
            if override.expires_at is not None:
                instants.append(override.expires_at)
            instants += _of_free(terms_of[override.key], state.created_at, state, asked)
    return min((instant for instant in instants if instant > asked.now), default=None)


def _of_item(item: Item, asked: Asked) -> Iterator[datetime]:
    """Of its access, of its paid lines, and of every window that it may have granted."""
    for instant in (
        item.started_at,
        item.trial_end,
        item.ended_at,
        access_of(item, asked.policy, asked.now).until,
    ):
        if instant is not None:
            yield instant
    grants = list(grants_of(item.terms, asked.unit))
    begins = {item.started_at}
    for line in item.paid_lines:
        yield line.start
        yield line.end
        begins.add(line.start)
        grants += grants_of(line.terms, asked.unit)
    for every in _recurrences(grants):
        yield from _of_windows(item.anchor, every, asked)
        if item.trial_end is not None:
            yield from _of_windows(item.started_at, every, asked)
            yield item.trial_end + asked.policy.renewal_grace
    for days in _lifetimes(grants):
        yield from (begin + days for begin in begins)


def _of_free(
    terms: Terms, anchor: datetime, state: CustomerState, asked: Asked
) -> Iterator[datetime]:
    """Of what terms that nobody pays for grant."""
    grants = grants_of(terms, asked.unit)
    for every in _recurrences(grants):
        yield from _of_windows(anchor, every, asked)
    for days in _lifetimes(grants):
        yield state.created_at + days


def _of_windows(anchor: datetime, every: Every, asked: Asked) -> Iterator[datetime]:
    """The next boundary, and the next end of the grace after one."""
    grace = asked.policy.renewal_grace
    yield window_at(anchor, every, asked.now).end
    yield window_at(anchor, every, asked.now - grace).end + grace


def _recurrences(grants: Iterable[TermGrant]) -> set[Every]:
    return {grant.cadence for grant in grants if grant.cadence != "once"}


def _lifetimes(grants: Iterable[TermGrant]) -> set[timedelta]:
    return {
        timedelta(days=grant.expires_after_days)
        for grant in grants
        if grant.expires_after_days is not None
    }
