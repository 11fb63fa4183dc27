"""Freezes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, update

from gatekeeper.storage.freezes import Freeze, Freezes
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of
from gatekeeper.storage.sql.tables import freezes

_OF: Final = select_of(freezes, Freeze).where(freezes.c.customer == bindparam("of_customer"))
_LIFT: Final = (
    update(freezes)
    .where(freezes.c.customer == bindparam("of_customer"), freezes.c.lifted_at.is_(None))
    .values(lifted_at=bindparam("at"), actor=bindparam("by"))
)
_LIFT_ONE: Final = _LIFT.where(freezes.c.key == bindparam("of_key"))


class SqlFreezes(Aggregate, Freezes):
    """`Freezes` over the table `freezes`."""

    def add(self, freeze: Freeze) -> bool:
        return self._changed(self._dialect.insert_new(freezes), columns_of(freeze)) > 0

    def of(self, customer: str) -> Sequence[Freeze]:
        rows = self._connection.execute(_OF, {"of_customer": customer}).mappings()
        return sorted((Freeze(**row) for row in rows), key=lambda one: (one.since, one.key))

    def lift(self, customer: str, at: datetime, actor: str, *, key: str | None = None) -> int:
        values = {"of_customer": customer, "at": at, "by": actor}
        if key is None:
            return self._changed(_LIFT, values)
        return self._changed(_LIFT_ONE, {**values, "of_key": key})
