"""Sellers: customers who are paid, on connected accounts."""

from typing import Final

from sqlalchemy import Column, Index, Text

from gatekeeper.storage.sql.tables.base import required, table
from gatekeeper.storage.sql.types import UtcDateTime

sellers: Final = table(
    "sellers",
    required("customer"),
    Column("country", Text, nullable=False, comment="ISO 3166-1, two letters."),
    Column("account_id", Text, comment="Stripe's; NULL while it is being made."),
    required("created_at", UtcDateTime),
    Index(None, "account_id", unique=True),
    key=("customer",),
    comment="The customers who sell, each on a connected account.",
)
