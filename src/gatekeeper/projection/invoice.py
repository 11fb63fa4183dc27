"""From Stripe's invoice to what we keep of it: above all, what its lines have bought."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gatekeeper.projection.prices import price_of
from gatekeeper.projection.reading import Node


class LineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an invoice.

    Attributes:
        item_id: the subscription item that it bills; None for anything else.
        amount_minor: before discounts, as Stripe gives it; negative for a credit. A trial's line
            is 0, a line with a coupon of 100 % is not.
        lookup_key: the price's, where Stripe shows the price.
    """

    id: str
    subscription_id: str | None
    item_id: str | None
    price_id: str | None
    lookup_key: str | None
    quantity: int
    start: datetime
    end: datetime
    proration: bool
    amount_minor: int
    currency: str


class InvoiceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice as Stripe has it now.

    Attributes:
        customer: Stripe's id; Stripe allows for invoices without one.
        credited_minor: what credit notes gave back after the payment. Refunds without a credit note
            are not visible here.
        attempt_count: how often Stripe has tried to collect it, by its own schedule.
        next_attempt_at: when it tries next; None if it does not.
        has_more_lines: the list of lines is longer than what was sent: fetch the rest.
    """

    id: str
    customer: str | None
    subscription_id: str | None
    livemode: bool
    status: str
    currency: str
    amount_due_minor: int
    amount_paid_minor: int
    credited_minor: int
    created_at: datetime
    finalized_at: datetime | None
    due_at: datetime | None
    paid_at: datetime | None
    attempt_count: int
    next_attempt_at: datetime | None
    lines: tuple[LineFacts, ...]
    has_more_lines: bool = False

    @property
    def is_paid(self) -> bool:
        """Whether it is settled: paid, paid out of band, or nothing was to be paid."""
        return self.status == "paid"

    @property
    def paid_lines(self) -> tuple[LineFacts, ...]:
        """What has been bought of subscription items: none before it is paid. What was given back
        since is another matter (`credited_minor`, and refunds, which an invoice does not show).
        Lines of $0 count; a proration counts if it is positive."""
        if not self.is_paid:
            return ()
        return tuple(
            line
            for line in self.lines
            if line.item_id is not None
            and line.price_id is not None
            and line.start < line.end
            and (line.amount_minor > 0 or not line.proration)
        )


def project_invoice(value: Mapping[str, object]) -> InvoiceFacts:
    """Read an invoice of any API version.

    Raises:
        ProjectionError: naming the place that is not as it must be.
    """
    root = Node.root(value, "invoice")
    transitions = root.maybe_node("status_transitions")
    return InvoiceFacts(
        id=root.word("id"),
        customer=root.maybe_reference("customer"),
        subscription_id=_subscription_id(root),
        livemode=root.flag("livemode"),
        status=_status(root),
        currency=root.word("currency"),
        amount_due_minor=root.whole("amount_due"),
        amount_paid_minor=root.whole("amount_paid"),
        credited_minor=root.maybe_whole("post_payment_credit_notes_amount", minimum=0) or 0,
        created_at=root.moment("created"),
        finalized_at=None if transitions is None else transitions.maybe_moment("finalized_at"),
        due_at=root.maybe_moment("due_date"),
        paid_at=None if transitions is None else transitions.maybe_moment("paid_at"),
        attempt_count=root.maybe_whole("attempt_count", minimum=0) or 0,
        next_attempt_at=root.maybe_moment("next_payment_attempt"),
        lines=tuple(_line(node) for node in root.nodes("lines")),
        has_more_lines=root.has_more("lines"),
    )


def _status(root: Node) -> str:
    """Stripe's word. Stripe allows for null: nothing is known to be paid then, unless it says."""
    return root.maybe_word("status") or ("paid" if root.flag("paid") else "draft")


def _subscription_id(root: Node) -> str | None:
    """Since 2025-03-31 (basil) in `parent`, before in `subscription`."""
    parent = root.maybe_node("parent")
    details = None if parent is None else parent.maybe_node("subscription_details")
    if details is not None:
        return details.reference("subscription")
    return root.maybe_reference("subscription")


def _line(node: Node) -> LineFacts:
    price_id, price = price_of(node)
    details = _parent_details(node)
    period = node.node("period")
    quantity = node.maybe_whole("quantity", minimum=0)
    proration = node.maybe_flag("proration")
    return LineFacts(
        id=node.word("id"),
        subscription_id=_either(node, details, "subscription"),
        item_id=_either(node, details, "subscription_item"),
        price_id=price_id,
        lookup_key=None if price is None else price.maybe_word("lookup_key"),
        quantity=1 if quantity is None else quantity,
        start=period.moment("start"),
        end=period.moment("end"),
        proration=(details or node).flag("proration") if proration is None else proration,
        amount_minor=node.whole("amount"),
        currency=node.word("currency"),
    )


def _parent_details(node: Node) -> Node | None:
    """What a line of 2025-03-31 (basil) or later says of where it comes from."""
    parent = node.maybe_node("parent")
    if parent is None:
        return None
    details = parent.maybe_node("subscription_item_details")
    return details or parent.maybe_node("invoice_item_details")


def _either(node: Node, details: Node | None, key: str) -> str | None:
    found = None if details is None else details.maybe_reference(key)
    return found or node.maybe_reference(key)
