"""Automatic top-ups."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of
from gatekeeper.storage.sql.among import Among
from gatekeeper.storage.sql.inbox import MAX_ERROR_CHARS
from gatekeeper.storage.sql.tables import top_ups
from gatekeeper.storage.sql.types import storable
from gatekeeper.storage.top_ups import TopUps
from gatekeeper.topping_up import BlockReason, TopUp, TopUpState

_OF: Final = (
    select_of(top_ups, TopUp)
    .where(top_ups.c.customer == bindparam("of_customer"))
    .order_by(top_ups.c.unit)
)
_GET: Final = _OF.where(top_ups.c.unit == bindparam("of_unit"))
_GET_LOCKED: Final = _GET.with_for_update()
_SAVE: Final = (
    update(top_ups)
    .where(top_ups.c.customer == bindparam("of_customer"), top_ups.c.unit == bindparam("of_unit"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in TopUp.__struct_fields__
            if name not in ("customer", "unit")
        }
    )
)
_DUE: Final = (
    select(top_ups.c.customer, top_ups.c.unit)
    .where(top_ups.c.due_at.is_not(None), top_ups.c.due_at <= bindparam("now"))
    .order_by(top_ups.c.due_at, top_ups.c.customer, top_ups.c.unit)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
_CLAIM: Final = Among(
    update(top_ups)
    .values(due_at=bindparam("until"))
    .returning(*(top_ups.c[name] for name in TopUp.__struct_fields__)),
    top_ups.c.customer,
    top_ups.c.unit,
)


class SqlTopUps(Aggregate, TopUps):
    """`TopUps` over the table `top_ups`."""

    def insert(self, top_up: TopUp) -> bool:
        return self._changed(self._dialect.insert_new(top_ups), _columns(top_up)) == 1

    def get(self, customer: str, unit: str, *, lock: bool = False) -> TopUp | None:
        which = {"of_customer": customer, "of_unit": unit}
        found = self._connection.execute(_GET_LOCKED if lock else _GET, which)
        row = found.mappings().one_or_none()
        return None if row is None else _top_up(row)

    def of(self, customer: str) -> Sequence[TopUp]:
        rows = self._connection.execute(_OF, {"of_customer": customer})
        return [_top_up(row) for row in rows.mappings()]

    def save(self, top_up: TopUp) -> None:
        values = {f"new_{name}": value for name, value in _columns(top_up).items()}
        values["of_customer"] = values.pop("new_customer")
        values["of_unit"] = values.pop("new_unit")
        if not self._changed(_SAVE, values):
            raise NotFoundError("There is no such top-up.")

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[TopUp]:
        due = self._connection.execute(_DUE, {"now": now, "at_most": limit})
        which = [(customer, unit) for customer, unit in due]
        if not which:
            return []
        claimed = self._connection.execute(*_CLAIM.asked(self._dialect.name, which, until=until))
        found = {(row["customer"], row["unit"]): _top_up(row) for row in claimed.mappings()}
        return [found[key] for key in which]


def _columns(top_up: TopUp) -> dict[str, Any]:
    columns = columns_of(top_up)
    if top_up.error is not None:
        columns["error"] = storable(top_up.error, max_chars=MAX_ERROR_CHARS)
    return columns


def _top_up(row: Any) -> TopUp:
    reason = row["reason"]
    return TopUp(
        **{
            **row,
            "state": TopUpState(row["state"]),
            "reason": None if reason is None else BlockReason(reason),
        }
    )
