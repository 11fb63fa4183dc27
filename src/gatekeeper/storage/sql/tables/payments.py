"""Payments: what each has granted, and how much of it was taken back."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Text

from gatekeeper.storage.sql.tables.base import table
from gatekeeper.storage.sql.types import UtcDateTime

payments: Final = table(
    "payments",
    Column("id", Text, nullable=False, comment="Of the payment intent, or of the charge."),
    Column("customer", Text),
    Column("invoice_id", Text),
    Column("amount_minor", BigInteger, nullable=False),
    Column("returned_minor", BigInteger, nullable=False),
    Column("shares", Text, nullable=False, comment="JSON: the grants it has made."),
    Column("updated_at", UtcDateTime),
    Index(None, "customer"),
    Index(None, "invoice_id"),
    key=("id",),
    comment="What payments have granted, and how much of it was taken back.",
)
