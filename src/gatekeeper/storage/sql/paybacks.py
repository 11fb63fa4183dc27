"""What sellers give back."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, literal, select, text, tuple_, update

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.paybacks import Payback, Paybacks, PaybackStatus
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of
from gatekeeper.storage.sql.among import Among
from gatekeeper.storage.sql.inbox import MAX_ERROR_CHARS
from gatekeeper.storage.sql.tables import paybacks
from gatekeeper.storage.sql.types import UtcDateTime, storable

_OPEN: Final = text("status IN ('owed', 'failed')")
_GET: Final = select_of(paybacks, Payback).where(paybacks.c.id == bindparam("of_id"))
_GET_LOCKED: Final = _GET.with_for_update()
_OF_ORDER: Final = select_of(paybacks, Payback).where(paybacks.c.order_id == bindparam("of_order"))
_SAVE: Final = (
    update(paybacks)
    .where(paybacks.c.id == bindparam("of_id"))
    .values({name: bindparam(f"new_{name}") for name in Payback.__struct_fields__ if name != "id"})
)
_DUE: Final = (
    select(paybacks.c.id)
    .where(_OPEN, paybacks.c.due_at <= bindparam("now"))
    .order_by(paybacks.c.due_at, paybacks.c.id)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
_CLAIM: Final = Among(
    update(paybacks)
    .values(due_at=bindparam("until"))
    .returning(*(paybacks.c[name] for name in Payback.__struct_fields__)),
    paybacks.c.id,
)
_UNMADE: Final = (
    select_of(paybacks, Payback)
    .where(_OPEN)
    .order_by(paybacks.c.created_at, paybacks.c.id)
    .limit(bindparam("at_most"))
)


class SqlPaybacks(Aggregate, Paybacks):
    """`Paybacks` over the table `paybacks`."""

    def insert(self, payback: Payback) -> bool:
        return self._changed(self._dialect.insert_new(paybacks), columns_of(payback)) == 1

    def get(self, payback_id: str, *, lock: bool = False) -> Payback | None:
        statement = _GET_LOCKED if lock else _GET
        row = self._connection.execute(statement, {"of_id": payback_id}).mappings().one_or_none()
        return None if row is None else _payback(row)

    def save(self, payback: Payback) -> None:
        values = {f"new_{name}": value for name, value in columns_of(payback).items()}
        values["of_id"] = values.pop("new_id")
        if payback.last_error is not None:
            values["new_last_error"] = storable(payback.last_error, max_chars=MAX_ERROR_CHARS)
        if not self._changed(_SAVE, values):
            raise NotFoundError(f"There is no payback {payback.id!r}.")

    def of_order(self, order_id: str) -> Sequence[Payback]:
        rows = self._connection.execute(_OF_ORDER, {"of_order": order_id}).mappings()
        return _in_turn(_payback(row) for row in rows)

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[Payback]:
        due = self._connection.execute(_DUE, {"now": now, "at_most": limit}).scalars()
        which = [(payback_id,) for payback_id in due]
        if not which:
            return []
        claimed = self._connection.execute(*_CLAIM.asked(self._dialect.name, which, until=until))
        return _in_turn(_payback(row) for row in claimed.mappings())

    def unmade(self, limit: int, after: tuple[datetime, str] | None = None) -> Sequence[Payback]:
        statement = _UNMADE
        if after is not None:
            passed = tuple_(literal(after[0], UtcDateTime()), literal(after[1]))
            statement = statement.where(tuple_(paybacks.c.created_at, paybacks.c.id) > passed)
        rows = self._connection.execute(statement, {"at_most": limit}).mappings()
        return [_payback(row) for row in rows]


def _in_turn(found: Iterable[Payback]) -> list[Payback]:
    return sorted(found, key=lambda one: (one.created_at, one.id))


def _payback(row: Any) -> Payback:
    return Payback(**{**row, "status": PaybackStatus(row["status"])})
