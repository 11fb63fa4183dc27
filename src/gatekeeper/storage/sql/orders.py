"""What customers pay once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, bindparam, or_, text, tuple_, update

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.orders import Order, OrderPayment, OrderPlace, Orders
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.tables import order_payments, orders
from gatekeeper.storage.sql.tables.orders import UNSETTLED
from gatekeeper.storage.sql.types import UtcDateTime

_GET: Final = select_of(orders, Order).where(orders.c.id == bindparam("of_id"))
_GET_LOCKED: Final = _GET.with_for_update()
_BY_REFERENCE: Final = select_of(orders, Order).where(
    orders.c.customer == bindparam("of_customer"), orders.c.reference == bindparam("of_reference")
)
_BY_SESSION: Final = select_of(orders, Order).where(
    orders.c.checkout_session_id == bindparam("of_session")
)
_SAVE: Final = (
    update(orders)
    .where(orders.c.id == bindparam("of_id"))
    .values({name: bindparam(f"new_{name}") for name in Order.__struct_fields__ if name != "id"})
)
_PLACE: Final = (orders.c.created_at, orders.c.id)


def _listing(whose: str) -> tuple[Select[Any], Select[Any]]:
    """SELECT of somebody's orders, the newest first: from the first on, and from a place on."""
    first = (
        select_of(orders, Order)
        .where(orders.c[whose] == bindparam("of_whom"))
        .order_by(*(column.desc() for column in _PLACE))
        .limit(bindparam("at_most"))
    )
    at = bindparam("before_at", type_=UtcDateTime())
    return first, first.where(tuple_(*_PLACE) < tuple_(at, bindparam("before_id")))


_OF_CUSTOMER: Final = _listing("customer")
_OF_SELLER: Final = _listing("seller")
_UNSETTLED: Final = (
    select_of(orders, Order)
    .where(
        text(UNSETTLED),
        orders.c.id > bindparam("after"),
        orders.c.created_at >= bindparam("since"),
        or_(orders.c.payment_id.is_not(None), orders.c.checkout_session_id.is_not(None)),
    )
    .order_by(orders.c.id)
    .limit(bindparam("at_most"))
)
_PAYMENT: Final = select_of(order_payments, OrderPayment).where(
    order_payments.c.id == bindparam("of_id")
)
_PAYMENTS: Final = (
    select_of(order_payments, OrderPayment)
    .where(order_payments.c.order_id == bindparam("of_order"))
    .order_by(order_payments.c.created_at, order_payments.c.id)
)


class SqlOrders(Aggregate, Orders):
    """`Orders` over the tables `orders` and `order_payments`."""

    def insert(self, order: Order) -> bool:
        statement = self._dialect.insert_new(orders, any_key=True)
        return self._changed(statement, columns_of(order)) == 1

    def get(self, order_id: str, *, lock: bool = False) -> Order | None:
        return self._one(_GET_LOCKED if lock else _GET, of_id=order_id)

    def by_reference(self, customer: str, reference: str) -> Order | None:
        return self._one(_BY_REFERENCE, of_customer=customer, of_reference=reference)

    def by_session(self, session_id: str) -> Order | None:
        return self._one(_BY_SESSION, of_session=session_id)

    def save(self, order: Order) -> None:
        values = {f"new_{name}": value for name, value in columns_of(order).items()}
        values["of_id"] = values.pop("new_id")
        if not self._changed(_SAVE, values):
            raise NotFoundError(f"There is no order {order.id!r}.")

    def of_customer(
        self, customer: str, limit: int, before: OrderPlace | None = None
    ) -> Sequence[Order]:
        return self._listed(_OF_CUSTOMER, customer, limit, before)

    def of_seller(
        self, seller: str, limit: int, before: OrderPlace | None = None
    ) -> Sequence[Order]:
        return self._listed(_OF_SELLER, seller, limit, before)

    def unsettled_after(self, order_id: str, since: datetime, limit: int) -> Sequence[Order]:
        which = {"after": order_id, "since": since, "at_most": limit}
        return [Order(**row) for row in self._connection.execute(_UNSETTLED, which).mappings()]

    def payment(self, payment_id: str) -> OrderPayment | None:
        rows = self._connection.execute(_PAYMENT, {"of_id": payment_id})
        return struct_of(rows.mappings().one_or_none(), OrderPayment)

    def payments(self, order_id: str) -> Sequence[OrderPayment]:
        rows = self._connection.execute(_PAYMENTS, {"of_order": order_id})
        return [OrderPayment(**row) for row in rows.mappings()]

    def put_payment(self, payment: OrderPayment) -> None:
        self._connection.execute(self._dialect.upsert(order_payments), columns_of(payment))

    def _one(self, statement: Select[Any], **which: Any) -> Order | None:
        return struct_of(self._connection.execute(statement, which).mappings().first(), Order)

    def _listed(
        self,
        listing: tuple[Select[Any], Select[Any]],
        whom: str,
        limit: int,
        before: OrderPlace | None,
    ) -> Sequence[Order]:
        first, rest = listing
        which: dict[str, Any] = {"of_whom": whom, "at_most": limit}
        if before is not None:
            which |= {"before_at": before[0], "before_id": before[1]}
        rows = self._connection.execute(first if before is None else rest, which)
        return [Order(**row) for row in rows.mappings()]
