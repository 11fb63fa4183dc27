"""Metered usage: what was used, and the windows in which it is told to Stripe."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, Text

from gatekeeper.storage.sql.tables.base import partial_index, required, table
from gatekeeper.storage.sql.types import UtcDateTime

usage: Final = table(
    "usage",
    required("customer"),
    required("meter"),
    required("id"),
    required("quantity", BigInteger),
    required("at", UtcDateTime),
    required("received_at", UtcDateTime),
    Column("window_id", Text, comment="The sealed window that it went into."),
    partial_index(
        "ix_gatekeeper_usage_unsealed", "customer", "meter", "at", where="window_id IS NULL"
    ),
    key=("customer", "meter", "id"),
    comment="Usage as it happened: append-only but for the window that it is sealed into.",
)

usage_windows: Final = table(
    "usage_windows",
    required("customer"),
    required("meter"),
    required("id"),
    required("start", UtcDateTime),
    required("at", UtcDateTime),
    required("quantity", BigInteger),
    required("identifier"),
    required("status"),
    required("attempts", Integer),
    required("created_at", UtcDateTime),
    required("due_at", UtcDateTime),
    Column("tried_at", UtcDateTime, comment="Since when it may have reached Stripe."),
    Column("leased_until", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("last_error", Text),
    Index("ix_gatekeeper_usage_windows_identifier", "identifier", unique=True),
    partial_index("ix_gatekeeper_usage_windows_due", "due_at", where="status = 'pending'"),
    partial_index("ix_gatekeeper_usage_windows_dead", "created_at", where="status = 'dead'"),
    key=("customer", "meter", "id"),
    comment="Sealed sums of usage, each one meter event of Stripe's; corrections are new rows.",
)
