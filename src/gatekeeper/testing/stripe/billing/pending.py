"""What waits for its payment: updates (`pending_if_incomplete`) and resumptions.

The change is billed at once. Paid, it is applied; unpaid, it stands as `pending_update` and is
dropped with its invoice after 23 hours, or at the end of the trial or period if that comes first.
Source: Stripe's page "Pending updates reference"; API reference, "Resume a subscription".
"""

from dataclasses import dataclass
from typing import Any

from gatekeeper.testing.stripe.billing import bills, debits, invoices, items, subscriptions
from gatekeeper.testing.stripe.billing.items import Proposal
from gatekeeper.testing.stripe.billing.subscriptions import ENDED, UPDATED, period_of
from gatekeeper.testing.stripe.core.clock import HOUR_SECONDS
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

EXPIRES_SECONDS = 23 * HOUR_SECONDS

ALLOWED = frozenset(
    (
        *("billing_cycle_anchor", "items", "off_session", "payment_behavior"),
        *("proration_behavior", "proration_date"),
    )
)
"""What may be asked for in a pending update (and this simulator knows)."""


@dataclass(slots=True)
class _Waiting:
    """The change that an invoice is to pay for; `attempting` is its first attempt, now."""

    invoice: str
    proposal: Proposal
    resumes: bool
    attempting: bool = True


def check(params: dict[str, Any]) -> None:
    """Refuse what cannot wait."""
    for name in sorted(set(params) - ALLOWED):
        raise invalid(
            "When `payment_behavior` is set to `pending_if_incomplete`, you can only pass supported"
            f" params. Got unsupported param: {name}.",
            name,
        )


def check_payer(state: State, subscription: Obj) -> None:
    """Refuse where Stripe has no pending updates: invoices that are sent, and bank debits."""
    method = subscriptions.method_of(state, subscription)
    sent = subscription["collection_method"] == "send_invoice"
    if sent or (method is not None and method["type"] == "sepa_debit"):
        raise invalid(
            "Pending updates are not supported for subscriptions that send invoices or are paid by"
            " bank debit.",
            "payment_behavior",
        )


def attempt(
    state: State,
    subscription: Obj,
    proposal: Proposal,
    *,
    resumes: bool = False,
    off_session: bool = True,
) -> None:
    """Bill a change; apply it if that is paid, else let it wait."""
    drop(state, subscription)
    hidden, now = state.store.hidden(subscription), state.now()
    with state.changing(subscription, UPDATED):
        lines = proposal.lines
        if resumes:
            reason, span = "subscription_cycle", (now, now)
            invoice = bills.bill(state, subscription, lines, reason, span, certain=False)
        else:
            invoice = bills.bill_change(state, subscription, lines, certain=False)
        waiting = hidden["waiting"] = _Waiting(invoice["id"], proposal, resumes)
        invoices.finalize(state, invoice)
        if invoice["status"] == "open":
            method = subscriptions.method_of(state, subscription)
            invoices.collect(state, invoice, method, off_session=off_session)
        waiting.attempting = False
        done = hidden["waiting"] is not waiting
        if not done:
            subscription["pending_update"] = _shown(state, subscription, proposal)
    if done:
        _tell(state, subscription, waiting)
    else:
        expires = subscription["pending_update"]["expires_at"]
        state.agenda.at(expires, lambda: _expire(state, subscription, waiting))


def _shown(state: State, subscription: Obj, proposal: Proposal) -> Obj:
    expires = state.now() + EXPIRES_SECONDS
    if subscription["status"] != "paused":
        expires = min(expires, period_of(subscription).end)
    return {
        "billing_cycle_anchor": proposal.anchor,
        "discount": None,
        "discounts": None,
        "expires_at": expires,
        "metadata": None,
        "subscription_items": proposal.items,
        "trial_end": None,
        "trial_from_plan": None,
    }


def _expire(state: State, subscription: Obj, waiting: _Waiting) -> None:
    if state.store.hidden(subscription)["waiting"] is waiting:
        drop(state, subscription)


def waits(state: State, subscription: Obj, invoice: Obj) -> bool:
    """Whether this invoice is what the subscription waits for."""
    waiting: _Waiting | None = state.store.hidden(subscription).get("waiting")
    return waiting is not None and waiting.invoice == invoice["id"]


def paid(state: State, subscription: Obj) -> None:
    """The invoice has been paid: apply what waited."""
    hidden = state.store.hidden(subscription)
    waiting: _Waiting = hidden["waiting"]
    hidden["waiting"] = None
    with state.changing(subscription, None if waiting.attempting else UPDATED):
        subscription["pending_update"] = None
        items.adopt(state, subscription, waiting.proposal)
        debits.note(state, waiting.proposal.lines)
        if waiting.resumes:
            subscription["status"] = "active"
    if not waiting.attempting:
        _tell(state, subscription, waiting)
        if not waiting.resumes:
            state.emit("customer.subscription.pending_update_applied", subscription)


def _tell(state: State, subscription: Obj, waiting: _Waiting) -> None:
    state.hooks.subscription_started(state, subscription)  # its dates may have moved
    if waiting.resumes:
        state.emit("customer.subscription.resumed", subscription)


def voided(state: State, subscription: Obj) -> None:
    """The invoice is void: what waited for it is dropped."""
    hidden = state.store.hidden(subscription)
    waiting: _Waiting = hidden["waiting"]
    hidden["waiting"] = None
    with state.changing(subscription, UPDATED):
        subscription["pending_update"] = None
    if not waiting.resumes:
        state.emit("customer.subscription.pending_update_expired", subscription)


def drop(state: State, subscription: Obj) -> None:
    """Give up what waits, with its invoice."""
    waiting: _Waiting | None = state.store.hidden(subscription).get("waiting")
    if waiting is None or subscription["status"] in ENDED:
        return
    invoice = state.store.get("invoice", waiting.invoice)
    if invoice["status"] in ("open", "uncollectible"):
        invoices.void(state, invoice)
