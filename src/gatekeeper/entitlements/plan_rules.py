"""What the plans in force say of a unit besides granting it: caps on its use, and own rates.

Both follow access, as features do, and not what was paid for. A customer may have several plans at
once:

- The plans that speak are those of items and gifts; the default plan is one of them only while
  none of the others takes its place for the unit, as with its recurring grants.
- Of several caps for one recurrence the largest counts. A plan that grants the unit without such a
  cap lifts it.
- Of several rates for one cost each part of the cheapest counts, where they are made of the same
  parts; else the first, with items before gifts and each in the order of their ids. A plan without
  a rate of its own for a cost says nothing of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from gatekeeper.catalog import Terms
from gatekeeper.entitlements.access import access_of
from gatekeeper.entitlements.item_grants import grants_of
from gatekeeper.entitlements.series import Asked, grants_now
from gatekeeper.entitlements.sources import Contribution
from gatekeeper.entitlements.state import Item
from gatekeeper.formulas import Formula, RateTerm
from gatekeeper.ledger import CapTarget
from gatekeeper.periods import EVERY_ORDER
from gatekeeper.types import Every


@dataclass(frozen=True, slots=True)
class Speaking:
    """Terms that are in force, and whether they grant the unit now."""

    terms: Terms
    grants: bool


def speaking(items: Iterable[Item], gifts: Iterable[Contribution], asked: Asked) -> list[Speaking]:
    """What items and gifts have to say. If none of it grants the unit, the default plan joins."""
    found = [
        Speaking(item.terms, grants_now(item, asked))
        for item in items
        if item.terms is not None and access_of(item, asked.policy, asked.now).allowed
    ]
    found += [Speaking(gift.terms, bool(grants_of(gift.terms, asked.unit))) for gift in gifts]
    return found


def caps_of(sources: Sequence[Speaking], unit: str) -> tuple[CapTarget, ...]:
    """The caps of the unit, the shortest recurrence first."""
    found: dict[Every, list[int]] = {}
    for source in sources:
        for cap in source.terms.caps:
            if cap.unit == unit:
                found.setdefault(cap.every, []).append(cap.limit)
    return tuple(
        CapTarget(every, max(found[every]))
        for every in sorted(found, key=EVERY_ORDER.__getitem__)
        if not any(source.grants and not _has_cap(source.terms, unit, every) for source in sources)
    )


def formulas_of(sources: Sequence[Speaking], unit: str) -> dict[str, Formula]:
    """The customer's own rates of costs that spend the unit, by the keys of the cost table."""
    found: dict[str, Formula] = {}
    for source in sources:
        for key, cost in source.terms.costs.items():
            if cost.unit == unit:
                first = found.setdefault(key, cost.formula)
                found[key] = _cheaper(first, cost.formula)
    return dict(sorted(found.items()))


def _has_cap(terms: Terms, unit: str, every: Every) -> bool:
    return any((cap.unit, cap.every) == (unit, every) for cap in terms.caps)


def _cheaper(first: Formula, other: Formula) -> Formula:
    """Each part of the cheaper one; the first, where they are not made of the same parts."""
    if [term.measures for term in first.terms] != [term.measures for term in other.terms]:
        return first
    terms = (min(pair, key=_rate) for pair in zip(first.terms, other.terms, strict=True))
    return Formula(min(first.base, other.base), tuple(terms))


def _rate(term: RateTerm) -> Fraction:
    return Fraction(term.numerator, term.denominator)
