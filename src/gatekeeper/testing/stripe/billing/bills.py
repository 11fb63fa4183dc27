"""The invoices of a running subscription, as drafts."""

from gatekeeper.testing.stripe.billing import drafts
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def bill(
    state: State,
    subscription: Obj,
    lines: list[Obj],
    reason: str,
    period: tuple[int, int],
    *,
    certain: bool = True,
) -> Obj:
    """Draft an invoice of a subscription and make it the latest."""
    paused: Obj | None = subscription["pause_collection"]
    goes_on = subscription["status"] != "unpaid" and paused is None
    invoice = drafts.draft(
        state,
        state.store.get("customer", subscription["customer"]),
        lines,
        reason=reason,
        period=period,
        currency=subscription["currency"],
        subscription=subscription,
        auto_advance=goes_on,
        certain=certain,
    )
    subscription["latest_invoice"] = invoice["id"]
    return invoice


def bill_change(
    state: State,
    subscription: Obj,
    lines: list[Obj],
    *,
    certain: bool = True,
    pending: bool = True,
) -> Obj:
    """The invoice of a change, together with what was to wait for the next one, unless that is not
    `pending` any more because it stands in `lines`."""
    hidden = state.store.hidden(subscription)
    waiting, hidden["pending_lines"] = hidden["pending_lines"], []
    now = state.now()
    lines, span = [*(waiting if pending else ()), *lines], (now, now)
    return bill(state, subscription, lines, "subscription_update", span, certain=certain)
