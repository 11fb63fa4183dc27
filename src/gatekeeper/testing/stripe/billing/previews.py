"""What an invoice would be: the next one of a subscription, or that of a change or a new one.

Nothing is kept and nobody is told. A change that is billed at once (`always_invoice`, a new period)
previews that invoice; one that is not previews the next renewal with its prorations. Sources: API
reference, "Create a preview invoice"; Stripe's page "Preview a subscription change". Simplified:
schedules are not looked ahead to, and there are no pending invoice items of customers.
"""

import copy
from dataclasses import dataclass
from typing import Any

from gatekeeper.testing.stripe.billing import (
    changes,
    discounts,
    drafts,
    endings,
    items,
    subscriptions,
)
from gatekeeper.testing.stripe.billing.calendar import following
from gatekeeper.testing.stripe.billing.lines import Period, is_metered, licensed_line, metered_line
from gatekeeper.testing.stripe.core.errors import ApiError
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

PREFIX = "upcoming_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bill:
    """The invoice in the making: its lines, when it would be made, and of which span."""

    lines: list[Obj]
    at: int
    period: tuple[int, int]


def of_subscription(
    state: State,
    subscription: Obj,
    details: dict[str, Any],
    reductions: list[discounts.Reduction] | None,
    *,
    recurring: bool = False,
) -> Obj:
    """The preview of a subscription's next invoice, with these changes; `recurring` without what
    is for this once (prorations)."""
    if subscription["status"] in subscriptions.ENDED:
        raise _none()
    bill = _bill(state, subscription, details, reductions, recurring=recurring)
    found = _found(state, subscription, reductions, bill.at)
    customer = state.store.get("customer", subscription["customer"])
    made = _compose(state, customer, bill, subscription["currency"], found, subscription)
    made["next_payment_attempt"] = bill.at
    if bill.at > state.now():
        made["next_payment_attempt"] += state.settings.draft_seconds
    if any(_is_proration(line) for line in bill.lines):
        at = details.get("proration_date") or state.now()
        made["parent"]["subscription_details"]["subscription_proration_date"] = at
    return made


def _is_proration(line: Obj) -> bool:
    return bool(line["parent"]["subscription_item_details"]["proration"])


def of_new(
    state: State,
    customer: Obj,
    wanted: list[tuple[Obj, int | None, dict[str, str]]],
    trial_end: int | None,
    reductions: list[discounts.Reduction],
) -> Obj:
    """The preview of a new subscription's first invoice."""
    now = state.now()
    terms = wanted[0][0]["recurring"]
    trial = trial_end is not None and trial_end > now
    end = following(now, terms["interval"], terms["interval_count"], now)
    period = Period(now, trial_end if trial and trial_end is not None else end)
    rows = [subscriptions.new_item(state, "", *one, period) for one in wanted]
    lines = [licensed_line(state, row, period, trial=trial) for row in rows if not is_metered(row)]
    for line in lines:
        line["parent"]["subscription_item_details"]["subscription"] = None
    bill = _Bill(lines=lines, at=now, period=(now, now))
    found = [discounts.new(state, one, customer["id"]) for one in reductions]
    return _compose(state, customer, bill, wanted[0][0]["currency"], found, None)


def _compose(
    state: State,
    customer: Obj,
    bill: _Bill,
    currency: str,
    found: list[Obj],
    subscription: Obj | None,
) -> Obj:
    made = drafts.compose(
        state,
        customer,
        bill.lines,
        reason="upcoming",
        period=bill.period,
        currency=currency,
        subscription=subscription,
        reduced=found,
        prefix=PREFIX,
    )
    made["created"] = bill.at
    return made


def _none() -> ApiError:
    return ApiError(
        404, "No upcoming invoices for this subscription.", code="invoice_upcoming_none"
    )


def _found(
    state: State,
    subscription: Obj,
    reductions: list[discounts.Reduction] | None,
    at: int,
) -> list[Obj]:
    if reductions is None:
        return discounts.active(state, subscription, at)
    found = []
    for one in reductions:
        kept = state.store.find(discounts.KIND, one.kept)
        made = kept or discounts.new(state, one, subscription["customer"])
        found.append(made)
    return found


def _bill(
    state: State,
    subscription: Obj,
    details: dict[str, Any],
    reductions: list[discounts.Reduction] | None,
    *,
    recurring: bool,
) -> _Bill:
    now = state.now()
    behavior = details.get("proration_behavior") or "create_prorations"
    if details.get("cancel_now"):
        lines = endings.last_lines(state, subscription, prorate=behavior != "none")
        return _some(lines, now, (now, now))
    pending: list[Obj] = copy.deepcopy(state.store.hidden(subscription)["pending_lines"])
    if details.get("resume_at") == "now" and subscription["status"] == "paused":
        proposal = items.resumption(
            state, subscription, details.get("billing_cycle_anchor") or "now", behavior
        )
        return _some([*pending, *proposal.lines], now, (now, now))
    change = changes.proposed(state, subscription, details, reductions)
    if change is not None and change.at_once and not recurring:
        return _some([*pending, *change.lines], now, (now, now))
    rows = subscription["items"]["data"] if change is None else change.items
    once = [] if recurring else [*pending, *(change.lines if change is not None else [])]
    if details.get("trial_end") == "now" and subscription["status"] == "trialing":
        return _renewal(state, subscription, rows, once, now)
    return _renewal(state, subscription, rows, once, None, **_ends(subscription, details))


def _ends(subscription: Obj, details: dict[str, Any]) -> dict[str, bool]:
    wanted = details.get("cancel_at_period_end")
    return {"last": subscription["cancel_at_period_end"] if wanted is None else wanted}


def _renewal(
    state: State,
    subscription: Obj,
    rows: list[Obj],
    once: list[Obj],
    at: int | None,
    *,
    last: bool = False,
) -> _Bill:
    """The invoice at the end of the period, or (`at`) of the trial that ends before its time; the
    `last` one bills what was used."""
    ended = Period(rows[0]["current_period_start"], rows[0]["current_period_end"])
    terms = rows[0]["price"]["recurring"]
    begins = ended.end if at is None else at
    anchor = begins if at is not None else subscription["billing_cycle_anchor"]
    following_end = following(anchor, terms["interval"], terms["interval_count"], begins)
    period = Period(begins, following_end)
    lines = list(once)
    for row in rows:
        if not is_metered(row):
            lines += [] if last else [licensed_line(state, row, period)]
        elif subscription["status"] != "trialing":
            used = metered_line(state, row, subscription["customer"], ended)
            lines += [used] if used["quantity"] or not last else []
    return _some(lines, begins, (ended.start, begins))


def _some(lines: list[Obj], at: int, period: tuple[int, int]) -> _Bill:
    if not lines:
        raise _none()
    return _Bill(lines=lines, at=at, period=period)
