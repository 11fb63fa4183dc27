"""Changes of a running subscription: items, prices, quantities, dates, with proration.

Source: Stripe's pages "Change subscriptions" and "Prorations".
"""

from typing import Any

from gatekeeper.testing.stripe.billing import invoices, renewals, subscriptions
from gatekeeper.testing.stripe.billing.calendar import following
from gatekeeper.testing.stripe.billing.lines import (
    Period,
    is_metered,
    licensed_line,
    proration_lines,
)
from gatekeeper.testing.stripe.billing.subscriptions import UPDATED, new_item, period_of
from gatekeeper.testing.stripe.core.errors import invalid, missing
from gatekeeper.testing.stripe.core.params import merge_metadata
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

_PLAIN = ("description", "default_payment_method", "days_until_due", "pause_collection")


def update(state: State, subscription: Obj, params: dict[str, Any]) -> Obj:
    """Apply an update; its one `customer.subscription.updated` tells everything that changed."""
    behavior = params.get("proration_behavior") or "create_prorations"
    invoice_now: list[Obj] = []
    _check_dates(state, subscription, params)
    with state.changing(subscription, UPDATED):
        if params.get("items"):
            invoice_now = _update_items(state, subscription, params["items"], behavior)
        for key in _PLAIN:
            if key in params:
                subscription[key] = params[key]
        if "metadata" in params:
            subscription["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
        if params.get("payment_settings"):
            subscription["payment_settings"].update(params["payment_settings"])
        _update_cancellation(state, subscription, params)
        if params.get("trial_end") is not None:
            _update_trial(state, subscription, params["trial_end"])
        invoice = _invoice_changes(state, subscription, invoice_now) if invoice_now else None
    renewals.watch(state, subscription)
    if params.get("trial_end") == "now" and subscription["status"] == "trialing":
        renewals.end_trial(state, subscription)
    if invoice is not None:
        _collect_now(state, subscription, invoice, bool(params.get("off_session")))
    return subscription


def _check_dates(state: State, subscription: Obj, params: dict[str, Any]) -> None:
    cancel_at, trial_end = params.get("cancel_at"), params.get("trial_end")
    if cancel_at is not None and cancel_at <= state.now():
        raise invalid("cancel_at must be in the future.", "cancel_at")
    if trial_end not in (None, "now") and int(trial_end) < state.now():
        raise invalid("trial_end must be in the future.", "trial_end")
    if trial_end is not None and subscription["status"] not in ("trialing", "active"):
        raise invalid("Only a trialing or active subscription can have its trial moved.")


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


def _update_items(
    state: State, subscription: Obj, wanted: list[dict[str, Any]], behavior: str
) -> list[Obj]:
    """Change the items; the lines that are to be invoiced at once, if any."""
    # Copies, so that a refusal half-way has changed nothing.
    items: list[Obj] = [dict(item) for item in subscription["items"]["data"]]
    period, now, lines = period_of(subscription), state.now(), []
    restart = False
    for index, change in enumerate(wanted):
        item = _find_item(items, change, index)
        if item is not None and change.get("deleted"):
            items.remove(item)
            lines += _prorated(state, item, _terms(item), None, period, now)
            continue
        price = _price_of(state, change, item, index)
        quantity = change.get("quantity")
        if item is None:
            item = new_item(
                state,
                subscription["id"],
                price,
                quantity,
                merge_metadata({}, change.get("metadata")),
                Period(now, period.end),
            )
            item["current_period_start"] = period.start
            items.append(item)
            lines += _prorated(state, item, None, _terms(item), period, now)
            continue
        before = _terms(item)
        restart = restart or _interval(price) != _interval(item["price"])
        item["price"] = price
        if quantity is not None:
            item["quantity"] = quantity
        if "metadata" in change:
            item["metadata"] = merge_metadata(item["metadata"], change["metadata"])
        if before != _terms(item):
            lines += _prorated(state, item, before, _terms(item), period, now)
    if not items:
        raise invalid("A subscription must have at least one active item.", "items")
    if len({_interval(item["price"]) for item in items}) > 1:
        raise invalid("All prices on a subscription must share an interval.", "items")
    subscription["items"]["data"] = items
    return _settle_lines(state, subscription, lines, behavior, restart)


def _settle_lines(
    state: State, subscription: Obj, lines: list[Obj], behavior: str, restart: bool
) -> list[Obj]:
    trialing = subscription["status"] == "trialing"
    kept = [] if behavior == "none" or trialing else lines
    if restart and not trialing:
        return _restart(state, subscription, kept)
    if behavior == "always_invoice":
        return kept
    pending: list[Obj] = state.store.hidden(subscription)["pending_lines"]
    pending.extend(kept)
    return []


def _restart(state: State, subscription: Obj, lines: list[Obj]) -> list[Obj]:
    """Another interval begins now: only the credits remain, and a full new period is billed."""
    now = state.now()
    credits = [line for line in lines if line["amount"] < 0]
    subscription["billing_cycle_anchor"] = now
    items = subscription["items"]["data"]
    interval, count = _interval(items[0]["price"])
    period = Period(now, following(now, interval, count, now))
    for item in items:
        item.update(current_period_start=period.start, current_period_end=period.end)
    return credits + [licensed_line(state, item, period) for item in items if not is_metered(item)]


def _find_item(items: list[Obj], change: dict[str, Any], index: int) -> Obj | None:
    if change.get("id") is None:
        return None
    for item in items:
        if item["id"] == change["id"]:
            return item
    raise missing("subscription_item", change["id"], f"items[{index}][id]")


def _price_of(state: State, change: dict[str, Any], item: Obj | None, index: int) -> Obj:
    if change.get("price") is not None:
        price = state.store.need("price", change["price"], f"items[{index}][price]")
        if price["recurring"] is None or not price["active"]:
            raise invalid(
                f"The price specified is not an active recurring price: {price['id']}",
                f"items[{index}][price]",
            )
        return price
    if item is None:
        raise invalid(
            f"Missing required param: items[{index}][price].",
            f"items[{index}][price]",
            "parameter_missing",
        )
    found: Obj = item["price"]
    return found


def _terms(item: Obj) -> tuple[Obj, int]:
    return item["price"], item.get("quantity", 0)


def _interval(price: Obj) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def _prorated(
    state: State,
    item: Obj,
    before: tuple[Obj, int] | None,
    after: tuple[Obj, int] | None,
    period: Period,
    now: int,
) -> list[Obj]:
    if is_metered(item):
        return []
    return proration_lines(state, item, before, after, period, now)


def _invoice_changes(state: State, subscription: Obj, lines: list[Obj]) -> Obj:
    hidden = state.store.hidden(subscription)
    pending, hidden["pending_lines"] = hidden["pending_lines"], []
    now = state.now()
    return renewals.bill(state, subscription, [*pending, *lines], "subscription_update", (now, now))


def _collect_now(state: State, subscription: Obj, invoice: Obj, off_session: bool) -> None:
    """Stripe's default (allow_incomplete): the change stays even if its payment fails."""
    invoices.finalize(state, invoice)
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        method = subscriptions.method_of(state, subscription)
        invoices.collect(state, invoice, method, off_session=off_session)
