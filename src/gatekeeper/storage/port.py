"""The storage port: what the services ask of a database.

A `Transaction` is synchronous on purpose: the same plain functions run inside our own transaction
(which a `Store` brings to the event loop) and inside a host's SQLAlchemy session, sync or async.
Aggregates are attributes; each has its own small interface. Nothing here decides a rule.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Self, TypeVar

from gatekeeper.entitlements.state import CustomerState, Item, Override, PaidLine
from gatekeeper.storage.actions import Actions
from gatekeeper.storage.audit import Audit
from gatekeeper.storage.desk import EventDesk
from gatekeeper.storage.freezes import Freezes
from gatekeeper.storage.inbox import Inbox
from gatekeeper.storage.ledger import Ledger
from gatekeeper.storage.metering import Metering
from gatekeeper.storage.mirror import Mirror
from gatekeeper.storage.orders import Orders
from gatekeeper.storage.outbox import Outbox
from gatekeeper.storage.outgoing import Requests
from gatekeeper.storage.paybacks import Paybacks
from gatekeeper.storage.payments import Payments
from gatekeeper.storage.progress import Progress
from gatekeeper.storage.quick import QuickLedger
from gatekeeper.storage.records import (
    Customer,
    CustomerSearch,
    InboxEvent,
    Invoice,
    PriceRecord,
    Purchase,
    Stamp,
    Subscription,
)
from gatekeeper.storage.refunds import Refunds
from gatekeeper.storage.request_keys import RequestKeys
from gatekeeper.storage.revenue import Revenue
from gatekeeper.storage.sellers import Sellers
from gatekeeper.storage.survey import Surveys
from gatekeeper.storage.top_ups import TopUps
from gatekeeper.storage.transfers import Transfers

T = TypeVar("T")


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
    def find(
        self, search: CustomerSearch, limit: int, after: str | None = None
    ) -> Sequence[Customer]:
        """Customers in the order of their ids (the database's), beginning after one. An index
        leads to an address; a name is looked for among all."""

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
    def set_duplicate_of(self, subscription_id: str, original_id: str) -> None:
        """Note that a subscription was bought beside another by mistake."""

    @abstractmethod
    def add_paid_lines(self, customer: str, lines: Iterable[PaidLine]) -> int:
        """Add paid lines; lines whose id is there already are left alone. Returns how many came."""

    @abstractmethod
    def note_returned(
        self, customer: str, invoice_id: str, *, paid_minor: int, returned_minor: int
    ) -> bool:
        """Note on an invoice's paid lines what was paid for it, and what of that has gone back.
        Returns whether any of them was of another mind."""

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
    def by_intent(self, payment_intent_id: str, *, lock: bool = False) -> Purchase | None:
        """A purchase by Stripe's payment intent: the one that was begun last, should there be
        several."""

    @abstractmethod
    def pending(self, customer: str) -> Sequence[Purchase]:
        """The purchases of a customer of which nothing has come yet, the oldest first."""

    @abstractmethod
    def paid(self, customer: str, *, since: datetime | None = None) -> Sequence[Purchase]:
        """The purchases of a customer that were paid (after `since`), the oldest first."""

    @abstractmethod
    def newest(
        self, customer: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> Sequence[Purchase]:
        """The purchases of a customer, the newest first; `before` is the instant and id of the
        last of the page before."""

    @abstractmethod
    def duplicates(self, limit: int, customer: str | None = None) -> Sequence[Purchase]:
        """Purchases that are a duplicate of another, of a customer or of all, the newest first."""

    @abstractmethod
    def pending_after(self, purchase_id: str, limit: int) -> Sequence[Purchase]:
        """Everybody's purchases that have a checkout session and of which nothing has come yet, in
        the order of our ids, beginning after one."""


class Transaction(ABC):
    """One open transaction of a store, or of the host."""

    customers: Customers
    subscriptions: Subscriptions
    ledger: Ledger
    purchases: Purchases
    payments: Payments
    paybacks: Paybacks
    freezes: Freezes
    inbox: Inbox
    desk: EventDesk
    outbox: Outbox
    orders: Orders
    progress: Progress
    transfers: Transfers
    top_ups: TopUps
    requests: Requests
    request_keys: RequestKeys
    sellers: Sellers
    metering: Metering
    actions: Actions
    refunds: Refunds
    revenue: Revenue
    audit: Audit
    mirror: Mirror
    survey: Surveys

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

    @cached_property
    def on_messages(self) -> set[Callable[[], None]]:
        """What to call after each commit that has written messages to the outbox, on whichever
        thread the commit was: a hint that need not come."""
        return set()

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

    async def arrive(self, make: Callable[[datetime], Sequence[InboxEvent]]) -> Sequence[bool]:
        """Store events that have arrived together, as `Inbox.insert_many` does, by a commit of its
        own. `make` gets the time at which they are received, and may be called more than once.

        Raises:
            StoreUnavailableError: the database can't be reached, or its answer was lost.
        """

        def insert(tx: Transaction) -> Sequence[bool]:
            return tx.inbox.insert_many(make(tx.now()))

        return await self.write(insert)

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
