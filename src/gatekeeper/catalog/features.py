"""What a plan switches on or bounds, and the meters that Stripe bills by.

Plain values: building one never raises, the catalogue checks them all at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

OnOutage = Literal["deny", "allow", "last_known"]
"""What to answer while the store can't be reached: no, yes, or what was last known."""

Combine = Literal["max", "sum", "min"]
"""How the values of several subscription items make one limit."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a customer has or does not have."""

    key: str
    on_outage: OnOutage = "deny"


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that bounds something the host counts itself: seats, projects, megabytes."""

    key: str
    combine: Combine = "max"
    on_outage: OnOutage = "deny"

    def per_quantity(self, n: int = 1) -> "LimitPerQuantity":
        """`limits={seats: seats.per_quantity()}`: the limit is `n` for each of the item's
        quantity."""
        return LimitPerQuantity(self, n)


@dataclass(frozen=True, slots=True)
class LimitPerQuantity:
    """A limit's value that follows the subscription item's quantity."""

    limit: Limit
    n: int = 1


@dataclass(frozen=True, slots=True)
class MeterPrice:
    """What Stripe bills for use of a meter: `amount_minor` for each `per` of it, at the end of
    each interval.

    Attributes:
        lookup_key: Stripe's `lookup_key`: ours to choose, the same in test and live mode.
        amount_minor: in the currency's minor units.
        per: how many units of use cost that: 1, or for example 100 where each costs a hundredth
            of a cent. A power of ten, or another number of twos and fives: Stripe takes the
            amount of one unit as a decimal of at most 12 places.
        currency: lower-case ISO 4217.
        every, every_count: the billing interval, which is that of the plan beside it.
    """

    lookup_key: str
    amount_minor: int
    currency: str
    per: int = 1
    every: Literal["day", "week", "month", "year"] = "month"
    every_count: int = 1

    @property
    def unit_amount_decimal(self) -> str:
        """The amount of one unit, in minor units, as Stripe takes it: "0.01"."""
        return format((Decimal(self.amount_minor) / self.per).normalize(), "f")


@dataclass(frozen=True, slots=True)
class Meter:
    """A Stripe meter: usage that is reported as events and billed in arrears.

    Attributes:
        key: the catalogue's name for it.
        event_name: the `event_name` of the meter events (at most 100 characters, as Stripe says:
            https://docs.stripe.com/api/billing/meter/create).
        name: what people read in Stripe's dashboard and on invoices; the key if None.
        prices: what its use costs, for every currency and interval; none if the host makes them.
    """

    key: str
    event_name: str
    name: str | None = None
    prices: Sequence[MeterPrice] = ()

    def __post_init__(self) -> None:
        if isinstance(self.prices, list):
            object.__setattr__(self, "prices", tuple(self.prices))
