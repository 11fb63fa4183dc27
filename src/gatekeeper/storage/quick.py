"""Quick ways, where a round trip costs more than a second try: to the ledger, and into the inbox.

To the ledger: read without locks, write in one statement what has not moved since.

They are an optional part of a store. Whatever they refuse can be done in a transaction that locks.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gatekeeper.ledger import Account, Hold
from gatekeeper.storage.postings import AccountKey, Posting
from gatekeeper.storage.records import InboxEvent


class Arrived(NamedTuple):
    """The keys of the events that are stored by this, and of those that were there and are dead."""

    new: set[str]
    dead: set[str]


class NotReadError(Exception):
    """The database could not be read."""


class NotWrittenError(Exception):
    """The database refused the statement as a whole: nothing was written."""


@dataclass(frozen=True, slots=True)
class QuickRead:
    """Accounts as one statement saw them, with the versions of their customers (of those who are
    known and not deleted), and holds by customer and id."""

    accounts: dict[AccountKey, Account]
    versions: dict[str, int]
    holds: dict[tuple[str, str], Hold]


class QuickLedger(ABC):
    """Reads and writes of whole accounts, each by itself, without a transaction around them."""

    @abstractmethod
    def now(self) -> datetime | None:
        """The database's clock, as near as it can be told without asking; None before the first
        read. A write is refused if it is off by more than a second."""

    @abstractmethod
    async def read(
        self, keys: Collection[AccountKey], hold_keys: Collection[tuple[str, str]]
    ) -> QuickRead:
        """Read accounts and holds.

        Raises:
            NotReadError: that can't be done now, or not in this way.
        """

    @abstractmethod
    async def write(self, postings: Sequence[Posting], now: datetime) -> set[AccountKey]:
        """Write accounts, entries and holds; returns the accounts that were written.

        The others have moved on since they were read, or their customer has, or somebody has
        locked them. Grants, caps and receipts are not written here.

        Raises:
            NotWrittenError: nothing was written.
            StoreUnavailableError: with `outcome="unknown"`: the answer was lost.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give the connections back."""


class QuickInbox(ABC):
    """Events that arrive together, stored by one statement without a transaction around it."""

    @abstractmethod
    async def arrive(self, events: Sequence[InboxEvent], now: datetime | None) -> Arrived:
        """Store those that are not there yet, in this order; each has another key, and none was
        worked on. They are received, and due, `now`; None: by the database's clock.

        Raises:
            NotWrittenError: nothing was written, or nobody knows whether it was.
        """
