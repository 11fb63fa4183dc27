"""The inbox as an operator sees it: looking events up, bulk actions, pruning. Part of the storage
port."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from gatekeeper.storage.records import ErrorKind, EventStatus, InboxEvent

ANY_OF_A_GROUP = ".*"
"""How the type of a selection ends that means a whole group: "invoice.*"."""


class EventSelection(msgspec.Struct, frozen=True, kw_only=True):
    """Which events: those that fit everything that is given.

    Attributes:
        status: where they are on their way.
        type: "invoice.paid", or "invoice.*" for all whose type begins with "invoice.".
        object_id: what they are about.
        since, until: received at or after the one, and before the other.
        error: a text that their last error contains, upper and lower case told apart.
        kind: what is known of that error.
    """

    status: EventStatus | None = None
    type: str | None = None
    object_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    error: str | None = None
    kind: ErrorKind | None = None

    @property
    def type_prefix(self) -> str | None:
        """What the type begins with, if it is a group's."""
        if self.type is None or not self.type.endswith(ANY_OF_A_GROUP):
            return None
        return self.type.removesuffix("*")

    def fits(self, event: InboxEvent) -> bool:
        """Whether an event is one of them."""
        prefix = self.type_prefix
        return (
            self.status in (None, event.status)
            and (event.type.startswith(prefix) if prefix else self.type in (None, event.type))
            and self.object_id in (None, event.object_id)
            and (self.since is None or event.received_at >= self.since)
            and (self.until is None or event.received_at < self.until)
            and (not self.error or self.error in (event.last_error or ""))
            and self.kind in (None, event.error_kind)
        )


class Place(NamedTuple):
    """Where an event stands among all: in the order of their arrival."""

    received_at: datetime
    key: str


class EventDesk(ABC):
    """What is done with events beside receiving and dispatching them."""

    @abstractmethod
    def find(
        self, selection: EventSelection, limit: int, after: Place | None = None
    ) -> Sequence[InboxEvent]:
        """Events of a selection, the oldest first, without their payloads; `after` is the place of
        the last of the page before."""

    @abstractmethod
    def count(self, selection: EventSelection) -> int:
        """How many events a selection has."""

    @abstractmethod
    def places(
        self, selection: EventSelection, limit: int, after: Place | None = None
    ) -> Sequence[Place]:
        """The next events of a selection, in order: a walk that meets each once, whatever becomes
        of them meanwhile."""

    @abstractmethod
    def retry(self, keys: Collection[str], at: datetime) -> int:
        """Make dead letters pending again, due at an instant, with no attempts; returns how
        many."""

    @abstractmethod
    def discard(self, keys: Collection[str], now: datetime) -> int:
        """Give up events that are dead, or that wait and are nobody's at the moment; returns how
        many. Their last error is kept."""

    @abstractmethod
    def completions(self, key: str) -> Mapping[str, datetime]:
        """The handlers that have completed an event, and when."""

    @abstractmethod
    def prune(self, before: datetime, limit: int) -> int:
        """Forget at most `limit` events that are over (done, ignored or discarded) and were
        received before an instant, with their completions; returns how many. Dead letters, and
        what waits, stay."""


OVER = (EventStatus.DONE, EventStatus.IGNORED, EventStatus.DISCARDED)
"""The ends of an event after which it may be forgotten."""
