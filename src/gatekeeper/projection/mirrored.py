"""What is kept of Stripe's objects that access is not decided by: their head, and a few facts.

Each kind is a row of `SHAPES`: which fields are read, in any API version that we meet. No facts
name a person: names, addresses and cards stay with Stripe.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from gatekeeper.projection.reading import Node

Facts = Mapping[str, Any]
"""Words, whole numbers, flags and instants (UTC, RFC 3339) by the names that Stripe gives them."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a kind.

    Attributes:
        parents: where the object that it belongs to may be named: a path, and that object's kind;
            the first that is there counts.
        final: the statuses that the object never leaves.
        words, references, wholes, flags, moments: paths of facts, by how they are read.
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


class Mirrored(msgspec.Struct, frozen=True, kw_only=True):
    """An object as Stripe has it now. `parent` is "kind/id"."""

    kind: str
    id: str
    stripe_customer: str | None
    parent: str | None
    status: str | None
    amount_minor: int | None
    currency: str | None
    created_at: datetime | None
    facts: Facts
    final: bool


_PAID_BY: Final = (("payment_intent", "payment_intent"), ("charge", "charge"))
_OF_CHARGE: Final = (("charge", "charge"), ("payment_intent", "payment_intent"))

SHAPES: Final[Mapping[str, Shape]] = {
    "account": Shape(
        amount=None,
        words=("country", "type"),
        flags=("charges_enabled", "payouts_enabled", "details_submitted"),
    ),
    "application_fee": Shape(
        parents=_OF_CHARGE[:1],
        references=("account", "balance_transaction"),
        wholes=("amount_refunded",),
        flags=("refunded",),
    ),
    "balance_transaction": Shape(
        final=frozenset({"available"}),
        words=("type", "reporting_category"),
        references=("source",),
        wholes=("fee", "net"),
        moments=("available_on",),
    ),
    "charge": Shape(
        parents=_PAID_BY[:1],
        # `invoice` is gone since 2025-03-31 (basil): an invoice_payment says it.
        references=("invoice", "balance_transaction", "transfer", "application_fee"),
        words=("failure_code", "outcome.risk_level"),
        wholes=("amount_captured", "amount_refunded"),
        flags=("paid", "captured", "refunded", "disputed"),
    ),
    "dispute": Shape(
        parents=_OF_CHARGE,
        final=frozenset({"lost", "warning_closed", "prevented"}),
        words=("reason",),
        references=("payment_intent",),
        flags=("is_charge_refundable", "evidence_details.has_evidence"),
        moments=("evidence_details.due_by",),
    ),
    "invoice_payment": Shape(
        amount="amount_requested",
        parents=(("invoice", "invoice"),),
        final=frozenset({"canceled"}),
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
        words=("type", "method", "failure_code"),
        references=("balance_transaction", "original_payout", "reversed_by"),
        flags=("automatic",),
        moments=("arrival_date",),
    ),
    "price": Shape(
        amount="unit_amount",
        parents=(("product", "product"),),
        words=("lookup_key", "type", "recurring.interval"),
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
        references=("payment_intent", "balance_transaction", "transfer_reversal"),
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
    ),
    "transfer": Shape(
        parents=(("source_transaction", "charge"),),
        words=("transfer_group",),
        references=("destination", "balance_transaction"),
        wholes=("amount_reversed",),
        flags=("reversed",),
    ),
}
"""Every kind that is mirrored by its shape (https://docs.stripe.com/api)."""


def project_mirrored(value: Mapping[str, object], kind: str) -> Mirrored:
    """Read an object of a kind of `SHAPES`, of any API version.

    Raises:
        ProjectionError: naming the place that is not as it must be.
    """
    root, shape = Node.root(value, kind), SHAPES[kind]
    status = root.maybe_word(shape.status)
    return Mirrored(
        kind=kind,
        id=root.word("id"),
        # An account's or a transfer's `customer` would be something else; none has one.
        stripe_customer=root.maybe_reference("customer"),
        parent=_parent(root, shape),
        status=status,
        amount_minor=None if shape.amount is None else root.maybe_whole(shape.amount),
        currency=root.maybe_word("currency"),
        created_at=root.maybe_moment("created"),
        facts=_facts(root, shape),
        final=status in shape.final,
    )


def _parent(root: Node, shape: Shape) -> str | None:
    for field, kind in shape.parents:
        found = root.maybe_reference(field)
        if found is not None:
            return f"{kind}/{found}"
    return None


def _facts(root: Node, shape: Shape) -> Facts:
    found: dict[str, Any] = {}
    readers = (
        (shape.words, Node.maybe_word),
        (shape.references, Node.maybe_reference),
        (shape.wholes, Node.maybe_whole),
        (shape.flags, Node.maybe_flag),
        (shape.moments, Node.maybe_moment),
    )
    for paths, read in readers:
        for path in paths:
            *holders, field = path.split(".")
            node: Node | None = root
            for holder in holders:
                node = None if node is None else node.maybe_node(holder)
            value = None if node is None else read(node, field)
            if value is not None:
                found[path] = value
    return found
