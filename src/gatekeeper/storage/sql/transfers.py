"""What is owed to sellers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, literal, select, text, tuple_, update

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of
from gatekeeper.storage.sql.among import Among
from gatekeeper.storage.sql.inbox import MAX_ERROR_CHARS
from gatekeeper.storage.sql.tables import transfers
from gatekeeper.storage.sql.types import UtcDateTime, storable
from gatekeeper.storage.transfers import Transfer, Transfers, TransferStatus

_GET: Final = select_of(transfers, Transfer).where(transfers.c.id == bindparam("of_id"))
_GET_LOCKED: Final = _GET.with_for_update()
_BY_STRIPE_ID: Final = select_of(transfers, Transfer).where(
    transfers.c.transfer_id == bindparam("stripe_id")
)
_SAVE: Final = (
    update(transfers)
    .where(transfers.c.id == bindparam("of_id"))
    .values({name: bindparam(f"new_{name}") for name in Transfer.__struct_fields__ if name != "id"})
)
_DUE: Final = (
    select(transfers.c.id)
    .where(
        text("status <> 'sent'"),
        text("status <> 'discarded'"),
        transfers.c.due_at <= bindparam("now"),
    )
    .order_by(transfers.c.due_at, transfers.c.id)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
_CLAIM: Final = Among(
    update(transfers)
    .values(due_at=bindparam("until"))
    .returning(*(transfers.c[name] for name in Transfer.__struct_fields__)),
    transfers.c.id,
)
_LISTED: Final = (
    select_of(transfers, Transfer)
    .where(transfers.c.status == bindparam("of_status"))
    .order_by(transfers.c.created_at, transfers.c.id)
    .limit(bindparam("at_most"))
)

_LISTED_UNSENT: Final = _LISTED.where(text("status <> 'sent'"))
"""As the index of what waits has it."""


class SqlTransfers(Aggregate, Transfers):
    """`Transfers` over the table `transfers`."""

    def insert(self, transfer: Transfer) -> bool:
        return self._changed(self._dialect.insert_new(transfers), columns_of(transfer)) == 1

    def get(self, transfer_id: str, *, lock: bool = False) -> Transfer | None:
        statement = _GET_LOCKED if lock else _GET
        row = self._connection.execute(statement, {"of_id": transfer_id}).mappings().one_or_none()
        return None if row is None else _transfer(row)

    def by_stripe_id(self, stripe_id: str) -> Transfer | None:
        row = self._connection.execute(_BY_STRIPE_ID, {"stripe_id": stripe_id}).mappings().first()
        return None if row is None else _transfer(row)

    def save(self, transfer: Transfer) -> None:
        values = {f"new_{name}": value for name, value in columns_of(transfer).items()}
        values["of_id"] = values.pop("new_id")
        if transfer.last_error is not None:
            values["new_last_error"] = storable(transfer.last_error, max_chars=MAX_ERROR_CHARS)
        if not self._changed(_SAVE, values):
            raise NotFoundError(f"There is no transfer {transfer.id!r}.")

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[Transfer]:
        due = self._connection.execute(_DUE, {"now": now, "at_most": limit}).scalars()
        which = [(transfer_id,) for transfer_id in due]
        if not which:
            return []
        claimed = self._connection.execute(*_CLAIM.asked(self._dialect.name, which, until=until))
        found = [_transfer(row) for row in claimed.mappings()]
        return sorted(found, key=lambda one: (one.created_at, one.id))

    def listed(
        self, status: TransferStatus, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[Transfer]:
        statement = _LISTED if status is TransferStatus.SENT else _LISTED_UNSENT
        if after is not None:
            passed = tuple_(literal(after[0], UtcDateTime()), literal(after[1]))
            statement = statement.where(tuple_(transfers.c.created_at, transfers.c.id) > passed)
        rows = self._connection.execute(statement, {"of_status": status, "at_most": limit})
        return [_transfer(row) for row in rows.mappings()]


def _transfer(row: Any) -> Transfer:
    return Transfer(**{**row, "status": TransferStatus(row["status"])})
