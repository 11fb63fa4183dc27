"""What is owed to sellers of what buyers have paid."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Text

from gatekeeper.storage.sql.tables.base import partial_index, required, since_2, table
from gatekeeper.storage.sql.types import FreeText, UtcDateTime

transfers: Final = table(
    "transfers",
    required("id"),
    Column("customer", Text, nullable=False, comment="Who has paid."),
    required("charge_id"),
    Column("destination", Text, nullable=False, comment="The seller's connected account."),
    required("amount_minor", BigInteger),
    required("currency"),
    required("status"),
    required("created_at", UtcDateTime),
    Column("due_at", UtcDateTime, nullable=False, comment="When it may be tried, until sent."),
    Column("attempts", Integer, nullable=False, comment="How often Stripe has refused it."),
    Column("transfer_id", Text, comment="Stripe's."),
    Column("reversed_minor", BigInteger, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("last_error", FreeText),
    since_2(
        "of_balance",
        Boolean,
        "false",
        "Sent out of what the platform has, and not out of the charge.",
    ),
    Index(None, "customer"),
    Index(None, "transfer_id"),
    partial_index("ix_gatekeeper_transfers_due", "due_at", where="status <> 'sent'"),
    key=("id",),
    comment="What is owed to sellers of what buyers have paid, and was sent to them.",
)
