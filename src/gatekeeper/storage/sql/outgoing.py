"""What we ask of Stripe."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, select, text, update

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.outgoing import OutgoingRequest, Requests, RequestStatus
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of
from gatekeeper.storage.sql.among import Among
from gatekeeper.storage.sql.inbox import MAX_ERROR_CHARS
from gatekeeper.storage.sql.tables import requests
from gatekeeper.storage.sql.types import storable

_GET: Final = select_of(requests, OutgoingRequest).where(requests.c.id == bindparam("request_id"))
_GET_LOCKED: Final = _GET.with_for_update()
_SAVE: Final = (
    update(requests)
    .where(requests.c.id == bindparam("request_id"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in OutgoingRequest.__struct_fields__
            if name != "id"
        }
    )
)
_DUE: Final = (
    select(requests.c.id)
    .where(text("status = 'open'"), requests.c.due_at <= bindparam("now"))
    .order_by(requests.c.due_at, requests.c.id)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
_CLAIM: Final = Among(
    update(requests)
    .values(due_at=bindparam("until"))
    .returning(*(requests.c[name] for name in OutgoingRequest.__struct_fields__)),
    requests.c.id,
)
_PRUNE: Final = delete(requests).where(
    requests.c.id.in_(
        select(requests.c.id)
        .where(text("status <> 'open'"), requests.c.ended_at < bindparam("before"))
        .order_by(requests.c.ended_at)
        .limit(bindparam("at_most"))
    )
)


class SqlRequests(Aggregate, Requests):
    """`Requests` over the table `requests`."""

    def insert(self, request: OutgoingRequest) -> bool:
        return self._changed(self._dialect.insert_new(requests), columns_of(request)) == 1

    def get(self, request_id: str, *, lock: bool = False) -> OutgoingRequest | None:
        statement = _GET_LOCKED if lock else _GET
        rows = self._connection.execute(statement, {"request_id": request_id})
        row = rows.mappings().one_or_none()
        return None if row is None else _request(row)

    def save(self, request: OutgoingRequest) -> None:
        values = {f"new_{name}": value for name, value in columns_of(request).items()}
        values["request_id"] = values.pop("new_id")
        if request.last_error is not None:
            values["new_last_error"] = storable(request.last_error, max_chars=MAX_ERROR_CHARS)
        if not self._changed(_SAVE, values):
            raise NotFoundError(f"There is no request {request.id!r}.")

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[OutgoingRequest]:
        due = self._connection.execute(_DUE, {"now": now, "at_most": limit}).scalars()
        which = [(request_id,) for request_id in due]
        if not which:
            return []
        claimed = self._connection.execute(*_CLAIM.asked(self._dialect.name, which, until=until))
        found = [_request(row) for row in claimed.mappings()]
        return sorted(found, key=lambda request: (request.created_at, request.id))

    def prune(self, before: datetime, limit: int) -> int:
        return self._changed(_PRUNE, {"before": before, "at_most": limit})


def _request(row: Any) -> OutgoingRequest:
    return OutgoingRequest(**{**row, "status": RequestStatus(row["status"])})
