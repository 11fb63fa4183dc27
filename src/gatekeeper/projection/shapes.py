"""Which fields are kept of each kind of Stripe's objects, in any API version that we meet.

No facts name a person: names, addresses, e-mails, texts that people wrote, and whatever identifies
a card or a bank account stay with Stripe. Of a card its brand and expiry are kept.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gatekeeper.projection.reading import Node

Facts = Mapping[str, Any]
"""Words, whole numbers, flags and instants (UTC, RFC 3339) by the names that Stripe gives them."""

MAX_ENTRIES: Final = 100
"""How many entries of a list inside an object are kept: a subscription has at most 20 items
(https://docs.stripe.com/billing/subscriptions/multiple-products), a schedule 10 phases."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a kind.

    Attributes:
        parents: where the object that it belongs to may be named: a path, and that object's kind;
            the first that is there counts.
        final: the statuses that the object never leaves.
        words, references, wholes, flags, moments: paths of facts, by how they are read.
        more: reads further facts, of lists.
        inside: objects of other kinds that a fetch brings along, each copied on its own: the field
            (one object, or a list of them), and their kind.
    """

    status: str = "status"
    amount: str | None = "amount"
    parents: tuple[tuple[str, str], ...] = ()
    final: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    wholes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()
    more: Callable[[Node], Facts] | None = None
    inside: tuple[tuple[str, str], ...] = ()


def _items(root: Node) -> Facts:
    """The items of a subscription; before 2025-03-31 (basil) they had no periods of their own."""
    items = [_item(node) for node in root.nodes("items")[:MAX_ENTRIES]]
    return {"items": items} if items else {}


def _item(node: Node) -> Facts:
    found = {
        **_priced(node),
        "id": node.maybe_word("id"),
        "current_period_start": node.maybe_moment("current_period_start"),
        "current_period_end": node.maybe_moment("current_period_end"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _phases(root: Node) -> Facts:
    """The phases of a schedule: what it will make of its subscription, and when."""
    phases = [
        {
            "start_date": node.moment("start_date"),
            "end_date": node.maybe_moment("end_date"),
            "items": [
                priced
                for item in node.nodes("items")[:MAX_ENTRIES]
                if (priced := _priced(item))["price"] is not None
            ],
        }
        for node in root.nodes("phases")[:MAX_ENTRIES]
    ]
    return {"phases": phases} if phases else {}


def _requirements(root: Node) -> Facts:
    """What Stripe still wants to know of an account: names of fields, without what they hold
    (https://docs.stripe.com/connect/handling-api-verification)."""
    node = root.maybe_node("requirements")
    if node is None:
        return {}
    lists = {name: node.words(name)[:MAX_ENTRIES] for name in ("currently_due", "past_due")}
    return {f"requirements.{name}": found for name, found in lists.items() if found}


def _priced(node: Node) -> Facts:
    quantity = node.maybe_whole("quantity", minimum=0)
    return {
        "price": node.maybe_reference("price") or node.maybe_reference("plan"),
        "quantity": 1 if quantity is None else quantity,
    }


_BALANCE: Final = "balance_transaction"
_PAID_BY: Final = (("payment_intent", "payment_intent"),)
_OF_CHARGE: Final = (("charge", "charge"), *_PAID_BY)
_BILLS: Final = "parent.subscription_details.subscription"
"""Since 2025-03-31 (basil); before, `subscription`."""

SHAPES: Final[Mapping[str, Shape]] = {
    "account": Shape(
        amount=None,
        words=(
            *("country", "type", "default_currency", "requirements.disabled_reason"),
            *("capabilities.card_payments", "capabilities.transfers"),
        ),
        flags=("charges_enabled", "payouts_enabled", "details_submitted"),
        moments=("requirements.current_deadline",),
        more=_requirements,
    ),
    "application_fee": Shape(
        parents=_OF_CHARGE[:1],
        references=("account", _BALANCE),
        wholes=("amount_refunded",),
        flags=("refunded",),
        inside=((_BALANCE, _BALANCE), ("refunds", "fee_refund")),
    ),
    _BALANCE: Shape(
        # Stripe tells of no change: it is "available" from `available_on` on, whatever stands here.
        final=frozenset({"available"}),
        words=("type", "reporting_category"),
        references=("source",),
        wholes=("fee", "net"),
        moments=("available_on",),
    ),
    "charge": Shape(
        parents=_PAID_BY,
        # `invoice` is gone since 2025-03-31 (basil): an invoice_payment says it.
        references=("invoice", _BALANCE, "transfer", "application_fee", "review"),
        # The fingerprint tells a customer's cards apart, and nothing of them.
        words=(
            *("failure_code", "outcome.risk_level", "transfer_group"),
            "payment_method_details.card.fingerprint",
        ),
        wholes=("amount_captured", "amount_refunded"),
        flags=("paid", "captured", "refunded", "disputed"),
        inside=((_BALANCE, _BALANCE),),
    ),
    "checkout.session": Shape(
        amount="amount_total",
        words=("mode", "payment_status"),
        references=("payment_intent", "setup_intent", "subscription", "invoice", "payment_link"),
        moments=("expires_at",),
    ),
    "customer": Shape(
        amount=None,
        words=("tax_exempt",),
        references=("invoice_settings.default_payment_method",),
        wholes=("balance",),
        flags=("delinquent",),
    ),
    "dispute": Shape(
        parents=_OF_CHARGE,
        # Neither "lost" nor "won": now and then a bank decides once more.
        final=frozenset({"warning_closed", "prevented"}),
        words=("reason",),
        references=("payment_intent",),
        flags=("is_charge_refundable", "evidence_details.has_evidence"),
        moments=("evidence_details.due_by",),
        inside=(("balance_transactions", _BALANCE),),
    ),
    "fee_refund": Shape(
        parents=(("fee", "application_fee"),),
        references=(_BALANCE,),
        inside=((_BALANCE, _BALANCE),),
    ),
    "invoice": Shape(
        amount="total",
        parents=((_BILLS, "subscription"), ("subscription", "subscription")),
        words=("number", "billing_reason", "collection_method"),
        wholes=(
            *("amount_due", "amount_paid", "amount_remaining", "subtotal", "attempt_count"),
            "post_payment_credit_notes_amount",
        ),
        moments=(
            *("due_date", "next_payment_attempt", "period_start", "period_end"),
            *("status_transitions.finalized_at", "status_transitions.paid_at"),
            *("status_transitions.voided_at", "status_transitions.marked_uncollectible_at"),
        ),
        inside=(("payments", "invoice_payment"),),
    ),
    "invoice_payment": Shape(
        amount="amount_requested",
        parents=(("invoice", "invoice"),),
        final=frozenset({"canceled", "paid"}),
        words=("payment.type",),
        references=("payment.payment_intent", "payment.charge"),
        wholes=("amount_paid",),
        flags=("is_default",),
        moments=("status_transitions.paid_at", "status_transitions.canceled_at"),
    ),
    "payment_intent": Shape(
        final=frozenset({"succeeded", "canceled"}),
        # `invoice` until acacia; `charges` until 2022-11-15, `latest_charge` since.
        references=("invoice", "latest_charge", "payment_method"),
        words=("cancellation_reason", "last_payment_error.code"),
        wholes=("amount_received", "amount_capturable"),
        moments=("canceled_at",),
    ),
    "payment_method": Shape(
        amount=None,
        words=("type", "card.brand"),
        wholes=("card.exp_month", "card.exp_year"),
    ),
    "payout": Shape(
        final=frozenset({"failed", "canceled"}),
        words=("type", "method", "failure_code", "reconciliation_status"),
        references=(_BALANCE, "failure_balance_transaction", "original_payout", "reversed_by"),
        flags=("automatic",),
        moments=("arrival_date",),
        inside=((_BALANCE, _BALANCE), ("failure_balance_transaction", _BALANCE)),
    ),
    "price": Shape(
        amount="unit_amount",
        parents=(("product", "product"),),
        words=("lookup_key", "type", "recurring.interval", "recurring.usage_type"),
        wholes=("recurring.interval_count",),
        flags=("active",),
    ),
    "product": Shape(amount=None, references=("default_price",), flags=("active",)),
    "radar.early_fraud_warning": Shape(
        amount=None,
        parents=_OF_CHARGE,
        words=("fraud_type",),
        references=("payment_intent",),
        flags=("actionable",),
    ),
    "refund": Shape(
        parents=_OF_CHARGE,
        # No status is final: a refund that succeeded may fail later.
        words=("reason", "failure_reason"),
        references=(
            *("payment_intent", _BALANCE, "failure_balance_transaction"),
            *("transfer_reversal", "source_transfer_reversal"),
        ),
        inside=((_BALANCE, _BALANCE), ("failure_balance_transaction", _BALANCE)),
    ),
    "review": Shape(
        status="reason",
        amount=None,
        parents=_OF_CHARGE,
        words=("opened_reason", "closed_reason"),
        references=("payment_intent",),
        flags=("open",),
    ),
    "setup_intent": Shape(
        amount=None,
        final=frozenset({"succeeded", "canceled"}),
        words=("usage", "cancellation_reason"),
        references=("payment_method",),
    ),
    "subscription": Shape(
        amount=None,
        final=frozenset({"canceled", "incomplete_expired"}),
        words=("collection_method", "pause_collection.behavior", "cancellation_details.reason"),
        references=("latest_invoice", "schedule", "default_payment_method"),
        flags=("cancel_at_period_end",),
        moments=(
            *("start_date", "billing_cycle_anchor", "trial_start", "trial_end"),
            *("cancel_at", "canceled_at", "ended_at"),
            *("pause_collection.resumes_at", "pending_update.expires_at"),
        ),
        more=_items,
    ),
    "subscription_schedule": Shape(
        amount=None,
        parents=(
            ("subscription", "subscription"),
            ("released_subscription", "subscription"),
        ),
        final=frozenset({"canceled", "completed", "released"}),
        words=("end_behavior",),
        moments=(
            "canceled_at",
            "completed_at",
            "released_at",
            "current_phase.start_date",
            "current_phase.end_date",
        ),
        more=_phases,
    ),
    "transfer": Shape(
        parents=(("source_transaction", "charge"),),
        words=("transfer_group",),
        references=("destination", "destination_payment", _BALANCE),
        wholes=("amount_reversed",),
        flags=("reversed",),
        inside=((_BALANCE, _BALANCE), ("reversals", "transfer_reversal")),
    ),
    "transfer_reversal": Shape(
        parents=(("transfer", "transfer"),),
        references=(_BALANCE, "source_refund", "destination_payment_refund"),
        inside=((_BALANCE, _BALANCE),),
    ),
}
"""Every kind that is copied (https://docs.stripe.com/api)."""
