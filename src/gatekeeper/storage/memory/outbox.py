"""Messages that have to leave, in memory."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice, takewhile

from msgspec.structs import replace

from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.outbox import Outbox
from gatekeeper.storage.records import OutboxCounts, OutboxMessage, OutboxState
from gatekeeper.storage.survey import Backlog


class MemoryOutbox(Outbox):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._messages: Table[str, OutboxMessage] = Table(journal)
        self._unsent: Table[str, None] = Table(journal)
        self._leases: Table[str, datetime] = Table(journal)
        self.has_added = False

    def add(self, messages: Iterable[OutboxMessage]) -> None:
        for message in messages:
            self.has_added = True
            if self._messages.insert(message.id, message):
                self._unsent.put(message.id, None)

    def claim(
        self,
        now: datetime,
        lease_until: datetime,
        limit: int,
        *,
        but_not: Collection[str] = (),
    ) -> Sequence[OutboxMessage]:
        first: dict[tuple[str, str], OutboxMessage] = {}
        for message in self._waiting():
            if message.receiver not in but_not:
                first.setdefault((message.customer, message.receiver), message)
        claimed = [
            replace(message, attempts=message.attempts + 1)
            for message in first.values()
            if message.due_at <= now and not self._is_leased(message, now)
        ][: max(limit, 0)]
        for message in claimed:
            self._messages.put(message.id, message)
            self._leases.put(message.id, lease_until)
        return tuple(claimed)

    def behind(self, message: OutboxMessage, now: datetime, limit: int) -> Sequence[OutboxMessage]:
        place = (message.created_at, message.id)
        waiting = (
            one
            for one in self._waiting()
            if (one.customer, one.receiver) == (message.customer, message.receiver)
            and (one.created_at, one.id) > place
        )
        due = takewhile(lambda one: one.due_at <= now and not self._is_leased(one, now), waiting)
        return list(islice(due, limit))

    def renew(self, message_id: str, lease: datetime, lease_until: datetime) -> bool:
        if self._leases.get(message_id) != lease or message_id not in self._unsent:
            return False
        self._leases.put(message_id, lease_until)
        return True

    def sent(self, message_id: str, at: datetime, *, lease: datetime | None = None) -> bool:
        message = self._end_lease(message_id, lease)
        if message is None:
            return False
        self._messages.put(message_id, replace(message, sent_at=at, last_error=None))
        self._unsent.delete(message_id)
        return True

    def failed(
        self,
        message_id: str,
        error: str,
        *,
        due_at: datetime | None,
        lease: datetime | None = None,
        counted: bool = True,
    ) -> bool:
        message = self._end_lease(message_id, lease)
        if message is None:
            return False
        noted = replace(
            message, last_error=error, attempts=message.attempts - (0 if counted else 1)
        )
        if due_at is None:
            self._messages.put(message_id, replace(noted, dead=True))
            self._unsent.delete(message_id)
        else:
            self._messages.put(message_id, replace(noted, due_at=due_at))
        return True

    def waiting_for(self, receiver: str, limit: int) -> Sequence[OutboxMessage]:
        return [one for one in self._waiting() if one.receiver == receiver][:limit]

    def drop(self, messages: Iterable[OutboxMessage]) -> None:
        self._drop(messages)

    def retry(self, at: datetime, *, message_id: str | None = None) -> int:
        dead = [one for one in self._messages.values() if one.dead and message_id in (None, one.id)]
        for one in dead:
            again = replace(one, dead=False, attempts=0, due_at=at, last_error=None)
            self._messages.put(one.id, again)
            self._unsent.put(one.id, None)
        return len(dead)

    def discard(self, *, message_id: str | None = None) -> int:
        return self._drop(
            one
            for one in self._messages.values()
            if (one.dead if message_id is None else one.id == message_id and one.sent_at is None)
        )

    def counts(self) -> OutboxCounts:
        waiting = self._waiting()
        return OutboxCounts(
            waiting=len(waiting),
            dead=sum(one.dead for one in self._messages.values()),
            oldest_waiting_at=waiting[0].created_at if waiting else None,
        )

    def backlog(self) -> Backlog:
        """What waits and what is dead."""
        counts = self.counts()
        return Backlog(waiting=counts.waiting, oldest_at=counts.oldest_waiting_at, dead=counts.dead)

    def listing(
        self, state: OutboxState, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[OutboxMessage]:
        def place(one: OutboxMessage) -> tuple[datetime, str]:
            return one.sent_at or one.created_at, one.id

        found = self._waiting()
        if state is not OutboxState.WAITING:
            found = [
                one
                for one in self._messages.values()
                if (one.dead if state is OutboxState.DEAD else one.sent_at is not None)
            ]
        rest = [one for one in found if after is None or place(one) > after]
        return sorted(rest, key=place)[:limit]

    def prune(self, before: datetime, limit: int) -> int:
        sent = [one for one in self._messages.values() if one.sent_at and one.sent_at < before]
        return self._drop(sent[:limit])

    def erase(self, customer: str) -> None:
        """Drop all messages of a customer, sent or not."""
        self._drop(one for one in self._messages.values() if one.customer == customer)

    def _waiting(self) -> list[OutboxMessage]:
        unsent = [one for key, _ in self._unsent.items() if (one := self._messages.get(key))]
        return sorted(unsent, key=lambda one: (one.created_at, one.id))

    def _drop(self, messages: Iterable[OutboxMessage]) -> int:
        dropped = list(messages)
        for message in dropped:
            self._messages.delete(message.id)
            self._unsent.delete(message.id)
            self._leases.delete(message.id)
        return len(dropped)

    def _end_lease(self, message_id: str, lease: datetime | None) -> OutboxMessage | None:
        message = self._messages.get(message_id)
        if lease is not None and self._leases.get(message_id) != lease:
            return None
        self._leases.delete(message_id)
        return message

    def _is_leased(self, message: OutboxMessage, now: datetime) -> bool:
        until = self._leases.get(message.id)
        return until is not None and until > now
