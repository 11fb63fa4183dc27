"""What is done with events that came in and messages that have to leave: each with its record."""

from collections.abc import Collection, Sequence
from datetime import datetime

from gatekeeper.errors import NotFoundError
from gatekeeper.services.back_office import Change, Mandate, act, carry_out
from gatekeeper.services.outbox import Deliverer
from gatekeeper.storage.actions import Action
from gatekeeper.storage.desk import EventSelection, Place
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent, OutboxMessage, OutboxState
from gatekeeper.stripe.webhooks import EventControl
from gatekeeper.stripe.webhooks.control import EventDetails, for_bulk, key_of, to_discard
from gatekeeper.types import check_id, check_limit


class EventActions:
    """The inbox: looking, retrying, giving up."""

    def __init__(self, store: Store, control: EventControl) -> None:
        self._store = store
        self._control = control

    async def list(
        self, selection: EventSelection, *, limit: int = 100, after: Place | None = None
    ) -> Sequence[InboxEvent]:
        """Events of a selection, the oldest first, without their payloads; `after` is the place of
        the last of the page before.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_limit(limit)
        return await self._control.find(selection, limit, after=after)

    async def show(self, event_id: str) -> EventDetails:
        """One event, with what was done for it.

        Raises:
            NotFoundError: there is none of this id.
        """
        found = await self._control.show(check_id(event_id, "event"))
        if found is None:
            raise NotFoundError(f"There is no event {event_id!r}.")
        return found

    async def retry(
        self, mandate: Mandate, event_id: str, *, again: Collection[str] = ()
    ) -> Action:
        """Have an event carried out once more that is dead, done or discarded; see
        `EventControl.retry`.

        Raises:
            NotFoundError: there is none of this id that is over.
            InvalidInputError: this process has no such handler of the event.
            IdempotencyConflictError.
        """
        check_id(event_id, "event")
        work = self._control.to_retry(event_id, again)
        to_do = act(mandate, "event.retry", event=event_id, again=sorted(again))

        def retry(tx: Transaction) -> Change:
            before = _status(tx, event_id)
            if not work(tx):
                raise NotFoundError(f"There is no event {event_id!r} that is over.")
            return _changed(tx, event_id, before)

        action = await carry_out(self._store, to_do, retry)
        self._control.wake()
        return action

    async def discard(self, mandate: Mandate, event_id: str) -> Action:
        """Give up an event that is dead, or that waits and is not being worked on.

        Raises:
            NotFoundError: there is none of this id that can be given up.
            IdempotencyConflictError.
        """
        check_id(event_id, "event")
        work = to_discard(event_id)
        to_do = act(mandate, "event.discard", event=event_id)

        def discard(tx: Transaction) -> Change:
            before = _status(tx, event_id)
            if not work(tx):
                raise NotFoundError(f"There is no event {event_id!r} that can be given up.")
            return _changed(tx, event_id, before)

        return await carry_out(self._store, to_do, discard)

    async def retry_all(
        self, mandate: Mandate, selection: EventSelection, *, dry_run: bool = False
    ) -> int:
        """Have the dead letters of a selection carried out once more; returns how many there are.
        Each portion, of at most 500 events, has its record.

        Raises:
            InvalidInputError: the selection is of another status.
        """
        wanted = for_bulk(selection, EventStatus.DEAD)
        if dry_run:
            return await self._control.count(wanted)

        def note(tx: Transaction, count: int) -> None:
            _note_many(tx, mandate, "event.retry_all", wanted, count)

        return await self._control.retry_all(wanted, note=note)

    async def discard_all(
        self, mandate: Mandate, selection: EventSelection, *, dry_run: bool = False
    ) -> int:
        """Give up the dead letters of a selection, or what of it waits; returns how many there are.
        Records are as for `retry_all`.

        Raises:
            InvalidInputError: the selection is of another status.
        """
        wanted = for_bulk(selection, EventStatus.DEAD, EventStatus.PENDING)
        if dry_run:
            return await self._control.count(wanted)

        def note(tx: Transaction, count: int) -> None:
            _note_many(tx, mandate, "event.discard_all", wanted, count)

        return await self._control.discard_all(wanted, note=note)


class OutboxActions:
    """The outbox: looking, sending dead letters again, giving them up."""

    def __init__(self, store: Store, deliverer: Deliverer) -> None:
        self._store = store
        self._deliverer = deliverer

    async def list(
        self,
        state: OutboxState = OutboxState.DEAD,
        *,
        limit: int = 100,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[OutboxMessage]:
        """The oldest messages in a state; `after` is the instant (of its sending, if it was sent,
        else when it was written) and the id of the last of the page before.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_limit(limit)
        return await self._store.read(lambda tx: tx.outbox.listing(state, limit, after))

    async def retry(self, mandate: Mandate, message_id: str | None = None) -> Action:
        """Have dead letters, all or one, delivered again. `after` of the action says how many.

        Raises:
            NotFoundError: there is none.
            IdempotencyConflictError.
        """
        to_do = act(mandate, "outbox.retry", message=message_id)

        def retry(tx: Transaction) -> Change:
            return _found(tx.outbox.retry(tx.now(), message_id=message_id), message_id)

        action = await carry_out(self._store, to_do, retry)
        self._deliverer.nudge()
        return action

    async def discard(self, mandate: Mandate, message_id: str | None = None) -> Action:
        """Delete dead letters, or one message that is dead or waits.

        Raises:
            NotFoundError: there is none.
            IdempotencyConflictError.
        """
        to_do = act(mandate, "outbox.discard", message=message_id)

        def discard(tx: Transaction) -> Change:
            return _found(tx.outbox.discard(message_id=message_id), message_id)

        return await carry_out(self._store, to_do, discard)


def _status(tx: Transaction, event_id: str) -> str | None:
    found = tx.inbox.get(key_of(event_id))
    return None if found is None else str(found.status)


def _changed(tx: Transaction, event_id: str, before: str | None) -> Change:
    return Change(
        before={"status": before},
        after={"status": _status(tx, event_id)},
        subject=f"event/{event_id}",
    )


def _note_many(
    tx: Transaction, mandate: Mandate, kind: str, selection: EventSelection, count: int
) -> None:
    # Asked for again, it finds others: it has no key, and each portion its own record.
    bare = Mandate(actor=mandate.actor, reason=mandate.reason)
    chosen = {
        name: getattr(selection, name)
        for name in EventSelection.__struct_fields__
        if getattr(selection, name) is not None
    }
    change = Change(before={"selection": chosen}, after={"events": count})
    act(bare, kind).record(tx, change)


def _found(count: int, message_id: str | None) -> Change:
    if not count:
        raise NotFoundError("There is no such message.")
    return Change(
        after={"messages": count},
        subject=None if message_id is None else f"message/{message_id}",
    )
