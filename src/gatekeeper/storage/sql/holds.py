"""The rows of holds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, bindparam, update
from sqlalchemy.sql.selectable import Select

from gatekeeper.errors import ConflictError, InvalidInputError, TransactionConflictError
from gatekeeper.ledger import Allocation, Entry, Hold, HoldStatus
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, packed, select_of
from gatekeeper.storage.sql.tables import holds
from gatekeeper.storage.sql.tables.base import OPEN

_ALLOCATIONS: Final = msgspec.json.Decoder(tuple[Allocation, ...])

_HOLDS: Final = select_of(holds, Hold)
_HOLD: Final = _HOLDS.where(
    holds.c.customer == bindparam("of_customer"), holds.c.id == bindparam("hold_id")
)
_HOLD_BY_ID: Final = _HOLDS.where(holds.c.id == bindparam("hold_id")).limit(2)
_OPEN_HOLDS: Final = _HOLDS.where(
    holds.c.customer == bindparam("of_customer"),
    holds.c.unit == bindparam("of_unit"),
    holds.c.status == OPEN,
).order_by(holds.c.created_at, holds.c.id)
_SAVE_HOLD: Final = (
    update(holds)
    .where(
        holds.c.customer == bindparam("of_customer"),
        holds.c.id == bindparam("hold_id"),
        holds.c.unit == bindparam("of_unit"),
        holds.c.status == OPEN,
    )
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "amount",
                "allocations",
                "expires_at",
                "status",
                "captured",
                "overrun",
                "ended_at",
            )
        }
    )
)


def _expired_holds(*, customer: bool, unit: bool) -> Select[Any]:
    statement = _HOLDS.where(holds.c.status == OPEN, holds.c.expires_at <= bindparam("now"))
    if customer:
        statement = statement.where(holds.c.customer == bindparam("of_customer"))
    if unit:
        statement = statement.where(holds.c.unit == bindparam("of_unit"))
    return statement.order_by(holds.c.expires_at, holds.c.id, holds.c.customer).limit(
        bindparam("at_most")
    )


_EXPIRED_HOLDS: Final = {
    (customer, unit): _expired_holds(customer=customer, unit=unit)
    for customer in (False, True)
    for unit in (False, True)
}


class HoldRows(Aggregate):
    """The part of `Ledger` that is about holds, over the table `holds`."""

    def _write_hold(self, hold: Hold, written: Sequence[Entry]) -> None:
        if _is_new(hold, written):
            self._insert_hold(hold)
        else:
            self._save_hold(hold)

    def _insert_hold(self, hold: Hold) -> None:
        values = {**columns_of(hold), "allocations": packed(hold.allocations)}
        if not self._changed(self._dialect.insert_new(holds), values):
            raise ConflictError(f"There was a hold {hold.id!r} before.", hold=hold.id)

    def _save_hold(self, hold: Hold) -> None:
        values = {
            "of_customer": hold.customer,
            "of_unit": hold.unit,
            "hold_id": hold.id,
            "new_amount": hold.amount,
            "new_allocations": packed(hold.allocations),
            "new_expires_at": hold.expires_at,
            "new_status": hold.status,
            "new_captured": hold.captured,
            "new_overrun": hold.overrun,
            "new_ended_at": hold.ended_at,
        }
        if not self._changed(_SAVE_HOLD, values):
            raise TransactionConflictError(f"Hold {hold.id!r} ended after it was read.")

    def find_hold(self, hold_id: str, *, customer: str | None = None) -> Hold | None:
        if customer is not None:
            which = {"of_customer": customer, "hold_id": hold_id}
            row = self._connection.execute(_HOLD, which).mappings().one_or_none()
            return None if row is None else _hold(row)
        rows = self._connection.execute(_HOLD_BY_ID, {"hold_id": hold_id}).mappings().all()
        if len(rows) > 1:
            raise InvalidInputError(
                f"Several customers have a hold {hold_id!r}; say whose is meant.", hold=hold_id
            )
        return _hold(rows[0]) if rows else None

    def expired_holds(
        self, now: datetime, limit: int, *, customer: str | None = None, unit: str | None = None
    ) -> Sequence[Hold]:
        statement = _EXPIRED_HOLDS[customer is not None, unit is not None]
        given = {"now": now, "at_most": limit, "of_customer": customer, "of_unit": unit}
        which = {name: value for name, value in given.items() if value is not None}
        return [_hold(row) for row in self._connection.execute(statement, which).mappings()]

    def open_holds(self, customer: str, unit: str) -> Sequence[Hold]:
        rows = self._connection.execute(_OPEN_HOLDS, {"of_customer": customer, "of_unit": unit})
        return [_hold(row) for row in rows.mappings()]


def _is_new(hold: Hold, written: Sequence[Entry]) -> bool:
    """Whether a change makes this hold: then its entries claim all of it, at once. (An extension
    claims less than the whole; an end claims nothing.)"""
    if hold.status is not HoldStatus.OPEN:
        return False
    claimed = sum(entry.held_delta for entry in written if entry.hold_id == hold.id)
    return claimed == hold.amount


def _hold(row: RowMapping) -> Hold:
    return Hold(**{**row, "allocations": _ALLOCATIONS.decode(row["allocations"])})
