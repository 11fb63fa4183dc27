"""The tables, as SQLAlchemy Core metadata; `migrations/` brings a database to them.

Primary keys of the hot tables begin with the customer, so that a PostgreSQL that shards or
partitions by customer needs no change here. There are no foreign keys: they would lock and read a
second row for each row that is written, and forbid partitions to come and go. What belongs
together is written in one transaction.
"""

from gatekeeper.storage.sql.tables.actions import actions
from gatekeeper.storage.sql.tables.base import TABLE_PREFIX, metadata
from gatekeeper.storage.sql.tables.database import schema, stamp
from gatekeeper.storage.sql.tables.entitlements import (
    customers,
    erased,
    invoices,
    items,
    overrides,
    paid_lines,
    prices,
    purchases,
    subscriptions,
)
from gatekeeper.storage.sql.tables.freezes import freezes
from gatekeeper.storage.sql.tables.ledger import accounts, caps, entries, grants, holds, receipts
from gatekeeper.storage.sql.tables.messages import (
    UNSENT,
    completions,
    inbox,
    inbox_objects,
    outbox,
    waits,
)
from gatekeeper.storage.sql.tables.metering import usage, usage_windows
from gatekeeper.storage.sql.tables.mirror import objects, subscription_changes
from gatekeeper.storage.sql.tables.orders import order_payments, orders
from gatekeeper.storage.sql.tables.outgoing import progress, requests
from gatekeeper.storage.sql.tables.paybacks import paybacks
from gatekeeper.storage.sql.tables.payments import payments
from gatekeeper.storage.sql.tables.refunds import refunds
from gatekeeper.storage.sql.tables.request_keys import request_keys
from gatekeeper.storage.sql.tables.sellers import sellers
from gatekeeper.storage.sql.tables.top_ups import top_ups
from gatekeeper.storage.sql.tables.transfers import transfers

__all__ = [
    "TABLE_PREFIX",
    "UNSENT",
    "accounts",
    "actions",
    "caps",
    "completions",
    "customers",
    "entries",
    "erased",
    "freezes",
    "grants",
    "holds",
    "inbox",
    "inbox_objects",
    "invoices",
    "items",
    "metadata",
    "objects",
    "order_payments",
    "orders",
    "outbox",
    "overrides",
    "paid_lines",
    "paybacks",
    "payments",
    "prices",
    "progress",
    "purchases",
    "receipts",
    "refunds",
    "request_keys",
    "requests",
    "schema",
    "sellers",
    "stamp",
    "subscription_changes",
    "subscriptions",
    "top_ups",
    "transfers",
    "usage",
    "usage_windows",
    "waits",
]
