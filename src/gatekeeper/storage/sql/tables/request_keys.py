"""Keys under which clients make a request once."""

from typing import Final

from sqlalchemy import Column, Index, Text

from gatekeeper.storage.sql.tables.base import required, table
from gatekeeper.storage.sql.types import UtcDateTime

request_keys: Final = table(
    "request_keys",
    Column("customer", Text, nullable=False, comment="Whose it is; or who in the back office."),
    required("key"),
    Column("body_hash", Text, nullable=False, comment="Of all that was asked with it."),
    required("created_at", UtcDateTime),
    Index(None, "created_at"),
    key=("customer", "key"),
    comment="The first use of each Idempotency-Key of the billing API.",
)
