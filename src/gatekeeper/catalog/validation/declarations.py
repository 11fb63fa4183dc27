"""Checking every value of a catalogue by itself, and gathering the sound ones.

What is wrong is noted with its place and left out; what is right goes on to `resolution.py`, which
checks how the plans fit together. So one run finds the faults of both kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gatekeeper.catalog.features import Feature, Limit, LimitPerQuantity, Meter
from gatekeeper.catalog.plans import LimitValue, Pack, Plan, Price, PriceEntry
from gatekeeper.catalog.terms import TermCost
from gatekeeper.catalog.units import CapSpec, GrantSpec, Unit, UnitAmount
from gatekeeper.catalog.validation.caps import check_cap
from gatekeeper.catalog.validation.costs import CostBook, check_unit_amount
from gatekeeper.catalog.validation.faults import Faults, shown
from gatekeeper.catalog.validation.grants import MAX_EXPIRY_DAYS, check_grant
from gatekeeper.catalog.validation.meters import check_meter_prices
from gatekeeper.catalog.validation.names import MAX_NAME_CHARS, Named, Names
from gatekeeper.catalog.validation.prices import PriceBook

MAX_TRIAL_DAYS: Final = 730
"""Stripe's bound of `trial_period_days` (https://docs.stripe.com/api/checkout/sessions/create)."""


@dataclass(slots=True)
class SoundPlan:
    """The well-formed parts of a plan; the second half of a pair is what stands at the place."""

    plan: Plan
    place: str
    includes: list[tuple[str, str]] = field(default_factory=list)
    prices: list[tuple[str, Price]] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)
    limits: dict[str, tuple[Limit, LimitValue]] = field(default_factory=dict)
    grants: list[tuple[str, GrantSpec]] = field(default_factory=list)
    caps: list[CapSpec] = field(default_factory=list)
    costs: dict[str, TermCost] = field(default_factory=dict)


class Declarations:
    """Everything well-formed that was declared, found by checking it.

    Call `add_costs` last: what a cost spends has to be granted by a plan, a pack or `declare`.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.names = Names(faults)
        self.prices = PriceBook(faults)
        self.plans: dict[str, SoundPlan] = {}
        self.packs: dict[str, Pack] = {}
        self.costs = CostBook(faults, self.names)
        self._default_place: str | None = None
        self._products: dict[str, str] = {}  # the keys of plans and packs, with their places
        self._granted: set[str] = set()  # the keys of units that a customer can have

    def declare(self, place: str, value: object) -> None:
        """Names that no plan uses: what only overrides or the host's own grants give."""
        called = "Unit, Feature, Limit or Meter"
        for where, thing in self.faults.items(place, value, object, called):
            if not isinstance(thing, Named):
                self.faults.add(where, f"must be a {called}, not {shown(thing)}")
            elif self.names.declare(where, thing) and isinstance(thing, Unit):
                self._granted.add(thing.key)

    def add_plans(self, value: object) -> None:
        """Check each plan's own parts, and that just one of them is the default."""
        for index, plan in self.faults.items("plans", value, Plan):
            sound = SoundPlan(plan, self._product(index, "plans", plan.key))
            if self.faults.flag(f"{sound.place}.default", plan.default) and plan.default:
                self._default(sound)
            self._label(sound.place, plan.name)
            self._includes(sound)
            self._prices(sound)
            self._features(sound)
            self._limits(sound)
            self._grants(sound)
            self._caps(sound)
            if sound.place != index:
                self.plans[plan.key] = sound
        if self._default_place is None:
            self.faults.add("plans", "none of them is the default; exactly one has to be")

    def add_packs(self, value: object) -> None:
        """Check the packs."""
        for index, pack in self.faults.items("packs", value, Pack):
            place = self._product(index, "packs", pack.key)
            self._label(place, pack.name)
            self._pack_amounts(place, pack)
            self._pack_prices(place, pack)
            if pack.expires_after_days is not None:
                self.faults.whole(
                    f"{place}.expires_after_days", pack.expires_after_days, maximum=MAX_EXPIRY_DAYS
                )
            if place != index:
                self.packs[pack.key] = pack

    def add_costs(self, value: object) -> None:
        """Check the cost table, and what differs from it in a plan."""
        self.costs.add(value, granted=self._granted)
        for sound in self.plans.values():
            sound.costs = self.costs.differing(f"{sound.place}.costs", sound.plan.costs)

    def check_meters(self) -> None:
        """Check what the use of the meters costs."""
        check_meter_prices(self.faults, self.names.of(Meter).values(), self.prices.entries)

    # -- plans ------------------------------------------------------------------------------------

    def _product(self, index: str, table: str, key: str) -> str:
        """The place of a plan or pack: by its key if that is valid and new, else by its index.

        Plans and packs share one space of names, because both become products in Stripe.
        """
        if not self.faults.key(f"{index}.key", key):
            return index
        if key in self._products:
            self.faults.add(f"{index}.key", f"{key!r} is the key of {self._products[key]} already")
            return index
        self._products[key] = index
        return f"{table}[{key!r}]"

    def _label(self, place: str, name: object) -> None:
        if name is not None:
            self.faults.text(f"{place}.name", name, at_most=MAX_NAME_CHARS)

    def _default(self, sound: SoundPlan) -> None:
        if self._default_place is not None:
            self.faults.add(
                f"{sound.place}.default", f"{self._default_place} is the default already"
            )
        else:
            self._default_place = sound.place
        if sound.plan.prices:
            self.faults.add(
                f"{sound.place}.prices", "the default plan is not bought; it has no prices"
            )

    def _includes(self, sound: SoundPlan) -> None:
        value, place = sound.plan.includes, f"{sound.place}.includes"
        if isinstance(value, str):
            given = [(place, value)]
        elif value is None:
            given = []
        else:
            given = list(self.faults.items(place, value, str))
        sound.includes = [(where, key) for where, key in given if self.faults.key(where, key)]

    def _prices(self, sound: SoundPlan) -> None:
        plan = sound.plan
        for where, price in self.faults.items(f"{sound.place}.prices", plan.prices, Price):
            if self.prices.add(where, PriceEntry(price, plan=plan)):
                sound.prices.append((where, price))
        if plan.trial_days is None:
            return
        where = f"{sound.place}.trial_days"
        self.faults.whole(where, plan.trial_days, maximum=MAX_TRIAL_DAYS)
        if not plan.prices:
            self.faults.add(where, "only a plan that is bought can be tried")

    def _features(self, sound: SoundPlan) -> None:
        place = f"{sound.place}.features"
        for where, feature in self.faults.items(place, sound.plan.features, Feature):
            if not self.names.declare(where, feature):
                continue
            if feature in sound.features:
                self.faults.add(where, f"{feature.key!r} is listed twice")
            sound.features.append(feature)

    def _limits(self, sound: SoundPlan) -> None:
        limits, place = sound.plan.limits, f"{sound.place}.limits"
        if not isinstance(limits, Mapping):
            self.faults.add(place, f"must be a mapping of Limit to its value, not {shown(limits)}")
            return
        for index, (limit, value) in enumerate(limits.items()):
            if not self.faults.instance(f"{place} (key {index})", limit, Limit):
                continue
            where = f"{place}[{shown(limit.key)}]"
            declared = self.names.declare(where, limit)
            if self._limit_value(where, limit, value, sound) and declared:
                sound.limits[limit.key] = (limit, value)

    def _limit_value(self, place: str, limit: Limit, value: object, sound: SoundPlan) -> bool:
        if not isinstance(value, LimitPerQuantity):
            return self.faults.whole(place, value, minimum=0, unlimited=True)
        if value.limit != limit:
            return self.faults.add(place, "has the value of another limit")
        if sound.plan.default is True:
            return self.faults.add(place, "the default plan has no quantity to count by")
        return self.faults.whole(f"{place}.per_quantity", value.n)

    def _grants(self, sound: SoundPlan) -> None:
        on_default, seen = sound.plan.default is True, dict[str, str]()
        for where, spec in self.faults.items(f"{sound.place}.grants", sound.plan.grants, GrantSpec):
            if not check_grant(self.faults, self.names, where, spec, on_default=on_default):
                continue
            self._granted.add(spec.unit.key)
            if spec.name in seen:
                self.faults.add(
                    where,
                    f"{spec.name!r} is the key of the grant at {seen[spec.name]} already; "
                    "give one of them a key of its own",
                )
                continue
            seen[spec.name] = where
            sound.grants.append((where, spec))

    def _caps(self, sound: SoundPlan) -> None:
        for where, cap in self.faults.items(f"{sound.place}.caps", sound.plan.caps, CapSpec):
            if not check_cap(self.faults, self.names, where, cap):
                continue
            if any((cap.unit, cap.every) == (other.unit, other.every) for other in sound.caps):
                self.faults.add(where, f"{cap.unit.key!r} has a cap for every {cap.every} already")
            sound.caps.append(cap)

    # -- packs ------------------------------------------------------------------------------------

    def _pack_amounts(self, place: str, pack: Pack) -> None:
        given: object = pack.grants
        if isinstance(given, UnitAmount):
            given = (given,)
        if given == ():
            self.faults.add(f"{place}.grants", "a pack holds something")
        seen: set[str] = set()
        for where, amount in self.faults.items(f"{place}.grants", given, UnitAmount):
            if not check_unit_amount(self.faults, self.names, where, amount):
                continue
            if amount.unit.key in seen:
                self.faults.add(where, f"{amount.unit.key!r} is listed twice")
            seen.add(amount.unit.key)
        self._granted |= seen

    def _pack_prices(self, place: str, pack: Pack) -> None:
        if (pack.price is None) == (pack.prices == ()):
            self.faults.add(place, "needs either price= or prices=, and not both")
        where = f"{place}.price"
        if pack.price is not None and self.faults.instance(where, pack.price, Price):
            self.prices.add(where, PriceEntry(pack.price, pack=pack))
        for where, price in self.faults.items(f"{place}.prices", pack.prices, Price):
            self.prices.add(where, PriceEntry(price, pack=pack))
