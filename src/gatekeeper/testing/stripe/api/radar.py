"""`/v1/radar/early_fraud_warnings` and `/v1/reviews`."""

from typing import Any

from gatekeeper.testing.stripe.billing import reviews, warnings
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import Kind, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params
from gatekeeper.testing.stripe.routing import Api, listed, one_of
from gatekeeper.testing.stripe.state import State

WARNINGS = "/v1/radar/early_fraud_warnings"
REVIEWS = "/v1/reviews"


def list_reviews(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/reviews`: the open ones."""
    return listed("review", REVIEWS, "open")(state, {**params, "open": True})


def approve(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/reviews/{review}/approve`."""
    review = state.store.need("review", identifier)
    charge = state.store.get("charge", review["charge"])
    closed = reviews.close(state, charge, "approved")
    if closed is None:
        raise invalid("This review has already been closed.")
    return closed


def register(api: Api) -> None:
    """Declare the operations."""
    of = ("charge", "payment_intent")
    filters: dict[str, Kind] = dict.fromkeys(of, Text())
    api.add("GET", WARNINGS, listed(warnings.KIND, WARNINGS, *of), list_params(**filters))
    api.add("GET", f"{WARNINGS}/{{early_fraud_warning}}", one_of(warnings.KIND))
    api.add("GET", REVIEWS, list_reviews, list_params())
    api.add("GET", f"{REVIEWS}/{{review}}", one_of("review"))
    api.add("POST", f"{REVIEWS}/{{review}}/approve", approve)
