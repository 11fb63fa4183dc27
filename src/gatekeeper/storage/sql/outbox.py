"""Messages that have to leave, in order within a customer and topic."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import and_, bindparam, exists, or_, select, text, update

from gatekeeper.storage.port import Outbox
from gatekeeper.storage.records import OutboxMessage
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of
from gatekeeper.storage.sql.among import Among
from gatekeeper.storage.sql.inbox import MAX_ERROR_CHARS
from gatekeeper.storage.sql.tables import UNSENT, outbox
from gatekeeper.storage.sql.types import storable

_EARLIER: Final = outbox.alias("earlier")
_EARLIER_UNSENT: Final = text("earlier.sent_at IS NULL AND NOT earlier.dead")
# The lease stands on the row that is locked, so that PostgreSQL checks it again on the row as it is
# after the lock.
_LOCK: Final = (
    select(outbox.c.customer, outbox.c.id)
    .where(
        text(UNSENT),
        outbox.c.due_at <= bindparam("now"),
        or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= bindparam("now")),
        ~exists().where(
            _EARLIER.c.customer == outbox.c.customer,
            _EARLIER.c.topic == outbox.c.topic,
            or_(
                _EARLIER.c.created_at < outbox.c.created_at,
                and_(_EARLIER.c.created_at == outbox.c.created_at, _EARLIER.c.id < outbox.c.id),
            ),
            _EARLIER_UNSENT,
        ),
    )
    .order_by(outbox.c.created_at, outbox.c.id)
    .limit(bindparam("at_most"))
    .with_for_update(key_share=True, skip_locked=True)
)
_LEASE: Final = Among(
    update(outbox)
    .values(leased_until=bindparam("until"), attempts=outbox.c.attempts + 1)
    .returning(*(outbox.c[name] for name in OutboxMessage.__struct_fields__)),
    outbox.c.customer,
    outbox.c.id,
)
_SENT: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("message_id"))
    .values(sent_at=bindparam("at"), leased_until=None, last_error=None)
)
_FAILED: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("message_id"))
    .values(last_error=bindparam("error"), leased_until=None)
)
_RETRY: Final = _FAILED.values(due_at=bindparam("due"))
_BURY: Final = _FAILED.values(dead=True)


class SqlOutbox(Aggregate, Outbox):
    """`Outbox` over the table `outbox`."""

    def add(self, messages: Iterable[OutboxMessage]) -> None:
        for message in messages:
            self._connection.execute(self._dialect.insert_new(outbox), columns_of(message))

    def claim(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[OutboxMessage]:
        rows = self._connection.execute(_LOCK, {"now": now, "at_most": limit})
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

    def sent(self, message_id: str, at: datetime) -> None:
        self._connection.execute(_SENT, {"message_id": message_id, "at": at})

    def failed(self, message_id: str, error: str, *, due_at: datetime | None) -> None:
        kept = storable(error, max_chars=MAX_ERROR_CHARS)
        if due_at is None:
            self._connection.execute(_BURY, {"message_id": message_id, "error": kept})
        else:
            which = {"message_id": message_id, "error": kept, "due": due_at}
            self._connection.execute(_RETRY, which)
