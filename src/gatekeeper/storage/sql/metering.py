"""Metered usage, and the windows in which it is told to Stripe."""

import functools
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
    union_all,
    update,
)

from gatekeeper.storage.metering import (
    Marked,
    MeterDay,
    Metering,
    Unsealed,
    Usage,
    UsageWindow,
    WindowStatus,
)
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.among import Among
from gatekeeper.storage.sql.inbox import MAX_ERROR_CHARS
from gatekeeper.storage.sql.periods import start_of
from gatekeeper.storage.sql.tables import usage, usage_windows
from gatekeeper.storage.sql.types import UtcDateTime, storable

_ROW: Final = usage.c
_WINDOW: Final = usage_windows.c
_IN_NO_WINDOW: Final = text("window_id IS NULL")  # as the partial index spells it
_IS_PENDING: Final = text("status = 'pending'")

_RECORDED: Final = select_of(usage, Usage).where(
    _ROW.customer == bindparam("of_customer"),
    _ROW.meter == bindparam("of_meter"),
    _ROW.id == bindparam("usage_id"),
)
_UNSEALED: Final = (
    select(_ROW.customer, _ROW.meter, func.min(_ROW.at, type_=UtcDateTime()).label("since"))
    .where(_IN_NO_WINDOW, _ROW.at < bindparam("before", type_=UtcDateTime()))
    .group_by(_ROW.customer, _ROW.meter)
    .order_by(_ROW.customer, _ROW.meter)
    .limit(bindparam("at_most"))
)
_WINDOWS_AT: Final = (
    select(func.count())
    .select_from(usage_windows)
    .where(
        _WINDOW.customer == bindparam("of_customer"),
        _WINDOW.meter == bindparam("of_meter"),
        _WINDOW.start == bindparam("begin", type_=UtcDateTime()),
    )
)
_OF_WINDOW: Final = and_(
    _IN_NO_WINDOW,
    _ROW.customer == bindparam("of_customer"),
    _ROW.meter == bindparam("of_meter"),
    _ROW.at >= bindparam("begin", type_=UtcDateTime()),
    _ROW.at < bindparam("until", type_=UtcDateTime()),
)
_MARK: Final = update(usage).where(_OF_WINDOW).values(window_id=bindparam("new_window"))
_MARKED: Final = _MARK.returning(_ROW.quantity, _ROW.at).cte("marked")


def _sum_of(quantity: Any, at: Any) -> Select[Any]:
    return select(
        func.count().label("rows"),
        func.sum(quantity).label("quantity"),
        func.max(at, type_=UtcDateTime()).label("at"),
    )


_SUM: Final = _sum_of(_ROW.quantity, _ROW.at).where(_OF_WINDOW)
_MARK_AND_SUM: Final = _sum_of(_MARKED.c.quantity, _MARKED.c.at).select_from(_MARKED)

_INSERT_WINDOW: Final = insert(usage_windows)
_OTHER: Final = usage_windows.alias("other")
_LOCK: Final = (
    select(_WINDOW.customer, _WINDOW.meter, _WINDOW.id)
    .where(
        _IS_PENDING,
        _WINDOW.due_at <= bindparam("now", type_=UtcDateTime()),
        or_(
            _WINDOW.leased_until.is_(None),
            _WINDOW.leased_until <= bindparam("now", type_=UtcDateTime()),
        ),
        ~exists().where(
            _OTHER.c.customer == _WINDOW.customer,
            _OTHER.c.meter == _WINDOW.meter,
            text("other.status = 'pending'"),
            _OTHER.c.leased_until > bindparam("now", type_=UtcDateTime()),
        ),
    )
    .order_by(_WINDOW.due_at, _WINDOW.start, _WINDOW.id)
    .limit(bindparam("at_most"))
    .with_for_update(of=usage_windows, skip_locked=True)
)
_LEASE: Final = Among(
    update(usage_windows)
    .values(
        leased_until=bindparam("lease_until", type_=UtcDateTime()),
        attempts=_WINDOW.attempts + 1,
        tried_at=func.coalesce(_WINDOW.tried_at, bindparam("now", type_=UtcDateTime())),
    )
    .returning(*(_WINDOW[name] for name in UsageWindow.__struct_fields__)),
    _WINDOW.customer,
    _WINDOW.meter,
    _WINDOW.id,
)
_SAVE: Final = (
    update(usage_windows)
    .where(
        _WINDOW.customer == bindparam("of_customer"),
        _WINDOW.meter == bindparam("of_meter"),
        _WINDOW.id == bindparam("of_id"),
    )
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "status",
                "due_at",
                "attempts",
                "tried_at",
                "leased_until",
                "sent_at",
                "last_error",
            )
        }
    )
)
_GET: Final = select_of(usage_windows, UsageWindow).where(
    _WINDOW.identifier == bindparam("of_identifier")
)
_GET_LOCKED: Final = _GET.with_for_update()
_LIST: Final = (
    select_of(usage_windows, UsageWindow)
    .order_by(_WINDOW.start, _WINDOW.customer, _WINDOW.meter, _WINDOW.id)
    .limit(bindparam("at_most"))
)
_TOLD: Final = select(func.coalesce(func.sum(_WINDOW.quantity), 0)).where(
    _WINDOW.customer == bindparam("of_customer"),
    _WINDOW.meter == bindparam("of_meter"),
    _WINDOW.status == WindowStatus.SENT,
    _WINDOW.at >= bindparam("begin", type_=UtcDateTime()),
    _WINDOW.at < bindparam("until", type_=UtcDateTime()),
)
_TOLD_CUSTOMERS: Final = (
    select(_WINDOW.customer)
    .where(
        _WINDOW.status == WindowStatus.SENT,
        _WINDOW.at >= bindparam("begin", type_=UtcDateTime()),
        _WINDOW.at < bindparam("until", type_=UtcDateTime()),
        _WINDOW.customer > bindparam("after"),
    )
    .distinct()
    .order_by(_WINDOW.customer)
    .limit(bindparam("at_most"))
)
_UNTOLD: Final = (
    select(func.count())
    .select_from(usage)
    .where(_IN_NO_WINDOW, _ROW.customer == bindparam("of_customer")),
    select(func.count())
    .select_from(usage_windows)
    .where(_IS_PENDING, _WINDOW.customer == bindparam("of_customer")),
)


@functools.cache
def _days(dialect: str, goes_on: bool) -> Select[Any]:
    """The statement of `Metering.days`."""
    sealed = select(
        start_of(dialect, "day", _WINDOW.start).label("day"), _WINDOW.meter, _WINDOW.quantity
    ).where(
        _WINDOW.customer == bindparam("of_customer"),
        _WINDOW.status != WindowStatus.DISCARDED,
        _WINDOW.start >= bindparam("begin", type_=UtcDateTime()),
        _WINDOW.start < bindparam("until", type_=UtcDateTime()),
    )
    loose = select(start_of(dialect, "day", _ROW.at).label("day"), _ROW.meter, _ROW.quantity).where(
        _IN_NO_WINDOW,
        _ROW.customer == bindparam("of_customer"),
        _ROW.at >= bindparam("begin", type_=UtcDateTime()),
        _ROW.at < bindparam("until", type_=UtcDateTime()),
    )
    rows = union_all(sealed, loose).subquery("parts").c
    place = (rows.day, rows.meter)
    statement = (
        select(*place, func.sum(rows.quantity))
        .group_by(*place)
        .order_by(*place)
        .limit(bindparam("at_most"))
    )
    if goes_on:
        after = tuple_(
            bindparam("after_start", type_=UtcDateTime()), bindparam("after_meter", type_=Text())
        )
        statement = statement.where(tuple_(*place) > after)
    return statement


class SqlMetering(Aggregate, Metering):
    """`Metering` over the tables `usage` and `usage_windows`."""

    def record(self, rows: Iterable[Usage]) -> int:
        statement = self._dialect.insert_new(usage)
        return sum(self._changed(statement, columns_of(row)) for row in rows)

    def recorded(self, customer: str, meter: str, usage_id: str) -> Usage | None:
        which = {"of_customer": customer, "of_meter": meter, "usage_id": usage_id}
        rows = self._connection.execute(_RECORDED, which)
        return struct_of(rows.mappings().one_or_none(), Usage)

    def unsealed(self, before: datetime, limit: int) -> Sequence[Unsealed]:
        rows = self._connection.execute(_UNSEALED, {"before": before, "at_most": limit})
        return [Unsealed(**row) for row in rows.mappings()]

    def windows_at(self, customer: str, meter: str, start: datetime) -> int:
        which = {"of_customer": customer, "of_meter": meter, "begin": start}
        return int(self._connection.execute(_WINDOWS_AT, which).scalar_one())

    def mark(
        self, customer: str, meter: str, start: datetime, end: datetime, window_id: str
    ) -> Marked | None:
        which = {"of_customer": customer, "of_meter": meter, "begin": start, "until": end}
        named = {**which, "new_window": window_id}
        if self._dialect.locks_rows:
            found = self._connection.execute(_MARK_AND_SUM, named).mappings().one()
        else:  # one writer at a time: nothing comes in between
            found = self._connection.execute(_SUM, which).mappings().one()
            self._connection.execute(_MARK, named)
        if not found["rows"]:
            return None
        return Marked(found["rows"], int(found["quantity"]), found["at"])

    def add_window(self, window: UsageWindow) -> None:
        self._connection.execute(_INSERT_WINDOW, columns_of(window))

    def claim(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[UsageWindow]:
        rows = self._connection.execute(_LOCK, {"now": now, "at_most": limit})
        which = [(customer, meter, id_) for customer, meter, id_ in rows]
        if not which:
            return []
        leased = self._connection.execute(
            *_LEASE.asked(self._dialect.name, which, lease_until=lease_until, now=now)
        )
        return sorted(
            (_window(row) for row in leased.mappings()),
            key=lambda one: (one.due_at, one.start, one.id),
        )

    def save_window(self, window: UsageWindow) -> None:
        error = window.last_error
        self._connection.execute(
            _SAVE,
            {
                "of_customer": window.customer,
                "of_meter": window.meter,
                "of_id": window.id,
                "new_status": window.status,
                "new_due_at": window.due_at,
                "new_attempts": window.attempts,
                "new_tried_at": window.tried_at,
                "new_leased_until": window.leased_until,
                "new_sent_at": window.sent_at,
                "new_last_error": error and storable(error, max_chars=MAX_ERROR_CHARS),
            },
        )

    def window(self, identifier: str, *, lock: bool = False) -> UsageWindow | None:
        statement = _GET_LOCKED if lock else _GET
        row = self._connection.execute(statement, {"of_identifier": identifier})
        found = row.mappings().one_or_none()
        return None if found is None else _window(found)

    def windows(
        self,
        *,
        status: WindowStatus | None = None,
        customer: str | None = None,
        meter: str | None = None,
        limit: int = 100,
    ) -> Sequence[UsageWindow]:
        wanted = {"status": status, "customer": customer, "meter": meter}
        given = {name: value for name, value in wanted.items() if value is not None}
        statement = _LIST.where(*(_WINDOW[name] == value for name, value in given.items()))
        rows = self._connection.execute(statement, {"at_most": limit})
        return [_window(row) for row in rows.mappings()]

    def days(
        self,
        customer: str,
        since: datetime,
        until: datetime,
        limit: int,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[MeterDay]:
        which: dict[str, Any] = {
            "of_customer": customer,
            "begin": since,
            "until": until,
            "at_most": limit,
        }
        if after is not None:
            which |= {"after_start": after[0], "after_meter": after[1]}
        rows = self._connection.execute(_days(self._dialect.name, after is not None), which)
        return [MeterDay(start, meter, int(quantity)) for start, meter, quantity in rows]

    def told(self, customer: str, meter: str, since: datetime, until: datetime) -> int:
        which = {"of_customer": customer, "of_meter": meter, "begin": since, "until": until}
        return int(self._connection.execute(_TOLD, which).scalar_one())

    def told_customers(
        self, since: datetime, until: datetime, *, after: str, limit: int
    ) -> Sequence[str]:
        which = {"begin": since, "until": until, "after": after, "at_most": limit}
        return self._connection.execute(_TOLD_CUSTOMERS, which).scalars().all()

    def untold(self, customer: str) -> int:
        return untold(self._connection, customer)


def untold(connection: Connection, customer: str) -> int:
    """See `Metering.untold`."""
    which = {"of_customer": customer}
    return sum(int(connection.execute(query, which).scalar_one()) for query in _UNTOLD)


def _window(row: Any) -> UsageWindow:
    return UsageWindow(**{**row, "status": WindowStatus(row["status"])})
