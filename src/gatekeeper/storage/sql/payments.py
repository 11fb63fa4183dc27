"""Payments: what each has granted, and how much of it was taken back."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, update

from gatekeeper.storage.payments import Payment, Payments, Share
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of
from gatekeeper.storage.sql.tables import payments

_GET: Final = select_of(payments, Payment).where(payments.c.id == bindparam("payment_id"))
_GET_LOCKED: Final = _GET.with_for_update()
_OF_INVOICE: Final = select_of(payments, Payment).where(
    payments.c.invoice_id == bindparam("of_invoice")
)
_SAVE: Final = (
    update(payments)
    .where(payments.c.id == bindparam("payment_id"))
    .values({name: bindparam(f"new_{name}") for name in Payment.__struct_fields__ if name != "id"})
)


class SqlPayments(Aggregate, Payments):
    """`Payments` over the table `payments`."""

    def lock(self, payment_id: str) -> Payment:
        self._connection.execute(
            self._dialect.insert_new(payments), _packed(Payment(id=payment_id))
        )
        row = self._connection.execute(_GET_LOCKED, {"payment_id": payment_id})
        return _unpacked(row.mappings().one())

    def get(self, payment_id: str) -> Payment | None:
        row = self._connection.execute(_GET, {"payment_id": payment_id}).mappings().one_or_none()
        return None if row is None else _unpacked(row)

    def of_invoice(self, invoice_id: str) -> Sequence[Payment]:
        rows = self._connection.execute(_OF_INVOICE, {"of_invoice": invoice_id})
        return sorted((_unpacked(row) for row in rows.mappings()), key=lambda one: one.id)

    def save(self, payment: Payment) -> None:
        values = {f"new_{name}": value for name, value in _packed(payment).items()}
        values["payment_id"] = values.pop("new_id")
        self._connection.execute(_SAVE, values)


def _packed(payment: Payment) -> dict[str, Any]:
    return {**columns_of(payment), "shares": msgspec.json.encode(payment.shares).decode()}


def _unpacked(row: Mapping[Any, Any]) -> Payment:
    shares = msgspec.json.decode(row["shares"], type=tuple[Share, ...])
    return Payment(**{**row, "shares": shares})
