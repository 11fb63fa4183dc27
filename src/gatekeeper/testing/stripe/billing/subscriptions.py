"""Subscriptions: made, changed and ended. What time does to them is in `renewals`.

Periods stand on the items; the first invoice decides between incomplete and active.
Source: Stripe's page "How subscriptions work".
"""

from dataclasses import dataclass, field
from typing import Any

from gatekeeper.testing.stripe.billing import drafts, invoices
from gatekeeper.testing.stripe.billing.calendar import following
from gatekeeper.testing.stripe.billing.foresight import refuse_unpaid
from gatekeeper.testing.stripe.billing.lines import Period, is_metered, licensed_line
from gatekeeper.testing.stripe.billing.modes import billing_mode
from gatekeeper.testing.stripe.core.errors import invalid, missing
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import whole
from gatekeeper.testing.stripe.state import State

ENDED = ("canceled", "incomplete_expired")
BILLED = ("active", "past_due", "unpaid")

UPDATED = "customer.subscription.updated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a new subscription is to be. `paid_by` is an intent that has already been confirmed."""

    customer: Obj
    items: list[tuple[Obj, int | None, dict[str, str]]]
    """(price, quantity, metadata); no quantity for a metered price."""
    metadata: dict[str, str] = field(default_factory=dict)
    description: str | None = None
    default_payment_method: str | None = None
    save_default: bool = False
    trial_end: int | None = None
    missing_payment_method: str = "create_invoice"
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    collection_method: str = "charge_automatically"
    days_until_due: int | None = None
    behavior: str = "allow_incomplete"
    off_session: bool = False
    paid_by: Obj | None = None
    billing_mode: str = "flexible"
    schedule: str | None = None
    sharing: Obj = field(default_factory=dict)
    """`application_fee_percent`, `on_behalf_of` and `transfer_data`, as the API takes them."""


def start(state: State, plan: Start) -> Obj:
    """Make a subscription with its first invoice, and try to collect that by `plan.behavior`."""
    _check_items(state, plan)
    trialing = plan.trial_end is not None and plan.trial_end > state.now()
    subscription = _blank(state, plan, trialing)
    _add_items(state, subscription, plan)
    due = sum(line["amount"] for line in _first_lines(state, subscription, trial=trialing))
    if plan.behavior == "error_if_incomplete" and due and plan.paid_by is None:
        refuse_unpaid(state, subscription, method_of(state, subscription), plan.off_session)
    state.store.add("subscription", subscription, pending_lines=[], waiting=None)
    settled = due == 0 or plan.collection_method == "send_invoice" or _has_paid(plan.paid_by)
    subscription["status"] = "trialing" if trialing else "active" if settled else "incomplete"
    if plan.customer["currency"] is None:
        plan.customer["currency"] = subscription["currency"]
    state.emit("customer.subscription.created", subscription)
    invoice = _first_invoice(state, subscription, plan, trialing)
    state.hooks.subscription_started(state, subscription)
    if subscription["status"] == "incomplete" and plan.paid_by is None:
        _collect_first(state, subscription, invoice, plan)
    return subscription


def _has_paid(intent: Obj | None) -> bool:
    return intent is not None and intent["status"] == "succeeded"


def _check_items(state: State, plan: Start) -> None:
    if not plan.items:
        raise invalid("Missing required param: items.", "items", "parameter_missing")
    terms = set()
    for index, (price, _, _) in enumerate(plan.items):
        if price["recurring"] is None:
            raise invalid(
                f"The price specified is set to `type=one_time` but this field only accepts prices"
                f" with `type=recurring`: {price['id']}",
                f"items[{index}][price]",
            )
        if not price["active"]:
            raise invalid(
                f"The price specified is inactive: {price['id']}", f"items[{index}][price]"
            )
        recurring = price["recurring"]
        terms.add((price["currency"], recurring["interval"], recurring["interval_count"]))
    if len(terms) > 1:
        raise invalid(
            "All prices on a subscription must share a currency and an interval.", "items"
        )
    behavior_needs_method = plan.behavior in ("allow_incomplete", "error_if_incomplete")
    if (
        behavior_needs_method
        and plan.paid_by is None
        and plan.collection_method == "charge_automatically"
        and plan.trial_end is None
        and any(price["unit_amount_decimal"] != "0" for price, count, _ in plan.items if count)
        and _method_id(plan.default_payment_method, plan.customer) is None
    ):
        raise invalid(
            "This customer has no attached payment source or default payment method."
            " Please consider adding a default payment method.",
            code="resource_missing",
        )


def _blank(state: State, plan: Start, trialing: bool) -> Obj:
    first = plan.items[0][0]
    now = state.now()
    return {
        "id": state.ids.new("sub"),
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": plan.trial_end if trialing else now,
        "billing_cycle_anchor_config": None,
        "billing_mode": billing_mode(plan.billing_mode, now),
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": plan.cancel_at,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": plan.collection_method,
        "created": now,
        "currency": first["currency"],
        "customer": plan.customer["id"],
        "customer_account": None,
        "days_until_due": plan.days_until_due,
        "default_payment_method": plan.default_payment_method,
        "default_source": None,
        "default_tax_rates": [],
        "description": plan.description,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {},
        "latest_invoice": None,
        "livemode": state.settings.livemode,
        "metadata": plan.metadata,
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "on_subscription" if plan.save_default else "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": plan.schedule,
        "start_date": now,
        "status": "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": plan.trial_end,
        "trial_settings": {"end_behavior": {"missing_payment_method": plan.missing_payment_method}},
        "trial_start": now if trialing else None,
        **plan.sharing,
    }


def _add_items(state: State, subscription: Obj, plan: Start) -> None:
    now, trial_end = state.now(), plan.trial_end
    recurring = plan.items[0][0]["recurring"]
    ends = following(now, recurring["interval"], recurring["interval_count"], now)
    if subscription["trial_start"] is not None and trial_end is not None:
        ends = trial_end
    items = [
        new_item(state, subscription["id"], price, quantity, metadata, Period(now, ends))
        for price, quantity, metadata in plan.items
    ]
    subscription["items"] = whole(
        f"/v1/subscription_items?subscription={subscription['id']}", items
    )
    if plan.cancel_at_period_end:
        subscription.update(cancel_at_period_end=True, cancel_at=ends, canceled_at=now)
        subscription["cancellation_details"]["reason"] = "cancellation_requested"


def new_item(
    state: State,
    subscription_id: str,
    price: Obj,
    quantity: int | None,
    metadata: dict[str, str],
    period: Period,
) -> Obj:
    """A subscription item; one of a metered price has no quantity."""
    item: Obj = {
        "id": state.ids.new("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": state.now(),
        "current_period_end": period.end,
        "current_period_start": period.start,
        "discounts": [],
        "metadata": metadata,
        "price": price,
        "quantity": 1 if quantity is None else quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }
    if is_metered(item):
        del item["quantity"]
    return item


def period_of(subscription: Obj) -> Period:
    """The running period, which all items share."""
    item = subscription["items"]["data"][0]
    return Period(item["current_period_start"], item["current_period_end"])


def licensed(subscription: Obj) -> list[Obj]:
    """The items that are paid in advance."""
    return [item for item in subscription["items"]["data"] if not is_metered(item)]


def _first_lines(state: State, subscription: Obj, *, trial: bool) -> list[Obj]:
    period = period_of(subscription)
    return [licensed_line(state, item, period, trial=trial) for item in licensed(subscription)]


def _first_invoice(state: State, subscription: Obj, plan: Start, trialing: bool) -> Obj:
    invoice = drafts.draft(
        state,
        plan.customer,
        _first_lines(state, subscription, trial=trialing),
        reason="subscription_create",
        period=(state.now(), state.now()),
        currency=subscription["currency"],
        subscription=subscription,
    )
    subscription["latest_invoice"] = invoice["id"]
    if plan.collection_method == "send_invoice" and invoice["amount_due"]:
        state.hooks.invoice_drafted(state, subscription, invoice)
        return invoice
    return invoices.finalize(state, invoice, plan.paid_by)


def _collect_first(state: State, subscription: Obj, invoice: Obj, plan: Start) -> None:
    if plan.behavior == "default_incomplete":
        return
    method = method_of(state, subscription)
    invoices.collect(state, invoice, method, off_session=plan.off_session)


def _method_id(own: str | None, customer: Obj) -> str | None:
    return own or customer["invoice_settings"]["default_payment_method"]


def method_of(state: State, subscription: Obj) -> Obj | None:
    """What the subscription is paid with: its own default, else its customer's."""
    customer = state.store.get("customer", subscription["customer"])
    identifier = _method_id(subscription["default_payment_method"], customer)
    return state.store.find("payment_method", identifier)


def cancel(
    state: State, subscription: Obj, reason: str, details: dict[str, Any] | None = None
) -> Obj:
    """End a subscription now; what it has been paid for stays paid for."""
    if subscription["status"] in ENDED:
        raise missing("subscription", subscription["id"])  # a 404, as at Stripe
    now = state.now()
    expired = reason == "incomplete_expired"
    subscription.update(
        status="incomplete_expired" if expired else "canceled",
        canceled_at=subscription["canceled_at"] or now,
        ended_at=now,
        cancel_at_period_end=False,
        pending_update=None,
    )
    if not expired:
        kept = {key: value for key, value in (details or {}).items() if value is not None}
        subscription["cancellation_details"].update({"reason": reason, **kept})
    for invoice in state.store.where("invoice", status="draft"):
        if state.store.hidden(invoice)["subscription"] == subscription["id"]:
            invoice["auto_advance"] = False
    if expired:
        state.emit(UPDATED, subscription, {"status": "incomplete"})
    else:
        state.emit("customer.subscription.deleted", subscription)
    state.hooks.subscription_ended(state, subscription)
    return subscription
