"""The store in memory and its transaction."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

from gatekeeper.errors import HostTransactionError, StoreUnavailableError
from gatekeeper.storage.memory.actions import MemoryActions
from gatekeeper.storage.memory.audit import MemoryAudit
from gatekeeper.storage.memory.customers import MemoryCustomers
from gatekeeper.storage.memory.desk import MemoryEventDesk
from gatekeeper.storage.memory.freezes import MemoryFreezes
from gatekeeper.storage.memory.inbox import MemoryInbox
from gatekeeper.storage.memory.ledger import MemoryLedger
from gatekeeper.storage.memory.metering import MemoryMetering
from gatekeeper.storage.memory.mirror import MemoryMirror
from gatekeeper.storage.memory.orders import MemoryOrders
from gatekeeper.storage.memory.outbox import MemoryOutbox
from gatekeeper.storage.memory.outgoing import MemoryRequests
from gatekeeper.storage.memory.paybacks import MemoryPaybacks
from gatekeeper.storage.memory.payments import MemoryPayments
from gatekeeper.storage.memory.progress import MemoryProgress
from gatekeeper.storage.memory.purchases import MemoryPurchases
from gatekeeper.storage.memory.refunds import MemoryRefunds
from gatekeeper.storage.memory.request_keys import MemoryRequestKeys
from gatekeeper.storage.memory.revenue import MemoryRevenue
from gatekeeper.storage.memory.sellers import MemorySellers
from gatekeeper.storage.memory.subscriptions import MemorySubscriptions
from gatekeeper.storage.memory.survey import MemorySurveys
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.memory.top_ups import MemoryTopUps
from gatekeeper.storage.memory.transfers import MemoryTransfers
from gatekeeper.storage.port import Joined, JoinedSync, Store, Transaction
from gatekeeper.storage.records import Stamp
from gatekeeper.types import Clock, utc_now

T = TypeVar("T")

_log = logging.getLogger("gatekeeper.storage")


class MemoryTransaction(Transaction):
    """See the port. One is made for the store and used by one transaction after another."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        subscriptions = MemorySubscriptions(journal)
        self.customers = customers = MemoryCustomers(journal, subscriptions.items_of)
        self.subscriptions = subscriptions
        self.ledger = ledger = MemoryLedger(journal)
        self.purchases = purchases = MemoryPurchases(journal)
        self.payments = payments = MemoryPayments(journal)
        self.freezes = freezes = MemoryFreezes(journal)
        self.inbox = inbox = MemoryInbox(journal)
        self.desk = MemoryEventDesk(inbox)
        outbox = MemoryOutbox(journal)
        self.outbox: MemoryOutbox = outbox
        self.mirror = mirror = MemoryMirror(journal)
        self.transfers = transfers = MemoryTransfers(journal)
        self.orders = orders = MemoryOrders(journal)
        self.top_ups = top_ups = MemoryTopUps(journal)
        self.progress = MemoryProgress(journal)
        self.requests = requests = MemoryRequests(journal)
        self.request_keys = keys = MemoryRequestKeys(journal)
        self.sellers = sellers = MemorySellers(journal)
        self.paybacks = paybacks = MemoryPaybacks(journal)
        self.metering = metering = MemoryMetering(journal)
        self.actions = actions = MemoryActions(journal)
        self.refunds = refunds = MemoryRefunds(journal)
        self.revenue = MemoryRevenue(ledger.tables, subscriptions, mirror, purchases, orders)
        self.audit = MemoryAudit(
            journal,
            ledger.tables,
            customers,
            subscriptions,
            purchases,
            metering,
            [
                payments.erase,
                mirror.erase,
                transfers.erase,
                paybacks.erase,
                orders.erase,
                actions.erase,
                refunds.erase,
                lambda customer, _: freezes.erase(customer),
                lambda customer, _: top_ups.erase(customer),
                lambda customer, _: outbox.erase(customer),
                lambda customer, _: requests.erase(customer),
                lambda customer, _: keys.erase(customer),
                lambda customer, _: sellers.erase(customer),
            ],
        )
        self.survey = MemorySurveys(
            inbox=inbox.backlog,
            outbox=outbox.backlog,
            usage=metering.backlog,
            requests=requests.backlog,
            unsealed_since=metering.unsealed_since,
            holds_open=ledger.count_open_holds,
        )
        self._stamp: Table[None, Stamp] = Table(journal)
        self._clock = clock
        self._callbacks: list[Callable[[], None]] = []

    def now(self) -> datetime:
        return self._clock().astimezone(UTC)

    def stamp(self) -> Stamp | None:
        return self._stamp.get(None)

    def put_stamp(self, stamp: Stamp) -> None:
        self._stamp.insert(None, stamp)

    def after_commit(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def take_callbacks(self) -> list[Callable[[], None]]:
        """What to call after the commit; the next transaction starts without any."""
        callbacks, self._callbacks = self._callbacks, []
        return callbacks

    def take_written(self) -> bool:
        """Whether messages were added to the outbox; the next transaction starts afresh."""
        written, self.outbox.has_added = self.outbox.has_added, False
        return written


class MemoryStore(Store):
    """Keeps everything in this process: for tests and prototypes, never for production.

    Transactions run one at a time, whichever thread or event loop they come from; `work` runs
    synchronously where it is asked for. What was stored outlives `close` and the next `open`.
    """

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._journal = Journal()
        self._transaction = MemoryTransaction(self._journal, clock)
        self._lock = threading.RLock()
        self._is_open = False

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        with self._lock:
            self._is_open = False

    async def write(self, work: Callable[[Transaction], T]) -> T:
        with self._lock:
            self._check()
            try:
                with self._journal.transaction():
                    result = work(self._transaction)
            finally:
                callbacks = self._transaction.take_callbacks()
                written = self._transaction.take_written()
        for callback in [*callbacks, *(self.on_messages if written else ())]:
            _call(callback)
        return result

    async def read(self, work: Callable[[Transaction], T]) -> T:
        with self._lock:
            self._check()
            try:
                return work(self._transaction)
            finally:
                self._transaction.take_callbacks()

    def join(self, session: object) -> AbstractAsyncContextManager[Joined]:
        self._refuse_host()

    def join_sync(self, session: object) -> JoinedSync:
        self._refuse_host()

    def _check(self) -> None:
        if not self._is_open:
            raise StoreUnavailableError("The store is not open.")
        if self._journal.is_open:  # the lock is the thread's own, so this is a call out of `work`
            raise RuntimeError("A transaction is open here; `work` must not start another one.")

    def _refuse_host(self) -> NoReturn:
        raise HostTransactionError(
            "The store in memory can't join a transaction of the host's database. Use the store of "
            "that database (DATABASE_URL), or call without `session`."
        )


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - it is committed: whoever asked for it must not repeat it
        _log.exception("A callback after a commit failed.")
