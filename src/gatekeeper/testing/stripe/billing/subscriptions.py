"""Subscriptions: made, changed and ended. What time does to them is in `renewals`.

Periods stand on the items; the first invoice decides between incomplete and active.
Source: Stripe's page "How subscriptions work".
"""

from typing import Any

from gatekeeper.testing.stripe.billing import discounts, drafts, invoices, reductions, setups
from gatekeeper.testing.stripe.billing.calendar import following
from gatekeeper.testing.stripe.billing.foresight import refuse_unpaid
from gatekeeper.testing.stripe.billing.lines import Period, is_metered, licensed_line
from gatekeeper.testing.stripe.billing.modes import billing_mode
from gatekeeper.testing.stripe.billing.plans import Start, check, check_method
from gatekeeper.testing.stripe.core.errors import missing
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import whole
from gatekeeper.testing.stripe.state import State

ENDED = ("canceled", "incomplete_expired")
BILLED = ("active", "past_due", "unpaid")

UPDATED = "customer.subscription.updated"


def start(state: State, plan: Start) -> Obj:
    """Make a subscription with its first invoice, and try to collect that by `plan.behavior`."""
    check(plan)
    trialing = plan.trial_end is not None and plan.trial_end > state.now()
    subscription = _blank(state, plan, trialing)
    _add_items(state, subscription, plan)
    coupons = discounts.terms(plan.reductions)
    due = reductions.due(_first_lines(state, subscription, trial=trialing), coupons)
    check_method(plan, due)
    if plan.behavior == "error_if_incomplete" and due and plan.paid_by is None:
        refuse_unpaid(state, subscription, method_of(state, subscription), plan.off_session)
    state.store.add("subscription", subscription, pending_lines=[], waiting=None)
    settled = due == 0 or plan.collection_method == "send_invoice" or _has_paid(plan.paid_by)
    subscription["status"] = "trialing" if trialing else "active" if settled else "incomplete"
    if plan.customer["currency"] is None:
        plan.customer["currency"] = subscription["currency"]
    _redeem(state, subscription, plan)
    if due == 0 and plan.behavior == "default_incomplete":
        _ask_for_method(state, subscription, plan.customer)
    state.emit("customer.subscription.created", subscription)
    invoice = _first_invoice(state, subscription, plan, trialing)
    state.hooks.subscription_started(state, subscription)
    if subscription["status"] == "incomplete" and plan.paid_by is None:
        _collect_first(state, subscription, invoice, plan)
    return subscription


def _redeem(state: State, subscription: Obj, plan: Start) -> None:
    subscription["discounts"] = discounts.redeem(
        state,
        plan.reductions,
        customer=plan.customer,
        subscription=subscription["id"],
        checkout_session=plan.checkout_session,
    )


def _ask_for_method(state: State, subscription: Obj, customer: Obj) -> None:
    """Nothing is due yet: a setup intent is there for what will pay later, if there is nothing."""
    if method_of(state, subscription) is None:
        types = subscription["payment_settings"]["payment_method_types"]
        kinds = {"payment_method_types": types} if types else {}
        intent = setups.new(state, customer=customer["id"], **kinds)
        subscription["pending_setup_intent"] = intent["id"]


def setup_moved(state: State, intent: Obj) -> None:
    """The payment method of a pending setup intent is there: it is the subscription's now."""
    for subscription in state.store.where("subscription", pending_setup_intent=intent["id"]):
        if subscription["status"] not in ENDED and intent["status"] == "succeeded":
            with state.changing(subscription, UPDATED):
                subscription["pending_setup_intent"] = None
                if subscription["payment_settings"]["save_default_payment_method"] != "off":
                    subscription["default_payment_method"] = intent["payment_method"]


def _has_paid(intent: Obj | None) -> bool:
    return intent is not None and intent["status"] == "succeeded"


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
            "payment_method_types": plan.payment_method_types or None,
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
