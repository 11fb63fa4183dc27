"""Which series of grants are a customer's, which of them are over, and what takes whose place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gatekeeper.catalog import Terms
from gatekeeper.entitlements.access import AccessPolicy, access_of, has_ended
from gatekeeper.entitlements.coverage import Coverage
from gatekeeper.entitlements.item_grants import grants_of
from gatekeeper.entitlements.state import CustomerState, Item


@dataclass(frozen=True, slots=True)
class Asked:
    """The question: which unit, by which policy, and for what time."""

    unit: str
    policy: AccessPolicy
    since: datetime | None
    now: datetime


def series_of(item: Item, unit: str) -> set[tuple[str, bool]]:
    """The series that the item grants or has granted, and whether each is granted once."""
    known = (item.terms, *(line.terms for line in item.paid_lines))
    return {series for terms in known for series in _series_in(terms, unit)}


def grants_now(item: Item, asked: Asked) -> bool:
    """Whether the item takes the default plan's place for the unit.

    A trial that grants nothing of it does not: nobody should have less for trying a better plan.
    """
    if not access_of(item, asked.policy, asked.now).allowed:
        return False
    trialing = item.trial_end is not None and asked.now < item.trial_end
    grants = grants_of(item.terms, asked.unit)
    return any(grant.amount_for(item.quantity, trialing=trialing) != 0 for grant in grants)


def ended(
    state: CustomerState,
    default_terms: Terms,
    alive: Iterable[Terms],
    terms_of: Mapping[str, Terms],
    asked: Asked,
) -> frozenset[str]:
    """The series that will not renew, unless something else keeps them up.

    Those of items and gifts that are over; and those of the default plan from the first paid period
    of an item that takes its place on, whose declared fate (`on_upgrade`) is in the default terms.
    """
    running = {grant.series for terms in alive for grant in grants_of(terms, asked.unit)}
    over: set[str] = set()
    for item in state.items:
        series = series_of(item, asked.unit)
        if has_ended(item, asked.now):
            over |= _names(item.id, series)
        else:
            running |= {name for name, once in series if once}
    for override in state.overrides:
        expired = override.expires_at is not None and override.expires_at <= asked.now
        if override.kind == "plan" and expired and override.key in terms_of:
            given = _series_in(terms_of[override.key], asked.unit)
            over |= _names(f"gift:{override.key}", given)
    if any(grants_now(item, asked) and _has_bought(item, asked) for item in state.items):
        over |= _names("default", _series_in(default_terms, asked.unit))
    return frozenset(over - running)


def suspended(state: CustomerState, alive: Iterable[Terms], asked: Asked) -> frozenset[str]:
    """The series of items that have no access now and may have it again, unless something else
    keeps them up."""
    running = {grant.series for terms in alive for grant in grants_of(terms, asked.unit)}
    stopped: set[str] = set()
    for item in state.items:
        found = _names(item.id, series_of(item, asked.unit))
        if access_of(item, asked.policy, asked.now).allowed:
            running |= found
        else:
            stopped |= found
    return frozenset(stopped - running)


def _has_bought(item: Item, asked: Asked) -> bool:
    """Whether a paid period of the item has granted the unit: more than a trial."""
    return any(
        line.start <= asked.now and grants_of(line.terms, asked.unit)
        for line in Coverage(item).lines
    )


def _series_in(terms: Terms | None, unit: str) -> set[tuple[str, bool]]:
    return {(grant.series, grant.cadence == "once") for grant in grants_of(terms, unit)}


def _names(prefix: str, series: Iterable[tuple[str, bool]]) -> set[str]:
    """The ledger's names of series."""
    names: set[str] = set()
    for name, once in series:
        names |= {name} if once else {f"{prefix}:{name}", f"{prefix}:{name}:overage"}
    return names
