"""What time does to subscriptions: trials end, periods renew, payments are tried again.

At the end of a period its items move on, an invoice is drafted, and an hour later it is finalised
and collected. A failure makes the subscription past_due and is retried by the settings; when the
retries are used up the subscription is canceled, unpaid or left past_due, by the settings too.
Source: Stripe's pages "Subscription invoices", "Smart Retries" and "Trial periods".
"""

from collections.abc import Callable

from gatekeeper.testing.stripe.billing import bills, invoices, items, pending, subscriptions
from gatekeeper.testing.stripe.billing.calendar import following
from gatekeeper.testing.stripe.billing.lines import Period, is_metered, licensed_line, metered_line
from gatekeeper.testing.stripe.billing.methods import attach
from gatekeeper.testing.stripe.billing.subscriptions import BILLED, ENDED, UPDATED, period_of
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def watch(state: State, subscription: Obj) -> None:
    """Plan a subscription's next moments; called whenever its dates have changed."""
    paused: Obj | None = subscription["pause_collection"]
    if paused is not None and paused["resumes_at"] is not None:
        until = paused["resumes_at"]
        _at(state, subscription, until, lambda: _collect_again(state, subscription, until))
    end = period_of(subscription).end
    _at(state, subscription, end, lambda: _period_ended(state, subscription, end))
    if subscription["cancel_at"] is not None:
        cancel_at = subscription["cancel_at"]
        _at(state, subscription, cancel_at, lambda: _cancel_due(state, subscription, cancel_at))
    if subscription["status"] == "incomplete":
        limit = subscription["created"] + state.settings.incomplete_seconds
        _at(state, subscription, limit, lambda: _expire(state, subscription))
    if subscription["status"] == "trialing":
        trial_end = subscription["trial_end"]
        notice = max(state.now(), trial_end - state.settings.trial_notice_seconds)
        _at(state, subscription, notice, lambda: _notice(state, subscription, trial_end))


def _at(state: State, subscription: Obj, second: int, act: Callable[[], None]) -> None:
    def unless_ended() -> None:
        if subscription["status"] not in ENDED:
            act()

    state.agenda.at(second, unless_ended)


def _notice(state: State, subscription: Obj, trial_end: int) -> None:
    hidden = state.store.hidden(subscription)
    still = subscription["status"] == "trialing" and subscription["trial_end"] == trial_end
    if still and hidden.get("noticed") != trial_end:
        hidden["noticed"] = trial_end
        state.emit("customer.subscription.trial_will_end", subscription)


def _expire(state: State, subscription: Obj) -> None:
    if subscription["status"] != "incomplete":
        return
    invoice = state.store.get("invoice", subscription["latest_invoice"])
    intent = invoices.intent_of(state, invoice)
    if intent is not None and intent["status"] == "processing":
        return  # a bank debit on its way decides
    subscriptions.cancel(state, subscription, "incomplete_expired")
    if invoice["status"] == "open":
        invoices.void(state, invoice)


def _collect_again(state: State, subscription: Obj, until: int) -> None:
    paused = subscription["pause_collection"]
    if paused is not None and paused["resumes_at"] == until:
        with state.changing(subscription, UPDATED):
            subscription["pause_collection"] = None


def _cancel_due(state: State, subscription: Obj, cancel_at: int) -> None:
    if subscription["cancel_at"] == cancel_at:
        subscriptions.cancel(state, subscription, "cancellation_requested")


def _period_ended(state: State, subscription: Obj, end: int) -> None:
    if period_of(subscription).end == end:
        state.hooks.period_due(state, subscription)
    if subscription["status"] in ENDED or period_of(subscription).end != end:
        return  # the dates have moved since this was planned
    if subscription["cancel_at_period_end"]:
        _cancel_due(state, subscription, subscription["cancel_at"])
    elif subscription["status"] == "trialing":
        end_trial(state, subscription)
    elif subscription["status"] in BILLED:
        renew(state, subscription)


def end_trial(state: State, subscription: Obj) -> None:
    """The trial is over: bill, pause or cancel, as was declared for a missing payment method."""
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if subscriptions.method_of(state, subscription) is None and behavior != "create_invoice":
        if behavior == "cancel":
            subscriptions.cancel(state, subscription, "cancellation_requested")
            return
        with state.changing(subscription, UPDATED):
            subscription["status"] = "paused"
        state.emit("customer.subscription.paused", subscription)
        return
    renew(state, subscription)


def renew(state: State, subscription: Obj) -> Obj:
    """Begin the next period and draft its invoice; the invoice."""
    ended = period_of(subscription)
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    anchor = subscription["billing_cycle_anchor"]
    period = Period(
        ended.end,
        following(anchor, recurring["interval"], recurring["interval_count"], ended.end),
    )
    lines = _renewal_lines(state, subscription, ended, period)
    with state.changing(subscription, UPDATED):
        for item in subscription["items"]["data"]:
            item.update(current_period_start=period.start, current_period_end=period.end)
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
        invoice = bills.bill(
            state, subscription, lines, "subscription_cycle", (ended.start, ended.end)
        )
    watch(state, subscription)
    plan_collection(state, subscription, invoice)
    return invoice


def _renewal_lines(state: State, subscription: Obj, ended: Period, period: Period) -> list[Obj]:
    hidden = state.store.hidden(subscription)
    lines: list[Obj] = hidden["pending_lines"]
    hidden["pending_lines"] = []
    for item in subscription["items"]["data"]:
        if not is_metered(item):
            lines.append(licensed_line(state, item, period))
        elif subscription["status"] != "trialing":
            lines.append(metered_line(state, item, subscription["customer"], ended))
    return lines


def plan_collection(state: State, subscription: Obj, invoice: Obj) -> None:
    """Let a draft be finalised and collected in its time, or as the pause of collection has it."""
    paused = subscription["pause_collection"]
    if invoice["auto_advance"]:
        due = state.now() + state.settings.draft_seconds
        invoice["automatically_finalizes_at"] = due
        state.agenda.at(due, lambda: finalize_and_collect(state, subscription, invoice))
    elif paused is not None and paused["behavior"] != "keep_as_draft":
        invoices.finalize(state, invoice)
        if invoice["status"] == "open":
            end = invoices.void if paused["behavior"] == "void" else invoices.mark_uncollectible
            end(state, invoice)


def finalize_and_collect(state: State, subscription: Obj, invoice: Obj) -> None:
    """The hour of draft is over."""
    if invoice["status"] == "draft" and invoice["auto_advance"]:
        invoices.finalize(state, invoice)
        if invoice["collection_method"] == "send_invoice":
            state.agenda.at(invoice["due_date"], lambda: _overdue(state, subscription, invoice))
        else:
            collect(state, subscription, invoice)


def collect(state: State, subscription: Obj, invoice: Obj) -> None:
    """One automatic attempt: nobody is there to authenticate."""
    method = subscriptions.method_of(state, subscription)
    invoices.collect(state, invoice, method, off_session=True)


def _overdue(state: State, subscription: Obj, invoice: Obj) -> None:
    if invoice["status"] == "open":
        state.emit("invoice.overdue", invoice)
        if subscription["status"] == "active":
            with state.changing(subscription, UPDATED):
                subscription["status"] = "past_due"


def invoice_moved(state: State, invoice: Obj, word: str) -> None:
    """What an invoice's news means for its subscription."""
    subscription = invoices.subscription_of(state, invoice)
    if subscription is None or subscription["status"] in ENDED:
        return
    if pending.waits(state, subscription, invoice):
        if word == "paid" or (word == "uncollectible" and subscription["status"] == "paused"):
            pending.paid(state, subscription)
        elif word == "voided":
            pending.voided(state, subscription)
        return  # whether it can be paid decides over the change, not over what there is
    latest = subscription["latest_invoice"] in (None, invoice["id"])
    if word == "paid" and latest:
        _paid(state, subscription, invoice)
    elif word == "failed":
        _failed(state, subscription, invoice)
    elif word == "voided" and latest and subscription["status"] == "incomplete":
        subscriptions.cancel(state, subscription, "incomplete_expired")
    elif word in ("voided", "uncollectible") and latest:
        _forgiven(state, subscription)


def _forgiven(state: State, subscription: Obj) -> None:
    if subscription["status"] in ("past_due", "unpaid"):
        with state.changing(subscription, UPDATED):
            subscription["status"] = "active"


def _paid(state: State, subscription: Obj, invoice: Obj) -> None:
    intent = invoices.intent_of(state, invoice)
    with state.changing(subscription, UPDATED):
        if subscription["status"] in ("incomplete", "past_due", "unpaid"):
            subscription["status"] = "active"
        saves = subscription["payment_settings"]["save_default_payment_method"]
        if saves == "on_subscription" and intent is not None and intent["payment_method"]:
            customer = state.store.get("customer", subscription["customer"])
            attach(state, intent["payment_method"], customer)  # what is charged again is kept
            subscription["default_payment_method"] = intent["payment_method"]


def _failed(state: State, subscription: Obj, invoice: Obj) -> None:
    if invoice["billing_reason"] == "subscription_create":
        if state.now() >= subscription["created"] + state.settings.incomplete_seconds:
            _expire(state, subscription)  # a bank debit that outlived the limit, and failed
        return
    days = state.settings.retry_days
    attempt = invoice["attempt_count"]
    retried = invoice["auto_advance"] and attempt <= len(days)
    if retried:
        due = state.now() + days[attempt - 1] * DAY_SECONDS
        invoice["next_payment_attempt"] = due
        state.agenda.at(due, lambda: _retry(state, subscription, invoice, due))
    else:
        invoice.update(next_payment_attempt=None, auto_advance=False)
    if subscription["status"] == "active" and subscription["latest_invoice"] == invoice["id"]:
        with state.changing(subscription, UPDATED):
            subscription["status"] = "past_due"
    if not retried and subscription["status"] == "past_due":
        _give_up(state, subscription)


def _retry(state: State, subscription: Obj, invoice: Obj, due: int) -> None:
    still = invoice["next_payment_attempt"] == due and invoice["status"] == "open"
    if still and subscription["status"] not in ENDED:
        collect(state, subscription, invoice)


def _give_up(state: State, subscription: Obj) -> None:
    if state.settings.after_retries == "cancel":
        subscriptions.cancel(state, subscription, "payment_failed")
    elif state.settings.after_retries == "unpaid":
        with state.changing(subscription, UPDATED):
            subscription["status"] = "unpaid"


def resume(state: State, subscription: Obj, anchor: str, behavior: str) -> None:
    """Take a paused subscription up again: at once, unless an invoice has to be paid first.

    With the anchor "now" a period begins now; "unchanged" keeps the old cycle and prorates.
    """
    proposal = items.resumption(state, subscription, anchor, behavior)
    if not proposal.at_once:
        with state.changing(subscription, UPDATED):
            items.adopt(state, subscription, proposal)
            subscription["status"] = "active"
        watch(state, subscription)
        state.emit("customer.subscription.resumed", subscription)
        return
    pending.attempt(state, subscription, proposal, resumes=True)
