"""What an operator does with events: look them up, have them tried again, give them up.

Bulk actions walk over what they were asked for once, in portions of a transaction each: an event
that fails anew behind their back is not met twice, and no table is locked for long.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from gatekeeper.errors import InvalidInputError
from gatekeeper.storage.desk import EventSelection, Place
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.stripe.webhooks.carrier import PROJECTION
from gatekeeper.stripe.webhooks.dispatcher import Dispatcher

PORTION: Final = 500
"""Events of one transaction of a bulk action."""

Portion = Callable[[Transaction, Sequence[str]], int]
"""Does something to the events of some keys; returns to how many."""

Note = Callable[[Transaction, int], object]
"""Writes down, in the same transaction, to how many events something was done."""

_INSTANT: Final = timedelta(microseconds=1)


def nothing_noted(tx: Transaction, count: int) -> None:
    """The `Note` of nobody."""


class EventDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of an event.

    Attributes:
        event: as stored, with its payload.
        completions: what has been done for it, and when: the handlers by their names, and our own
            part as "gatekeeper.projection".
        outstanding: what would still be done, by this process's handlers; nothing if it is ignored
            or discarded.
    """

    event: InboxEvent
    completions: Mapping[str, datetime]
    outstanding: tuple[str, ...]


class EventControl:
    """Looks events up, retries and discards them."""

    def __init__(self, store: Store, dispatcher: Dispatcher, wake: Callable[[], None]) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._wake = wake

    async def show(self, event_id: str) -> EventDetails | None:
        """One event by its id (ACCOUNT/EVENT_ID for one of a Connect account)."""
        key = key_of(event_id)

        def work(tx: Transaction) -> tuple[InboxEvent, dict[str, datetime]] | None:
            event = tx.inbox.get(key)
            if event is None:
                return None
            of_twin = {} if event.twin is None else tx.desk.completions(event.twin)
            return event, {**of_twin, **tx.desk.completions(key)}

        found = await self._store.read(work)
        if found is None:
            return None
        event, completions = found
        outstanding: Sequence[str] = ()
        if event.status not in {EventStatus.IGNORED, EventStatus.DISCARDED}:
            outstanding = [
                name for name in self._dispatcher.work_of(event) if name not in completions
            ]
        return EventDetails(event=event, completions=completions, outstanding=tuple(outstanding))

    async def find(
        self, selection: EventSelection, limit: int = 100, *, after: Place | None = None
    ) -> Sequence[InboxEvent]:
        """Events of a selection, the oldest first, without their payloads; `after` is the place of
        the last of the page before."""
        return await self._store.read(lambda tx: tx.desk.find(selection, limit, after))

    async def count(self, selection: EventSelection) -> int:
        """How many events a selection has."""
        return await self._store.read(lambda tx: tx.desk.count(selection))

    async def retry(self, event_id: str, *, again: Collection[str] = ()) -> bool:
        """Make one event pending again that is dead, done or discarded, with no attempts; False if
        there is none. It is projected once more; of the handlers that have completed it, those run
        again that are named by `again`.

        Raises:
            InvalidInputError: this process has no such handler of the event.
        """
        found = await self._store.write(self.to_retry(event_id, again))
        if found:
            self.wake()
        return found

    def to_retry(self, event_id: str, again: Collection[str] = ()) -> Callable[[Transaction], bool]:
        """What `retry` carries out, for a transaction that is open; `wake` after it."""
        key = key_of(event_id)

        def work(tx: Transaction) -> bool:
            event = tx.inbox.get(key)
            if event is None:
                return False
            if unknown := sorted(set(again).difference(self._dispatcher.work_of(event))):
                raise InvalidInputError(f"{event.type} has no handler {', '.join(unknown)}.")
            if not tx.inbox.retry(key, tx.now(), forget=PROJECTION):
                return False
            for one in (key,) if event.twin is None else (key, event.twin):
                tx.inbox.uncomplete(one, again)
            return True

        return work

    def wake(self) -> None:
        """Have what is due dispatched now."""
        self._wake()

    async def discard(self, event_id: str) -> bool:
        """Give up one event that is dead, or that waits and is not being worked on; False if there
        is none. It is kept until it is pruned, and `retry` brings it back until then."""
        return await self._store.write(to_discard(event_id))

    async def retry_all(
        self, selection: EventSelection | None = None, *, note: Note = nothing_noted
    ) -> int:
        """Make the dead letters of a selection (by default all) pending again; returns how many.
        `note` is called in each transaction with how many it was there.

        Raises:
            InvalidInputError: the selection is of another status.
        """

        def portion(tx: Transaction, keys: Sequence[str]) -> int:
            return _noted(tx, tx.desk.retry(keys, tx.now()), note)

        wanted = for_bulk(selection, EventStatus.DEAD)
        return await self._walk(wanted, portion, after_each=self._wake)

    async def discard_all(
        self, selection: EventSelection | None = None, *, note: Note = nothing_noted
    ) -> int:
        """Give up the dead letters of a selection (by default all), or what of it waits if that is
        its status and is not being worked on; returns how many. `note` is as for `retry_all`.

        Raises:
            InvalidInputError: the selection is of another status.
        """

        def portion(tx: Transaction, keys: Sequence[str]) -> int:
            return _noted(tx, tx.desk.discard(keys, tx.now()), note)

        wanted = for_bulk(selection, EventStatus.DEAD, EventStatus.PENDING)
        return await self._walk(wanted, portion)

    async def _walk(
        self,
        selection: EventSelection,
        portion: Portion,
        after_each: Callable[[], None] = lambda: None,
    ) -> int:
        # What is received from now on was not meant: the walk has an end.
        end = await self._store.read(lambda tx: tx.now()) + _INSTANT
        until = end if selection.until is None else min(end, selection.until)
        bounded = replace(selection, until=until)
        changed = 0
        last: Place | None = None
        while True:
            count, last = await self._store.write(_portion(bounded, last, portion))
            if last is None:
                return changed
            changed += count
            after_each()


def _portion(
    selection: EventSelection, after: Place | None, work: Portion
) -> Callable[[Transaction], tuple[int, Place | None]]:
    """The next portion of a walk: how many events it changed, and where it ended; None: nowhere,
    there were none."""

    def portion(tx: Transaction) -> tuple[int, Place | None]:
        places = tx.desk.places(selection, PORTION, after)
        if not places:
            return 0, None
        return work(tx, [place.key for place in places]), places[-1]

    return portion


def _noted(tx: Transaction, count: int, note: Note) -> int:
    if count:
        note(tx, count)
    return count


def to_discard(event_id: str) -> Callable[[Transaction], bool]:
    """What `EventControl.discard` carries out, for a transaction that is open."""
    key = key_of(event_id)
    return lambda tx: tx.desk.discard([key], tx.now()) > 0


def for_bulk(selection: EventSelection | None, *statuses: EventStatus) -> EventSelection:
    """A selection for a bulk action on events of `statuses`, by default of the first.

    Raises:
        InvalidInputError: it is of another.
    """
    selection = selection or EventSelection()
    if selection.status is None:
        return replace(selection, status=statuses[0])
    if selection.status not in statuses:
        allowed = " or ".join(statuses)
        raise InvalidInputError(f"This is done in bulk to events that are {allowed}.")
    return selection


def key_of(event_id: str) -> str:
    """The inbox's key of an event, by its id as Stripe or a listing writes it."""
    return event_id if "/" in event_id else f"/{event_id}"
