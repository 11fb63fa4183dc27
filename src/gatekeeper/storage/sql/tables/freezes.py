"""Freezes: customers whose credits are not to be spent for now."""

from typing import Final

from sqlalchemy import Column, Text

from gatekeeper.storage.sql.tables.base import required, table
from gatekeeper.storage.sql.types import FreeText, UtcDateTime

freezes: Final = table(
    "freezes",
    required("customer"),
    Column("key", Text, nullable=False, comment="What it is for, 'kind/id': the same one once."),
    required("reason", FreeText),
    required("since", UtcDateTime),
    Column("lifted_at", UtcDateTime),
    Column("actor", FreeText),
    key=("customer", "key"),
)
