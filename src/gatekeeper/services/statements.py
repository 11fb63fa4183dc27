"""A customer's invoices and payments, for their own pages, from the copies of Stripe's objects.

Only those of our own account: what a connected account's invoices say is between that seller and
the buyer.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.mirror import MirrorObject, MirrorPlace
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import check_id, check_limit

_BATCH: Final = 100
_DRAFT: Final = "draft"


class InvoiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice. Amounts are in minor units of `currency`; `place` is where it stands.

    Attributes:
        status: Stripe's word: open, paid, uncollectible or void; a draft is nobody's to see yet
            (https://docs.stripe.com/invoicing/overview#invoice-statuses).
        total_minor: of the whole invoice.
        credited_minor: what credit notes gave back after it was paid.
        subscription: what it bills for, if it is one.
        next_attempt_at: when Stripe tries to collect it again.
    """

    id: str
    number: str | None
    status: str
    currency: str
    total_minor: int
    due_minor: int
    paid_minor: int
    remaining_minor: int
    credited_minor: int
    subscription: str | None
    reason: str | None
    created_at: datetime | None
    due_at: datetime | None
    paid_at: datetime | None
    period_start: datetime | None
    period_end: datetime | None
    next_attempt_at: datetime | None
    place: MirrorPlace


class RefundRow(msgspec.Struct, frozen=True, kw_only=True):
    """Money that went back, in minor units of `currency`."""

    id: str
    status: str | None
    amount_minor: int
    currency: str
    created_at: datetime | None


class PaymentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A charge: money that was taken, or that was tried to be.

    Attributes:
        status: Stripe's word: succeeded, pending or failed.
        failure_code: why it failed (https://docs.stripe.com/error-codes).
        captured: False while the money is only authorised.
        disputed: whether the bank was asked for it back.
    """

    id: str
    payment_intent: str | None
    status: str
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    currency: str
    created_at: datetime | None
    captured: bool
    disputed: bool
    failure_code: str | None
    refunds: tuple[RefundRow, ...]
    place: MirrorPlace


class Statements:
    """The invoices and payments of the customers of one gate."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def invoices(
        self, customer: str, *, limit: int = 100, after: MirrorPlace | None = None
    ) -> Sequence[InvoiceRow]:
        """A customer's invoices, the newest first, without drafts. `after`: the `place` of the last
        of the page before.

        Raises:
            InvalidIdError, InvalidInputError.
        """
        check_id(customer, "customer")
        check_limit(limit)
        return await self._store.read(
            lambda tx: [
                _invoice(one) for one in _owned(tx, customer, "invoice", limit, after, _is_shown)
            ]
        )

    async def invoice(self, customer: str, invoice_id: str) -> InvoiceRow:
        """One of a customer's own invoices.

        Raises:
            NotFoundError: they have no such invoice.
        """
        found = await self._store.read(lambda tx: tx.mirror.get("invoice", invoice_id))
        if found is None or found.customer != customer or not _is_shown(found):
            raise NotFoundError("There is no such invoice.")
        return _invoice(found)

    async def payments(
        self, customer: str, *, limit: int = 100, after: MirrorPlace | None = None
    ) -> Sequence[PaymentRow]:
        """A customer's payments with their refunds, the newest first; as `invoices`."""
        check_id(customer, "customer")
        check_limit(limit)
        return await self._store.read(lambda tx: payments_of(tx, customer, limit, after))


def payments_of(
    tx: Transaction, customer: str, limit: int, after: MirrorPlace | None = None
) -> list[PaymentRow]:
    """See `Statements.payments`."""
    return [_payment(tx, one) for one in _owned(tx, customer, "charge", limit, after, _is_ours)]


def _owned(
    tx: Transaction,
    customer: str,
    kind: str,
    limit: int,
    after: MirrorPlace | None,
    wanted: Callable[[MirrorObject], bool],
) -> list[MirrorObject]:
    """The first `limit` wanted ones, however many others lie between them."""
    found: list[MirrorObject] = []
    while len(found) < limit:
        batch = tx.mirror.of_customer(customer, kind, max(limit, _BATCH), after)
        found += [one for one in batch if wanted(one)]
        if len(batch) < max(limit, _BATCH):
            break
        after = batch[-1].place
    return found[:limit]


def _is_ours(one: MirrorObject) -> bool:
    return not one.account


def _is_shown(one: MirrorObject) -> bool:
    return _is_ours(one) and not one.deleted and one.status not in (None, _DRAFT)


class _InvoiceFacts(msgspec.Struct):
    number: str | None = None
    billing_reason: str | None = None
    amount_due: int = 0
    amount_paid: int = 0
    amount_remaining: int = 0
    credited: int = msgspec.field(default=0, name="post_payment_credit_notes_amount")
    due_date: datetime | None = None
    next_payment_attempt: datetime | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    paid_at: datetime | None = msgspec.field(default=None, name="status_transitions.paid_at")


class _ChargeFacts(msgspec.Struct):
    amount_captured: int = 0
    amount_refunded: int = 0
    captured: bool = False
    refunded: bool = False
    disputed: bool = False
    failure_code: str | None = None


def _invoice(one: MirrorObject) -> InvoiceRow:
    facts = msgspec.json.decode(one.facts, type=_InvoiceFacts)
    return InvoiceRow(
        id=one.id,
        number=facts.number,
        status=one.status or "",
        currency=one.currency or "",
        total_minor=one.amount_minor or 0,
        due_minor=facts.amount_due,
        paid_minor=facts.amount_paid,
        remaining_minor=facts.amount_remaining,
        credited_minor=facts.credited,
        subscription=_id_of(one.parent, "subscription"),
        reason=facts.billing_reason,
        created_at=one.created_at,
        due_at=facts.due_date,
        paid_at=facts.paid_at,
        period_start=facts.period_start,
        period_end=facts.period_end,
        next_attempt_at=facts.next_payment_attempt if one.status == "open" else None,
        place=one.place,
    )


def _payment(tx: Transaction, one: MirrorObject) -> PaymentRow:
    facts = msgspec.json.decode(one.facts, type=_ChargeFacts)
    # Whatever was captured can have refunds: one that failed leaves nothing in the amounts.
    refunds = tx.mirror.of_parent("refund", one.name) if facts.captured else ()
    return PaymentRow(
        id=one.id,
        payment_intent=_id_of(one.parent, "payment_intent"),
        status=one.status or "",
        amount_minor=one.amount_minor or 0,
        captured_minor=facts.amount_captured,
        refunded_minor=facts.amount_refunded,
        currency=one.currency or "",
        created_at=one.created_at,
        captured=facts.captured,
        disputed=facts.disputed,
        failure_code=facts.failure_code,
        refunds=tuple(_refund(refund) for refund in refunds),
        place=one.place,
    )


def _refund(one: MirrorObject) -> RefundRow:
    return RefundRow(
        id=one.id,
        status=one.status,
        amount_minor=one.amount_minor or 0,
        currency=one.currency or "",
        created_at=one.created_at,
    )


def _id_of(parent: str | None, kind: str) -> str | None:
    """The id of a parent of this kind."""
    of, _, id_ = (parent or "").partition("/")
    return id_ if of == kind else None
