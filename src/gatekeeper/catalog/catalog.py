"""The catalogue: everything declared, checked once, and found by name ever after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from gatekeeper.catalog.costs import NO_RATES, Cost, Declared, Measures, ResolvedCost
from gatekeeper.catalog.features import Feature, Limit, Meter, MeterPrice
from gatekeeper.catalog.plans import Pack, Plan, Price, PriceEntry, PriceInterval
from gatekeeper.catalog.terms import Terms
from gatekeeper.catalog.units import Unit
from gatekeeper.catalog.validation import Declarations, Faults, resolve
from gatekeeper.errors import CatalogError, UnknownNameError
from gatekeeper.formulas import Formula

T = TypeVar("T")


@dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Catalog:
    """What can be bought, and what it entitles to. Immutable once built.

    Every lookup by name raises `UnknownNameError`, listing the names that there are: what is not
    declared is refused, never taken to be free or allowed.

    Attributes:
        plans, packs, units, features, limits, meters: by key.
        costs: the cost table, by its keys.
        prices: by lookup key and by declared price id, with what each buys.
        default_plan: the plan of customers who have bought nothing.
        calendar_windows: whether the default plan's recurring windows follow the calendar (UTC)
            instead of beginning when the customer does.
    """

    plans: Mapping[str, Plan]
    packs: Mapping[str, Pack]
    costs: Mapping[str, Cost]
    prices: Mapping[str, PriceEntry]
    units: Mapping[str, Unit]
    features: Mapping[str, Feature]
    limits: Mapping[str, Limit]
    meters: Mapping[str, Meter]
    default_plan: Plan
    calendar_windows: bool
    _terms: Mapping[str, Terms]
    _satisfying: Mapping[str, frozenset[str]]

    def __init__(
        self,
        plans: Sequence[Plan],
        packs: Sequence[Pack] = (),
        costs: Mapping[str, Declared] = MappingProxyType({}),
        *,
        calendar_windows: bool = False,
        declares: Sequence[Unit | Feature | Limit | Meter] = (),
    ) -> None:
        """Check everything and build the catalogue.

        Args:
            plans: exactly one of them is the default.
            packs: top-ups.
            costs: what an action costs: `credits(4)` for each, `credits.per(1_000)`,
                `credits.formula(...)` of several measures, or a `Choice` among such.
            calendar_windows: see the attribute.
            declares: units, features, limits and meters that no plan uses, because only overrides
                or grants by the host give them.

        Raises:
            CatalogError: lists every fault with its place.
        """
        faults = Faults()
        faults.flag("calendar_windows", calendar_windows)
        found = Declarations(faults)
        found.add_plans(plans)
        found.add_packs(packs)
        found.declare("declares", declares)
        found.add_costs(costs)
        found.check_meters()
        terms = resolve(found.plans, faults)
        if faults:
            raise CatalogError(faults)
        values: dict[str, object] = {
            "plans": {key: sound.plan for key, sound in found.plans.items()},
            "packs": found.packs,
            "costs": found.costs.entries,
            "prices": found.prices.entries,
            "units": found.names.of(Unit),
            "features": found.names.of(Feature),
            "limits": found.names.of(Limit),
            "meters": found.names.of(Meter),
            "default_plan": next(s.plan for s in found.plans.values() if s.plan.default),
            "calendar_windows": calendar_windows,
            "_terms": terms,
            "_satisfying": {
                key: frozenset(name for name, those in terms.items() if key in those.plans)
                for key in terms
            },
        }
        for name, value in values.items():
            frozen = MappingProxyType(value) if isinstance(value, dict) else value
            object.__setattr__(self, name, frozen)

    # -- by name ----------------------------------------------------------------------------------

    def plan(self, key: str) -> Plan:
        """The plan of this key."""
        return _found("plan", key, self.plans)

    def pack(self, key: str) -> Pack:
        """The pack of this key."""
        return _found("pack", key, self.packs)

    def unit(self, key: str) -> Unit:
        """The unit of this key."""
        return _found("unit", key, self.units)

    def feature(self, key: str) -> Feature:
        """The feature of this key."""
        return _found("feature", key, self.features)

    def limit(self, key: str) -> Limit:
        """The limit of this key."""
        return _found("limit", key, self.limits)

    def meter(self, key: str) -> Meter:
        """The meter of this key."""
        return _found("meter", key, self.meters)

    def cost(self, key: str) -> Cost:
        """The entry of this key in the cost table."""
        return _found("cost", key, self.costs)

    def cost_of(self, name: str) -> Cost:
        """What `name` costs, whether it is a key of the cost table or a unit, which costs itself.

        The two never share a name.
        """
        if name in self.units:
            return Cost(name, name, 1)
        return _found("cost or unit", name, self.costs, *self.units)

    def resolve(
        self, name: str, measures: Measures, own: Mapping[str, Formula] = NO_RATES
    ) -> ResolvedCost:
        """What `measures` of `name` cost a customer whose own rates are `own`; see `Cost.resolve`.

        Raises:
            UnknownNameError: nothing has this name; or see `Cost.resolve`.
            InvalidAmountError: see there.
        """
        return self.cost_of(name).resolve(measures, own)

    # -- plans ------------------------------------------------------------------------------------

    def terms(self, plan_key: str) -> Terms:
        """What the plan entitles to today: the snapshot to store when it is bought."""
        return _found("plan", plan_key, self._terms)

    def plans_satisfying(self, plan_key: str) -> frozenset[str]:
        """The keys of the plan and of every plan that includes it, however deep."""
        return _found("plan", plan_key, self._satisfying)

    # -- prices -----------------------------------------------------------------------------------

    def find_price(self, reference: str) -> PriceEntry | None:
        """The price of this lookup key or declared price id; None if there is none."""
        return self.prices.get(reference)

    def price(self, reference: str) -> PriceEntry:
        """The price of this lookup key or declared price id."""
        return _found("price", reference, self.prices)

    def is_metered(self, lookup_key: str | None) -> bool:
        """Whether a price of this lookup key bills a meter: it buys nothing by itself."""
        return any(
            price.lookup_key == lookup_key
            for meter in self.meters.values()
            for price in meter.prices
        )

    def metered_beside(self, entry: PriceEntry) -> list[MeterPrice]:
        """The prices by which the overage of what this price buys is billed: those in its currency
        and of its interval, of the meters that the plan's grants name."""
        if entry.plan is None:
            return []
        wanted = (entry.price.currency, entry.price.every, entry.price.every_count)
        keys = dict.fromkeys(grant.overage for grant in self.terms(entry.plan.key).grants)
        return [
            price
            for key in keys
            if key is not None
            for price in self.meters[key].prices
            if (price.currency, price.every, price.every_count) == wanted
        ]

    def prices_of(
        self, plan_key: str, *, currency: str | None = None, every: PriceInterval | None = None
    ) -> tuple[Price, ...]:
        """The plan's prices: all, or those in one currency or of one interval."""
        return tuple(
            price
            for price in self.plan(plan_key).prices
            if currency in (None, price.currency) and every in (None, price.every)
        )


def _found(kind: str, name: object, table: Mapping[str, T], *others: str) -> T:
    """The entry of `table`; `others` are further names that would have been right."""
    if isinstance(name, str) and name in table:
        return table[name]
    said = name if isinstance(name, str) else f"a {type(name).__name__}"  # from a JSON body, say
    raise UnknownNameError(kind, said, (*table, *others))
