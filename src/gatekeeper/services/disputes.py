"""Disputes: what a buyer's bank asks back, of which sale, until when it can be answered, and whose
loss it is. Read from the copies that webhooks keep (https://docs.stripe.com/disputes)."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from gatekeeper.errors import ConflictError, InvalidInputError, NotFoundError
from gatekeeper.services.rules import DisputeBearer, Rules
from gatekeeper.storage.mirror import MirrorObject, MirrorPlace
from gatekeeper.storage.port import Transaction

ANSWERABLE: Final = frozenset(
    {"needs_response", "under_review", "warning_needs_response", "warning_under_review"}
)
"""The statuses of a dispute that is not decided."""

TEXTS: Final = (
    *("access_activity_log", "billing_address", "cancellation_policy_disclosure"),
    *("cancellation_rebuttal", "customer_email_address", "customer_name", "customer_purchase_ip"),
    *("duplicate_charge_explanation", "duplicate_charge_id", "product_description"),
    *("refund_policy_disclosure", "refund_refusal_explanation", "service_date"),
    *("shipping_address", "shipping_carrier", "shipping_date", "shipping_tracking_number"),
    "uncategorized_text",
)
"""The evidence that is text (https://docs.stripe.com/api/disputes/evidence_object). Files are
handed in on Stripe's own pages."""

MAX_TEXT_CHARS: Final = 20_000
MAX_CHARS: Final = 150_000
"""The most of one text, and of all together, that Stripe takes."""

_AT_ONCE: Final = 200


class DisputeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute.

    Attributes:
        order_id: the order that was paid by it, if it was one.
        seller: whose sale that is, if it is a seller's.
        customer: the buyer.
        status: Stripe's word: needs_response, under_review, won, lost, warning_..., prevented.
        due_at: until when evidence can be handed in.
        borne_by: whose loss it is: the platform's or the seller's.
        place: where it stands in a list.
    """

    id: str
    order_id: str | None
    seller: str | None
    customer: str | None
    charge_id: str | None
    amount_minor: int | None
    currency: str | None
    reason: str | None
    status: str | None
    due_at: datetime | None
    has_evidence: bool
    borne_by: DisputeBearer
    created_at: datetime | None
    place: MirrorPlace

    @property
    def is_open(self) -> bool:
        """Whether it is not decided."""
        return self.status in ANSWERABLE


def read(tx: Transaction, rules: Rules, copy: MirrorObject) -> DisputeRow:
    """A dispute as its copy and its order tell."""
    facts: dict[str, Any] = msgspec.json.decode(copy.facts)
    intent = facts.get("payment_intent")
    payment = None if intent is None else tx.orders.payment(intent)
    order = None if payment is None else tx.orders.get(payment.order_id)
    seller = None if order is None else order.seller
    kind, _, parent = (copy.parent or "").partition("/")
    due_at = facts.get("evidence_details.due_by")
    return DisputeRow(
        id=copy.id,
        order_id=None if order is None else order.id,
        seller=seller,
        customer=copy.customer,
        charge_id=parent if kind == "charge" else None,
        amount_minor=copy.amount_minor,
        currency=copy.currency,
        reason=facts.get("reason"),
        status=copy.status,
        due_at=None if due_at is None else msgspec.convert(due_at, datetime),
        has_evidence=facts.get("evidence_details.has_evidence", False),
        borne_by="platform" if seller is None else rules.disputes_borne_by,
        created_at=copy.created_at,
        place=copy.place,
    )


def listed(
    rules: Rules, seller: str, limit: int, before: MirrorPlace | None
) -> Callable[[Transaction], Sequence[DisputeRow]]:
    """What reads the disputes of what a seller has sold, the newest first."""

    def work(tx: Transaction) -> Sequence[DisputeRow]:
        found: list[DisputeRow] = []
        if tx.sellers.get(seller) is None:
            return found
        place = before
        while len(found) < limit:
            page = tx.mirror.listed("dispute", _AT_ONCE, place)
            rows = (read(tx, rules, copy) for copy in page)
            found += [row for row in rows if row.seller == seller]
            if len(page) < _AT_ONCE:
                break
            place = page[-1].place
        return found[:limit]

    return work


def owned(rules: Rules, dispute_id: str, seller: str | None) -> Callable[[Transaction], DisputeRow]:
    """What reads one dispute; of a seller's sales, if one is named.

    Raises:
        NotFoundError: in the transaction: there is none, or it is of somebody else's.
    """

    def work(tx: Transaction) -> DisputeRow:
        copy = tx.mirror.get("dispute", dispute_id)
        row = None if copy is None else read(tx, rules, copy)
        if row is None or (seller is not None and row.seller != seller):
            raise NotFoundError("There is no such dispute.")
        return row

    return work


def check_open(row: DisputeRow) -> None:
    """Refuse what would change a dispute that is decided.

    Raises:
        ConflictError.
    """
    if not row.is_open:
        message = f"The dispute is {row.status}."
        raise ConflictError(message, dispute=row.id, dispute_status=row.status)


def checked_evidence(evidence: dict[str, str]) -> dict[str, str]:
    """Evidence that Stripe takes.

    Raises:
        InvalidInputError: there is none, or too much of it, or of another kind.
    """
    if not evidence:
        raise InvalidInputError("There is no evidence.")
    for name, text in evidence.items():
        if name not in TEXTS:
            raise InvalidInputError(f"There is no evidence {name!r} that is text.")
        if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
            raise InvalidInputError(f"Evidence is text of at most {MAX_TEXT_CHARS} characters.")
        if "\x00" in text or any("\ud800" <= one <= "\udfff" for one in text):
            raise InvalidInputError("The evidence holds what can't be stored.")
    if sum(map(len, evidence.values())) > MAX_CHARS:
        raise InvalidInputError(f"All evidence together has at most {MAX_CHARS} characters.")
    return evidence
