"""The storage port: what the services ask of a database.

A `Transaction` is synchronous on purpose: the same plain functions run inside our own transaction
(which a `Store` brings to the event loop) and inside a host's SQLAlchemy session, sync or async.
Aggregates are attributes; each has its own small interface. Nothing here decides a rule.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Final, Self, TypeVar

from gatekeeper.entitlements.state import CustomerState, Item, Override, PaidLine
from gatekeeper.ledger import Account, Cap, Change, Entry, Grant, Hold, Receipt
from gatekeeper.storage.audit import Audit
from gatekeeper.storage.freezes import Freezes
from gatekeeper.storage.metering import Metering
from gatekeeper.storage.mirror import Mirror
from gatekeeper.storage.outgoing import Requests
from gatekeeper.storage.payments import Payments
from gatekeeper.storage.postings import AccountKey, Posting, posting_of
from gatekeeper.storage.progress import Progress
from gatekeeper.storage.quick import QuickLedger
from gatekeeper.storage.records import (
    Customer,
    EventStatus,
    InboxEvent,
    Invoice,
    OutboxCounts,
    OutboxMessage,
    OutboxState,
    PriceRecord,
    Purchase,
    Stamp,
    Subscription,
)

T = TypeVar("T")

MAX_EVENTS_PER_OBJECT: Final = 100
"""How many events of one object a claim brings at most: what is in memory stays bounded."""


class Customers(ABC):
    """Customers, and the version that every change of their entitlements moves on."""

    @abstractmethod
    def get(self, customer: str, *, lock: bool = False) -> Customer | None:
        """The customer, with their row locked until the end of the transaction if asked for."""

    @abstractmethod
    def by_stripe_id(self, stripe_id: str) -> Customer | None:
        """The customer whom Stripe knows by this id."""

    @abstractmethod
    def insert(self, customer: Customer) -> bool:
        """Add a customer; False if the id is there already (a deleted one included)."""

    @abstractmethod
    def save(self, customer: Customer) -> None:
        """Write a customer's fields; the version is left to `touch`."""

    @abstractmethod
    def touch(self, customer: str) -> int:
        """Move the version on by one and return it: the new epoch of the caches."""

    @abstractmethod
    def state(self, customer: str) -> CustomerState | None:
        """All that entitlements derive from, read consistently; None if unknown or deleted."""

    @abstractmethod
    def versions(self, customers: Collection[str]) -> dict[str, int]:
        """The versions of those of the customers who are known and not deleted."""

    @abstractmethod
    def put_override(self, customer: str, override: Override) -> None:
        """Set an override; one of the same kind and key is replaced."""

    @abstractmethod
    def remove_override(self, customer: str, kind: str, key: str) -> bool:
        """Remove an override; False if there was none."""


class Subscriptions(ABC):
    """Projections of subscriptions, their items, invoices and paid lines, and of prices."""

    @abstractmethod
    def get(self, subscription_id: str) -> Subscription | None:
        """One subscription."""

    @abstractmethod
    def running_after(self, subscription_id: str, limit: int) -> Sequence[Subscription]:
        """Subscriptions that are not over, in the order of their ids, beginning after one."""

    @abstractmethod
    def items(self, subscription_id: str) -> Sequence[Item]:
        """The items of one subscription, with the paid lines of each."""

    @abstractmethod
    def save(self, subscription: Subscription, items: Sequence[Item]) -> None:
        """Write a subscription and exactly these items. Paid lines are not touched; an item that
        is gone keeps its row, marked ended, so that its history and coverage stay."""

    @abstractmethod
    def set_unpaid_since(self, subscription_id: str, since: datetime | None) -> None:
        """Note since when the subscription's oldest unpaid invoice has been waiting."""

    @abstractmethod
    def add_paid_lines(self, customer: str, lines: Iterable[PaidLine]) -> int:
        """Add paid lines; lines whose id is there already are left alone. Returns how many came."""

    @abstractmethod
    def invoice(self, invoice_id: str) -> Invoice | None:
        """One invoice."""

    @abstractmethod
    def save_invoice(self, invoice: Invoice) -> None:
        """Insert or replace an invoice."""

    @abstractmethod
    def oldest_unpaid(self, subscription_id: str) -> Invoice | None:
        """The open invoice of a subscription that was finalised first, with something due."""

    @abstractmethod
    def price(self, price_id: str) -> PriceRecord | None:
        """What a price id stood for at first sight."""

    @abstractmethod
    def record_price(self, price: PriceRecord) -> PriceRecord:
        """Record a price at first sight; returns what is stored, which may be older."""


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


class Purchases(ABC):
    """Checkouts that we started."""

    @abstractmethod
    def insert(self, purchase: Purchase) -> None:
        """Add a purchase."""

    @abstractmethod
    def save(self, purchase: Purchase) -> None:
        """Write a purchase's fields."""

    @abstractmethod
    def get(self, purchase_id: str, *, lock: bool = False) -> Purchase | None:
        """A purchase by our id."""

    @abstractmethod
    def by_session(self, checkout_session_id: str, *, lock: bool = False) -> Purchase | None:
        """A purchase by Stripe's checkout session."""

    @abstractmethod
    def pending(self, customer: str) -> Sequence[Purchase]:
        """The purchases of a customer of which nothing has come yet, the oldest first."""

    @abstractmethod
    def pending_after(self, purchase_id: str, limit: int) -> Sequence[Purchase]:
        """Everybody's purchases that have a checkout session and of which nothing has come yet, in
        the order of our ids, beginning after one."""


class Inbox(ABC):
    """Received events: the queue of the dispatcher."""

    @abstractmethod
    def insert(self, event: InboxEvent) -> bool:
        """Store an event; False if its key is there already.

        A pending event that is there as a dead letter is brought back: its body is taken, it is
        due when the new one is, and its attempts begin afresh.
        """

    @abstractmethod
    def insert_many(self, events: Sequence[InboxEvent]) -> Sequence[bool]:
        """`insert` for many at once, in as few statements as for one: for each whether it is new.
        Of two with one key the first is."""

    @abstractmethod
    def get(self, key: str) -> InboxEvent | None:
        """One event."""

    @abstractmethod
    def claim(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[InboxEvent]:
        """Lease the due pending events of at most `limit` objects, oldest first.

        All due events of an object come together, in order, to one claimer (the first
        MAX_EVENTS_PER_OBJECT of them); an object with a live lease is skipped. Attempts are counted
        on claiming, so that a crash counts as one.
        """

    @abstractmethod
    def settle(
        self,
        key: str,
        status: EventStatus,
        *,
        due_at: datetime | None = None,
        error: str | None = None,
        lease: datetime | None = None,
        counted: bool = True,
    ) -> bool:
        """End a lease: done, dead, ignored, or pending again at `due_at`.

        Args:
            lease: write only if the event's lease is still the one that ends at this instant, so
                that nobody overwrites what the next claimer has made of the event.
            counted: False takes the attempt back that was counted on claiming.

        Returns:
            Whether it was written.
        """

    @abstractmethod
    def renew(self, object_key: str, lease: datetime, lease_until: datetime) -> bool:
        """Prolong the lease of an object and of its unsettled events; False if it is not the one
        that ends at `lease` any more: somebody else has the object, or nobody."""

    @abstractmethod
    def retry(self, at: datetime, *, key: str | None = None, forget: str | None = None) -> int:
        """Make dead events pending again, due at an instant, with no attempts; returns how many.

        Args:
            key: this one alone, which may be done or discarded too; an ignored one stays ignored.
            forget: the completion that is taken off the event of `key`, so that this part of the
                work is done again.
        """

    @abstractmethod
    def completed(self, key: str) -> frozenset[str]:
        """The names of the handlers that have completed an event."""

    @abstractmethod
    def complete(self, key: str, handler: str, at: datetime) -> bool:
        """Record a handler's completion, in the transaction of its effect; False if recorded."""

    @abstractmethod
    def counts(self) -> dict[EventStatus, int]:
        """How many events there are of each status."""

    @abstractmethod
    def by_status(self, status: EventStatus, limit: int) -> Sequence[InboxEvent]:
        """Events of one status, the oldest first."""

    @abstractmethod
    def purge_payloads(self, before: datetime, limit: int) -> int:
        """Drop the raw payloads of settled events received before an instant; returns how many."""

    @abstractmethod
    def take_ticket(self, object_key: str) -> int:
        """The next fetch ticket of an object: taken, and committed, before the fetch."""

    @abstractmethod
    def use_ticket(self, object_key: str, ticket: int, *, terminal: bool) -> bool:
        """Whether what was fetched under `ticket` may be written, in that write's transaction.

        False if a later ticket has been used, or a terminal state was written and this one is not.
        """


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
        """Lease due messages in order; only the first waiting one of each customer.

        Topics of `but_not` are left alone, and hold up no others.
        """

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
    def completed(self, message_id: str) -> frozenset[str]:
        """The names of the receivers that have had a message."""

    @abstractmethod
    def complete(self, message_id: str, receiver: str, at: datetime) -> bool:
        """Record that a receiver has had a message; False if that is recorded already."""

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
    def listing(self, state: OutboxState, limit: int) -> Sequence[OutboxMessage]:
        """The oldest messages in a state; of those that were sent, the ones sent first."""

    @abstractmethod
    def prune(self, before: datetime, limit: int) -> int:
        """Delete messages that were sent before a moment, with their completions."""


class Transaction(ABC):
    """One open transaction of a store, or of the host."""

    customers: Customers
    subscriptions: Subscriptions
    ledger: Ledger
    purchases: Purchases
    payments: Payments
    freezes: Freezes
    inbox: Inbox
    outbox: Outbox
    progress: Progress
    requests: Requests
    metering: Metering
    audit: Audit
    mirror: Mirror

    @abstractmethod
    def now(self) -> datetime:
        """The database's clock at this moment, or the injected one; an aware UTC datetime."""

    @abstractmethod
    def stamp(self) -> Stamp | None:
        """Which Stripe account and mode the database belongs to."""

    @abstractmethod
    def put_stamp(self, stamp: Stamp) -> None:
        """Stamp the database; the first stamp stays."""

    @abstractmethod
    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once this transaction, or the host's, has been committed."""


class Store(ABC):
    """A database. Opened and closed with the gate."""

    locks_rows: bool = False
    """Whether a lock is one of an account, and not of the whole database."""

    @property
    def quick(self) -> QuickLedger | None:
        """The quick way to the ledger, while the store is open and if it has one."""
        return None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @abstractmethod
    async def open(self) -> None:
        """Connect, and check that the schema is the one this release needs.

        Raises:
            SchemaVersionError: it is not; the message says which command mends it.
            StoreUnavailableError: the database can't be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what runs, then disconnect."""

    @abstractmethod
    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction of its own and commit it, or roll it back if it raises.

        `work` must be safe to run again: a deadlock or serialisation failure runs it anew, a few
        times, before TransactionConflictError is raised.

        Raises:
            StoreUnavailableError: the database can't be reached; nothing was changed.
        """

    @abstractmethod
    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on a consistent snapshot, without write locks."""

    @abstractmethod
    def join(self, session: object) -> AbstractAsyncContextManager["Joined"]:
        """Join a host's open SQLAlchemy `AsyncSession` or `AsyncConnection`.

        Raises:
            HostTransactionError: the session is of another kind, another database, or (SQLite) did
                not begin with BEGIN IMMEDIATE.
        """

    @abstractmethod
    def join_sync(self, session: object) -> "JoinedSync":
        """Join a host's open SQLAlchemy `Session` or `Connection`, on the host's own thread."""


class Joined(ABC):
    """A host's open transaction, ready to run our functions."""

    @abstractmethod
    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` inside the host's transaction; the host commits or rolls back.

        If `work` raises, nothing of it stays in the host's transaction, which goes on unharmed
        unless the database itself has ended it (a deadlock, a lost connection).

        Raises:
            TransactionConflictError: the host has to roll back and run its transaction again.
        """


class JoinedSync(ABC):
    """`Joined` for a synchronous host."""

    @abstractmethod
    def run(self, work: Callable[[Transaction], T]) -> T:
        """As `Joined.run`."""
