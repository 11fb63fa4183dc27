"""The part of the storage port that looks over everything: how much waits where, and since when.

For metrics and for health: a few counts over indexes, none of which reads what is done.
"""

from abc import ABC, abstractmethod
from datetime import datetime

import msgspec


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """One queue: how much of it waits, since when the oldest of that does, and how much is dead."""

    waiting: int = 0
    oldest_at: datetime | None = None
    dead: int = 0

    def age_seconds(self, now: datetime) -> float:
        """How long the oldest has waited; 0 if nothing waits."""
        return 0.0 if self.oldest_at is None else max(0.0, (now - self.oldest_at).total_seconds())


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What a look has found.

    Attributes:
        inbox: events of Stripe's, since they were received.
        outbox: messages, since they were written.
        usage: sealed windows of metered usage, since they were sealed.
        requests: requests that change something at Stripe and whose end is not known, since they
            were stored. None is ever dead: what is given up, somebody has been told.
        unsealed_since: since when some usage is in no window, of whoever comes first: it grows old
            where nothing is sealed; None if all is sealed.
    """

    at: datetime
    inbox: Backlog = Backlog()
    outbox: Backlog = Backlog()
    usage: Backlog = Backlog()
    requests: Backlog = Backlog()
    unsealed_since: datetime | None = None
    holds_open: int = 0


class Surveys(ABC):
    """Looks over everything."""

    @abstractmethod
    def take(self, now: datetime) -> Survey:
        """Count what waits."""

    @abstractmethod
    def schema_fault(self) -> str | None:
        """Why this release can't work on the database's schema; None: it can."""
