"""The port of the outbox: what has to leave, in order within a customer."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from gatekeeper.storage.records import (
    OutboxCounts,
    OutboxMessage,
    OutboxState,
)


class Outbox(ABC):
    """What has to leave."""

    @abstractmethod
    def add(self, messages: Iterable[OutboxMessage]) -> None:
        """Write messages in the transaction that decided them."""

    @abstractmethod
    def claim(
        self,
        now: datetime,
        lease_until: datetime,
        limit: int,
        *,
        but_not: Collection[str] = (),
    ) -> Sequence[OutboxMessage]:
        """Lease due messages in order; only the first waiting one of each customer and receiver.

        Messages to a receiver of `but_not` are left alone.
        """

    @abstractmethod
    def behind(self, message: OutboxMessage, now: datetime, limit: int) -> Sequence[OutboxMessage]:
        """The messages that wait right behind one, of the same customer and receiver and in order,
        up to the first that is not due or is leased; locked, and not leased."""

    @abstractmethod
    def renew(self, message_id: str, lease: datetime, lease_until: datetime) -> bool:
        """Prolong a lease, named by its end; False if it is another's by now."""

    @abstractmethod
    def sent(self, message_id: str, at: datetime, *, lease: datetime | None = None) -> bool:
        """Mark a message as sent. With `lease` only while that is its lease; False if it isn't."""

    @abstractmethod
    def failed(
        self,
        message_id: str,
        error: str,
        *,
        due_at: datetime | None,
        lease: datetime | None = None,
        counted: bool = True,
    ) -> bool:
        """Note a failure; `due_at` None makes it a dead letter. `lease` is as for `sent`.

        With `counted` False the attempt is taken back.
        """

    @abstractmethod
    def waiting_for(self, receiver: str, limit: int) -> Sequence[OutboxMessage]:
        """The oldest messages to a receiver that wait, leased or not."""

    @abstractmethod
    def drop(self, messages: Iterable[OutboxMessage]) -> None:
        """Delete messages."""

    @abstractmethod
    def retry(self, at: datetime, *, message_id: str | None = None) -> int:
        """Make dead letters wait again, with no attempts: all, or one. Returns how many."""

    @abstractmethod
    def discard(self, *, message_id: str | None = None) -> int:
        """Delete dead letters, or one message that is dead or waits. Returns how many."""

    @abstractmethod
    def counts(self) -> OutboxCounts:
        """How much has not left."""

    @abstractmethod
    def listing(
        self, state: OutboxState, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[OutboxMessage]:
        """The oldest messages in a state; of those that were sent, the ones sent first. `after` is
        that instant and the id of the last of the page before."""

    @abstractmethod
    def prune(self, before: datetime, limit: int) -> int:
        """Delete messages that were sent before a moment; returns how many."""
