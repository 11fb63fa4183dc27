"""Checkouts that we started."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, insert, literal, tuple_, update

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.port import Purchases
from gatekeeper.storage.records import Purchase, PurchaseStatus
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.tables import purchases
from gatekeeper.storage.sql.types import UtcDateTime

_INSERT: Final = insert(purchases)
_SAVE: Final = (
    update(purchases)
    .where(purchases.c.id == bindparam("purchase_id"))
    .values({name: bindparam(f"new_{name}") for name in Purchase.__struct_fields__ if name != "id"})
)
_GET: Final = select_of(purchases, Purchase).where(purchases.c.id == bindparam("purchase_id"))
_GET_LOCKED: Final = _GET.with_for_update()
_BY_SESSION: Final = select_of(purchases, Purchase).where(
    purchases.c.checkout_session_id == bindparam("session_id")
)
_BY_SESSION_LOCKED: Final = _BY_SESSION.with_for_update()
_BY_INTENT: Final = (
    select_of(purchases, Purchase)
    .where(purchases.c.payment_intent_id == bindparam("intent_id"))
    .order_by(purchases.c.created_at.desc(), purchases.c.id.desc())
    .limit(1)
)
_BY_INTENT_LOCKED: Final = _BY_INTENT.with_for_update()
_PENDING: Final = (
    select_of(purchases, Purchase)
    .where(
        purchases.c.customer == bindparam("of_customer"),
        purchases.c.status == PurchaseStatus.PENDING,
    )
    .order_by(purchases.c.created_at, purchases.c.id)
)
_PAID: Final = (
    select_of(purchases, Purchase)
    .where(
        purchases.c.customer == bindparam("of_customer"),
        purchases.c.status == PurchaseStatus.PAID,
    )
    .order_by(purchases.c.created_at, purchases.c.id)
)
_PAID_SINCE: Final = _PAID.where(purchases.c.settled_at > bindparam("since"))
_DUPLICATES: Final = (
    select_of(purchases, Purchase)
    .where(purchases.c.duplicate_of.is_not(None))
    .order_by(purchases.c.created_at.desc(), purchases.c.id)
    .limit(bindparam("at_most"))
)
_DUPLICATES_OF: Final = _DUPLICATES.where(purchases.c.customer == bindparam("of_customer"))
_NEWEST: Final = (
    select_of(purchases, Purchase)
    .where(purchases.c.customer == bindparam("of_customer"))
    .order_by(purchases.c.created_at.desc(), purchases.c.id.desc())
)
_PENDING_AFTER: Final = (
    select_of(purchases, Purchase)
    .where(
        purchases.c.id > bindparam("after"),
        purchases.c.status == PurchaseStatus.PENDING,
        purchases.c.checkout_session_id.is_not(None),
    )
    .order_by(purchases.c.id)
    .limit(bindparam("at_most"))
)


class SqlPurchases(Aggregate, Purchases):
    """`Purchases` over the table `purchases`."""

    def insert(self, purchase: Purchase) -> None:
        self._connection.execute(_INSERT, columns_of(purchase))

    def save(self, purchase: Purchase) -> None:
        values = {f"new_{name}": value for name, value in columns_of(purchase).items()}
        values["purchase_id"] = values.pop("new_id")
        if not self._changed(_SAVE, values):
            raise NotFoundError(f"There is no purchase {purchase.id!r}.")

    def get(self, purchase_id: str, *, lock: bool = False) -> Purchase | None:
        statement = _GET_LOCKED if lock else _GET
        rows = self._connection.execute(statement, {"purchase_id": purchase_id})
        return struct_of(rows.mappings().one_or_none(), Purchase)

    def by_session(self, checkout_session_id: str, *, lock: bool = False) -> Purchase | None:
        statement = _BY_SESSION_LOCKED if lock else _BY_SESSION
        rows = self._connection.execute(statement, {"session_id": checkout_session_id})
        return struct_of(rows.mappings().one_or_none(), Purchase)

    def by_intent(self, payment_intent_id: str, *, lock: bool = False) -> Purchase | None:
        statement = _BY_INTENT_LOCKED if lock else _BY_INTENT
        rows = self._connection.execute(statement, {"intent_id": payment_intent_id})
        return struct_of(rows.mappings().one_or_none(), Purchase)

    def pending(self, customer: str) -> Sequence[Purchase]:
        rows = self._connection.execute(_PENDING, {"of_customer": customer})
        return [Purchase(**row) for row in rows.mappings()]

    def paid(self, customer: str, *, since: datetime | None = None) -> Sequence[Purchase]:
        if since is None:
            rows = self._connection.execute(_PAID, {"of_customer": customer})
        else:
            rows = self._connection.execute(_PAID_SINCE, {"of_customer": customer, "since": since})
        return [Purchase(**row) for row in rows.mappings()]

    def newest(
        self, customer: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> Sequence[Purchase]:
        statement: Any = _NEWEST.limit(limit)
        if before is not None:
            passed = tuple_(literal(before[0], UtcDateTime()), literal(before[1]))
            statement = statement.where(tuple_(purchases.c.created_at, purchases.c.id) < passed)
        rows = self._connection.execute(statement, {"of_customer": customer})
        return [Purchase(**row) for row in rows.mappings()]

    def duplicates(self, limit: int, customer: str | None = None) -> Sequence[Purchase]:
        which: dict[str, object] = {"at_most": limit}
        if customer is not None:
            which["of_customer"] = customer
        statement = _DUPLICATES if customer is None else _DUPLICATES_OF
        return [Purchase(**row) for row in self._connection.execute(statement, which).mappings()]

    def pending_after(self, purchase_id: str, limit: int) -> Sequence[Purchase]:
        rows = self._connection.execute(_PENDING_AFTER, {"after": purchase_id, "at_most": limit})
        return [Purchase(**row) for row in rows.mappings()]
