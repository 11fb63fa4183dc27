"""Received events: the dispatcher's queue.

What is leased is the object, not the event: its row in `inbox_objects` is locked by whoever claims,
settles or uses a ticket, always before rows of `inbox`. So no two claimers get one object, not even
through an event that arrives while the first one is being claimed.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Boolean, and_, bindparam, delete, exists, func, or_, select, update

from gatekeeper.storage.inbox import MAX_EVENTS_PER_OBJECT, Inbox
from gatekeeper.storage.records import ErrorKind, EventStatus, InboxEvent
from gatekeeper.storage.sql.aggregate import Aggregate, select_of, struct_of
from gatekeeper.storage.sql.arrivals import distinct, new_object
from gatekeeper.storage.sql.tables import completions, inbox, inbox_objects
from gatekeeper.storage.sql.tables.base import PENDING
from gatekeeper.storage.sql.types import storable

MAX_ERROR_CHARS: Final = 2_000
"""How much of an error's message is kept with an event or a message."""

_GET: Final = select_of(inbox, InboxEvent).where(inbox.c.key == bindparam("of_key"))

# -- claiming -------------------------------------------------------------------------------------

_FREE: Final = or_(
    inbox_objects.c.leased_until.is_(None), inbox_objects.c.leased_until <= bindparam("now")
)
_DUE: Final = and_(inbox.c.status == PENDING, inbox.c.due_at <= bindparam("now"))
_OLDEST_DUE: Final = (
    select(inbox.c.object_key, inbox.c.received_at)
    .join(inbox_objects, inbox_objects.c.object_key == inbox.c.object_key)
    .where(_DUE, _FREE)
    .order_by(inbox.c.received_at, inbox.c.key)
    .limit(bindparam("events_seen"))  # bounds the work of one claim, however long the queue is
    .subquery()
)
_CANDIDATES: Final = (
    select(_OLDEST_DUE.c.object_key, func.min(_OLDEST_DUE.c.received_at).label("first"))
    .group_by(_OLDEST_DUE.c.object_key)
    .order_by("first", _OLDEST_DUE.c.object_key)
    .limit(bindparam("at_most"))
    .subquery()
)
# Locking makes PostgreSQL check the lease once more on the row as it is now; an object that another
# claimer has locked is that claimer's.
_LOCK_OBJECTS: Final = (
    select(inbox_objects.c.object_key)
    .join(_CANDIDATES, _CANDIDATES.c.object_key == inbox_objects.c.object_key)
    .where(_FREE)
    .with_for_update(of=inbox_objects, key_share=True, skip_locked=True)
)
_LEASE_OBJECTS: Final = (
    update(inbox_objects)
    .where(inbox_objects.c.object_key.in_(bindparam("objects", expanding=True)))
    .values(leased_until=bindparam("until"))
)
# A statement of its own, after the locks: its snapshot shows what the last holder of them left.
_NUMBERED: Final = (
    select(
        inbox.c.key,
        func.row_number()
        .over(
            partition_by=inbox.c.object_key,
            order_by=(inbox.c.received_at, inbox.c.created_at, inbox.c.key),
        )
        .label("place"),
    )
    .where(inbox.c.object_key.in_(bindparam("objects", expanding=True)), _DUE)
    .subquery()
)
_LEASE_EVENTS: Final = (
    update(inbox)
    .where(
        inbox.c.key.in_(select(_NUMBERED.c.key).where(_NUMBERED.c.place <= MAX_EVENTS_PER_OBJECT))
    )
    .values(leased_until=bindparam("until"), attempts=inbox.c.attempts + 1)
    .returning(*(inbox.c[name] for name in InboxEvent.__struct_fields__))
)

# -- settling -------------------------------------------------------------------------------------

_LOCK_OBJECT_OF: Final = (
    select(inbox_objects.c.object_key)
    .where(
        inbox_objects.c.object_key
        == select(inbox.c.object_key).where(inbox.c.key == bindparam("of_key")).scalar_subquery()
    )
    .with_for_update(key_share=True)
)
_SETTLE: Final = (
    update(inbox)
    .where(inbox.c.key == bindparam("of_key"))
    .values(
        status=bindparam("to"),
        leased_until=None,
        last_error=bindparam("error"),
        error_kind=bindparam("kind"),
    )
)
_SETTLE_UNTIL: Final = _SETTLE.values(due_at=bindparam("due"))
_UNCOUNTED: Final = {"attempts": inbox.c.attempts - 1}
_LEASE_IS: Final = inbox.c.leased_until == bindparam("lease")
_FREE_OBJECT: Final = (
    update(inbox_objects)
    .where(
        inbox_objects.c.object_key == bindparam("of_object"),
        ~exists().where(
            inbox.c.object_key == inbox_objects.c.object_key,
            inbox.c.status == PENDING,
            inbox.c.leased_until == inbox_objects.c.leased_until,  # an older lease has lapsed
        ),
    )
    .values(leased_until=None)
)

_RENEW_OBJECT: Final = (
    update(inbox_objects)
    .where(
        inbox_objects.c.object_key == bindparam("of_object"),
        inbox_objects.c.leased_until == bindparam("lease"),
    )
    .values(leased_until=bindparam("until"))
)
_RENEW_EVENTS: Final = (
    update(inbox)
    .where(inbox.c.object_key == bindparam("of_object"), inbox.c.status == PENDING, _LEASE_IS)
    .values(leased_until=bindparam("until"))
)

# -- trying again ---------------------------------------------------------------------------------

RETRY: Final = update(inbox).values(
    status=EventStatus.PENDING,
    attempts=0,
    due_at=bindparam("due"),
    leased_until=None,
    last_error=None,
    error_kind=None,
)
_RETRY_ONE: Final = RETRY.where(
    inbox.c.key == bindparam("of_key"),
    inbox.c.status.in_((EventStatus.DEAD, EventStatus.DONE, EventStatus.DISCARDED)),
)
_BRING_BACK: Final = RETRY.where(
    inbox.c.key == bindparam("of_key"), inbox.c.status == EventStatus.DEAD
).values(payload=bindparam("body"))
_FORGET: Final = delete(completions).where(
    completions.c.event_key == bindparam("of_key"), completions.c.handler == bindparam("name")
)

# -- the rest -------------------------------------------------------------------------------------

_COMPLETED: Final = select(completions.c.handler).where(
    completions.c.event_key == bindparam("of_key")
)
_COUNTS: Final = select(inbox.c.status, func.count()).group_by(inbox.c.status)
_BY_STATUS: Final = (
    select_of(inbox, InboxEvent)
    .where(inbox.c.status == bindparam("of_status"))
    .order_by(inbox.c.received_at, inbox.c.key)
    .limit(bindparam("at_most"))
)
_PURGE_PAYLOADS: Final = (
    update(inbox)
    .where(
        inbox.c.key.in_(
            select(inbox.c.key)
            .where(
                inbox.c.payload.is_not(None),
                inbox.c.status != PENDING,
                inbox.c.received_at < bindparam("before"),
            )
            .order_by(inbox.c.received_at)
            .limit(bindparam("at_most"))
        )
    )
    .values(payload=None)
)
_TAKE_TICKET: Final = (
    update(inbox_objects)
    .where(inbox_objects.c.object_key == bindparam("of_object"))
    .values(taken=inbox_objects.c.taken + 1)
    .returning(inbox_objects.c.taken)
)
_USE_TICKET: Final = (
    update(inbox_objects)
    .where(
        inbox_objects.c.object_key == bindparam("of_object"),
        inbox_objects.c.used <= bindparam("ticket"),
        or_(~inbox_objects.c.terminal, bindparam("is_terminal", type_=Boolean())),
    )
    .values(
        used=bindparam("ticket"),
        terminal=or_(inbox_objects.c.terminal, bindparam("is_terminal", type_=Boolean())),
    )
)
_OBJECT: Final = select(inbox_objects.c.object_key).where(
    inbox_objects.c.object_key == bindparam("of_object")
)


class SqlInbox(Aggregate, Inbox):
    """`Inbox` over the tables `inbox`, `inbox_objects` and `inbox_completions`."""

    def insert(self, event: InboxEvent) -> bool:
        return self.insert_many([event])[0]

    def insert_many(self, events: Sequence[InboxEvent]) -> Sequence[bool]:
        first = distinct(events)
        if not first:
            return []
        new, dead = self._dialect.arrive(self._connection, list(first.values()))
        for key in sorted(dead):
            if first[key].status is EventStatus.PENDING:
                self._bring_back(first[key])
        return [event.key in new and first[event.key] is event for event in events]

    def get(self, key: str) -> InboxEvent | None:
        rows = self._connection.execute(_GET, {"of_key": key})
        return struct_of(rows.mappings().one_or_none(), InboxEvent)

    def claim(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[InboxEvent]:
        seen = limit * MAX_EVENTS_PER_OBJECT
        which = {"now": now, "at_most": limit, "events_seen": seen}
        objects = list(self._connection.execute(_LOCK_OBJECTS, which).scalars())
        if not objects:
            return []
        which = {"objects": objects, "until": lease_until}
        self._connection.execute(_LEASE_OBJECTS, which)
        rows = self._connection.execute(_LEASE_EVENTS, {**which, "now": now}).mappings()
        return sorted((InboxEvent(**row) for row in rows), key=_turn)

    def settle(
        self,
        key: str,
        status: EventStatus,
        *,
        due_at: datetime | None = None,
        error: str | None = None,
        kind: ErrorKind | None = None,
        lease: datetime | None = None,
        counted: bool = True,
    ) -> bool:
        # Two events of one object may be settled at the same moment: without the lock, each would
        # see the other's lease and leave the object to both.
        of_object = self._connection.execute(_LOCK_OBJECT_OF, {"of_key": key}).scalar_one_or_none()
        kept = None if error is None else storable(error, max_chars=MAX_ERROR_CHARS)
        which: dict[str, Any] = {"of_key": key, "to": status, "error": kept, "kind": kind}
        statement = _SETTLE if due_at is None else _SETTLE_UNTIL
        if due_at is not None:
            which["due"] = due_at
        if lease is not None:
            statement, which["lease"] = statement.where(_LEASE_IS), lease
        if not counted:
            statement = statement.values(_UNCOUNTED)
        if not self._changed(statement, which):
            return False
        self._connection.execute(_FREE_OBJECT, {"of_object": of_object})
        return True

    def renew(self, object_key: str, lease: datetime, lease_until: datetime) -> bool:
        which = {"of_object": object_key, "lease": lease, "until": lease_until}
        if not self._changed(_RENEW_OBJECT, which):
            return False
        self._connection.execute(_RENEW_EVENTS, which)
        return True

    def retry(self, key: str, at: datetime, *, forget: str | None = None) -> bool:
        again = self._changed(_RETRY_ONE, {"due": at, "of_key": key})
        if again and forget is not None:
            self._connection.execute(_FORGET, {"of_key": key, "name": forget})
        return again == 1

    def completed(self, key: str) -> frozenset[str]:
        return frozenset(self._connection.execute(_COMPLETED, {"of_key": key}).scalars())

    def complete(self, key: str, handler: str, at: datetime) -> bool:
        row = {"event_key": key, "handler": handler, "completed_at": at}
        return self._changed(self._dialect.insert_new(completions), row) == 1

    def uncomplete(self, key: str, handlers: Collection[str]) -> int:
        which = {"of_key": key}
        return sum(self._changed(_FORGET, {**which, "name": name}) for name in set(handlers))

    def counts(self) -> dict[EventStatus, int]:
        return {row[0]: row[1] for row in self._connection.execute(_COUNTS)}

    def by_status(self, status: EventStatus, limit: int) -> Sequence[InboxEvent]:
        rows = self._connection.execute(_BY_STATUS, {"of_status": status, "at_most": limit})
        return [InboxEvent(**row) for row in rows.mappings()]

    def purge_payloads(self, before: datetime, limit: int) -> int:
        return self._changed(_PURGE_PAYLOADS, {"before": before, "at_most": limit})

    def take_ticket(self, object_key: str) -> int:
        which = {"of_object": object_key}
        ticket = self._connection.execute(_TAKE_TICKET, which).scalar_one_or_none()
        if ticket is None:
            self._add_object(object_key)
            ticket = self._connection.execute(_TAKE_TICKET, which).scalar_one()
        return int(ticket)

    def use_ticket(self, object_key: str, ticket: int, *, terminal: bool) -> bool:
        which = {"of_object": object_key, "ticket": ticket, "is_terminal": terminal}
        if self._changed(_USE_TICKET, which):
            return True
        return self._add_object(object_key) and self._changed(_USE_TICKET, which) == 1

    def _bring_back(self, event: InboxEvent) -> None:
        which = {"of_key": event.key, "due": event.due_at, "body": event.payload}
        self._connection.execute(_BRING_BACK, which)

    def _add_object(self, object_key: str) -> bool:
        """Make an object's row; False if it has one. Looked up first, since INSERT ... ON CONFLICT
        would wait for a transaction that is updating the row, and a webhook must not."""
        if self._connection.execute(_OBJECT, {"of_object": object_key}).first() is not None:
            return False
        return self._changed(self._dialect.insert_new(inbox_objects), new_object(object_key)) == 1


def _turn(event: InboxEvent) -> tuple[datetime, datetime, str]:
    return event.received_at, event.created_at, event.key
