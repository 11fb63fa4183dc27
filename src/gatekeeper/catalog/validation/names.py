"""The names that a catalogue declares, each for one thing only."""

from typing import Final, TypeVar

from gatekeeper.catalog.features import Feature, Limit, Meter
from gatekeeper.catalog.units import Unit
from gatekeeper.catalog.validation.faults import Faults

Named = Feature | Limit | Meter | Unit
N = TypeVar("N", Feature, Limit, Meter, Unit)

_OUTAGE: Final = ("deny", "allow", "last_known")
_COMBINE: Final = ("max", "sum", "min")
MAX_SCALE: Final = 9
MAX_HOURS: Final = 8_784
"""A leap year."""
MAX_NAME_CHARS: Final = 250
MAX_EVENT_NAME_CHARS: Final = 100


class Names:
    """Units, features, limits and meters by their keys, gathered from wherever they are used.

    Units, features and limits (and the keys of the cost table) share one space of
    names: a host asks for all of them by a bare string. Meters have one of their own.
    """

    __slots__ = ("_checked", "_event_names", "_faults", "_meters", "_things")

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._checked: dict[int, bool] = {}  # by identity: one object is used in many places
        self._things: dict[str, tuple[Named, str]] = {}
        self._meters: dict[str, tuple[Named, str]] = {}
        self._event_names: dict[str, str] = {}

    def declare(self, place: str, thing: Named) -> bool:
        """Note that `thing` is used at `place`; False if it is faulty or its name is taken."""
        known = self._checked.get(id(thing))
        if known is None:
            known = self._checked[id(thing)] = self._check(place, thing)
        return known

    def place_of(self, key: str) -> str | None:
        """Where the unit, feature or limit of this name was first used."""
        return self._things[key][1] if key in self._things else None

    def of(self, kind: type[N]) -> dict[str, N]:
        """All things of one kind by their keys."""
        everything = (*self._things.values(), *self._meters.values())
        return {thing.key: thing for thing, _ in everything if isinstance(thing, kind)}

    def _check(self, place: str, thing: Named) -> bool:
        kind = type(thing).__name__
        if not self._faults.key(f"{place} ({kind}.key)", thing.key):
            return False
        if not self._sound(place, f"{kind} {thing.key!r}", thing):
            return False
        space = self._meters if isinstance(thing, Meter) else self._things
        other, other_place = space.setdefault(thing.key, (thing, place))
        if type(other) is not type(thing):
            return self._faults.add(
                place,
                f"{thing.key!r} is a {kind} here and a {type(other).__name__} at {other_place}",
            )
        if other != thing:
            return self._faults.add(
                place, f"{kind} {thing.key!r} is declared differently at {other_place}"
            )
        return True

    def _sound(self, place: str, label: str, thing: Named) -> bool:
        faults, before = self._faults, len(self._faults)
        match thing:
            case Unit():
                self._unit(place, label, thing)
            case Feature():
                faults.choice(f"{place} ({label}.on_outage)", thing.on_outage, _OUTAGE)
            case Limit():
                faults.choice(f"{place} ({label}.on_outage)", thing.on_outage, _OUTAGE)
                faults.choice(f"{place} ({label}.combine)", thing.combine, _COMBINE)
            case _:
                self._meter(place, label, thing)
        return len(faults) == before

    def _unit(self, place: str, label: str, unit: Unit) -> None:
        faults = self._faults
        faults.whole(f"{place} ({label}.scale)", unit.scale, minimum=0, maximum=MAX_SCALE)
        if unit.low is not None:
            faults.whole(f"{place} ({label}.low)", unit.low)
        where, hours = f"{place} ({label}.expiry_notice_hours)", unit.expiry_notice_hours
        if hours is not None:
            faults.whole(where, hours, maximum=MAX_HOURS)
        where, hours = f"{place} ({label}.late_return_hours)", unit.late_return_hours
        faults.whole(where, hours, minimum=0, maximum=MAX_HOURS)

    def _meter(self, place: str, label: str, meter: Meter) -> None:
        if meter.name is not None:
            self._faults.text(f"{place} ({label}.name)", meter.name, at_most=MAX_NAME_CHARS)
        where = f"{place} ({label}.event_name)"
        if not self._faults.text(where, meter.event_name, at_most=MAX_EVENT_NAME_CHARS):
            return
        # Stripe has one active meter per event name; two would bill the same usage twice.
        taken_by = self._event_names.setdefault(meter.event_name, meter.key)
        if taken_by != meter.key:
            self._faults.add(where, f"{meter.event_name!r} belongs to the meter {taken_by!r}")
