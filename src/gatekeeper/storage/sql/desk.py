"""The inbox as an operator sees it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    update,
)

from gatekeeper.storage.desk import OVER, EventDesk, EventSelection, Place
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.storage.sql.aggregate import Aggregate
from gatekeeper.storage.sql.inbox import RETRY
from gatekeeper.storage.sql.tables import completions, inbox, inbox_objects
from gatekeeper.storage.sql.types import UtcDateTime

_OF_KEYS: Final = inbox.c.key.in_(bindparam("keys", expanding=True))
_BY_AGE: Final = (inbox.c.received_at, inbox.c.key)
_WITHOUT_PAYLOAD: Final = select(
    *(
        null().label(name) if name == "payload" else inbox.c[name]
        for name in InboxEvent.__struct_fields__
    )
)
_RETRY_DEAD: Final = RETRY.where(_OF_KEYS, inbox.c.status == EventStatus.DEAD)
# The objects first, as whoever claims does: what is discarded is nobody's and stays nobody's.
_LOCK_OBJECTS: Final = (
    select(inbox_objects.c.object_key)
    .where(inbox_objects.c.object_key.in_(select(inbox.c.object_key).where(_OF_KEYS)))
    .order_by(inbox_objects.c.object_key)
    .with_for_update(key_share=True)
)
_DISCARD: Final = (
    update(inbox)
    .where(
        _OF_KEYS,
        or_(
            inbox.c.status == EventStatus.DEAD,
            and_(
                inbox.c.status == EventStatus.PENDING,
                or_(inbox.c.leased_until.is_(None), inbox.c.leased_until <= bindparam("now")),
            ),
        ),
    )
    .values(status=EventStatus.DISCARDED, leased_until=None)
)
_COMPLETIONS: Final = (
    select(completions.c.handler, completions.c.completed_at)
    .where(completions.c.event_key == bindparam("of_key"))
    .order_by(completions.c.completed_at, completions.c.handler)
)

# -- pruning --------------------------------------------------------------------------------------

# Locked: one that is being retried is not over any more. One status after the other, in the order
# of the index.
_OLD: Final = (
    select(inbox.c.key, inbox.c.twin, inbox.c.object_key, inbox.c.object_type, inbox.c.object_id)
    .where(inbox.c.status == bindparam("of_status"), inbox.c.received_at < bindparam("before"))
    .order_by(*_BY_AGE)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
_DELETE: Final = delete(inbox).where(_OF_KEYS)
_KNOWN: Final = select(inbox.c.key).where(_OF_KEYS)
_DELETE_COMPLETIONS: Final = delete(completions).where(
    completions.c.event_key.in_(bindparam("keys", expanding=True))
)
_DELETE_OBJECTS: Final = delete(inbox_objects).where(
    inbox_objects.c.object_key.in_(bindparam("keys", expanding=True))
)


class SqlEventDesk(Aggregate, EventDesk):
    """`EventDesk` over the tables `inbox`, `inbox_objects` and `inbox_completions`."""

    def find(
        self, selection: EventSelection, limit: int, after: Place | None = None
    ) -> Sequence[InboxEvent]:
        statement = _WITHOUT_PAYLOAD.where(*_where(selection)).order_by(*_BY_AGE).limit(limit)
        if after is not None:
            statement = statement.where(_passed(after))
        return [InboxEvent(**row) for row in self._connection.execute(statement).mappings()]

    def count(self, selection: EventSelection) -> int:
        statement = select(func.count()).select_from(inbox).where(*_where(selection))
        return int(self._connection.execute(statement).scalar_one())

    def places(
        self, selection: EventSelection, limit: int, after: Place | None = None
    ) -> Sequence[Place]:
        statement = select(*_BY_AGE).where(*_where(selection)).order_by(*_BY_AGE).limit(limit)
        if after is not None:
            statement = statement.where(_passed(after))
        return [Place(*row) for row in self._connection.execute(statement)]

    def retry(self, keys: Collection[str], at: datetime) -> int:
        return self._changed(_RETRY_DEAD, {"keys": sorted(keys), "due": at})

    def discard(self, keys: Collection[str], now: datetime) -> int:
        which: dict[str, Any] = {"keys": sorted(keys)}
        self._connection.execute(_LOCK_OBJECTS, which).all()
        return self._changed(_DISCARD, {**which, "now": now})

    def completions(self, key: str) -> Mapping[str, datetime]:
        rows = self._connection.execute(_COMPLETIONS, {"of_key": key})
        return {row.handler: row.completed_at for row in rows}

    def prune(self, before: datetime, limit: int) -> int:
        pruned = 0
        for status in OVER:
            if pruned < limit:
                which = {"of_status": status, "before": before, "at_most": limit - pruned}
                pruned += self._prune(self._connection.execute(_OLD, which).all())
        return pruned

    def _prune(self, rows: Sequence[Any]) -> int:
        if not rows:
            return 0
        keys = {row.key for row in rows}
        self._connection.execute(_DELETE, {"keys": sorted(keys)})
        # What a thin event's handlers did was noted for its snapshot too. If that is here, it
        # takes the note along when it goes itself.
        twins = {row.twin for row in rows if row.twin is not None}
        known = self._connection.execute(_KNOWN, {"keys": sorted(twins)}).scalars() if twins else ()
        forgotten = keys | twins.difference(known)
        self._connection.execute(_DELETE_COMPLETIONS, {"keys": sorted(forgotten)})
        # An event about nothing in particular is its own object; no other event has that.
        alone = {row.object_key for row in rows if row.object_id is None or row.object_type is None}
        if alone:
            self._connection.execute(_DELETE_OBJECTS, {"keys": sorted(alone)})
        return len(keys)


def _passed(after: Place) -> ColumnElement[bool]:
    place = tuple_(literal(after.received_at, UtcDateTime()), literal(after.key))
    return tuple_(*_BY_AGE) > place


def _where(selection: EventSelection) -> list[ColumnElement[bool]]:
    """The conditions of a selection: what is not given makes none."""
    conditions: list[ColumnElement[bool]] = []
    if selection.status is not None:
        conditions.append(inbox.c.status == selection.status)
    if prefix := selection.type_prefix:
        conditions.append(func.substr(inbox.c.type, 1, len(prefix)) == prefix)
    elif selection.type is not None:
        conditions.append(inbox.c.type == selection.type)
    if selection.object_id is not None:
        conditions.append(inbox.c.object_id == selection.object_id)
    if selection.since is not None:
        conditions.append(inbox.c.received_at >= selection.since)
    if selection.until is not None:
        conditions.append(inbox.c.received_at < selection.until)
    if selection.error:
        # The same on both databases, unlike LIKE, whose signs it would have to escape as well.
        without = func.replace(inbox.c.last_error, selection.error, "")
        conditions.append(without != inbox.c.last_error)
    if selection.kind is not None:
        conditions.append(inbox.c.error_kind == selection.kind)
    return conditions
