"""The port of the inbox: the events that came, and how far each has got."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from gatekeeper.storage.records import (
    ErrorKind,
    EventStatus,
    InboxEvent,
)

MAX_EVENTS_PER_OBJECT: Final = 100
"""How many events of one object a claim brings at most: what is in memory stays bounded."""


class Inbox(ABC):
    """Received events: the queue of the dispatcher."""

    @abstractmethod
    def insert(self, event: InboxEvent) -> bool:
        """Store an event; False if its key is there already.

        A pending event that is there as a dead letter is brought back: its body is taken, it is
        due when the new one is, and its attempts begin afresh.
        """

    @abstractmethod
    def insert_many(self, events: Sequence[InboxEvent]) -> Sequence[bool]:
        """`insert` for many at once, in as few statements as for one: for each whether it is new.
        Of two with one key the first is."""

    @abstractmethod
    def get(self, key: str) -> InboxEvent | None:
        """One event."""

    @abstractmethod
    def claim(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[InboxEvent]:
        """Lease the due pending events of at most `limit` objects, oldest first.

        All due events of an object come together to one claimer (the first MAX_EVENTS_PER_OBJECT
        of them), in the order in which they were received, and those that were stored together in
        the order in which Stripe made them; an object with a live lease is skipped. Attempts are
        counted on claiming, so that a crash counts as one.
        """

    @abstractmethod
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
        """End a lease: done, dead, ignored, or pending again at `due_at`.

        Args:
            error: why it failed, for people; None: it did not.
            kind: what is known of that.
            lease: write only if the event's lease is still the one that ends at this instant, so
                that nobody overwrites what the next claimer has made of the event.
            counted: False takes the attempt back that was counted on claiming.

        Returns:
            Whether it was written.
        """

    @abstractmethod
    def renew(self, object_key: str, lease: datetime, lease_until: datetime) -> bool:
        """Prolong the lease of an object and of its unsettled events; False if it is not the one
        that ends at `lease` any more: somebody else has the object, or nobody."""

    @abstractmethod
    def retry(self, key: str, at: datetime, *, forget: str | None = None) -> bool:
        """Make an event pending again that is dead, done or discarded, due at an instant, with no
        attempts; False if there is none. An ignored one stays ignored.

        `forget` is the completion that is taken off it, so that this part of the work is done
        again.
        """

    @abstractmethod
    def completed(self, key: str) -> frozenset[str]:
        """The names of the handlers that have completed an event."""

    @abstractmethod
    def complete(self, key: str, handler: str, at: datetime) -> bool:
        """Record a handler's completion, in the transaction of its effect; False if recorded."""

    @abstractmethod
    def uncomplete(self, key: str, handlers: Collection[str]) -> int:
        """Take completions off an event, so that it is done again by those handlers when it is
        worked on; returns how many there were."""

    @abstractmethod
    def counts(self) -> dict[EventStatus, int]:
        """How many events there are of each status."""

    @abstractmethod
    def by_status(self, status: EventStatus, limit: int) -> Sequence[InboxEvent]:
        """Events of one status, the oldest first."""

    @abstractmethod
    def purge_payloads(self, before: datetime, limit: int) -> int:
        """Drop the raw payloads of settled events received before an instant; returns how many."""

    @abstractmethod
    def take_ticket(self, object_key: str) -> int:
        """The next fetch ticket of an object: taken, and committed, before the fetch."""

    @abstractmethod
    def use_ticket(self, object_key: str, ticket: int, *, terminal: bool) -> bool:
        """Whether what was fetched under `ticket` may be written, in that write's transaction.

        False if a later ticket has been used, or a terminal state was written and this one is not.
        """
