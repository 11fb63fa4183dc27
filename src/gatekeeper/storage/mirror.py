"""The part of the storage port that keeps copies of Stripe's objects, and what became of
subscriptions."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

Cause = Literal["event", "checkout", "invoice", "payment", "request", "reconciliation", "backfill"]
"""What led to a subscription being looked at: its own event, a checkout that was finished, one of
its invoices, the money of one that went back or returned, a change that was asked for here, a sweep
of all there is, or the first import."""

MirrorPlace = tuple[datetime, str]
"""Where an object stands among those of its kind: when Stripe made it, and its id."""

HistoryPlace = tuple[datetime, str, int]
"""Where a change stands in a customer's history: its instant, subscription and sequence."""


NO_DATE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When objects without a date are held to be made."""

PERSONAL: Final = frozenset({"customer", "payment_method"})
"""The kinds of copies that say who somebody is, and that an erasure deletes."""


class MirrorObject(msgspec.Struct, frozen=True, kw_only=True):
    """One of Stripe's objects as it was when it was last fetched.

    Attributes:
        kind: what the object calls itself, for example "refund".
        account: the connected account that it is on; "" for our own.
        customer: the host's customer, where it is known whose it is.
        stripe_customer: Stripe's.
        parent: "kind/id" of the object that it belongs to: a refund's charge, say.
        amount_minor: what it is about, in minor units of `currency`.
        created_at: when Stripe made it; None for what Stripe says no date of.
        facts: JSON of the kind's struct in `gatekeeper.projection`.
        deleted: Stripe has it no more; the rest is what it was.
        seen_at: when it was written here.
    """

    kind: str
    id: str
    account: str = ""
    customer: str | None = None
    stripe_customer: str | None = None
    parent: str | None = None
    status: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    created_at: datetime | None = None
    facts: str
    deleted: bool = False
    seen_at: datetime

    @property
    def name(self) -> str:
        """What others name it by as their `parent`."""
        return f"{self.kind}/{self.id}"

    @property
    def place(self) -> MirrorPlace:
        """Where it stands among the objects of its kind."""
        return self.created_at or NO_DATE, self.id


class Tally(msgspec.Struct, frozen=True):
    """How many objects somebody has of a kind, how many of them have one of some statuses, and when
    the last of them was written: another tally says that something has changed."""

    count: int
    settled: int
    seen_at: datetime


class SubscriptionChange(msgspec.Struct, frozen=True, kw_only=True):
    """A state that a subscription came into, and why we learnt of it.

    Attributes:
        sequence: from 1 on, within the subscription; given by `Mirror.add_change`.
        at: when it was written here.
        event_key: the event of the inbox that caused it, if one did.
        facts: JSON of what access depends on: `gatekeeper.services.history.State`.
    """

    subscription_id: str
    sequence: int = 0
    customer: str
    at: datetime
    cause: Cause
    event_key: str | None = None
    status: str
    facts: str

    @property
    def place(self) -> HistoryPlace:
        """Where it stands in the history of its customer."""
        return self.at, self.subscription_id, self.sequence


class Mirror(ABC):
    """Copies of Stripe's objects of all kinds, and the history of subscriptions."""

    @abstractmethod
    def put(self, obj: MirrorObject) -> None:
        """Write an object, in the place of what was known of it."""

    @abstractmethod
    def get(self, kind: str, object_id: str, account: str = "") -> MirrorObject | None:
        """One object; also one that Stripe has no more."""

    @abstractmethod
    def of_parent(self, kind: str, parent: str, account: str = "") -> Sequence[MirrorObject]:
        """All objects of a kind that belong to `parent` ("kind/id"), the oldest first."""

    @abstractmethod
    def of_customer(
        self, customer: str, kind: str, limit: int, before: MirrorPlace | None = None
    ) -> Sequence[MirrorObject]:
        """A customer's objects of a kind, the newest first, on whichever account.

        Those without a date come last, as if they were made in 1970.

        Args:
            before: only what comes after this one in that order.
        """

    @abstractmethod
    def listed(
        self,
        kind: str,
        limit: int,
        before: MirrorPlace | None = None,
        statuses: Collection[str] = (),
        customer: str | None = None,
    ) -> Sequence[MirrorObject]:
        """Everybody's objects of a kind on our own account that have a date, the newest first; of
        these statuses, and of one customer, if any are given. For "balance_transaction",
        "dispute" and "refund" an index has this order.

        Args:
            before: only what comes after this one in that order.
        """

    @abstractmethod
    def tallies(
        self, customers: Collection[str], kind: str, settled: Collection[str]
    ) -> dict[str, Tally]:
        """What customers have of a kind, with how many in a status of `settled`; those who have
        nothing are left out."""

    @abstractmethod
    def adopt(self, stripe_customer: str, customer: str) -> int:
        """Say whose the objects of one of Stripe's customers are, of our own account, that were
        nobody's until now, and all that belongs to them; returns how many."""

    @abstractmethod
    def lock(self, subscription_id: str) -> None:
        """Lock a subscription's row, and with it its history, until the transaction has ended."""

    @abstractmethod
    def add_change(self, change: SubscriptionChange) -> SubscriptionChange:
        """Append to a subscription's history; returns it with its sequence: the one that it has
        (after `last_change`, in this transaction), else the next.

        The subscription's row has been written, and is locked, so that there are no gaps or twins.
        """

    @abstractmethod
    def last_change(self, subscription_id: str) -> SubscriptionChange | None:
        """The last of a subscription's history, which is locked first."""

    @abstractmethod
    def changes(
        self, subscription_id: str, after: int = 0, limit: int = 100
    ) -> Sequence[SubscriptionChange]:
        """A subscription's history from a sequence on, the oldest first."""

    @abstractmethod
    def history(
        self, customer: str, limit: int, before: HistoryPlace | None = None
    ) -> Sequence[SubscriptionChange]:
        """What the subscriptions of a customer have been through, the newest first."""
