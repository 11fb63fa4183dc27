"""What the rendering of an older version needs to know of other objects."""

from typing import Protocol

from gatekeeper.testing.stripe.core.store import Obj


class Known(Protocol):
    """The objects beside the one that is rendered."""

    def find(self, kind: str, identifier: str | None) -> Obj | None:
        """An object by its id."""

    def where(self, kind: str, **fields: object) -> list[Obj]:
        """The objects whose fields have these values, the newest first."""


def drop(obj: Obj, *names: str) -> None:
    """Remove what the version did not have."""
    for name in names:
        obj.pop(name, None)


def plan_of(price: Obj) -> Obj:
    """A recurring price as the plan that stood for it until 2025-03-31 (basil)."""
    recurring = price["recurring"] or {}
    same = (
        *("active", "billing_scheme", "created", "currency", "id", "livemode", "metadata"),
        *("nickname", "product", "tiers_mode"),
    )
    return {
        **{name: price[name] for name in same},
        "object": "plan",
        "aggregate_usage": None,
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "interval": recurring.get("interval"),
        "interval_count": recurring.get("interval_count"),
        "tiers": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": recurring.get("usage_type"),
    }
