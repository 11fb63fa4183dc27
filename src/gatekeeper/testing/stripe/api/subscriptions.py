"""`/v1/subscriptions`."""

from typing import Any

from gatekeeper.testing.stripe.api.prices import new_price
from gatekeeper.testing.stripe.api.subscription_params import CREATE, DETAILS, RESUME, UPDATE
from gatekeeper.testing.stripe.billing import (
    changes,
    discounts,
    endings,
    renewals,
    subscriptions,
    takings,
)
from gatekeeper.testing.stripe.billing.lines import cost
from gatekeeper.testing.stripe.billing.methods import concrete
from gatekeeper.testing.stripe.billing.plans import Start
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.errors import invalid, missing_parameter
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Fields,
    Flag,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page, plain_list_params
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/subscriptions`."""
    customer = state.store.need("customer", params["customer"], "customer")
    method = params.get("default_payment_method")
    if method is not None:
        method = concrete(state, method, "default_payment_method", customer["id"])["id"]
    rows = params.get("items") or []
    items = [item(state, given, f"items[{index}]") for index, given in enumerate(rows)]
    collection = params.get("collection_method") or "charge_automatically"
    if collection == "send_invoice" and params.get("days_until_due") is None:
        raise missing_parameter("days_until_due")
    total = sum(cost(price, count) for price, count, _ in items if count)
    currency = items[0][0]["currency"] if items else state.settings.currency
    sale = discounts.Sale(customer=customer, amount=total, currency=currency)
    trial_settings = (params.get("trial_settings") or {}).get("end_behavior") or {}
    plan = Start(
        customer=customer,
        items=items,
        metadata=merge_metadata({}, params.get("metadata")),
        description=params.get("description"),
        default_payment_method=method,
        save_default=(params.get("payment_settings") or {}).get("save_default_payment_method")
        == "on_subscription",
        trial_end=_trial_end(state, params),
        missing_payment_method=trial_settings.get("missing_payment_method") or "create_invoice",
        cancel_at=params.get("cancel_at"),
        cancel_at_period_end=bool(params.get("cancel_at_period_end")),
        collection_method=collection,
        days_until_due=params.get("days_until_due"),
        behavior=params.get("payment_behavior") or "allow_incomplete",
        off_session=bool(params.get("off_session")),
        billing_mode=(params.get("billing_mode") or {}).get("type") or "flexible",
        sharing=takings.subscription_terms(state, params),
        reductions=discounts.resolve(state, params.get("discounts") or [], sale),
        payment_method_types=(params.get("payment_settings") or {}).get("payment_method_types"),
    )
    return subscriptions.start(state, plan)


def item(state: State, given: dict[str, Any], path: str) -> tuple[Obj, int | None, dict[str, str]]:
    """The price, quantity and metadata of an item as a call names it at `path`."""
    if given.get("price") is not None:
        price = state.store.need("price", given["price"], f"{path}[price]")
    elif given.get("price_data") is not None:
        price = new_price(state, given["price_data"], f"{path}[price_data]")
    else:
        raise missing_parameter(f"{path}[price]")
    metered = bool(price["recurring"]) and price["recurring"]["usage_type"] == "metered"
    quantity = given.get("quantity")
    if metered and quantity is not None:
        raise invalid("Quantity cannot be set on a metered price.", f"{path}[quantity]")
    count = None if metered else 1 if quantity is None else quantity
    return price, count, merge_metadata({}, given.get("metadata"))


def _trial_end(state: State, params: dict[str, Any]) -> int | None:
    if params.get("trial_period_days"):
        return state.now() + int(params["trial_period_days"]) * DAY_SECONDS
    end = params.get("trial_end")
    if end is None or end == "now":
        return None
    if end <= state.now():
        raise invalid("Timestamp cannot be in the past.", "trial_end")
    return int(end)


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/subscriptions/{subscription}`."""
    subscription = state.store.need("subscription", identifier)
    if subscription["status"] in subscriptions.ENDED:
        return _annotate(state, subscription, params)
    if params.get("default_payment_method") is not None:
        method = concrete(
            state,
            params["default_payment_method"],
            "default_payment_method",
            subscription["customer"],
        )
        params = {**params, "default_payment_method": method["id"]}
    if "pause_collection" in params:
        paused = params["pause_collection"]
        params = {**params, "pause_collection": {"resumes_at": None, **paused} if paused else None}
    return changes.update(state, subscription, params)


def _annotate(state: State, subscription: Obj, params: dict[str, Any]) -> Obj:
    """What can still be said of a subscription that has ended."""
    if set(params) - {"cancellation_details", "metadata"}:
        raise invalid(
            "A canceled subscription can only update its cancellation_details and metadata.",
            code="invalid_canceled_subscription_fields",
        )
    with state.changing(subscription, subscriptions.UPDATED):
        if "metadata" in params:
            subscription["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
        subscription["cancellation_details"].update(params.get("cancellation_details") or {})
    return subscription


def cancel(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`DELETE /v1/subscriptions/{subscription}`: at once, without a refund."""
    return endings.end_now(
        state,
        state.store.need("subscription", identifier),
        params.get("cancellation_details"),
        invoice_now=bool(params.get("invoice_now")),
        prorate=bool(params.get("prorate")),
    )


def delete_discount(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`DELETE /v1/subscriptions/{subscription}/discount`: the first of its discounts goes."""
    subscription = state.store.need("subscription", identifier)
    if not subscription["discounts"]:
        raise invalid("No active discount for subscription.", code="resource_missing")
    gone = state.store.get(discounts.KIND, subscription["discounts"][0])
    with state.changing(subscription, subscriptions.UPDATED):
        discounts.remove(state, subscription, [gone["id"]])
    return {key: value for key, value in gone.items() if key != "end"} | {"deleted": True}


def resume(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/subscriptions/{subscription}/resume`: a paused one goes on, once its invoice is
    paid."""
    subscription = state.store.need("subscription", identifier)
    if subscription["status"] != "paused":
        raise invalid("You can only resume a subscription if it is `paused`.")
    renewals.resume(
        state,
        subscription,
        params.get("billing_cycle_anchor") or "now",
        params.get("proration_behavior") or "create_prorations",
    )
    return subscription


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/subscriptions`: without a status, those that have not been canceled."""
    status, price = params.get("status"), params.get("price")
    names = ("customer", "collection_method")
    exact = {name: params[name] for name in names if params.get(name) is not None}
    rows = [
        subscription
        for subscription in state.store.where("subscription", **exact)
        if _wanted(subscription["status"], status)
        and (price is None or any(i["price"]["id"] == price for i in subscription["items"]["data"]))
    ]
    return page("/v1/subscriptions", rows, params)


def _wanted(status: str, asked: str | None) -> bool:
    if asked is None:
        return status != "canceled"
    return asked in ("all", status) or (asked == "ended" and status in subscriptions.ENDED)


def list_items(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/subscription_items`."""
    subscription = state.store.need("subscription", params["subscription"], "subscription")
    return page("/v1/subscription_items", subscription["items"]["data"], params)


def register(api: Api) -> None:
    """Declare the operations."""
    path = "/v1/subscriptions"

    def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
        return state.store.need("subscription", identifier)

    statuses = (
        *("active", "all", "canceled", "ended", "incomplete", "incomplete_expired"),
        *("past_due", "paused", "trialing", "unpaid"),
    )
    api.add("POST", path, create, Fields(CREATE, ("customer",)))
    api.add(
        "GET",
        path,
        list_all,
        list_params(
            collection_method=Choice(("charge_automatically", "send_invoice")),
            customer=Text(),
            price=Text(),
            status=Choice(statuses),
        ),
    )
    api.add("GET", f"{path}/{{subscription_exposed_id}}", retrieve)
    api.add("POST", f"{path}/{{subscription_exposed_id}}", update, Fields(UPDATE))
    api.add(
        "DELETE",
        f"{path}/{{subscription_exposed_id}}",
        cancel,
        Fields({"cancellation_details": DETAILS, "invoice_now": Flag(), "prorate": Flag()}),
    )
    api.add("DELETE", f"{path}/{{subscription_exposed_id}}/discount", delete_discount)
    api.add("POST", f"{path}/{{subscription}}/resume", resume, Fields(RESUME))
    items = plain_list_params(subscription=Text())
    api.add("GET", "/v1/subscription_items", list_items, Fields(items.kinds, ("subscription",)))
