"""Billing modes of subscriptions. Source: Stripe's page "Billing mode"."""

from gatekeeper.testing.stripe.core.store import Obj


def billing_mode(kind: str, now: int) -> Obj:
    """The `billing_mode` of something made `now`: "flexible" (the default since clover) or
    "classic"."""
    if kind == "classic":
        return {"type": "classic", "flexible": None}
    return {
        "type": "flexible",
        "flexible": {"proration_discounts": "included"},
        "updated_at": now,
    }
