"""Refunds that were asked for here."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, literal, text, tuple_, update

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.refunds import AskedRefund, RefundPlace, Refunds
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.inbox import MAX_ERROR_CHARS
from gatekeeper.storage.sql.tables import refunds
from gatekeeper.storage.sql.types import UtcDateTime, storable

_GET: Final = select_of(refunds, AskedRefund).where(refunds.c.id == bindparam("of_id"))
_GET_LOCKED: Final = _GET.with_for_update()
_SAVE: Final = (
    update(refunds)
    .where(refunds.c.id == bindparam("of_id"))
    .values(
        {name: bindparam(f"new_{name}") for name in AskedRefund.__struct_fields__ if name != "id"}
    )
)
_OF_PAYMENT: Final = (
    select_of(refunds, AskedRefund)
    .where(refunds.c.payment_id == bindparam("of_payment"))
    .order_by(refunds.c.created_at, refunds.c.id)
)
_MADE: Final = select_of(refunds, AskedRefund).where(
    refunds.c.refund_id.in_(bindparam("ids", expanding=True))
)
_UNMADE: Final = (
    select_of(refunds, AskedRefund)
    .where(text("status <> 'made'"))
    .order_by(refunds.c.created_at.desc(), refunds.c.id.desc())
)


class SqlRefunds(Aggregate, Refunds):
    """`Refunds` over the table `refunds`."""

    def insert(self, refund: AskedRefund) -> bool:
        return self._changed(self._dialect.insert_new(refunds), columns_of(refund)) == 1

    def get(self, refund_id: str, *, lock: bool = False) -> AskedRefund | None:
        statement = _GET_LOCKED if lock else _GET
        row = self._connection.execute(statement, {"of_id": refund_id}).mappings().one_or_none()
        return struct_of(row, AskedRefund)

    def save(self, refund: AskedRefund) -> None:
        values = {f"new_{name}": value for name, value in columns_of(refund).items()}
        values["of_id"] = values.pop("new_id")
        if refund.last_error is not None:
            values["new_last_error"] = storable(refund.last_error, max_chars=MAX_ERROR_CHARS)
        if not self._changed(_SAVE, values):
            raise NotFoundError(f"There is no refund {refund.id!r}.")

    def of_payment(self, payment_id: str) -> Sequence[AskedRefund]:
        return self._found(_OF_PAYMENT, {"of_payment": payment_id})

    def made(self, refund_ids: Collection[str]) -> Mapping[str, AskedRefund]:
        if not refund_ids:
            return {}
        found = self._found(_MADE, {"ids": sorted(refund_ids)})
        return {str(one.refund_id): one for one in found}

    def unmade(
        self,
        limit: int,
        before: RefundPlace | None = None,
        customer: str | None = None,
        status: str | None = None,
    ) -> Sequence[AskedRefund]:
        statement: Any = _UNMADE.limit(limit)
        if customer is not None:
            statement = statement.where(refunds.c.customer == customer)
        if status is not None:
            statement = statement.where(refunds.c.status == status)
        if before is not None:
            passed = tuple_(literal(before[0], UtcDateTime()), literal(before[1]))
            statement = statement.where(tuple_(refunds.c.created_at, refunds.c.id) < passed)
        return self._found(statement, {})

    def _found(self, statement: Any, which: dict[str, Any]) -> list[AskedRefund]:
        rows = self._connection.execute(statement, which).mappings()
        return [AskedRefund(**row) for row in rows]
