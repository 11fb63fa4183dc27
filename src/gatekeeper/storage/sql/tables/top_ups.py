"""What customers have agreed to have bought for them when they run low."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, Text

from gatekeeper.storage.sql.tables.base import partial_index, required, table
from gatekeeper.storage.sql.types import FreeText, UtcDateTime

top_ups: Final = table(
    "top_ups",
    required("customer"),
    required("unit"),
    Column("threshold", BigInteger, nullable=False, comment="Due when less can be spent."),
    required("pack"),
    Column("price", Text, nullable=False, comment="The lookup key of the pack's price."),
    Column("amount_minor", BigInteger, nullable=False, comment="The price that was agreed to."),
    required("currency"),
    Column("cap_minor", BigInteger, nullable=False, comment="The most in a calendar month."),
    required("is_on", Boolean),
    required("agreed_at", UtcDateTime),
    Column("agreed_by", FreeText),
    required("state"),
    Column("reason", Text, comment="What it is blocked by."),
    Column("error", FreeText, comment="Stripe's code of the last decline."),
    required("declines", Integer),
    Column("month", UtcDateTime, comment="The beginning of the month of spent_minor."),
    Column("spent_minor", BigInteger, nullable=False, comment="Paid, or being paid."),
    Column("paying_minor", BigInteger, nullable=False, comment="What of it is being paid."),
    Column("purchase_id", Text, comment="What is being paid, or was last."),
    Column("begun_at", UtcDateTime),
    Column("card", Text, comment="The payment method, Stripe's id."),
    Column("card_mark", Text, comment="Tells the card apart from the one after it."),
    Column("due_at", UtcDateTime, comment="When it is looked at next."),
    required("updated_at", UtcDateTime),
    partial_index("ix_gatekeeper_top_ups_due", "due_at", where="due_at IS NOT NULL"),
    key=("customer", "unit"),
    comment="Automatic top-ups: what is bought by itself, how far that is, and what stops it.",
)
