"""Received events, completions and fetch tickets, in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from gatekeeper.storage.inbox import MAX_EVENTS_PER_OBJECT, Inbox
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.records import ErrorKind, EventStatus, InboxEvent
from gatekeeper.storage.survey import Backlog


class _Tickets(NamedTuple):
    """The tickets of one object: the last taken, the last used, and whether its end is written."""

    taken: int = 0
    used: int = 0
    ended: bool = False


class MemoryInbox(Inbox):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._events: Table[str, InboxEvent] = Table(journal)
        self._pending: Table[str, None] = Table(journal)
        self._completions: Table[str, dict[str, datetime]] = Table(journal)
        self._tickets: Table[str, _Tickets] = Table(journal)

    def insert(self, event: InboxEvent) -> bool:
        stored = self._events.get(event.key)
        if stored is None:
            self.put(event)
            return True
        if stored.status is EventStatus.DEAD and event.status is EventStatus.PENDING:
            self.put(replace(_afresh(stored, event.due_at), payload=event.payload))
        return False

    def insert_many(self, events: Sequence[InboxEvent]) -> Sequence[bool]:
        return [self.insert(event) for event in events]

    def get(self, key: str) -> InboxEvent | None:
        return self._events.get(key)

    def claim(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[InboxEvent]:
        pending = [event for key, _ in self._pending.items() if (event := self._events.get(key))]
        leased = {event.object_key for event in pending if _is_leased(event, now)}
        due = sorted(
            (one for one in pending if one.due_at <= now and one.object_key not in leased),
            key=_turn,
        )
        chosen: dict[str, list[InboxEvent]] = {}
        for event in due:
            if event.object_key in chosen or len(chosen) < limit:
                chosen.setdefault(event.object_key, []).append(event)
        claimed = [
            replace(event, attempts=event.attempts + 1, leased_until=lease_until)
            for events in chosen.values()
            for event in events[:MAX_EVENTS_PER_OBJECT]
        ]
        for event in claimed:
            self.put(event)
        return tuple(sorted(claimed, key=_turn))

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
        event = self._events.get(key)
        if event is None or lease not in (None, event.leased_until):
            return False
        self.put(
            replace(
                event,
                status=status,
                due_at=due_at or event.due_at,
                leased_until=None,
                last_error=error,
                error_kind=kind,
                attempts=event.attempts if counted else event.attempts - 1,
            )
        )
        return True

    def renew(self, object_key: str, lease: datetime, lease_until: datetime) -> bool:
        held = [
            event
            for key, _ in self._pending.items()
            if (event := self._events.get(key)) is not None
            and (event.object_key, event.leased_until) == (object_key, lease)
        ]
        for event in held:
            self.put(replace(event, leased_until=lease_until))
        return bool(held)

    def retry(self, key: str, at: datetime, *, forget: str | None = None) -> bool:
        found = self._events.get(key)
        ended = {EventStatus.DEAD, EventStatus.DONE, EventStatus.DISCARDED}
        if found is None or found.status not in ended:
            return False
        self.put(_afresh(found, at))
        if forget is not None:
            kept = {**self.completions_of(key)}
            kept.pop(forget, None)
            self._completions.put(key, kept)
        return True

    def completed(self, key: str) -> frozenset[str]:
        return frozenset(self._completions.get(key) or ())

    def complete(self, key: str, handler: str, at: datetime) -> bool:
        stored = self._completions.get(key) or {}
        if handler in stored:
            return False
        self._completions.put(key, {**stored, handler: at})
        return True

    def uncomplete(self, key: str, handlers: Collection[str]) -> int:
        stored = self._completions.get(key) or {}
        kept = {name: at for name, at in stored.items() if name not in handlers}
        self._completions.put(key, kept)
        return len(stored) - len(kept)

    def counts(self) -> dict[EventStatus, int]:
        counts: dict[EventStatus, int] = {}
        for event in self._events.values():
            counts[event.status] = counts.get(event.status, 0) + 1
        return counts

    def backlog(self) -> Backlog:
        """What waits and what is dead."""
        waiting = [one for one in self._events.values() if one.status is EventStatus.PENDING]
        return Backlog(
            waiting=len(waiting),
            oldest_at=min((one.received_at for one in waiting), default=None),
            dead=self.counts().get(EventStatus.DEAD, 0),
        )

    def by_status(self, status: EventStatus, limit: int) -> Sequence[InboxEvent]:
        found = (event for event in self._events.values() if event.status is status)
        return tuple(sorted(found, key=_age)[:limit])

    def purge_payloads(self, before: datetime, limit: int) -> int:
        old = sorted(
            (
                event
                for event in self._events.values()
                if event.payload is not None
                and event.status is not EventStatus.PENDING
                and event.received_at < before
            ),
            key=_age,
        )[:limit]
        for event in old:
            self.put(replace(event, payload=None))
        return len(old)

    def take_ticket(self, object_key: str) -> int:
        tickets = self._tickets.get(object_key) or _Tickets()
        self._tickets.put(object_key, tickets._replace(taken=tickets.taken + 1))
        return tickets.taken + 1

    def use_ticket(self, object_key: str, ticket: int, *, terminal: bool) -> bool:
        tickets = self._tickets.get(object_key) or _Tickets()
        if ticket < tickets.used or (tickets.ended and not terminal):
            return False
        self._tickets.put(object_key, tickets._replace(used=ticket, ended=terminal))
        return True

    # -- for the desk ----------------------------------------------------------------------------

    def all(self) -> Sequence[InboxEvent]:
        """Every event."""
        return self._events.values()

    def completions_of(self, key: str) -> Mapping[str, datetime]:
        """The completions of an event, with their times."""
        return self._completions.get(key) or {}

    def forget(self, key: str) -> None:
        """Delete an event that is over, and its completions."""
        self._events.delete(key)
        self._completions.delete(key)

    def put(self, event: InboxEvent) -> None:
        """Insert or replace an event."""
        self._events.put(event.key, event)
        if event.status is EventStatus.PENDING:
            self._pending.put(event.key, None)
        else:
            self._pending.delete(event.key)


def _afresh(event: InboxEvent, due_at: datetime) -> InboxEvent:
    return replace(
        event,
        status=EventStatus.PENDING,
        attempts=0,
        due_at=due_at,
        leased_until=None,
        last_error=None,
        error_kind=None,
    )


def _is_leased(event: InboxEvent, now: datetime) -> bool:
    return event.leased_until is not None and event.leased_until > now


def _age(event: InboxEvent) -> tuple[datetime, str]:
    return event.received_at, event.key


def _turn(event: InboxEvent) -> tuple[datetime, datetime, str]:
    return event.received_at, event.created_at, event.key
