"""Refunds as people see them: what was asked for here, with what Stripe has made of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, get_args

import msgspec

from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.refunds import AskedRefund, AskedStatus

RefundReason = Literal["duplicate", "fraudulent", "requested_by_customer"]
"""Stripe's words for why (https://docs.stripe.com/api/refunds/create#create_refund-reason);
"fraudulent" also puts the card and the e-mail address on Stripe's block lists."""

REFUND_REASONS: Final[tuple[RefundReason, ...]] = get_args(RefundReason)

_OURS: Final = frozenset({"open", "refused"})


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund.

    Attributes:
        id: ours; Stripe's, if it was not asked for here.
        refund_id: Stripe's, once it is made.
        status: "open" (being sent; it counts as given) or "refused" (Stripe has made none); then
            Stripe's: "pending", "requires_action", "succeeded", "failed", "canceled". Of one that
            has failed or was canceled the money has come back, and so has what it took.
        payment_id: the payment intent; the charge, if it has none.
        amount_minor: in minor units of `currency`.
        note, actor: why, and who has asked for it here.
        failure: why it has failed or was refused.
        place: where it stands in a list.
    """

    id: str
    refund_id: str | None
    status: str
    customer: str | None
    payment_id: str | None
    charge_id: str | None
    invoice_id: str | None
    order_id: str | None
    amount_minor: int
    currency: str
    reason: str | None
    note: str | None
    actor: str | None
    failure: str | None
    created_at: datetime
    place: tuple[datetime, str]


def view(asked: AskedRefund, copy: MirrorObject | None = None) -> Refund:
    """A refund that was asked for here."""
    facts = _facts(copy)
    made = asked.status is AskedStatus.MADE
    status = (copy.status if copy is not None else None) or "pending"
    return Refund(
        id=asked.id,
        refund_id=asked.refund_id,
        status=status if made else str(asked.status),
        customer=asked.customer,
        payment_id=asked.payment_id,
        charge_id=asked.charge_id,
        invoice_id=asked.invoice_id,
        order_id=asked.order_id,
        amount_minor=asked.amount_minor,
        currency=asked.currency,
        reason=asked.reason,
        note=asked.note,
        actor=asked.actor,
        failure=facts.get("failure_reason") if made else asked.last_error,
        created_at=asked.created_at,
        place=asked.place if copy is None else copy.place,
    )


def view_of_copy(copy: MirrorObject) -> Refund:
    """A refund that somebody has made at Stripe."""
    facts = _facts(copy)
    return Refund(
        id=copy.id,
        refund_id=copy.id,
        status=copy.status or "pending",
        customer=copy.customer,
        payment_id=facts.get("payment_intent"),
        charge_id=_charge_of(copy),
        invoice_id=None,
        order_id=None,
        amount_minor=copy.amount_minor or 0,
        currency=copy.currency or "",
        reason=facts.get("reason"),
        note=None,
        actor=None,
        failure=facts.get("failure_reason"),
        created_at=copy.place[0],
        place=copy.place,
    )


def listed(
    tx: Transaction,
    limit: int,
    after: tuple[datetime, str] | None,
    *,
    customer: str | None,
    status: str | None,
) -> Sequence[Refund]:
    """Refunds, the newest first: those that Stripe has, and those that it has not made."""
    found: list[Refund] = []
    if status is None or status in _OURS:
        unmade = tx.refunds.unmade(limit, after, customer, status)
        found += [view(one) for one in unmade]
    if status is None or status not in _OURS:
        statuses = () if status is None else (status,)
        copies = tx.mirror.listed("refund", limit, after, statuses, customer)
        asked = tx.refunds.made([one.id for one in copies])
        found += [
            view(asked[one.id], one) if one.id in asked else view_of_copy(one) for one in copies
        ]
    return sorted(found, key=lambda one: one.place, reverse=True)[:limit]


def _facts(copy: MirrorObject | None) -> dict[str, Any]:
    return {} if copy is None else msgspec.json.decode(copy.facts, type=dict[str, Any])


def _charge_of(copy: MirrorObject) -> str | None:
    kind, _, own = (copy.parent or "").partition("/")
    return own if kind == "charge" else None
