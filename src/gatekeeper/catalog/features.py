"""What a plan switches on or bounds, and the meters that Stripe bills by.

Plain values: building one never raises, the catalogue checks them all at once.
"""

from dataclasses import dataclass
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
class Meter:
    """A Stripe meter: usage that is reported as events and billed in arrears.

    Attributes:
        key: the catalogue's name for it.
        event_name: the `event_name` of the meter events (at most 100 characters, as Stripe says:
            https://docs.stripe.com/api/billing/meter/create).
        name: what people read in Stripe's dashboard and on invoices; the key if None.
    """

    key: str
    event_name: str
    name: str | None = None
