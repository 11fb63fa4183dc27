"""The tables, as SQLAlchemy Core metadata; `migrations/` brings a database to them.

Primary keys of the hot tables begin with the customer, so that a PostgreSQL that shards or
partitions by customer needs no change here. There are no foreign keys: they would lock and read a
second row for each row that is written, and forbid partitions to come and go. What belongs
together is written in one transaction.
"""

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
from gatekeeper.storage.sql.tables.ledger import accounts, caps, entries, grants, holds, receipts
from gatekeeper.storage.sql.tables.messages import (
    UNSENT,
    completions,
    inbox,
    inbox_objects,
    outbox,
)

__all__ = [
    "TABLE_PREFIX",
    "UNSENT",
    "accounts",
    "caps",
    "completions",
    "customers",
    "entries",
    "erased",
    "grants",
    "holds",
    "inbox",
    "inbox_objects",
    "invoices",
    "items",
    "metadata",
    "outbox",
    "overrides",
    "paid_lines",
    "prices",
    "purchases",
    "receipts",
    "schema",
    "stamp",
    "subscriptions",
]
