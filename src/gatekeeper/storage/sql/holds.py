"""The rows of holds."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping, Text, bindparam, case, func, or_, select
from sqlalchemy.sql.selectable import Select

from gatekeeper.errors import InvalidInputError
from gatekeeper.ledger import Hold
from gatekeeper.storage.sql.aggregate import Aggregate, select_of
from gatekeeper.storage.sql.among import Among
from gatekeeper.storage.sql.packing import allocations_of, formula_of
from gatekeeper.storage.sql.tables import holds
from gatekeeper.storage.sql.tables.base import OPEN

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
_NEXT_EXPIRY: Final = select(func.min(holds.c.expires_at)).where(
    holds.c.customer == bindparam("of_customer"),
    holds.c.unit == bindparam("of_unit"),
    holds.c.status == OPEN,
    holds.c.expires_at > bindparam("after"),
)
_USED: Final = select(
    func.coalesce(
        func.sum(case((holds.c.status == OPEN, holds.c.amount), else_=holds.c.captured)), 0
    )
).where(
    holds.c.customer == bindparam("of_customer"),
    holds.c.unit == bindparam("of_unit"),
    holds.c.created_at >= bindparam("since"),
)
_USED_IN_SCOPE: Final = _USED.where(
    or_(
        holds.c.scope == bindparam("scope"),
        func.substr(holds.c.scope, 1, func.length(bindparam("below", type_=Text)))
        == bindparam("below", type_=Text),
    )
)
_CHOSEN: Final = Among(_HOLDS, holds.c.customer, holds.c.id)


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

    def find_holds(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Hold]:
        if not keys:
            return {}
        rows = self._connection.execute(*_CHOSEN.asked(self._dialect.name, keys)).mappings()
        return {(hold.customer, hold.id): hold for hold in map(_hold, rows)}

    def expired_holds(
        self, now: datetime, limit: int, *, customer: str | None = None, unit: str | None = None
    ) -> Sequence[Hold]:
        statement = _EXPIRED_HOLDS[customer is not None, unit is not None]
        given = {"now": now, "at_most": limit, "of_customer": customer, "of_unit": unit}
        which = {name: value for name, value in given.items() if value is not None}
        return [_hold(row) for row in self._connection.execute(statement, which).mappings()]

    def next_hold_expiry(self, customer: str, unit: str, *, after: datetime) -> datetime | None:
        which = {"of_customer": customer, "of_unit": unit, "after": after}
        found: datetime | None = self._connection.execute(_NEXT_EXPIRY, which).scalar_one()
        return found

    def used(self, customer: str, unit: str, scope: str, since: datetime) -> int:
        which = {"of_customer": customer, "of_unit": unit, "since": since}
        below = {"scope": scope, "below": f"{scope}/"} if scope else {}
        statement = _USED_IN_SCOPE if scope else _USED
        return int(self._connection.execute(statement, {**which, **below}).scalar_one())

    def open_holds(self, customer: str, unit: str) -> Sequence[Hold]:
        rows = self._connection.execute(_OPEN_HOLDS, {"of_customer": customer, "of_unit": unit})
        return [_hold(row) for row in rows.mappings()]


def _hold(row: RowMapping) -> Hold:
    columns = {**row}
    columns["allocations"] = allocations_of(columns["allocations"])
    columns["formula"] = formula_of(columns["formula"])
    return Hold(**columns)
