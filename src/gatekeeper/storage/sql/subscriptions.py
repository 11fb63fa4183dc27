"""Projections of subscriptions, items, invoices, paid lines and prices."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, func, or_, select, update

from gatekeeper.entitlements import TERMINAL
from gatekeeper.entitlements.state import Item, PaidLine
from gatekeeper.storage.port import Subscriptions
from gatekeeper.storage.records import Invoice, PriceRecord, Subscription
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.items import COLUMNS, ITEM_FIELDS, build_items, with_lines
from gatekeeper.storage.sql.tables import invoices, items, paid_lines, prices, subscriptions
from gatekeeper.storage.sql.tables.base import OPEN

_GET: Final = select_of(subscriptions, Subscription).where(subscriptions.c.id == bindparam("id"))
_RUNNING: Final = (
    select_of(subscriptions, Subscription)
    .where(subscriptions.c.id > bindparam("after"), subscriptions.c.status.not_in(sorted(TERMINAL)))
    .order_by(subscriptions.c.id)
    .limit(bindparam("at_most"))
)
_ITEMS: Final = (
    select(*COLUMNS)
    .select_from(with_lines(items))
    .where(items.c.subscription_id == bindparam("subscription_id"))
)
_END_GONE_ITEMS: Final = (
    update(items)
    .where(
        items.c.subscription_id == bindparam("of_subscription"),
        items.c.ended_at.is_(None),
        items.c.id.not_in(bindparam("present", expanding=True)),
    )
    .values(ended_at=bindparam("at"))
)
_SET_UNPAID_SINCE: Final = (
    update(subscriptions)
    .where(subscriptions.c.id == bindparam("subscription_id"))
    .values(unpaid_since=bindparam("since"))
)
_SET_DUPLICATE_OF: Final = (
    update(subscriptions)
    .where(subscriptions.c.id == bindparam("subscription_id"))
    .values(duplicate_of=bindparam("original_id"))
)
_INVOICE: Final = select_of(invoices, Invoice).where(invoices.c.id == bindparam("invoice_id"))
_OLDEST_UNPAID: Final = (
    select_of(invoices, Invoice)
    .where(
        invoices.c.subscription_id == bindparam("of_subscription"),
        invoices.c.status == OPEN,
        invoices.c.amount_due_minor > 0,
    )
    .order_by(func.coalesce(invoices.c.finalized_at, invoices.c.created_at), invoices.c.id)
    .limit(1)
)
_NOTE_RETURNED: Final = (
    update(paid_lines)
    .where(
        paid_lines.c.customer == bindparam("of_customer"),
        paid_lines.c.invoice_id == bindparam("of_invoice"),
        or_(
            paid_lines.c.paid_minor != bindparam("paid"),
            paid_lines.c.returned_minor != bindparam("returned"),
        ),
    )
    .values(paid_minor=bindparam("paid"), returned_minor=bindparam("returned"))
)
_PRICE: Final = select_of(prices, PriceRecord).where(prices.c.price_id == bindparam("price_id"))


class SqlSubscriptions(Aggregate, Subscriptions):
    """`Subscriptions` over the tables of Stripe's projections."""

    def get(self, subscription_id: str) -> Subscription | None:
        rows = self._connection.execute(_GET, {"id": subscription_id})
        return struct_of(rows.mappings().one_or_none(), Subscription)

    def running_after(self, subscription_id: str, limit: int) -> Sequence[Subscription]:
        rows = self._connection.execute(_RUNNING, {"after": subscription_id, "at_most": limit})
        return [Subscription(**row) for row in rows.mappings()]

    def items(self, subscription_id: str) -> Sequence[Item]:
        return build_items(
            self._connection.execute(_ITEMS, {"subscription_id": subscription_id}).all()
        )

    def save(self, subscription: Subscription, items_now: Sequence[Item]) -> None:
        self._connection.execute(
            self._dialect.upsert(subscriptions, keep=("unpaid_since", "duplicate_of")),
            columns_of(subscription),
        )
        for item in items_now:
            values = {name: getattr(item, name) for name in ITEM_FIELDS}
            self._connection.execute(
                self._dialect.upsert(items), {"customer": subscription.customer, **values}
            )
        self._connection.execute(
            _END_GONE_ITEMS,
            {
                "of_subscription": subscription.id,
                "present": [item.id for item in items_now],
                "at": subscription.ended_at or subscription.updated_at,
            },
        )

    def set_unpaid_since(self, subscription_id: str, since: datetime | None) -> None:
        self._connection.execute(
            _SET_UNPAID_SINCE, {"subscription_id": subscription_id, "since": since}
        )

    def set_duplicate_of(self, subscription_id: str, original_id: str) -> None:
        self._connection.execute(
            _SET_DUPLICATE_OF, {"subscription_id": subscription_id, "original_id": original_id}
        )

    def add_paid_lines(self, customer: str, lines: Iterable[PaidLine]) -> int:
        statement = self._dialect.insert_new(paid_lines)
        return sum(
            self._changed(statement, {"customer": customer, **columns_of(line)}) for line in lines
        )

    def note_returned(
        self, customer: str, invoice_id: str, *, paid_minor: int, returned_minor: int
    ) -> bool:
        values = {
            "of_customer": customer,
            "of_invoice": invoice_id,
            "paid": paid_minor,
            "returned": returned_minor,
        }
        return self._changed(_NOTE_RETURNED, values) > 0

    def invoice(self, invoice_id: str) -> Invoice | None:
        rows = self._connection.execute(_INVOICE, {"invoice_id": invoice_id})
        return struct_of(rows.mappings().one_or_none(), Invoice)

    def save_invoice(self, invoice: Invoice) -> None:
        self._connection.execute(self._dialect.upsert(invoices), columns_of(invoice))

    def oldest_unpaid(self, subscription_id: str) -> Invoice | None:
        rows = self._connection.execute(_OLDEST_UNPAID, {"of_subscription": subscription_id})
        return struct_of(rows.mappings().one_or_none(), Invoice)

    def price(self, price_id: str) -> PriceRecord | None:
        rows = self._connection.execute(_PRICE, {"price_id": price_id})
        return struct_of(rows.mappings().one_or_none(), PriceRecord)

    def record_price(self, price: PriceRecord) -> PriceRecord:
        self._connection.execute(self._dialect.insert_new(prices), columns_of(price))
        stored = self.price(price.price_id)
        assert stored is not None
        return stored
