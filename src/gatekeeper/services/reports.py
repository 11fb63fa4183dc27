"""Financial reports, by month and currency: of the platform, and of one seller.

The platform's is summed from the copies of balance transactions, by Stripe's reporting categories
(https://docs.stripe.com/reports/reporting-categories), so it says what Stripe's own reports say; a
seller's from their sales and what they gave back.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec

from gatekeeper.errors import InvalidInputError
from gatekeeper.projection.clawback import REFUND_GONE, to_take_back
from gatekeeper.services.sales import share_of
from gatekeeper.storage.mirror import MirrorObject, MirrorPlace
from gatekeeper.storage.orders import Order, OrderPlace
from gatekeeper.storage.paybacks import PaybackStatus
from gatekeeper.storage.port import Store, Transaction

MAX_MONTHS: Final = 36
"""The most months of one report."""

_AT_ONCE: Final = 500

_COLUMNS: Final = {
    "charge": "charges_minor",
    "refund": "refunds_minor",
    "refund_failure": "refunds_minor",
    "dispute": "disputes_minor",
    "dispute_reversal": "disputes_minor",
    "fee": "fees_minor",
    "platform_earning": "commissions_minor",
    "platform_earning_refund": "commissions_minor",
    "transfer": "transfers_minor",
    "transfer_reversal": "transfers_minor",
    "payout": "payouts_minor",
    "payout_reversal": "payouts_minor",
}
"""Where a reporting category is counted; any other is among what is `other_minor`."""


class PlatformRow(msgspec.Struct, frozen=True, kw_only=True):
    """A month of the platform's, in one currency. What goes out is negative, as at Stripe.

    Attributes:
        month: "2026-11", in UTC.
        fees_minor: Stripe's.
        commissions_minor: what sellers paid the platform, less what was given back.
        transfers_minor: to sellers, less what came back.
        other_minor: what is none of these.
        net_minor: all of it but payouts, which move the money and don't change it.
    """

    month: str
    currency: str
    charges_minor: int = 0
    refunds_minor: int = 0
    disputes_minor: int = 0
    fees_minor: int = 0
    commissions_minor: int = 0
    transfers_minor: int = 0
    other_minor: int = 0
    net_minor: int = 0
    payouts_minor: int = 0


class SellerRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller has sold in a month, in one currency, and what of that has gone back since.

    Attributes:
        month: in which it was paid: "2026-11", in UTC.
        sales: how many.
        sold_minor: what buyers paid.
        commission_minor: what of it was the platform's.
        share_minor: what of it was the seller's.
        returned_minor: what buyers have back of it, disputes included.
        given_back_minor: what of their share the seller has given back, or is to.
        net_minor: what of their share is left to them.
    """

    month: str
    currency: str
    sales: int = 0
    sold_minor: int = 0
    commission_minor: int = 0
    share_minor: int = 0
    returned_minor: int = 0
    given_back_minor: int = 0
    net_minor: int = 0


class Span(msgspec.Struct, frozen=True):
    """Whole months, from the first until before the last."""

    since: datetime
    until: datetime

    def holds(self, moment: datetime) -> bool:
        """Whether an instant lies in it."""
        return self.since <= moment < self.until


def span_of(now: datetime, since: str | None, until: str | None) -> Span:
    """The months from `since` to `until`, both included; by default the last twelve.

    Raises:
        InvalidInputError: one is no month ("2026-11"), or there are more than `MAX_MONTHS`.
    """
    last = _first_of(until) if until is not None else datetime(now.year, now.month, 1, tzinfo=UTC)
    first = _first_of(since) if since is not None else _months_on(last, -11)
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    if not 1 <= months <= MAX_MONTHS:
        raise InvalidInputError(f"A report is of 1 to {MAX_MONTHS} months, the first one first.")
    return Span(first, _months_on(last, 1))


def _first_of(month: str) -> datetime:
    try:
        found = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except (TypeError, ValueError):
        raise InvalidInputError("A month is written as in '2026-11'.") from None
    if not 2_000 <= found.year < 9_000:
        raise InvalidInputError("The month is out of range.")
    return found


def _months_on(first: datetime, months: int) -> datetime:
    count = first.year * 12 + first.month - 1 + months
    return first.replace(year=count // 12, month=count % 12 + 1)


class _Sums:
    """Rows that are being summed up."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, int]] = {}

    def add(self, at: datetime, currency: str, **amounts: int) -> None:
        row = self._rows.setdefault((at.astimezone(UTC).strftime("%Y-%m"), currency), {})
        for name, amount in amounts.items():
            row[name] = row.get(name, 0) + amount

    def rows(self, of: Callable[..., Any]) -> list[Any]:
        return [
            of(month=month, currency=currency, **sums)
            for (month, currency), sums in sorted(self._rows.items())
        ]


class ReportDesk:
    """The reports of one gate."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def span(self, since: str | None, until: str | None) -> Span:
        """See `span_of`."""
        now = await self._store.read(lambda tx: tx.now())
        return span_of(now, since, until)

    async def platform(self, span: Span) -> Sequence[PlatformRow]:
        """The platform's report, the oldest month first. It is read a part at a time."""
        sums = _Sums()
        place: MirrorPlace | None = (span.until, "")
        while place is not None:
            read = await self._store.read(partial(_transactions, before=place))
            place = read[-1].place if len(read) == _AT_ONCE else None
            for one in read:
                if one.created_at is None or one.created_at < span.since:
                    place = None
                    break
                _count(sums, one)
        rows: list[PlatformRow] = sums.rows(PlatformRow)
        return rows

    async def seller(self, seller: str, span: Span) -> Sequence[SellerRow]:
        """A seller's report, the oldest month first."""
        sums = _Sums()
        place: OrderPlace | None = (span.until, "")
        while place is not None:
            work = partial(_sales, seller=seller, before=place, span=span)
            orders, given = await self._store.read(work)
            place = orders[-1].place if len(orders) == _AT_ONCE else None
            for order, back in zip(orders, given, strict=True):
                if back is not None and order.paid_at is not None:
                    share = share_of(order, order.captured_minor)
                    sums.add(
                        order.paid_at,
                        order.currency,
                        sales=1,
                        sold_minor=order.captured_minor,
                        commission_minor=order.captured_minor - share,
                        share_minor=share,
                        returned_minor=order.refunded_minor,
                        given_back_minor=back,
                        net_minor=share - back,
                    )
        rows: list[SellerRow] = sums.rows(SellerRow)
        return rows


def _transactions(tx: Transaction, before: MirrorPlace) -> Sequence[MirrorObject]:
    return tx.mirror.listed("balance_transaction", _AT_ONCE, before)


def _count(sums: _Sums, one: MirrorObject) -> None:
    facts: dict[str, Any] = msgspec.json.decode(one.facts)
    category = facts.get("reporting_category") or facts.get("type") or ""
    column = _COLUMNS.get(category, "other_minor")
    amount, fee = one.amount_minor or 0, facts.get("fee") or 0
    net = 0 if column == "payouts_minor" else amount - fee
    assert one.created_at is not None  # only those with a date are listed
    sums.add(one.created_at, one.currency or "", **{column: amount}, net_minor=net)
    if fee:
        sums.add(one.created_at, one.currency or "", fees_minor=-fee)


def _sales(
    tx: Transaction, seller: str, before: OrderPlace, span: Span
) -> tuple[Sequence[Order], Sequence[int | None]]:
    """Orders of a seller's, and what they gave back of each; None of those not in the report."""
    orders = tx.orders.of_seller(seller, _AT_ONCE, before)
    return orders, [
        _given_back(tx, order) if order.paid_at is not None and span.holds(order.paid_at) else None
        for order in orders
    ]


def _given_back(tx: Transaction, order: Order) -> int:
    rows = tx.paybacks.of_order(order.id)
    back = sum(one.amount_minor for one in rows if one.status is not PaybackStatus.ENDED)
    paid_by = None if order.payment_id is None else tx.orders.payment(order.payment_id)
    if order.transfers == "separate" or paid_by is None or paid_by.charge_id is None:
        return back
    along = 0
    for refund in tx.mirror.of_parent("refund", f"charge/{paid_by.charge_id}"):
        taken = msgspec.json.decode(refund.facts, type=dict[str, Any]).get("transfer_reversal")
        if taken is not None and refund.status not in REFUND_GONE:
            along += refund.amount_minor or 0
    share = share_of(order, order.captured_minor)
    return back + to_take_back(share, order.captured_minor, along)


def as_csv(rows: Iterable[msgspec.Struct], of: type[msgspec.Struct]) -> str:
    """Rows as CSV (RFC 4180), with a line of names first. No cell is a formula to a spreadsheet
    (https://owasp.org/www-community/attacks/CSV_Injection)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(of.__struct_fields__)
    for row in rows:
        writer.writerow(_cell(getattr(row, name)) for name in of.__struct_fields__)
    return out.getvalue()


def _cell(value: object) -> str:
    text = str(value)
    if isinstance(value, int) or not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return text
    return f"'{text}"
