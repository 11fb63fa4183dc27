"""The inbox as an operator sees it, in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.storage.desk import OVER, EventDesk, EventSelection, Place
from gatekeeper.storage.memory.inbox import MemoryInbox
from gatekeeper.storage.records import EventStatus, InboxEvent


class MemoryEventDesk(EventDesk):
    """See the port."""

    def __init__(self, inbox: MemoryInbox) -> None:
        self._inbox = inbox

    def find(
        self, selection: EventSelection, limit: int, after: Place | None = None
    ) -> Sequence[InboxEvent]:
        found = [
            event
            for event in self._inbox.all()
            if selection.fits(event) and (after is None or _place(event) > after)
        ]
        return [replace(event, payload=None) for event in sorted(found, key=_place)[:limit]]

    def count(self, selection: EventSelection) -> int:
        return sum(map(selection.fits, self._inbox.all()))

    def places(
        self, selection: EventSelection, limit: int, after: Place | None = None
    ) -> Sequence[Place]:
        found = sorted(_place(event) for event in self._inbox.all() if selection.fits(event))
        return [place for place in found if after is None or place > after][:limit]

    def retry(self, keys: Collection[str], at: datetime) -> int:
        dead = {one.key for one in self._inbox.all() if one.status is EventStatus.DEAD}
        return sum(self._inbox.retry(key, at) for key in dead.intersection(keys))

    def discard(self, keys: Collection[str], now: datetime) -> int:
        given = [self._inbox.get(key) for key in set(keys)]
        given_up = [one for one in given if one is not None and _can_be_discarded(one, now)]
        for event in given_up:
            self._inbox.put(replace(event, status=EventStatus.DISCARDED, leased_until=None))
        return len(given_up)

    def completions(self, key: str) -> Mapping[str, datetime]:
        found = self._inbox.completions_of(key).items()
        return dict(sorted(found, key=lambda one: (one[1], one[0])))

    def prune(self, before: datetime, limit: int) -> int:
        old = sorted(
            (
                event
                for event in self._inbox.all()
                if event.status in OVER and event.received_at < before
            ),
            key=lambda event: (OVER.index(event.status), _place(event)),
        )[:limit]
        for event in old:
            self._inbox.forget(event.key)
        for event in old:
            if event.twin is not None and self._inbox.get(event.twin) is None:
                self._inbox.forget(event.twin)
        return len(old)


def _can_be_discarded(event: InboxEvent, now: datetime) -> bool:
    if event.status is EventStatus.PENDING:
        return event.leased_until is None or event.leased_until <= now
    return event.status is EventStatus.DEAD


def _place(event: InboxEvent) -> Place:
    return Place(event.received_at, event.key)
