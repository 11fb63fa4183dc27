"""Checking the cost table, and what differs from it in a plan."""

from collections.abc import Iterable, Mapping, Set
from typing import Final

from gatekeeper.catalog.costs import Choice, Cost, Declared, Priced
from gatekeeper.catalog.terms import TermCost
from gatekeeper.catalog.units import Rate, Term, Unit, UnitAmount, UnitFormula
from gatekeeper.catalog.validation.faults import Faults, shown
from gatekeeper.catalog.validation.names import Names

MAX_TERMS: Final = 20
MAX_FACTORS: Final = 4
"""How many measures are multiplied in one term: width, height, frames and samples."""

_LIKE: Final = "must be like credits(4), credits.per(1_000) or credits.formula(...)"


def check_unit_amount(faults: Faults, names: Names, place: str, amount: UnitAmount | Rate) -> bool:
    """Whether an amount of a unit is sound; notes every fault of it."""
    unit = faults.instance(f"{place}.unit", amount.unit, Unit)
    unit = unit and names.declare(place, amount.unit)
    return faults.whole(f"{place}.amount", amount.amount) and unit


class CostBook:
    """The sound entries of the cost table, by their keys."""

    __slots__ = ("_declared", "_faults", "_names", "entries")

    def __init__(self, faults: Faults, names: Names) -> None:
        self._faults = faults
        self._names = names
        self._declared: set[object] = set()
        self.entries: dict[str, Cost] = {}

    def add(self, value: object, *, granted: Set[str]) -> None:
        """Check the table. What a cost spends has to be granted: `granted` are units by key."""
        for key, declared in self._pairs("costs", value):
            place = f"costs[{shown(key)}]"
            self._declared.add(key)
            named = self._faults.key(place, key)
            taken_at = self._names.place_of(str(key)) if named else None
            if taken_at is not None:
                self._faults.add(place, f"{key!r} names what is used at {taken_at} already")
            cost = self._cost(place, key, declared)
            if cost is None:
                continue
            if cost.unit_key not in granted:
                self._faults.add(
                    place, f"nothing grants the unit {cost.unit_key!r}, so this can never be paid"
                )
            if named:
                self.entries[cost.key] = cost

    def differing(self, place: str, value: object) -> dict[str, TermCost]:
        """Check a plan's own rates; those that are sound, by key: each takes the place of one in
        the table, counts the same unit, and measures the same."""
        found: dict[str, TermCost] = {}
        for key, declared in self._pairs(place, value):
            where = f"{place}[{shown(key)}]"
            if key not in self._declared:
                known = ", ".join(self.entries) or "nothing"
                self._faults.add(where, f"the cost table has no such entry; it has {known}")
                continue
            cost, table = self._cost(where, key, declared), self.entries.get(str(key))
            if cost is not None and table is not None and self._alike(where, cost, table):
                for name, rate in cost.rates.items():
                    found[name] = TermCost(unit=cost.unit_key, formula=rate)
        return found

    def _pairs(self, place: str, value: object) -> Iterable[tuple[object, object]]:
        if isinstance(value, Mapping):
            return value.items()
        self._faults.add(place, f"must be a mapping of names to costs, not {shown(value)}")
        return ()

    def _alike(self, place: str, cost: Cost, table: Cost) -> bool:
        """Whether handlers, which know of no plan, can ask for either by the same measures."""
        if cost.unit_key != table.unit_key:
            return self._faults.add(
                place, f"the cost table counts {table.unit_key!r}, not {cost.unit_key!r}"
            )
        if cost.choice != table.choice:
            return self._faults.add(
                place,
                "has to be a Choice of the same name where the cost table has one, and only there",
            )
        before = len(self._faults)
        for key, rate in cost.rates.items():
            theirs = table.rates.get(key)
            if theirs is None:
                self._faults.add(place, f"the cost table has no {key!r}")
            elif theirs.measures != rate.measures:
                self._faults.add(
                    place,
                    f"measures {', '.join(sorted(rate.measures))}; {key!r} of the cost table "
                    f"measures {', '.join(sorted(theirs.measures))}",
                )
        return len(self._faults) == before

    # -- one entry --------------------------------------------------------------------------------

    def _cost(self, place: str, key: object, declared: object) -> Cost | None:
        """The entry, if it is sound."""
        sound: Declared
        if isinstance(declared, Choice):
            if not self._choice(place, declared):
                return None
            sound = declared
        elif isinstance(declared, UnitAmount | Rate | UnitFormula):
            if not self._priced(place, declared):
                return None
            sound = declared
        else:
            self._faults.add(place, f"{_LIKE}, or a Choice, not {shown(declared)}")
            return None
        return Cost.of(str(key), sound)

    def _priced(self, place: str, priced: Priced) -> bool:
        if isinstance(priced, UnitFormula):
            return self._formula(place, priced)
        sound = check_unit_amount(self._faults, self._names, place, priced)
        if isinstance(priced, Rate):
            sound = self._faults.whole(f"{place}.per", priced.per) and sound
        return sound

    def _formula(self, place: str, formula: UnitFormula) -> bool:
        faults, before = self._faults, len(self._faults)
        if faults.instance(f"{place}.unit", formula.unit, Unit):
            sound = self._names.declare(place, formula.unit)
        else:
            sound = False
        faults.whole(f"{place}.base", formula.base, minimum=0)
        terms = list(faults.items(f"{place}.terms", formula.terms, Term))
        for where, term in terms:
            self._term(where, term)
        if not formula.terms:
            faults.add(place, "a formula measures something; credits(4) is a fixed cost")
        elif len(terms) > MAX_TERMS:
            faults.add(f"{place}.terms", f"has {len(terms)} terms; at most {MAX_TERMS} are taken")
        if len(faults) > before or not sound:
            return False
        if not formula.base and not any(term.amount for _, term in terms):
            return faults.add(place, "costs nothing, whatever is measured")
        return True

    def _term(self, place: str, term: Term) -> None:
        faults = self._faults
        faults.whole(f"{place}.amount", term.amount, minimum=0)
        faults.whole(f"{place}.per", term.per)
        for where, name in faults.items(f"{place}.measures", term.measures, str):
            faults.key(where, name)
        if isinstance(term.measures, tuple) and not 1 <= len(term.measures) <= MAX_FACTORS:
            faults.add(f"{place}.measures", f"must be from 1 to {MAX_FACTORS}")

    def _choice(self, place: str, choice: Choice) -> bool:
        faults, before = self._faults, len(self._faults)
        sound = faults.key(f"{place}.name", choice.name)
        if not choice.options:
            faults.add(f"{place}.options", "there is nothing to choose")
        units: set[str] = set()
        for name, option in self._pairs(f"{place}.options", choice.options):
            where = f"{place}.options[{shown(name)}]"
            faults.key(where, name)
            if not isinstance(option, UnitAmount | Rate | UnitFormula):
                faults.add(where, f"{_LIKE}, not {shown(option)}")
            elif not self._priced(where, option):
                sound = False
            else:
                units.add(option.unit.key)
                if choice.name in Cost.of("", option).rate.measures:
                    faults.add(where, f"measures {choice.name!r}, which is what is chosen")
        if len(units) > 1:
            faults.add(f"{place}.options", f"count different units: {', '.join(sorted(units))}")
        return sound and len(faults) == before
