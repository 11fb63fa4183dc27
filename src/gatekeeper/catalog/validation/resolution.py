"""How plans fit together: what includes what, and which terms each plan comes to.

Where several plans of one line declare the same unit's grants or the same limit, the plan that
includes the others decides: pro with 1,000 credits that includes free with 5 has 1,000. Where two
plans of which neither includes the other do, the catalogue has to say which it means, so that is a
fault.
"""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Final

from gatekeeper.catalog.features import LimitPerQuantity
from gatekeeper.catalog.plans import Price
from gatekeeper.catalog.terms import TermCap, TermCost, TermGrant, TermLimit, Terms
from gatekeeper.catalog.units import GrantSpec
from gatekeeper.catalog.validation.declarations import SoundPlan
from gatekeeper.catalog.validation.faults import Faults

# The longest that a cadence and the shortest that a price's interval can last, in days. Months and
# years are compared as months, which all have the same length then.
_LONGEST_DAYS: Final[dict[str, float]] = {
    "hour": 1 / 24,
    "day": 1,
    "week": 7,
    "month": 31,
    "year": 366,
}
_SHORTEST_DAYS: Final[dict[str, int]] = {"day": 1, "week": 7, "month": 28, "year": 365}
_MONTHS: Final[dict[str, int]] = {"month": 1, "year": 12}


def resolve(plans: Mapping[str, SoundPlan], faults: Faults) -> dict[str, Terms]:
    """Each plan's terms; notes unknown and circular `includes`, clashes, and grants that recur
    more rarely than their price."""
    lines = _lines(plans, faults)
    terms: dict[str, Terms] = {}
    for key, sound in plans.items():
        line = {name: plans[name] for name in plans if name in lines[key]}
        terms[key] = Terms(
            plan=key,
            plans=lines[key],
            features=frozenset(f.key for member in line.values() for f in member.features),
            limits=_limits(sound, line, lines, faults),
            grants=_grants(sound, line, lines, faults),
            caps=tuple(TermCap(unit=c.unit.key, every=c.every, limit=c.limit) for c in sound.caps),
            costs=_costs(sound, line, lines, faults),
        )
        _check_cadences(sound, terms[key], faults)
    return terms


def _lines(plans: Mapping[str, SoundPlan], faults: Faults) -> dict[str, frozenset[str]]:
    """For each plan, itself and all that it includes, however deep."""
    graph: dict[str, list[str]] = {}
    for key, sound in plans.items():
        graph[key] = []
        for place, included in sound.includes:
            if included not in plans:
                known = ", ".join(plans)
                faults.add(place, f"there is no plan {included!r}; there are {known}")
            elif included in graph[key]:
                faults.add(place, f"{included!r} is listed twice")
            else:
                graph[key].append(included)
    lines: dict[str, frozenset[str]] = {}
    for key in _order(plans, graph, faults):
        lines[key] = frozenset({key}).union(*(lines[included] for included in graph[key]))
    return lines


def _order(
    plans: Mapping[str, SoundPlan], graph: dict[str, list[str]], faults: Faults
) -> Iterable[str]:
    """The plans, included ones first. Takes one edge out of each cycle, having noted it."""
    while True:
        try:
            return tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            # graphlib lists a cycle from the included plan to the one that includes it.
            cycle: list[str] = error.args[1][::-1]
            faults.add(f"{plans[cycle[0]].place}.includes", f"a cycle: {' -> '.join(cycle)}")
            graph[cycle[0]].remove(cycle[1])


def _deciders(declaring: Iterable[str], lines: Mapping[str, frozenset[str]]) -> list[str]:
    """Of the plans that declare something, those that no other of them includes."""
    names = list(declaring)
    return [name for name in names if not any(name != o and name in lines[o] for o in names)]


def _limits(
    sound: SoundPlan,
    line: Mapping[str, SoundPlan],
    lines: Mapping[str, frozenset[str]],
    faults: Faults,
) -> dict[str, TermLimit]:
    limits: dict[str, TermLimit] = {}
    for key in sorted({key for member in line.values() for key in member.limits}):
        deciders = _deciders((name for name in line if key in line[name].limits), lines)
        values = [line[name].limits[key] for name in deciders]
        if any(value != values[0] for value in values):
            faults.add(
                f"{sound.place}.limits",
                f"inherits different values of {key!r} from {' and '.join(deciders)}; "
                "it has to declare its own",
            )
        limit, value = values[0]
        if isinstance(value, LimitPerQuantity):
            limits[key] = TermLimit(value=0, per_quantity=value.n, combine=limit.combine)
        else:
            limits[key] = TermLimit(value=value, combine=limit.combine)
    return limits


def _costs(
    sound: SoundPlan,
    line: Mapping[str, SoundPlan],
    lines: Mapping[str, frozenset[str]],
    faults: Faults,
) -> dict[str, TermCost]:
    costs: dict[str, TermCost] = {}
    for key in sorted({key for member in line.values() for key in member.costs}):
        deciders = _deciders((name for name in line if key in line[name].costs), lines)
        values = [line[name].costs[key] for name in deciders]
        if any(value != values[0] for value in values):
            faults.add(
                f"{sound.place}.costs",
                f"inherits different rates of {key!r} from {' and '.join(deciders)}; "
                "it has to declare its own",
            )
        costs[key] = values[0]
    return costs


def _grants(
    sound: SoundPlan,
    line: Mapping[str, SoundPlan],
    lines: Mapping[str, frozenset[str]],
    faults: Faults,
) -> tuple[TermGrant, ...]:
    own_first = sorted(line.values(), key=lambda member: member is not sound)
    units = dict.fromkeys(spec.unit.key for member in own_first for _, spec in member.grants)
    grants: dict[str, TermGrant] = {}
    for unit in units:
        declaring = (name for name in line if _granted(line[name], unit))
        deciders = _deciders(declaring, lines)
        if len(deciders) > 1:
            faults.add(
                f"{sound.place}.grants",
                f"inherits grants of {unit!r} from {' and '.join(deciders)}; "
                "it has to declare its own",
            )
        for spec in _granted(line[deciders[0]], unit):
            grant = _term_grant(deciders[0], spec)
            other = grants.setdefault(grant.series, grant)
            if other is not grant:
                faults.add(
                    f"{sound.place}.grants",
                    f"the grants of {other.unit!r} in {other.plan} and of {unit!r} in "
                    f"{grant.plan} have the same key {spec.name!r}",
                )
    return tuple(grants.values())


def _granted(sound: SoundPlan, unit: str) -> list[GrantSpec]:
    return [spec for _, spec in sound.grants if spec.unit.key == unit]


def _term_grant(plan: str, spec: GrantSpec) -> TermGrant:
    series = f"once:{plan}:{spec.name}" if spec.cadence == "once" else f"every:{spec.name}"
    return TermGrant(
        series=series,
        unit=spec.unit.key,
        plan=plan,
        amount=spec.amount,
        cadence=spec.cadence,
        rollover=spec.rollover,
        overage=None if spec.overage is None else spec.overage.key,
        overage_limit=spec.overage_limit,
        priority=spec.priority,
        per_quantity=spec.per_quantity,
        trial=spec.trial,
        on_cancel=spec.on_cancel,
        expires_after_days=spec.expires_after_days,
        on_upgrade=spec.on_upgrade,
    )


def _check_cadences(sound: SoundPlan, terms: Terms, faults: Faults) -> None:
    """A window is granted when it is paid for, so it can't be longer than what one payment buys."""
    own = {spec.name: place for place, spec in sound.grants}
    for grant in terms.grants:
        key = grant.series.rpartition(":")[2]
        inherited = grant.plan != terms.plan
        place = f"{sound.place}.grants" if inherited else own[key]
        origin = f" (inherited from {grant.plan})" if inherited else ""
        for _, price in sound.prices:
            if not _fits(grant.cadence, price):
                faults.add(
                    place,
                    f"{key!r}{origin} recurs every {grant.cadence}, which is longer than the price "
                    f"{price.lookup_key!r} pays for",
                )


def _fits(cadence: str, price: Price) -> bool:
    """Whether one interval of the price is at least as long as the cadence, whatever the month."""
    if cadence == "once" or price.every is None:
        return True
    if cadence in _MONTHS and price.every in _MONTHS:
        return _MONTHS[cadence] <= _MONTHS[price.every] * price.every_count
    return _LONGEST_DAYS[cadence] <= _SHORTEST_DAYS[price.every] * price.every_count
