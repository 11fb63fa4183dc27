"""Changes of a running subscription: items, prices, quantities, dates, with proration.

Source: Stripe's pages "Change subscriptions" and "Prorations".
"""

from typing import Any

from gatekeeper.testing.stripe.billing import (
    bills,
    discounts,
    invoices,
    items,
    pending,
    renewals,
    subscriptions,
)
from gatekeeper.testing.stripe.billing.foresight import refuse_unpaid
from gatekeeper.testing.stripe.billing.items import Proposal
from gatekeeper.testing.stripe.billing.lines import cost
from gatekeeper.testing.stripe.billing.subscriptions import UPDATED, period_of
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import merge_metadata
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

_PLAIN = ("description", "default_payment_method", "days_until_due", "pause_collection")


def update(state: State, subscription: Obj, params: dict[str, Any]) -> Obj:
    """Apply an update; its one `customer.subscription.updated` tells everything that changed."""
    _check_dates(state, subscription, params)
    reductions = wanted_reductions(state, subscription, params)
    proposal = proposed(state, subscription, params, reductions)
    if params.get("payment_behavior") == "pending_if_incomplete":
        pending.check(params)
        pending.check_payer(state, subscription)
        if proposal is not None and proposal.at_once:
            off_session = bool(params.get("off_session"))
            pending.attempt(state, subscription, proposal, off_session=off_session)
            return subscription
    _refuse_unpaid(state, subscription, proposal, params)
    pending.drop(state, subscription)
    invoice: Obj | None = None
    with state.changing(subscription, UPDATED):
        if reductions is not None:
            _reduce(state, subscription, reductions)
        if proposal is not None:
            items.adopt(state, subscription, proposal)
        _set_plain(subscription, params)
        _update_cancellation(state, subscription, params)
        if params.get("trial_end") is not None:
            _update_trial(state, subscription, params["trial_end"])
        if proposal is not None and proposal.at_once:
            invoice = bills.bill_change(state, subscription, proposal.lines)
    renewals.watch(state, subscription)
    if params.get("trial_end") == "now" and subscription["status"] == "trialing":
        renewals.end_trial(state, subscription)
    if invoice is not None and params.get("payment_behavior") == "default_incomplete":
        _await_payment(state, subscription, invoice)
    elif invoice is not None:
        collect_now(state, subscription, invoice, bool(params.get("off_session")))
    return subscription


def _set_plain(subscription: Obj, params: dict[str, Any]) -> None:
    for key in _PLAIN:
        if key in params:
            subscription[key] = params[key]
    if "metadata" in params:
        subscription["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
    if params.get("payment_settings"):
        subscription["payment_settings"].update(params["payment_settings"])


def wanted_reductions(
    state: State, subscription: Obj, params: dict[str, Any]
) -> list[discounts.Reduction] | None:
    """The discounts that the parameters name; None: they say nothing of discounts."""
    if params.get("discounts") is None:
        return None
    sale = discounts.Sale(
        customer=state.store.get("customer", subscription["customer"]),
        amount=sum(cost(i["price"], i["quantity"]) for i in subscriptions.licensed(subscription)),
        currency=subscription["currency"],
    )
    return discounts.resolve(state, params["discounts"], sale)


def _reduce(state: State, subscription: Obj, reductions: list[discounts.Reduction]) -> None:
    kept = {one.kept for one in reductions}
    gone = [identifier for identifier in subscription["discounts"] if identifier not in kept]
    discounts.remove(state, subscription, gone)
    customer = state.store.get("customer", subscription["customer"])
    subscription["discounts"] = discounts.redeem(
        state, reductions, customer=customer, subscription=subscription["id"]
    )


def _await_payment(state: State, subscription: Obj, invoice: Obj) -> None:
    """The change stays, and the customer is to confirm its payment: past due until then."""
    invoices.finalize(state, invoice)
    if invoice["status"] == "open" and subscription["status"] == "active":
        with state.changing(subscription, UPDATED):
            subscription["status"] = "past_due"


def _refuse_unpaid(
    state: State, subscription: Obj, proposal: Proposal | None, params: dict[str, Any]
) -> None:
    if params.get("payment_behavior") != "error_if_incomplete" or proposal is None:
        return
    if proposal.at_once and sum(line["amount"] for line in proposal.lines) > 0:
        method = subscriptions.method_of(state, subscription)
        refuse_unpaid(state, subscription, method, bool(params.get("off_session")))


def proposed(
    state: State,
    subscription: Obj,
    params: dict[str, Any],
    reductions: list[discounts.Reduction] | None = None,
) -> Proposal | None:
    """What the parameters would do to the items, if anything; with these `reductions` in place of
    the subscription's own discounts."""
    restart = params.get("billing_cycle_anchor") == "now"
    at = params.get("proration_date")
    period = period_of(subscription)
    if at is not None and not period.start <= at <= period.end:
        raise invalid(
            "Cannot specify proration_date outside of current subscription period.",
            "proration_date",
        )
    if not params.get("items") and not restart:
        return None
    behavior = params.get("proration_behavior") or "create_prorations"
    wanted = params.get("items") or []
    coupons = None if reductions is None else discounts.terms(reductions)
    return items.propose(
        state, subscription, wanted, behavior, restart=restart, at=at, coupons=coupons
    )


def _check_dates(state: State, subscription: Obj, params: dict[str, Any]) -> None:
    cancel_at, trial_end = params.get("cancel_at"), params.get("trial_end")
    if cancel_at is not None and cancel_at <= state.now():
        raise invalid("cancel_at must be in the future.", "cancel_at")
    if trial_end not in (None, "now") and int(trial_end) < state.now():
        raise invalid("trial_end must be in the future.", "trial_end")
    if trial_end is not None and subscription["status"] not in ("trialing", "active"):
        raise invalid("Only a trialing or active subscription can have its trial moved.")
    asked = {name for name in ("cancel_at", "cancel_at_period_end") if params.get(name)}
    if asked and subscription["schedule"] is not None:
        raise invalid(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`"
            ", and updating any cancelation behavior directly is not allowed. Please update the"
            " schedule instead."
        )


def _update_cancellation(state: State, subscription: Obj, params: dict[str, Any]) -> None:
    wanted = {"feedback", "comment"} & set(params.get("cancellation_details") or {})
    for key in wanted:
        subscription["cancellation_details"][key] = params["cancellation_details"][key]
    at: int | None
    if params.get("cancel_at_period_end") is not None:
        at = period_of(subscription).end if params["cancel_at_period_end"] else None
    elif "cancel_at" in params:
        at = params["cancel_at"]
    else:
        return
    subscription["cancel_at"] = at
    subscription["cancel_at_period_end"] = bool(params.get("cancel_at_period_end"))
    subscription["canceled_at"] = None if at is None else state.now()
    subscription["cancellation_details"]["reason"] = (
        None if at is None else "cancellation_requested"
    )


def _update_trial(state: State, subscription: Obj, trial_end: int | str) -> None:
    end = state.now() if isinstance(trial_end, str) else trial_end
    subscription.update(trial_end=end, billing_cycle_anchor=end)
    if end > state.now() and subscription["trial_start"] is None:
        subscription["trial_start"] = state.now()
    if end > state.now():
        subscription["status"] = "trialing"
    for item in subscription["items"]["data"]:
        item["current_period_end"] = end


def collect_now(state: State, subscription: Obj, invoice: Obj, off_session: bool) -> None:
    """Stripe's default (allow_incomplete): the change stays even if its payment fails."""
    invoices.finalize(state, invoice)
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        method = subscriptions.method_of(state, subscription)
        invoices.collect(state, invoice, method, off_session=off_session)
