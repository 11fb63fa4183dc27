"""The part of the storage port that looks at everything: verification, reports, erasure."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from gatekeeper.ledger import Account, Entry
from gatekeeper.ledger.books import Books
from gatekeeper.storage.postings import AccountKey

By = Literal["hour", "day"]
"""Into which periods of UTC use is put together."""

Per = Literal["feature", "scope", "actor"]
"""What use is told apart by, beside its time and unit."""


class Ledgered(msgspec.Struct, frozen=True):
    """An account that has something to be verified, and how many entries it says it has."""

    customer: str
    unit: str
    version: int

    @property
    def key(self) -> AccountKey:
        """The account's key."""
        return self.customer, self.unit


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which captures are meant: from `since` on and before `until`.

    A `scope` means itself and what is below it; None is no matter which, here and elsewhere.
    """

    customer: str
    since: datetime
    until: datetime
    by: By = "day"
    per: Per = "feature"
    unit: str | None = None
    feature: str | None = None
    scope: str | None = None
    actor: str | None = None


UsagePlace = tuple[datetime, str, str]
"""Where a row of usage stands in their order: start, unit, and what it is told apart by."""


class Used(msgspec.Struct, frozen=True):
    """What was captured of a unit in one period. `name` is "" for captures without one."""

    start: datetime
    unit: str
    name: str
    amount: int
    captures: int

    @property
    def place(self) -> UsagePlace:
        """Where it stands in the order of all."""
        return self.start, self.unit, self.name


class Ties(msgspec.Struct, frozen=True):
    """What is not finished of a customer: their open holds, the subscriptions that still run, and
    how much metered usage Stripe was not told of."""

    open_holds: int = 0
    subscriptions: tuple[str, ...] = ()
    untold: int = 0


class Audit(ABC):
    """What concerns whole accounts and whole customers."""

    @abstractmethod
    def count(self, customer: str | None = None) -> int:
        """How many accounts there are (of a customer)."""

    @abstractmethod
    def ledgered(
        self,
        after: tuple[str, str | None] | None,
        limit: int,
        *,
        customer: str | None = None,
    ) -> Sequence[Ledgered]:
        """What has an account, entries, grants or open holds, in the order of their keys.

        Args:
            after: only what comes after this account; without a unit, after all of the customer's.
        """

    @abstractmethod
    def books(
        self, keys: Collection[AccountKey], now: datetime, *, lock: bool = False
    ) -> Sequence[Books]:
        """What accounts are held against, each with itself.

        The entries are added up where they are. With `lock` the accounts are locked first, in the
        order of their keys, as commands do; rows are made for those that have none.
        """

    @abstractmethod
    def restore(self, account: Account) -> None:
        """Write an account as it was derived anew; the caller has locked it."""

    @abstractmethod
    def drop_unused(self, customer: str) -> None:
        """Delete those accounts of a customer that nothing was ever written of."""

    @abstractmethod
    def used(self, query: UsageQuery, after: UsagePlace | None, limit: int) -> Sequence[Used]:
        """What was captured, put together by period, unit and `query.per`, in that order."""

    @abstractmethod
    def totals(self, query: UsageQuery) -> dict[str, int]:
        """All that was captured, by unit."""

    @abstractmethod
    def newest(self, customer: str, unit: str, before: int | None, limit: int) -> Sequence[Entry]:
        """Entries of an account whose number is below `before`, the newest first."""

    @abstractmethod
    def ties(self, customer: str) -> Ties:
        """What is not finished of a customer."""

    @abstractmethod
    def erase(self, customer: str, pseudonym: str, at: datetime) -> None:
        """Put a pseudonym in a customer's place and drop what tells who they were or did.

        Amounts, kinds, times, units and features stay. Overrides, caps of scopes, receipts and
        messages are deleted; usage that Stripe was not told of is never billed. The id is
        remembered as a hash. The caller has locked the accounts.
        """

    @abstractmethod
    def is_erased(self, customer: str) -> bool:
        """Whether a customer of this id was erased."""


def hash_of(customer: str) -> str:
    """By what an erased customer's id is recognised, should somebody use it again."""
    return hashlib.sha256(b"gatekeeper erased customer\0" + customer.encode()).hexdigest()
