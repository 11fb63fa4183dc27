"""The part of the storage port that counts metered usage, and its windows for Stripe."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

ERASED_WINDOW = "erased"
"""Where the usage of an erased customer goes that was in no window: it is never told."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Use of a meter as it happened; `id` is unique for the customer and meter, for ever.

    Attributes:
        quantity: in whole numbers; below zero for a correction.
        window_id: the sealed window that it went into; None until then.
    """

    customer: str
    meter: str
    id: str
    quantity: int
    at: datetime
    received_at: datetime
    window_id: str | None = None


class WindowStatus(StrEnum):
    """Where a sealed window is on its way."""

    PENDING = "pending"
    SENT = "sent"
    EMPTY = "empty"
    """Its use adds up to nothing: there is nothing to tell."""
    DEAD = "dead"
    """Given up, for the reason in `last_error`, until somebody retries or discards it."""
    DISCARDED = "discarded"
    """Never to be billed, by somebody's decision."""


class UsageWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed sum of usage: one meter event of Stripe's. What comes later is another one.

    Attributes:
        start: of the window that the use was in.
        at: the last moment of use in it: the event's timestamp.
        identifier: the event's, the same however often it is sent.
        tried_at: since when it may have reached Stripe, though no answer says so.
    """

    customer: str
    meter: str
    id: str
    start: datetime
    at: datetime
    quantity: int
    identifier: str
    status: WindowStatus
    created_at: datetime
    due_at: datetime
    attempts: int = 0
    tried_at: datetime | None = None
    leased_until: datetime | None = None
    sent_at: datetime | None = None
    last_error: str | None = None


class Unsealed(msgspec.Struct, frozen=True):
    """A customer and meter with usage that is in no window yet, the earliest of it at `since`."""

    customer: str
    meter: str
    since: datetime


class Marked(msgspec.Struct, frozen=True):
    """What was put into a window: how many rows, their sum, and the last moment of them."""

    rows: int
    quantity: int
    at: datetime


class MeterDay(msgspec.Struct, frozen=True):
    """What was recorded of a meter on one day of UTC."""

    start: datetime
    meter: str
    quantity: int

    @property
    def place(self) -> tuple[datetime, str]:
        """Where it stands in the order of all."""
        return self.start, self.meter


class Metering(ABC):
    """Metered usage. Nothing of it is read where it is recorded."""

    @abstractmethod
    def record(self, rows: Iterable[Usage]) -> int:
        """Append usage; returns how many rows were new, by customer, meter and id."""

    @abstractmethod
    def recorded(self, customer: str, meter: str, usage_id: str) -> Usage | None:
        """Usage as it was recorded."""

    @abstractmethod
    def unsealed(self, before: datetime, limit: int) -> Sequence[Unsealed]:
        """Who has usage before a moment that is in no window yet."""

    @abstractmethod
    def windows_at(self, customer: str, meter: str, start: datetime) -> int:
        """How many windows there are that start at this moment."""

    @abstractmethod
    def mark(
        self, customer: str, meter: str, start: datetime, end: datetime, window_id: str
    ) -> Marked | None:
        """Put what is in no window yet, from `start` on and before `end`, into one; None if there
        is nothing."""

    @abstractmethod
    def add_window(self, window: UsageWindow) -> None:
        """Write a sealed window.

        Raises:
            ConflictError, TransactionConflictError: somebody else has sealed it meanwhile.
        """

    @abstractmethod
    def claim(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[UsageWindow]:
        """Lease pending windows that are due, the earliest first.

        Nothing of a customer and meter while another window of theirs is leased: Stripe takes one
        call at a time for each.
        """

    @abstractmethod
    def save_window(self, window: UsageWindow) -> None:
        """Write what became of a window."""

    @abstractmethod
    def window(self, identifier: str, *, lock: bool = False) -> UsageWindow | None:
        """The window of an identifier."""

    @abstractmethod
    def windows(
        self,
        *,
        status: WindowStatus | None = None,
        customer: str | None = None,
        meter: str | None = None,
        limit: int = 100,
    ) -> Sequence[UsageWindow]:
        """Windows by their state, the earliest first."""

    @abstractmethod
    def days(
        self,
        customer: str,
        since: datetime,
        until: datetime,
        limit: int,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[MeterDay]:
        """What was recorded by day and meter, in that order: what is in sealed windows that begin
        from `since` on and before `until`, but for those that were discarded, and what is in no
        window yet.

        Args:
            after: only what comes after this place.
        """

    @abstractmethod
    def told(self, customer: str, meter: str, since: datetime, until: datetime) -> int:
        """The sum of what Stripe was told, by the timestamps of the events."""

    @abstractmethod
    def told_customers(
        self, since: datetime, until: datetime, *, after: str, limit: int
    ) -> Sequence[str]:
        """Of whom Stripe was told anything with a timestamp in this time, those behind `after`, in
        the order of their ids."""

    @abstractmethod
    def untold(self, customer: str) -> int:
        """How much of a customer is still to be told: usage in no window, and pending windows."""
