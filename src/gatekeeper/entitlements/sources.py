"""Where a customer's entitlements come from: the default plan, items, gifts, and overrides.

`evaluate` and `explain` both start here, so that what is explained is what was decided.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

from gatekeeper.catalog import Terms
from gatekeeper.entitlements.access import AccessPolicy, access_of
from gatekeeper.entitlements.amounts import size
from gatekeeper.entitlements.state import CustomerState, Override
from gatekeeper.types import Amount

NO_TERMS: Final[Mapping[str, Terms]] = MappingProxyType({})
"""No plan can be given as a gift."""

SourceKind = Literal["default", "item", "gift"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """Terms that are in force now, and what put them in force.

    Attributes:
        id: the item's id; the plan's key for the default plan and for a gift.
        until: the next moment at which this ends by itself.
    """

    kind: SourceKind
    id: str
    terms: Terms
    quantity: int = 1
    until: datetime | None = None

    @property
    def name(self) -> str:
        """What `explain` calls it."""
        if self.kind == "default":
            return f"default plan {self.terms.plan}"
        if self.kind == "gift":
            return f"gift of {self.terms.plan}"
        return f"item {self.id} ({self.terms.plan})"


def contributions(
    state: CustomerState,
    default_terms: Terms,
    policy: AccessPolicy,
    now: datetime,
    terms_of: Mapping[str, Terms],
) -> tuple[Contribution, ...]:
    """All terms in force, in an order that does not depend on the order of what is stored."""
    found = [Contribution("default", default_terms.plan, default_terms)]
    for item in state.items:
        access = access_of(item, policy, now)
        if access.allowed and item.terms is not None:
            found.append(Contribution("item", item.id, item.terms, item.quantity, access.until))
    found += gifts(state, now, terms_of)
    return tuple(sorted(found, key=lambda source: (source.kind, source.id)))


def gifts(state: CustomerState, now: datetime, terms_of: Mapping[str, Terms]) -> list[Contribution]:
    """The plans that are given to the customer now. A plan can be given, not taken away."""
    return [
        Contribution("gift", gift.key, terms_of[gift.key], until=gift.expires_at)
        for gift in in_force(state.overrides, "plan", now)
        if gift.key in terms_of and not takes_away(gift)
    ]


def in_force(
    overrides: Iterable[Override], kind: Literal["feature", "limit", "plan"], now: datetime
) -> tuple[Override, ...]:
    """The overrides of one kind that have not expired.

    The store keeps one of each kind and key. Should there be more, the one that gives least counts
    (no before yes, the smaller number), so that the answer does not depend on their order.
    """
    live = [o for o in overrides if o.kind == kind and (o.expires_at is None or o.expires_at > now)]
    first: dict[str, Override] = {}
    for override in sorted(live, key=caution):
        first.setdefault(override.key, override)
    return tuple(first.values())


def takes_away(override: Override) -> bool:
    """Whether a feature is switched off, or a plan not given: the value is False (or 0)."""
    return not override.value


def limit_value(override: Override) -> Amount | None:
    """The number that an override of a limit sets; None if it holds no number."""
    return None if isinstance(override.value, bool) else override.value


def caution(override: Override) -> tuple[str, tuple[bool, int], bool, bool, float, str]:
    """A key that orders overrides of one kind: by key, then what gives least first. It is total."""
    expires = override.expires_at
    return (
        override.key,
        size(override.value),
        isinstance(override.value, bool),
        expires is None,
        0.0 if expires is None else expires.timestamp(),
        repr(override),
    )
