"""What we ask of Stripe, and how far long work has come."""

from typing import Final

from sqlalchemy import Column, Integer, Text

from gatekeeper.storage.sql.tables.base import partial_index, required, table
from gatekeeper.storage.sql.types import UtcDateTime

requests: Final = table(
    "requests",
    required("id"),
    required("operation"),
    required("path"),
    required("idempotency_key"),
    Column("customer", Text),
    Column("account", Text),
    required("params"),
    required("status"),
    required("attempts", Integer),
    required("created_at", UtcDateTime),
    Column("due_at", UtcDateTime, nullable=False, comment="When it may be sent again, while open."),
    Column(
        "key_until",
        UtcDateTime,
        nullable=False,
        comment="Until when the idempotency key makes two sends one.",
    ),
    Column("ended_at", UtcDateTime),
    Column("answer_id", Text, comment="The id of what Stripe made."),
    Column("last_error", Text),
    partial_index("ix_gatekeeper_requests_open", "due_at", where="status = 'open'"),
    partial_index("ix_gatekeeper_requests_ended", "ended_at", where="status <> 'open'"),
    key=("id",),
    comment="Requests that change something at Stripe, written before they are sent.",
)

progress: Final = table(
    "progress",
    required("name"),
    required("state"),
    required("updated_at", UtcDateTime),
    Column("leased_until", UtcDateTime, comment="Until when one process works on it."),
    key=("name",),
    comment="How far reconciliation, backfill and moves of prices have come: state is JSON.",
)
