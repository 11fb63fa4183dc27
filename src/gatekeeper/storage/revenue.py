"""The part of the storage port that adds up what is earned: over all customers, set by set."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

PAYING: Final = ("active", "past_due")
"""The statuses of a subscription that is paid for: one in its trial is not
(https://docs.stripe.com/billing/subscriptions/analytics/glossary)."""

MOVED: Final = '"balance_transaction":'
"""What the facts of a refund's copy hold if money was moved by it: what of an authorisation is let
go comes as a refund that has moved none (see `projection.clawback`)."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From `since` on, and before `until`."""

    since: datetime
    until: datetime

    def has(self, instant: datetime | None) -> bool:
        """Whether an instant is in it."""
        return instant is not None and self.since <= instant < self.until


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """What runs of one price: how many in all, in how many subscriptions. `plan` and `lookup_key`
    are what the price stood for at first sight."""

    price_id: str
    lookup_key: str | None
    plan: str | None
    quantity: int
    subscriptions: int


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """How the number of paid subscriptions has changed in a span, by their history.

    Attributes:
        new: those that were paid for the first time.
        returned: those that were paid before, but not when it began.
        lost: those that were paid when it began, and no more when it ended.
        new_lost: those of `new` that were not paid any more when it ended.
    """

    at_start: int = 0
    new: int = 0
    returned: int = 0
    lost: int = 0
    new_lost: int = 0
    at_end: int = 0


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """So much money, of so many."""

    currency: str
    count: int
    amount_minor: int


class Revenue(ABC):
    """Sums over all customers. Each reads all of its tables that is in its span: ask now and then,
    and of a replica where there are many millions of rows. Nothing of connected accounts counts."""

    @abstractmethod
    def sold(self, at: datetime, grace: timedelta) -> Sequence[Sold]:
        """What runs and is paid for, by price: items of subscriptions that are active, or past due
        for no longer than `grace`; not those that are duplicates, or of which no money is
        collected. By the price's id."""

    @abstractmethod
    def running(self, at: datetime, grace: timedelta) -> tuple[int, int, Mapping[str, int]]:
        """Of the same: how many subscriptions, of how many customers, and by plan ("" for those of
        no plan that is known)."""

    @abstractmethod
    def statuses(self) -> Mapping[str, int]:
        """How many subscriptions there are in each status, duplicates aside."""

    @abstractmethod
    def movement(self, span: Span) -> Movement:
        """How the number of paid subscriptions has changed; duplicates aside."""

    @abstractmethod
    def granted(self, span: Span) -> Mapping[tuple[str, str], int]:
        """What was granted in a span, by unit and kind of grant; grants without bound aside."""

    @abstractmethod
    def posted(self, span: Span) -> Mapping[tuple[str, str], int]:
        """The sum of the entries of a span, by unit and kind of entry."""

    @abstractmethod
    def invoiced(self, span: Span) -> Sequence[Money]:
        """What was paid for invoices in a span, by currency."""

    @abstractmethod
    def purchased(self, span: Span) -> tuple[Sequence[Money], int]:
        """What was paid in a span for packs, by currency, by the copies of the payments; and of how
        many purchases no payment is known (they were free, or its copy has not come yet)."""

    @abstractmethod
    def ordered(self, span: Span) -> Sequence[Money]:
        """What was paid for orders in a span, by currency."""

    @abstractmethod
    def refunded(self, span: Span) -> Sequence[Money]:
        """The refunds that were made in a span, and have not failed, by currency."""

    @abstractmethod
    def disputed(self, span: Span) -> Sequence[Money]:
        """The disputes that were opened in a span, and whose money is withdrawn, by currency."""
