"""What the back office has done."""

from typing import Final

from sqlalchemy import Column, Index, Text

from gatekeeper.storage.sql.tables.base import required, table
from gatekeeper.storage.sql.types import FreeText, UtcDateTime

actions: Final = table(
    "actions",
    required("id"),
    required("at", UtcDateTime),
    Column("actor", FreeText, nullable=False, comment="Who did it, by the host's own id."),
    required("kind"),
    Column("customer", Text),
    Column("subject", FreeText, comment="What it was done to: 'kind/id'."),
    required("reason", FreeText),
    Column("before", FreeText, comment="What has changed, as it was: a JSON object."),
    Column("after", FreeText, comment="The same as it is."),
    Column("fingerprint", Text, nullable=False, comment="Of all that was asked."),
    Index(None, "at", "id"),
    Index(None, "customer", "at", "id"),
    key=("id",),
    comment="What people have changed in the back office: append-only.",
)
