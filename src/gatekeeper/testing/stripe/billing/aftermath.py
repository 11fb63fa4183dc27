"""What Stripe's test cards bring upon a charge that succeeded.

It comes between `charge.succeeded` and `payment_intent.succeeded`, as at Stripe.
Source: Stripe's pages "Test card numbers" (disputes) and "Testing Radar".
"""

from gatekeeper.testing.stripe.billing import disputes, reviews, warnings
from gatekeeper.testing.stripe.billing.cards import Card
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def follow(state: State, charge: Obj) -> None:
    """Let it happen, if the card was one of these."""
    method = state.store.find("payment_method", charge["payment_method"])
    instrument = state.store.hidden(method).get("instrument") if method else None
    match instrument.aftermath if isinstance(instrument, Card) else None:
        case "fraudulent" | "product_not_received" as reason:
            disputes.dispute(state, charge, reason=reason)
        case "inquiry":
            disputes.dispute(state, charge, status="warning_needs_response")
        case "preventable":
            prevented = state.settings.disputes_prevented
            disputes.dispute(state, charge, status="prevented" if prevented else "needs_response")
        case "warning":
            warnings.warn(state, charge)
        case "review":
            charge["outcome"].update(risk_level="elevated", type="manual_review")
            reviews.open_(state, charge)
        case None:
            pass
