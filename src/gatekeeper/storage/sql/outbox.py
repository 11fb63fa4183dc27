"""Messages that have to leave, in order within a customer."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)

from gatekeeper.storage.outbox import Outbox
from gatekeeper.storage.records import OutboxCounts, OutboxMessage, OutboxState
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of
from gatekeeper.storage.sql.among import Among
from gatekeeper.storage.sql.inbox import MAX_ERROR_CHARS
from gatekeeper.storage.sql.tables import UNSENT, outbox, waits
from gatekeeper.storage.sql.types import UtcDateTime, storable

_HEAD: Final = outbox.alias("head")
_LEFT_ALONE: Final = bindparam("but_not", type_=String(), expanding=True)


def _locking(of_the_same: ColumnElement[bool]) -> Select[Any]:
    """Oldest first by an index, until there are enough: those that are behind another one are
    passed.

    Whether a message is the first that waits of its customer and receiver is one step down the
    index of the order, from where `of_the_same` leads. NOT EXISTS would become a join of all that
    waits with itself. And half of all messages are guessed to pass where a boolean is selected, but
    next to none where ids are compared: then all would be compared, and sorted after that.
    """
    is_first = (
        select(_HEAD.c.id == outbox.c.id)
        .where(of_the_same, text(waits("head")))
        .order_by(_HEAD.c.customer, _HEAD.c.receiver, _HEAD.c.created_at, _HEAD.c.id)
        .limit(1)
        .correlate(outbox)
        .scalar_subquery()
    )
    return (
        select(outbox.c.customer, outbox.c.id)
        .where(
            text(waits()),
            outbox.c.due_at <= bindparam("now"),
            outbox.c.receiver.not_in(_LEFT_ALONE),
            # On the row that is locked, so that PostgreSQL checks it again on the row as it is
            # after the lock.
            or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= bindparam("now")),
            is_first,
        )
        .order_by(outbox.c.created_at, outbox.c.id)
        .limit(bindparam("at_most"))
        .with_for_update(key_share=True, skip_locked=True)
    )


# With `=` PostgreSQL could have the ORDER BY from an index that does not begin with the customer,
# and would, whatever it knows of a table that has just been filled. The message itself is among
# those from (customer, receiver) on, so the first of them is one of the same two.
_LOCK: Final = _locking(
    tuple_(_HEAD.c.customer, _HEAD.c.receiver) >= tuple_(outbox.c.customer, outbox.c.receiver)
)
# SQLite would go down to the customer alone, and then through all that waits for other receivers.
_FIND: Final = _locking(
    and_(_HEAD.c.customer == outbox.c.customer, _HEAD.c.receiver == outbox.c.receiver)
)
_LEASE: Final = Among(
    update(outbox)
    .values(leased_until=bindparam("until"), attempts=outbox.c.attempts + 1)
    .returning(*(outbox.c[name] for name in OutboxMessage.__struct_fields__)),
    outbox.c.customer,
    outbox.c.id,
)
_BEHIND: Final = (
    select_of(outbox, OutboxMessage)
    .add_columns(outbox.c.leased_until)
    .where(
        text(waits()),
        outbox.c.customer == bindparam("of_customer"),
        outbox.c.receiver == bindparam("of_receiver"),
        tuple_(outbox.c.created_at, outbox.c.id)
        > tuple_(bindparam("at", type_=UtcDateTime()), bindparam("behind_id")),
    )
    .order_by(outbox.c.customer, outbox.c.receiver, outbox.c.created_at, outbox.c.id)
    .limit(bindparam("at_most"))
    .with_for_update(key_share=True)
)
_ONE: Final = outbox.c.id == bindparam("message_id")
_OURS: Final = and_(outbox.c.leased_until == bindparam("lease"), text(UNSENT))
_RENEW: Final = update(outbox).where(_ONE, _OURS).values(leased_until=bindparam("until"))
_SENT: Final = (
    update(outbox).where(_ONE).values(sent_at=bindparam("at"), leased_until=None, last_error=None)
)
_FAILED: Final = update(outbox).where(_ONE).values(last_error=bindparam("error"), leased_until=None)
_RETRY: Final = _FAILED.values(due_at=bindparam("due"))
_BURY: Final = _FAILED.values(dead=True)
_UNCOUNTED: Final = {"attempts": outbox.c.attempts - 1}
_REVIVE: Final = (
    update(outbox)
    .where(outbox.c.dead)
    .values(dead=False, attempts=0, due_at=bindparam("due"), leased_until=None, last_error=None)
)

_STATES: Final = {
    OutboxState.WAITING: (text(UNSENT), outbox.c.created_at),
    OutboxState.DEAD: (text("dead"), outbox.c.created_at),
    OutboxState.SENT: (text("sent_at IS NOT NULL"), outbox.c.sent_at),
}
_COUNT_WAITING: Final = select(func.count(), func.min(outbox.c.created_at)).where(text(UNSENT))
_COUNT_DEAD: Final = select(func.count()).select_from(outbox).where(text("dead"))
_WAITING_FOR: Final = (
    select_of(outbox, OutboxMessage)
    .where(text(UNSENT), outbox.c.receiver == bindparam("of_receiver"))
    .order_by(outbox.c.created_at, outbox.c.id)
    .limit(bindparam("at_most"))
)
_TO_DISCARD: Final = select(outbox.c.id).where(text("dead"))
_TO_DISCARD_ONE: Final = select(outbox.c.id).where(_ONE, text("sent_at IS NULL"))
_OLD: Final = (
    select(outbox.c.id)
    .where(text("sent_at IS NOT NULL"), outbox.c.sent_at < bindparam("before"))
    .order_by(outbox.c.sent_at)
    .limit(bindparam("at_most"))
)
_IDS: Final = bindparam("ids", type_=String(), expanding=True)
_DROP: Final = delete(outbox).where(outbox.c.id.in_(_IDS))
_AT_ONCE: Final = 1_000
"""How many rows one DELETE names."""


class SqlOutbox(Aggregate, Outbox):
    """`Outbox` over the table `outbox`."""

    has_added = False
    """Whether messages were added in this transaction."""

    def add(self, messages: Iterable[OutboxMessage]) -> None:
        for message in messages:
            self.has_added = True
            self._connection.execute(self._dialect.insert_new(outbox), columns_of(message))

    def claim(
        self,
        now: datetime,
        lease_until: datetime,
        limit: int,
        *,
        but_not: Collection[str] = (),
    ) -> Sequence[OutboxMessage]:
        asked = {"now": now, "at_most": limit, "but_not": sorted(but_not)}
        rows = self._connection.execute(_LOCK if self._dialect.locks_rows else _FIND, asked)
        which = [(customer, id_) for customer, id_ in rows]
        if not which:
            return []
        leased = self._connection.execute(
            *_LEASE.asked(self._dialect.name, which, until=lease_until)
        )
        return sorted(
            (OutboxMessage(**row) for row in leased.mappings()),
            key=lambda message: (message.created_at, message.id),
        )

    def behind(self, message: OutboxMessage, now: datetime, limit: int) -> Sequence[OutboxMessage]:
        which = {
            "of_customer": message.customer,
            "of_receiver": message.receiver,
            "at": message.created_at,
            "behind_id": message.id,
            "at_most": limit,
        }
        found: list[OutboxMessage] = []
        for row in self._connection.execute(_BEHIND, which).mappings():
            fields = dict(row)
            leased_until = fields.pop("leased_until")
            if fields["due_at"] > now or (leased_until is not None and leased_until > now):
                break
            found.append(OutboxMessage(**fields))
        return found

    def renew(self, message_id: str, lease: datetime, lease_until: datetime) -> bool:
        which = {"message_id": message_id, "lease": lease, "until": lease_until}
        return self._changed(_RENEW, which) == 1

    def sent(self, message_id: str, at: datetime, *, lease: datetime | None = None) -> bool:
        return self._settle(_SENT, {"message_id": message_id, "at": at}, lease)

    def failed(
        self,
        message_id: str,
        error: str,
        *,
        due_at: datetime | None,
        lease: datetime | None = None,
        counted: bool = True,
    ) -> bool:
        kept = storable(error, max_chars=MAX_ERROR_CHARS)
        which: dict[str, Any] = {"message_id": message_id, "error": kept}
        statement = _BURY
        if due_at is not None:
            statement, which["due"] = _RETRY, due_at
        return self._settle(statement if counted else statement.values(_UNCOUNTED), which, lease)

    def waiting_for(self, receiver: str, limit: int) -> Sequence[OutboxMessage]:
        asked = {"of_receiver": receiver, "at_most": limit}
        rows = self._connection.execute(_WAITING_FOR, asked)
        return [OutboxMessage(**row) for row in rows.mappings()]

    def drop(self, messages: Iterable[OutboxMessage]) -> None:
        self._drop([message.id for message in messages])

    def retry(self, at: datetime, *, message_id: str | None = None) -> int:
        if message_id is None:
            return self._changed(_REVIVE, {"due": at})
        return self._changed(_REVIVE.where(_ONE), {"due": at, "message_id": message_id})

    def discard(self, *, message_id: str | None = None) -> int:
        if message_id is None:
            return self._drop(self._connection.execute(_TO_DISCARD).scalars().all())
        rows = self._connection.execute(_TO_DISCARD_ONE, {"message_id": message_id})
        return self._drop(rows.scalars().all())

    def counts(self) -> OutboxCounts:
        waiting, oldest = self._connection.execute(_COUNT_WAITING).one()
        dead = self._connection.execute(_COUNT_DEAD).scalar_one()
        return OutboxCounts(waiting=waiting, dead=dead, oldest_waiting_at=oldest)

    def listing(
        self, state: OutboxState, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[OutboxMessage]:
        is_so, first = _STATES[state]
        asked = select_of(outbox, OutboxMessage).where(is_so).order_by(first, outbox.c.id)
        if after is not None:
            passed = tuple_(literal(after[0], UtcDateTime()), literal(after[1]))
            asked = asked.where(tuple_(first, outbox.c.id) > passed)
        rows = self._connection.execute(asked.limit(bindparam("at_most")), {"at_most": limit})
        return [OutboxMessage(**row) for row in rows.mappings()]

    def prune(self, before: datetime, limit: int) -> int:
        rows = self._connection.execute(_OLD, {"before": before, "at_most": limit})
        return self._drop(rows.scalars().all())

    def _settle(self, statement: Any, which: dict[str, Any], lease: datetime | None) -> bool:
        if lease is not None:
            statement, which = statement.where(_OURS), {**which, "lease": lease}
        return self._changed(statement, which) == 1

    def _drop(self, ids: Sequence[str]) -> int:
        for start in range(0, len(ids), _AT_ONCE):
            self._connection.execute(_DROP, {"ids": ids[start : start + _AT_ONCE]})
        return len(ids)
