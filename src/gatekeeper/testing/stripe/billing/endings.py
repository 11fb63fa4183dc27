"""A subscription that ends now, with what is still to be invoiced of it.

Source: API reference, "Cancel a subscription" (`invoice_now`, `prorate`). Simplified: there is no
customer credit, so a final invoice of less than nothing counts as nothing, and credits that are not
invoiced now are lost.
"""

from typing import Any

from gatekeeper.testing.stripe.billing import bills, invoices, items, subscriptions
from gatekeeper.testing.stripe.billing.lines import Period, is_metered, metered_line
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def end_now(
    state: State,
    subscription: Obj,
    details: dict[str, Any] | None,
    *,
    invoice_now: bool,
    prorate: bool,
) -> Obj:
    """Cancel at once; with `invoice_now`, invoice and collect what is open."""
    invoice = None
    if invoice_now and subscription["status"] in subscriptions.BILLED:
        lines = last_lines(state, subscription, prorate=prorate)
        if lines:
            invoice = bills.bill_change(state, subscription, lines, pending=False)
    subscriptions.cancel(state, subscription, "cancellation_requested", details)
    if invoice is not None:
        invoice["auto_advance"] = True
        invoices.finalize(state, invoice)
        invoices.collect(
            state, invoice, subscriptions.method_of(state, subscription), off_session=True
        )
    return subscription


def last_lines(state: State, subscription: Obj, *, prorate: bool) -> list[Obj]:
    """What is open of a subscription: pending prorations, use, and the credit for what is left."""
    hidden, now = state.store.hidden(subscription), state.now()
    lines: list[Obj] = list(hidden["pending_lines"])
    if prorate:
        lines += items.closing(state, subscription, now)
    begun = Period(subscriptions.period_of(subscription).start, now)
    for item in subscription["items"]["data"]:
        if is_metered(item):
            line = metered_line(state, item, subscription["customer"], begun)
            lines += [line] if line["quantity"] else []
    return lines
