"""What sellers give back of what they got."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, Text

from gatekeeper.storage.sql.tables.base import partial_index, required, table
from gatekeeper.storage.sql.types import FreeText, UtcDateTime

paybacks: Final = table(
    "paybacks",
    Column("id", Text, nullable=False, comment="What it is for: 'refund/re_1'."),
    required("order_id"),
    Column("customer", Text, nullable=False, comment="Who has paid."),
    Column("destination", Text, nullable=False, comment="The seller's connected account."),
    Column("owed_id", Text, comment="Our own transfer that it is of."),
    Column("transfer_id", Text, comment="Stripe's."),
    required("amount_minor", BigInteger),
    required("currency"),
    required("status"),
    required("created_at", UtcDateTime),
    Column("due_at", UtcDateTime, nullable=False, comment="When it may be tried, until made."),
    Column("attempts", Integer, nullable=False, comment="How often Stripe has refused it."),
    Column("reversal_id", Text, comment="Stripe's."),
    Column("last_error", FreeText),
    Index(None, "customer"),
    Index(None, "order_id"),
    partial_index("ix_gatekeeper_paybacks_due", "due_at", where="status IN ('owed', 'failed')"),
    key=("id",),
    comment="What sellers give back of what they got, because the buyer's money goes back.",
)
