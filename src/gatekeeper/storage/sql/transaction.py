"""One transaction, as the services see it."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Stamp
from gatekeeper.storage.sql.actions import SqlActions
from gatekeeper.storage.sql.aggregate import columns_of, select_of, struct_of
from gatekeeper.storage.sql.audit import SqlAudit
from gatekeeper.storage.sql.customers import SqlCustomers
from gatekeeper.storage.sql.desk import SqlEventDesk
from gatekeeper.storage.sql.dialects import SqlDialect
from gatekeeper.storage.sql.freezes import SqlFreezes
from gatekeeper.storage.sql.inbox import SqlInbox
from gatekeeper.storage.sql.ledger import SqlLedger
from gatekeeper.storage.sql.metering import SqlMetering
from gatekeeper.storage.sql.mirror import SqlMirror
from gatekeeper.storage.sql.orders import SqlOrders
from gatekeeper.storage.sql.outbox import SqlOutbox
from gatekeeper.storage.sql.outgoing import SqlRequests
from gatekeeper.storage.sql.paybacks import SqlPaybacks
from gatekeeper.storage.sql.payments import SqlPayments
from gatekeeper.storage.sql.progress import SqlProgress
from gatekeeper.storage.sql.purchases import SqlPurchases
from gatekeeper.storage.sql.refunds import SqlRefunds
from gatekeeper.storage.sql.request_keys import SqlRequestKeys
from gatekeeper.storage.sql.revenue import SqlRevenue
from gatekeeper.storage.sql.sellers import SqlSellers
from gatekeeper.storage.sql.subscriptions import SqlSubscriptions
from gatekeeper.storage.sql.survey import SqlSurveys
from gatekeeper.storage.sql.tables import stamp
from gatekeeper.storage.sql.top_ups import SqlTopUps
from gatekeeper.storage.sql.transfers import SqlTransfers
from gatekeeper.types import Clock

_logger: Final = logging.getLogger("gatekeeper.storage")
_STAMP: Final = select_of(stamp, Stamp)


class SqlTransaction(Transaction):
    """A transaction over an open connection, our own or a host's; it neither commits nor rolls
    back. What is to happen after the commit collects in `callbacks`, and the customers whose rows
    it has locked in `noted`, if given."""

    def __init__(
        self,
        connection: Connection,
        dialect: SqlDialect,
        *,
        clock: Clock | None = None,
        noted: set[str] | None = None,
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._clock = clock
        self.callbacks: list[Callable[[], None]] = []
        self.customers = SqlCustomers(connection, dialect, noted)
        self.subscriptions = SqlSubscriptions(connection, dialect, noted)
        self.ledger = SqlLedger(connection, dialect, noted)
        self.purchases = SqlPurchases(connection, dialect, noted)
        self.payments = SqlPayments(connection, dialect, noted)
        self.freezes = SqlFreezes(connection, dialect, noted)
        self.inbox = SqlInbox(connection, dialect, noted)
        self.desk = SqlEventDesk(connection, dialect, noted)
        self.outbox: SqlOutbox = SqlOutbox(connection, dialect, noted)
        self.orders = SqlOrders(connection, dialect, noted)
        self.progress = SqlProgress(connection, dialect, noted)
        self.requests = SqlRequests(connection, dialect, noted)
        self.request_keys = SqlRequestKeys(connection, dialect, noted)
        self.metering = SqlMetering(connection, dialect, noted)
        self.actions = SqlActions(connection, dialect, noted)
        self.refunds = SqlRefunds(connection, dialect, noted)
        self.revenue = SqlRevenue(connection, dialect, noted)
        self.audit = SqlAudit(connection, dialect, noted)
        self.mirror = SqlMirror(connection, dialect, noted)
        self.transfers = SqlTransfers(connection, dialect, noted)
        self.sellers = SqlSellers(connection, dialect, noted)
        self.paybacks = SqlPaybacks(connection, dialect, noted)
        self.top_ups = SqlTopUps(connection, dialect, noted)
        self.survey = SqlSurveys(connection, dialect, noted)

    def now(self) -> datetime:
        return self._dialect.now(self._connection) if self._clock is None else self._clock()

    def stamp(self) -> Stamp | None:
        return struct_of(self._connection.execute(_STAMP).mappings().one_or_none(), Stamp)

    def put_stamp(self, new: Stamp) -> None:
        row = {"id": 1, **columns_of(new)}
        self._connection.execute(self._dialect.insert_new(stamp), row)

    def after_commit(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)


def run_callbacks(callbacks: Iterable[Callable[[], None]]) -> None:
    """Run what was to happen after a commit. The commit has happened: a callback that fails is
    logged, and takes nothing from the others or from the caller."""
    for callback in callbacks:
        try:
            callback()
        except Exception:
            _logger.exception("A callback after a commit failed.")
