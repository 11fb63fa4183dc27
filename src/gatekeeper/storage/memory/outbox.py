"""Messages that have to leave, in memory."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.port import Outbox
from gatekeeper.storage.records import OutboxMessage


class MemoryOutbox(Outbox):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._messages: Table[str, OutboxMessage] = Table(journal)
        self._unsent: Table[str, None] = Table(journal)
        self._leases: Table[str, datetime] = Table(journal)

    def add(self, messages: Iterable[OutboxMessage]) -> None:
        for message in messages:
            if self._messages.insert(message.id, message):
                self._unsent.put(message.id, None)

    def claim(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[OutboxMessage]:
        unsent = [one for key, _ in self._unsent.items() if (one := self._messages.get(key))]
        first: dict[tuple[str, str], OutboxMessage] = {}
        for message in sorted(unsent, key=lambda one: (one.created_at, one.id)):
            first.setdefault((message.customer, message.topic), message)
        claimed = [
            replace(message, attempts=message.attempts + 1)
            for message in first.values()
            if message.due_at <= now and not self._is_leased(message, now)
        ][: max(limit, 0)]
        for message in claimed:
            self._messages.put(message.id, message)
            self._leases.put(message.id, lease_until)
        return tuple(claimed)

    def sent(self, message_id: str, at: datetime) -> None:
        message = self._end_lease(message_id)
        if message is not None:
            self._messages.put(message_id, replace(message, sent_at=at, last_error=None))
            self._unsent.delete(message_id)

    def failed(self, message_id: str, error: str, *, due_at: datetime | None) -> None:
        message = self._end_lease(message_id)
        if message is None:
            return
        if due_at is None:
            self._messages.put(message_id, replace(message, last_error=error, dead=True))
            self._unsent.delete(message_id)
        else:
            self._messages.put(message_id, replace(message, last_error=error, due_at=due_at))

    def unsent(self, customer: str, topic: str) -> int:
        """How many messages of a customer and topic wait."""
        waiting = (self._messages.get(key) for key, _ in self._unsent.items())
        return sum(
            one is not None and (one.customer, one.topic) == (customer, topic) for one in waiting
        )

    def erase(self, customer: str) -> None:
        """Drop all messages of a customer, sent or not."""
        for message in self._messages.values():
            if message.customer == customer:
                for table in (self._messages, self._unsent, self._leases):
                    table.delete(message.id)

    def _end_lease(self, message_id: str) -> OutboxMessage | None:
        self._leases.delete(message_id)
        return self._messages.get(message_id)

    def _is_leased(self, message: OutboxMessage, now: datetime) -> bool:
        until = self._leases.get(message.id)
        return until is not None and until > now
