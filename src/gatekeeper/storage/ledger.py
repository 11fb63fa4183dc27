"""The port of the ledger: accounts with their grants, holds, caps and entries."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from gatekeeper.ledger import Account, Cap, Change, Entry, Grant, GrantKind, Hold, Receipt
from gatekeeper.storage.postings import AccountKey, Posting, posting_of


class Ledger(ABC):
    """Accounts and their immutable history."""

    @abstractmethod
    def account(self, customer: str, unit: str, *, lock: bool) -> Account:
        """An account, locked until the end of the transaction if `lock`.

        One that was never used comes back empty; with `lock` its row is created first, so that two
        first commands meet on it.
        """

    @abstractmethod
    def lock(self, keys: Collection[AccountKey], *, wait: bool) -> dict[AccountKey, Account]:
        """Lock accounts, in the order of their keys, and read them as they then are.

        Rows are made for those that were never used. Without `wait`, the ones that somebody else
        has locked, or is about to make, are left out (where a database can tell; else it waits).
        """

    @abstractmethod
    def accounts(self, customer: str) -> Sequence[Account]:
        """All accounts of a customer, by unit."""

    @abstractmethod
    def revisions(self, customers: Collection[str]) -> dict[str, tuple[tuple[str, int], ...]]:
        """The units of customers' accounts with the revision of each, by unit; customers without
        any account are left out."""

    def save(self, before: Account, change: Change) -> None:
        """Write all of a change: the account, its entries, grants and the hold.

        Raises:
            TransactionConflictError: the account is no longer `before` (it has moved on).
        """
        self.post([posting_of(before, change)])

    @abstractmethod
    def post(self, postings: Sequence[Posting]) -> None:
        """Write all that postings of different accounts hold.

        Raises:
            TransactionConflictError: an account is not as it was read, or a hold has ended.
            ConflictError: there was a hold of this id before.
            DuplicateGrantError: a grant of this id, or for this purchase, was given before.
        """

    @abstractmethod
    def find_hold(self, hold_id: str, *, customer: str | None = None) -> Hold | None:
        """A hold by id; without `customer` the id must be unique among all customers.

        Raises:
            InvalidInputError: several customers have a hold of this id.
        """

    @abstractmethod
    def find_holds(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Hold]:
        """Holds by their customer and id; those that are not there are left out."""

    @abstractmethod
    def next_hold_expiry(self, customer: str, unit: str, *, after: datetime) -> datetime | None:
        """When the first of an account's open holds ends that ends after an instant."""

    @abstractmethod
    def caps(
        self, customer: str, unit: str, scopes: Collection[str] | None = None
    ) -> Sequence[Cap]:
        """The caps of parts of an account (or of these), by scope and length; see `ledger.Cap`."""

    @abstractmethod
    def expired_holds(
        self, now: datetime, limit: int, *, customer: str | None = None, unit: str | None = None
    ) -> Sequence[Hold]:
        """Open holds whose time is over, the oldest first."""

    @abstractmethod
    def open_holds(self, customer: str, unit: str) -> Sequence[Hold]:
        """The open holds of an account, the oldest first."""

    @abstractmethod
    def notices_due(self, now: datetime, limit: int) -> Sequence[AccountKey]:
        """The accounts that have the expiry of a grant to tell of, the longest due first."""

    @abstractmethod
    def used(self, customer: str, unit: str, scope: str, since: datetime) -> int:
        """What holds that were made since an instant have captured, or still hold; of those in
        `scope` or below it ("" is the whole account)."""

    @abstractmethod
    def grant_by_source(self, source_key: str) -> Grant | None:
        """The grant that a purchase has given, by its business key."""

    @abstractmethod
    def grants(self, customer: str, unit: str, kinds: Collection[GrantKind]) -> Sequence[Grant]:
        """The grants of these kinds that an account was ever given, by id."""

    @abstractmethod
    def newest_grants(self, customer: str, limit: int) -> Sequence[Grant]:
        """The grants that a customer was given last, of all units, the newest first."""

    @abstractmethod
    def lapsed(self, customer: str, unit: str, grant_ids: Collection[str]) -> Mapping[str, int]:
        """How much of each of these grants has expired or was revoked; those of which nothing was
        are left out."""

    @abstractmethod
    def entries(self, customer: str, unit: str, after: int, limit: int) -> Sequence[Entry]:
        """Entries of an account whose sequence number is above `after`, in order."""

    @abstractmethod
    def receipt(self, customer: str, key: str) -> Receipt | None:
        """The receipt of a used idempotency key."""

    @abstractmethod
    def receipts(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Receipt]:
        """Receipts by their customer and idempotency key."""

    @abstractmethod
    def put_receipt(self, receipt: Receipt) -> None:
        """Write a receipt, replacing one of the same key."""

    @abstractmethod
    def prune_receipts(self, before: datetime, limit: int) -> int:
        """Delete receipts from before an instant; returns how many."""
