"""What customers pay once, in memory."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.orders import Order, OrderPayment, OrderPlace, Orders

_UNSETTLED: Final = frozenset({OrderStatus.PENDING, OrderStatus.PROCESSING, OrderStatus.FAILED})


class MemoryOrders(Orders):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._orders: Table[str, Order] = Table(journal)
        self._payments: Table[str, OrderPayment] = Table(journal)

    def insert(self, order: Order) -> bool:
        if order.reference is not None and self.by_reference(order.customer, order.reference):
            return False
        return self._orders.insert(order.id, order)

    def get(self, order_id: str, *, lock: bool = False) -> Order | None:
        return self._orders.get(order_id)

    def by_reference(self, customer: str, reference: str) -> Order | None:
        return self._first(lambda one: (one.customer, one.reference) == (customer, reference))

    def by_session(self, session_id: str) -> Order | None:
        return self._first(lambda one: one.checkout_session_id == session_id)

    def save(self, order: Order) -> None:
        if order.id not in self._orders:
            raise NotFoundError(f"There is no order {order.id!r}.")
        self._orders.put(order.id, order)

    def of_customer(
        self, customer: str, limit: int, before: OrderPlace | None = None
    ) -> Sequence[Order]:
        return self._listed(lambda one: one.customer == customer, limit, before)

    def of_seller(
        self, seller: str, limit: int, before: OrderPlace | None = None
    ) -> Sequence[Order]:
        return self._listed(lambda one: one.seller == seller, limit, before)

    def unsettled_after(self, order_id: str, since: datetime, limit: int) -> Sequence[Order]:
        found = (
            one
            for one in self._orders.values()
            if one.id > order_id
            and one.created_at >= since
            and one.status in _UNSETTLED
            and (one.payment_id is not None or one.checkout_session_id is not None)
        )
        return sorted(found, key=lambda one: one.id)[:limit]

    def payment(self, payment_id: str) -> OrderPayment | None:
        return self._payments.get(payment_id)

    def payments(self, order_id: str) -> Sequence[OrderPayment]:
        found = (one for one in self._payments.values() if one.order_id == order_id)
        return sorted(found, key=lambda one: (one.created_at, one.id))

    def put_payment(self, payment: OrderPayment) -> None:
        self._payments.put(payment.id, payment)

    def every(self) -> Sequence[Order]:
        """Everybody's orders."""
        return self._orders.values()

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer, and forget what they wanted."""
        for order in self._orders.values():
            if order.seller == customer:
                self._orders.put(order.id, replace(order, seller=pseudonym))
        for order in self._orders.values():
            if order.customer == customer:
                wiped = replace(
                    order,
                    customer=pseudonym,
                    actor=None,
                    reference=None,
                    description=None,
                    items="null",
                    metadata="{}",
                )
                self._orders.put(order.id, wiped)
        for payment in self._payments.values():
            if payment.customer == customer:
                self._payments.put(payment.id, replace(payment, customer=pseudonym))

    def _first(self, is_it: Callable[[Order], bool]) -> Order | None:
        return next((one for one in self._orders.values() if is_it(one)), None)

    def _listed(
        self, is_it: Callable[[Order], bool], limit: int, before: OrderPlace | None
    ) -> Sequence[Order]:
        found = (
            one
            for one in self._orders.values()
            if is_it(one) and (before is None or one.place < before)
        )
        return sorted(found, key=lambda one: one.place, reverse=True)[:limit]
