"""Events that came in and messages that have to leave."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Text, text

from gatekeeper.storage.records import ErrorKind, EventStatus
from gatekeeper.storage.sql.tables.base import partial_index, required, table
from gatekeeper.storage.sql.types import UtcDateTime, Word

UNSENT: Final = "sent_at IS NULL AND NOT dead"
"""What makes a message of the outbox wait, as the partial indexes spell it."""


def waits(alias: str | None = None) -> str:
    """The same for the indexes that messages are claimed by, in words that PostgreSQL can't see
    through: to `UNSENT` it would prefer any index, on finding that nearly all was sent when it last
    looked; here it takes half for waiting, so that order is worth having from the index."""
    of = f"{alias}." if alias else ""
    return f"CASE WHEN {of}dead THEN false ELSE {of}sent_at IS NULL END"


inbox: Final = table(
    "inbox",
    required("key"),
    required("event_id"),
    required("type"),
    Column("account", Text),
    required("livemode", Boolean),
    Column("api_version", Text),
    Column("object_type", Text),
    Column("object_id", Text),
    required("object_key"),
    required("created_at", UtcDateTime),
    required("received_at", UtcDateTime),
    Column("payload", LargeBinary),
    required("status", Word(EventStatus)),
    required("attempts", Integer),
    required("due_at", UtcDateTime),
    Column("leased_until", UtcDateTime),
    Column("last_error", Text),
    Column("error_kind", Word(ErrorKind), comment="Why it failed: transient, dependency, ..."),
    Column("twin", Text, comment="The key of the snapshot event that a thin one stands for."),
    partial_index("ix_gatekeeper_inbox_object", "object_key", where="status = 'pending'"),
    partial_index(
        "ix_gatekeeper_inbox_payload",
        "received_at",
        where="payload IS NOT NULL AND status <> 'pending'",
    ),
    Index(None, "status", "received_at", "key"),
    key=("key",),
)

inbox_objects: Final = table(
    "inbox_objects",
    required("object_key"),
    Column("leased_until", UtcDateTime, comment="Until when one dispatcher has this object."),
    Column("taken", BigInteger, nullable=False, comment="The last fetch ticket given out."),
    Column("used", BigInteger, nullable=False, comment="The last ticket whose fetch was written."),
    Column("terminal", Boolean, nullable=False, comment="A state that nothing follows was seen."),
    key=("object_key",),
    comment="One row per object that events are about: its lease and its fetch tickets.",
)

completions: Final = table(
    "inbox_completions",
    required("event_key"),
    required("handler"),
    required("completed_at", UtcDateTime),
    key=("event_key", "handler"),
    append_only=True,
    comment="Which handlers have completed which events, written with their effects.",
)

outbox: Final = table(
    "outbox",
    required("customer"),
    required("id"),
    required("topic"),
    required("body"),
    required("created_at", UtcDateTime),
    required("due_at", UtcDateTime),
    required("attempts", Integer),
    Column("sent_at", UtcDateTime),
    required("dead", Boolean),
    Column("leased_until", UtcDateTime),
    Column("last_error", Text),
    Column(
        "receiver",
        Text,
        nullable=False,
        server_default=text("''"),
        comment="Whom it is for; empty: for all who receive its topic.",
    ),
    Index(None, "id"),
    partial_index("ix_gatekeeper_outbox_waiting", "created_at", "id", where=waits()),
    partial_index(
        "ix_gatekeeper_outbox_order", "customer", "receiver", "created_at", "id", where=waits()
    ),
    partial_index("ix_gatekeeper_outbox_receiver", "receiver", "created_at", "id", where=UNSENT),
    partial_index("ix_gatekeeper_outbox_dead", "created_at", where="dead"),
    partial_index("ix_gatekeeper_outbox_sent", "sent_at", where="sent_at IS NOT NULL"),
    key=("customer", "id"),
)
