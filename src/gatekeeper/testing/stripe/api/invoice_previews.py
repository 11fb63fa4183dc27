"""`POST /v1/invoices/create_preview`."""

from typing import Any

from gatekeeper.testing.stripe.api import subscriptions as subscriptions_api
from gatekeeper.testing.stripe.api.subscription_params import ITEM_CHANGE, PRORATION
from gatekeeper.testing.stripe.billing import changes, discounts, previews
from gatekeeper.testing.stripe.billing.lines import cost
from gatekeeper.testing.stripe.core.errors import invalid, missing_parameter
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Currency,
    Fields,
    Flag,
    Kind,
    Many,
    Moment,
    Text,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

_DETAILS = Fields(
    {
        "billing_cycle_anchor": Choice(("now", "unchanged")),
        "cancel_at_period_end": Flag(),
        "cancel_now": Flag(),
        "items": Many(Fields(ITEM_CHANGE), 20),
        "proration_behavior": PRORATION,
        "proration_date": Moment(),
        "resume_at": Choice(("now",)),
        "trial_end": Moment(now=True),
    }
)

_PREVIEW: dict[str, Kind] = {
    "currency": Currency(),
    "customer": Text(),
    "discounts": discounts.GIVEN,
    "preview_mode": Choice(("next", "recurring")),
    "subscription": Text(),
    "subscription_details": _DETAILS,
}


def create_preview(state: State, params: dict[str, Any]) -> Obj:
    """Of a subscription as it is or would be, or of a customer's new one."""
    details = params.get("subscription_details") or {}
    if params.get("subscription") is None:
        return _of_new(state, params, details)
    subscription = state.store.need("subscription", params["subscription"], "subscription")
    if params.get("customer") not in (None, subscription["customer"]):
        raise invalid("The subscription does not belong to this customer.", "subscription")
    reductions = changes.wanted_reductions(state, subscription, params)
    recurring = params.get("preview_mode") == "recurring"
    return previews.of_subscription(state, subscription, details, reductions, recurring=recurring)


def _of_new(state: State, params: dict[str, Any], details: dict[str, Any]) -> Obj:
    if params.get("customer") is None:
        raise missing_parameter("customer")
    customer = state.store.need("customer", params["customer"], "customer")
    given = details.get("items") or []
    if not given:
        raise missing_parameter("subscription_details[items]")
    path = "subscription_details[items]"
    wanted = [subscriptions_api.item(state, one, f"{path}[{n}]") for n, one in enumerate(given)]
    sale = discounts.Sale(
        customer=customer,
        amount=sum(cost(price, count) for price, count, _ in wanted if count),
        currency=wanted[0][0]["currency"],
    )
    reductions = discounts.resolve(state, params.get("discounts") or [], sale)
    trial_end = details.get("trial_end")
    until = None if trial_end == "now" else trial_end
    return previews.of_new(state, customer, wanted, until, reductions)


def register(api: Api) -> None:
    """Declare the operation."""
    api.add("POST", "/v1/invoices/create_preview", create_preview, Fields(_PREVIEW))
