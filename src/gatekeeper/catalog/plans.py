"""Plans, packs and their prices.

Plain values: building one never raises, the catalogue checks them all at once. Lists and mappings
are copied when handed in, so that a list changed later changes no plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from gatekeeper.catalog.costs import Declared
from gatekeeper.catalog.features import Feature, Limit, LimitPerQuantity
from gatekeeper.catalog.units import CapSpec, GrantSpec, UnitAmount
from gatekeeper.types import Amount

PriceInterval = Literal["day", "week", "month", "year"]
"""Stripe's `recurring.interval` (https://docs.stripe.com/api/prices/object)."""

LimitValue = Amount | LimitPerQuantity


def _copied(value: object) -> object:
    """A tuple of a list's items; anything that is no list is left for the catalogue to judge."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return tuple(value)
    return value


@dataclass(frozen=True, slots=True)
class Price:
    """A price in Stripe, known by its lookup key.

    Attributes:
        lookup_key: Stripe's `lookup_key`: ours to choose, the same in test and live mode.
        amount_minor: the price in the currency's minor units as Stripe counts them (see
            `currencies.py`).
        currency: lower-case ISO 4217.
        every: the billing interval; None is a one-time price, which only packs have.
        every_count: how many intervals lie between two invoices: ("month", 3) is quarterly.
        ids: price ids of Stripe's that mean this price too, for prices that have no lookup key.
    """

    lookup_key: str
    amount_minor: int
    currency: str
    every: PriceInterval | None = None
    every_count: int = 1
    ids: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", _copied(self.ids))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a subscription (or, for the default plan, the mere sign-up) entitles a customer to.

    Attributes:
        key: the plan's name in code.
        default: the plan of customers who have bought nothing; exactly one plan is.
        includes: the key or keys of plans whose features, limits and grants this one has too;
            see `terms.py` for what happens where both declare the same.
        prices: for every currency and interval; none for a plan that is only assigned or included.
        features: what is switched on.
        limits: a number, UNLIMITED, or `limit.per_quantity()`, for each limit.
        grants: what is granted, made by `unit.once(...)` and `unit.every(...)`.
        name: what people read; the key if None.
        trial_days: how long a new subscription is tried for nothing; None is not at all.
        caps: how much may be used in each window of the calendar, made by `unit.cap(...)`. They
            are the plan's alone: a plan that includes this one declares its own, or has none.
        costs: what differs from the catalogue's cost table for customers of this plan and of
            plans that include it.
    """

    key: str
    default: bool = False
    includes: str | Sequence[str] | None = None
    prices: Sequence[Price] = ()
    features: Sequence[Feature] = ()
    limits: Mapping[Limit, LimitValue] = field(default_factory=dict)
    grants: Sequence[GrantSpec] = ()
    name: str | None = None
    trial_days: int | None = None
    caps: Sequence[CapSpec] = ()
    costs: Mapping[str, Declared] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("includes", "prices", "features", "grants", "caps"):
            object.__setattr__(self, name, _copied(getattr(self, name)))
        for name in ("limits", "costs"):
            value = getattr(self, name)
            if isinstance(value, Mapping):
                object.__setattr__(self, name, MappingProxyType(dict(value)))

    @property
    def label(self) -> str:
        """What people read."""
        return self.key if self.name is None else self.name


@dataclass(frozen=True, slots=True)
class Pack:
    """A top-up: bought once, granted once, whatever the plan.

    Attributes:
        key: the pack's name in code.
        grants: what it holds: `credits(100)`, or several such.
        price: its one price; or
        prices: its prices, for several currencies. All are one-time prices.
        name: what people read; the key if None.
        expires_after_days: how long what was bought can be used; None is for ever.
    """

    key: str
    grants: UnitAmount | Sequence[UnitAmount] = ()
    price: Price | None = None
    prices: Sequence[Price] = ()
    name: str | None = None
    expires_after_days: int | None = None

    def __post_init__(self) -> None:
        for name in ("grants", "prices"):
            object.__setattr__(self, name, _copied(getattr(self, name)))

    @property
    def amounts(self) -> tuple[UnitAmount, ...]:
        """What the pack holds, as a tuple in either case."""
        return (self.grants,) if isinstance(self.grants, UnitAmount) else tuple(self.grants)

    @property
    def all_prices(self) -> tuple[Price, ...]:
        """The pack's prices, however they were given."""
        return tuple(self.prices) if self.price is None else (self.price, *self.prices)

    @property
    def label(self) -> str:
        """What people read."""
        return self.key if self.name is None else self.name


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """A price found in the catalogue, with the plan or the pack that it buys: one of the two."""

    price: Price
    plan: Plan | None = None
    pack: Pack | None = None
