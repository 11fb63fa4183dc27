"""Reviews: payments that Radar wants a person to look at.

Source: Stripe's page "Radar: Reviews"; API reference, "Reviews" (why one is closed).
"""

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def open_(state: State, charge: Obj, reason: str = "rule") -> Obj:
    """Put a charge into the queue; `reason` is "rule" or "manual"."""
    made: Obj = {
        "id": state.ids.new("prv"),
        "object": "review",
        "billing_zip": None,
        "charge": charge["id"],
        "closed_reason": None,
        "created": state.now(),
        "ip_address": None,
        "ip_address_location": None,
        "livemode": state.settings.livemode,
        "open": True,
        "opened_reason": reason,
        "reason": reason,
        "session": None,
    }
    state.store.add("review", made)
    charge["review"] = made["id"]
    if charge["payment_intent"] is not None:
        made["payment_intent"] = charge["payment_intent"]
        state.store.get("payment_intent", charge["payment_intent"])["review"] = made["id"]
    state.emit("review.opened", made)
    return made


def close(state: State, charge: Obj, reason: str) -> Obj | None:
    """Close the charge's open review, if there is one: "approved", "refunded",
    "refunded_as_fraud" or "disputed"."""
    for review in state.store.where("review", charge=charge["id"], open=True):
        with state.changing(review, "review.closed"):
            review.update(open=False, closed_reason=reason, reason=reason)
        return review
    return None
