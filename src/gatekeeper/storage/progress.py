"""The port of progress: how far long work has come, and which process is at it."""

from abc import ABC, abstractmethod
from datetime import datetime

import msgspec


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """How far a piece of long work has come. `state` is JSON of the work's own."""

    name: str
    state: str
    updated_at: datetime
    leased_until: datetime | None = None


class Progress(ABC):
    """Long work by its name: what it has done, and until when one process has it for itself."""

    @abstractmethod
    def get(self, name: str) -> Milestone | None:
        """How far the work has come; None if it was never begun."""

    @abstractmethod
    def put(self, name: str, state: str, at: datetime) -> None:
        """Write how far it has come; the lease is left as it is."""

    @abstractmethod
    def lease(self, name: str, now: datetime, until: datetime, *, state: str) -> bool:
        """Take the work for oneself until an instant; False if somebody has it. Work that was
        never begun begins with `state`."""

    @abstractmethod
    def renew(self, name: str, held: datetime, until: datetime | None) -> bool:
        """Prolong the lease that ends at `held`, or end it (None); False if it is not that one any
        more: its time ran out and somebody else has taken the work."""
