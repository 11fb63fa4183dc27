"""Looking over everything: counts over partial indexes, or the first rows of an index by status."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, FromClause, TextClause, func, select, text

from gatekeeper.errors import SchemaVersionError
from gatekeeper.ledger import HoldStatus
from gatekeeper.storage.metering import WindowStatus
from gatekeeper.storage.migrations.check import check_schema
from gatekeeper.storage.outgoing import RequestStatus
from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.sql.aggregate import Aggregate
from gatekeeper.storage.sql.tables import (
    UNSENT,
    holds,
    inbox,
    outbox,
    requests,
    usage,
    usage_windows,
)
from gatekeeper.storage.survey import Backlog, Survey, Surveys


def _waiting(since: Column[Any], is_so: TextClause) -> Any:
    return select(func.count(), func.min(since)).where(is_so)


def _count(of: FromClause, is_so: TextClause) -> Any:
    return select(func.count()).select_from(of).where(is_so)


def _is(status: str) -> TextClause:
    # Spelt out, as the partial indexes have it: PostgreSQL does not match a parameter to them.
    return text(f"status = '{status}'")


_INBOX: Final = (
    _waiting(inbox.c.received_at, _is(EventStatus.PENDING)),
    _count(inbox, _is(EventStatus.DEAD)),
)
_OUTBOX: Final = (
    _waiting(outbox.c.created_at, text(UNSENT)),
    _count(outbox, text("dead")),
)
_USAGE: Final = (
    _waiting(usage_windows.c.created_at, _is(WindowStatus.PENDING)),
    _count(usage_windows, _is(WindowStatus.DEAD)),
)
_REQUESTS: Final = _waiting(requests.c.created_at, _is(RequestStatus.OPEN))
# One step down the index by which usage is sealed: to look for the oldest would be to read all.
_UNSEALED: Final = (
    select(usage.c.received_at)
    .where(text("window_id IS NULL"))
    .order_by(usage.c.customer, usage.c.meter, usage.c.at)
    .limit(1)
)
_HOLDS_OPEN: Final = _count(holds, _is(HoldStatus.OPEN))


class SqlSurveys(Aggregate, Surveys):
    """`Surveys` over all queues' tables."""

    def take(self, now: datetime) -> Survey:
        return Survey(
            at=now,
            inbox=self._backlog(*_INBOX),
            outbox=self._backlog(*_OUTBOX),
            usage=self._backlog(*_USAGE),
            requests=self._backlog(_REQUESTS),
            unsealed_since=self._connection.execute(_UNSEALED).scalar_one_or_none(),
            holds_open=self._connection.execute(_HOLDS_OPEN).scalar_one(),
        )

    def schema_fault(self) -> str | None:
        try:
            check_schema(self._connection)
        except SchemaVersionError as error:
            return error.detail
        return None

    def _backlog(self, waiting: Any, dead: Any = None) -> Backlog:
        count, oldest_at = self._connection.execute(waiting).one()
        gone = 0 if dead is None else self._connection.execute(dead).scalar_one()
        return Backlog(waiting=count, oldest_at=oldest_at, dead=gone)
