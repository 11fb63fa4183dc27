"""Refunds that were asked for here."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Text

from gatekeeper.storage.refunds import AskedStatus
from gatekeeper.storage.sql.tables.base import partial_index, required, table
from gatekeeper.storage.sql.types import FreeText, UtcDateTime, Word

refunds: Final = table(
    "refunds",
    required("id"),
    Column("customer", Text, comment="Who has paid."),
    required("payment_id"),
    required("charge_id"),
    Column("invoice_id", Text),
    Column("order_id", Text),
    required("amount_minor", BigInteger),
    required("currency"),
    Column("reason", Text, comment="Stripe's word for it."),
    Column("note", FreeText, nullable=False, comment="Why, in the actor's words."),
    required("actor", FreeText),
    required("status", Word(AskedStatus)),
    Column("refund_id", Text, comment="Stripe's, once it is made."),
    required("created_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("last_error", FreeText),
    Index(None, "customer"),
    Index(None, "payment_id"),
    Index(None, "refund_id"),
    partial_index("ix_gatekeeper_refunds_unmade", "created_at", "id", where="status <> 'made'"),
    key=("id",),
    comment="Refunds that were asked for here; what became of each, its copy in objects tells.",
)
