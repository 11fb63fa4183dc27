"""What is earned, added up where it is."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, case, distinct, func, or_, select
from sqlalchemy.sql.selectable import Select

from gatekeeper.projection.clawback import DISPUTE_TAKES, REFUND_GONE
from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.storage.revenue import MOVED, PAYING, Money, Movement, Revenue, Sold, Span
from gatekeeper.storage.sql.aggregate import Aggregate
from gatekeeper.storage.sql.tables import (
    entries,
    grants,
    invoices,
    items,
    objects,
    orders,
    prices,
    purchases,
    subscription_changes,
    subscriptions,
)
from gatekeeper.storage.sql.types import UtcDateTime

_SINCE: Final = bindparam("since", type_=UtcDateTime())
_UNTIL: Final = bindparam("until", type_=UtcDateTime())
_AT: Final = bindparam("now", type_=UtcDateTime())
_GRACE_FROM: Final = bindparam("grace_from", type_=UtcDateTime())


def _within(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return and_(column >= _SINCE, column < _UNTIL)


def _whole(total: ColumnElement[Any]) -> ColumnElement[int]:
    """A sum as a whole number: PostgreSQL's of BIGINT is NUMERIC."""
    return func.cast(func.coalesce(total, 0), BigInteger)


_PAID_FOR: Final = items.join(
    subscriptions, subscriptions.c.id == items.c.subscription_id
).outerjoin(prices, prices.c.price_id == items.c.price_id)
_RUNS: Final = and_(
    items.c.status.in_(PAYING),
    or_(
        items.c.status != "past_due",
        func.coalesce(subscriptions.c.unpaid_since, items.c.period_start) > _GRACE_FROM,
    ),
    or_(items.c.ended_at.is_(None), items.c.ended_at > _AT),
    or_(items.c.cancel_at.is_(None), items.c.cancel_at > _AT),
    items.c.started_at <= _AT,
    items.c.collection_paused.is_(False),
    subscriptions.c.duplicate_of.is_(None),
)
_SOLD: Final = (
    select(
        items.c.price_id,
        prices.c.lookup_key,
        prices.c.plan,
        func.sum(items.c.quantity),
        func.count(distinct(items.c.subscription_id)),
    )
    .select_from(_PAID_FOR)
    .where(_RUNS)
    .group_by(items.c.price_id, prices.c.lookup_key, prices.c.plan)
    .order_by(items.c.price_id)
)
_RUNNING: Final = (
    select(func.count(distinct(items.c.subscription_id)), func.count(distinct(items.c.customer)))
    .select_from(_PAID_FOR)
    .where(_RUNS)
)
_PLAN: Final = func.coalesce(prices.c.plan, "")
_BY_PLAN: Final = (
    select(_PLAN, func.count(distinct(items.c.subscription_id)))
    .select_from(_PAID_FOR)
    .where(_RUNS)
    .group_by(_PLAN)
    .order_by(_PLAN)
)
_STATUSES: Final = (
    select(subscriptions.c.status, func.count())
    .where(subscriptions.c.duplicate_of.is_(None))
    .group_by(subscriptions.c.status)
    .order_by(subscriptions.c.status)
)

# -- movement: each subscription's state at both ends, and when it was first paid for --------------

_h: Final = subscription_changes.c
_KNOWN: Final = (
    select(
        _h.subscription_id.label("id"),
        func.max(case((_h.at < _SINCE, _h.sequence))).label("first"),
        func.max(_h.sequence).label("last"),
        func.min(case((_h.status.in_(PAYING), _h.at))).label("paid_at"),
    )
    .where(_h.at < _UNTIL)
    .group_by(_h.subscription_id)
    .subquery("known")
)
_BEGAN: Final = subscription_changes.alias("began")
_ENDED: Final = subscription_changes.alias("ended")
_was: Final = case((_BEGAN.c.status.in_(PAYING), 1), else_=0)
_is: Final = case((_ENDED.c.status.in_(PAYING), 1), else_=0)
_is_new: Final = case((_KNOWN.c.paid_at >= _SINCE, 1), else_=0)
_was_paid: Final = case((_KNOWN.c.paid_at < _SINCE, 1), else_=0)
_MOVEMENT: Final = (
    select(
        _whole(func.sum(_was)),
        _whole(func.sum(_is_new)),
        _whole(func.sum((1 - _was) * _is * _was_paid)),
        _whole(func.sum(_was * (1 - _is))),
        _whole(func.sum(_is_new * (1 - _is))),
        _whole(func.sum(_is)),
    )
    .select_from(
        _KNOWN.join(subscriptions, subscriptions.c.id == _KNOWN.c.id)
        .outerjoin(
            _BEGAN,
            and_(_BEGAN.c.subscription_id == _KNOWN.c.id, _BEGAN.c.sequence == _KNOWN.c.first),
        )
        .outerjoin(
            _ENDED,
            and_(_ENDED.c.subscription_id == _KNOWN.c.id, _ENDED.c.sequence == _KNOWN.c.last),
        )
    )
    .where(subscriptions.c.duplicate_of.is_(None))
)

# -- credits and money ----------------------------------------------------------------------------

_GRANTED: Final = (
    select(grants.c.unit, grants.c.kind, func.sum(grants.c.amount))
    .where(_within(grants.c.created_at), grants.c.amount.is_not(None))
    .group_by(grants.c.unit, grants.c.kind)
)
_POSTED: Final = (
    select(entries.c.unit, entries.c.kind, func.sum(entries.c.posted_delta))
    .where(_within(entries.c.at))
    .group_by(entries.c.unit, entries.c.kind)
)


def _money(currency: ColumnElement[Any], amount: ColumnElement[Any]) -> Select[Any]:
    total = func.sum(func.coalesce(amount, 0))
    return select(currency, func.count(), total).group_by(currency).order_by(currency)


_INVOICED: Final = _money(invoices.c.currency, invoices.c.amount_paid_minor).where(
    _within(invoices.c.paid_at), invoices.c.amount_paid_minor > 0
)
_PAYMENT: Final = and_(
    objects.c.kind == "payment_intent",
    objects.c.id == purchases.c.payment_intent_id,
    objects.c.account == "",
)
_ONCE: Final = (
    purchases.c.mode == "payment",
    purchases.c.status == PurchaseStatus.PAID,
    _within(purchases.c.settled_at),
)
_PURCHASED: Final = (
    _money(objects.c.currency, objects.c.amount_minor)
    .select_from(purchases.join(objects, _PAYMENT))
    .where(*_ONCE)
)
_UNKNOWN: Final = (
    select(func.count())
    .select_from(purchases.outerjoin(objects, _PAYMENT))
    .where(*_ONCE, objects.c.id.is_(None))
)
_ORDERED: Final = _money(orders.c.currency, orders.c.captured_minor).where(
    _within(orders.c.paid_at)
)
_TAKEN: Final = _money(objects.c.currency, objects.c.amount_minor).where(
    objects.c.account == "", _within(objects.c.created_at)
)
_REFUNDED: Final = _TAKEN.where(
    objects.c.kind == "refund",
    objects.c.status.not_in(sorted(REFUND_GONE)),
    or_(objects.c.status != "succeeded", objects.c.facts.contains(MOVED, autoescape=True)),
)
_DISPUTED: Final = _TAKEN.where(
    objects.c.kind == "dispute", objects.c.status.in_(sorted(DISPUTE_TAKES))
)


class SqlRevenue(Aggregate, Revenue):
    """`Revenue` over many tables."""

    def sold(self, at: datetime, grace: timedelta) -> Sequence[Sold]:
        rows = self._connection.execute(_SOLD, {"now": at, "grace_from": at - grace})
        return [
            Sold(
                price_id=price_id,
                lookup_key=lookup_key,
                plan=plan,
                quantity=int(quantity),
                subscriptions=count,
            )
            for price_id, lookup_key, plan, quantity, count in rows
        ]

    def running(self, at: datetime, grace: timedelta) -> tuple[int, int, Mapping[str, int]]:
        which = {"now": at, "grace_from": at - grace}
        count, customers = self._connection.execute(_RUNNING, which).one()
        return count, customers, _counts(self._connection.execute(_BY_PLAN, which))

    def statuses(self) -> Mapping[str, int]:
        return _counts(self._connection.execute(_STATUSES))

    def movement(self, span: Span) -> Movement:
        row = self._connection.execute(_MOVEMENT, _of(span)).one()
        at_start, new, returned, lost, new_lost, at_end = (int(one) for one in row)
        return Movement(
            at_start=at_start,
            new=new,
            returned=returned,
            lost=lost,
            new_lost=new_lost,
            at_end=at_end,
        )

    def granted(self, span: Span) -> Mapping[tuple[str, str], int]:
        return self._by_kind(_GRANTED, span)

    def posted(self, span: Span) -> Mapping[tuple[str, str], int]:
        return self._by_kind(_POSTED, span)

    def invoiced(self, span: Span) -> Sequence[Money]:
        return self._monies(_INVOICED, span)

    def purchased(self, span: Span) -> tuple[Sequence[Money], int]:
        unknown = self._connection.execute(_UNKNOWN, _of(span)).scalar_one()
        return self._monies(_PURCHASED, span), int(unknown)

    def ordered(self, span: Span) -> Sequence[Money]:
        return self._monies(_ORDERED, span)

    def refunded(self, span: Span) -> Sequence[Money]:
        return self._monies(_REFUNDED, span)

    def disputed(self, span: Span) -> Sequence[Money]:
        return self._monies(_DISPUTED, span)

    def _by_kind(self, statement: Any, span: Span) -> dict[tuple[str, str], int]:
        rows = self._connection.execute(statement, _of(span))
        return {(unit, str(kind)): int(total) for unit, kind, total in rows}

    def _monies(self, statement: Any, span: Span) -> list[Money]:
        rows = self._connection.execute(statement, _of(span))
        return [
            Money(currency=currency or "", count=count, amount_minor=int(total))
            for currency, count, total in rows
        ]


def _counts(rows: Iterable[Any]) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in rows}


def _of(span: Span) -> dict[str, Any]:
    return {"since": span.since, "until": span.until}
