"""The ledger: accounts, and the immutable history that they can be rebuilt from."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, Text

from gatekeeper.ledger import EntryKind, GrantKind, HoldStatus
from gatekeeper.storage.sql.tables.base import partial_index, required, since_2, table
from gatekeeper.storage.sql.types import FreeText, UtcDateTime, Word

accounts: Final = table(
    "accounts",
    required("customer"),
    required("unit"),
    required("posted", BigInteger),
    required("held", BigInteger),
    required("debt", BigInteger),
    Column("version", BigInteger, nullable=False, comment="The sequence number of the last entry."),
    Column("grants", Text, nullable=False, comment="What grants have left, as packed JSON."),
    Column("received", Text, nullable=False, comment="What each window was given, as packed JSON."),
    Column("last_entry_at", UtcDateTime),
    since_2("revision", BigInteger, "0", "Moves on with every write of the row."),
    since_2("standing", Text, "'[]'", "Caps, alerts and until when it is up to date, packed JSON."),
    Column("notice_due_at", UtcDateTime, comment="When a grant's expiry is to be told of."),
    partial_index(
        "ix_gatekeeper_accounts_notice", "notice_due_at", where="notice_due_at IS NOT NULL"
    ),
    CheckConstraint("posted - held >= 0", name="available"),
    CheckConstraint("held >= 0", name="held"),
    CheckConstraint("debt >= 0", name="debt"),
    key=("customer", "unit"),
    fill_percent=50,
    comment=(
        "One row per customer and unit. posted is the sum of the entries' posted_delta, held the "
        "sum of their held_delta; posted - held can be spent."
    ),
)

entries: Final = table(
    "entries",
    required("customer"),
    required("unit"),
    required("sequence", BigInteger),
    required("kind", Word(EntryKind)),
    required("at", UtcDateTime),
    required("posted_delta", BigInteger),
    required("held_delta", BigInteger),
    required("debt_delta", BigInteger),
    Column("grant_id", Text),
    Column("hold_id", Text),
    Column("actor", FreeText),
    Column("feature", FreeText),
    Column("reference", FreeText),
    since_2("scope", FreeText, "''"),
    Column("metadata", FreeText, comment="The caller's own, a JSON object."),
    partial_index("ix_gatekeeper_entries_captures", "customer", "at", where="kind = 'capture'"),
    key=("customer", "unit", "sequence"),
    append_only=True,
    comment="The history of the accounts: append-only, numbered from 1 within an account.",
)

grants: Final = table(
    "grants",
    required("customer"),
    required("unit"),
    required("id"),
    required("kind", Word(GrantKind)),
    Column("amount", BigInteger, comment="NULL: without bound."),
    required("created_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("source_key", Text, comment="The business key of what gave it, unique for ever."),
    Column("actor", FreeText),
    Column("reason", FreeText),
    Column("effective_at", UtcDateTime, comment="NULL: from created_at on."),
    since_2("priority", Integer, "0"),
    Column("metadata", FreeText, comment="The caller's own, a JSON object."),
    partial_index(
        "uq_gatekeeper_grants_source_key",
        "source_key",
        where="source_key IS NOT NULL",
        unique=True,
    ),
    key=("customer", "unit", "id"),
    comment="Every allotment as it was given: immutable. What is left of it stands in the account.",
)

holds: Final = table(
    "holds",
    required("customer"),
    required("id"),
    required("unit"),
    required("amount", BigInteger),
    Column("allocations", Text, nullable=False, comment="[grant, amount] pairs, in burn order."),
    required("created_at", UtcDateTime),
    required("expires_at", UtcDateTime),
    required("status", Word(HoldStatus)),
    required("captured", BigInteger),
    required("overrun", BigInteger),
    required("cost_numerator", BigInteger),
    required("cost_denominator", BigInteger),
    Column("ended_at", UtcDateTime),
    Column("actor", FreeText),
    Column("feature", FreeText),
    Column("reference", FreeText),
    since_2("scope", FreeText, "''"),
    Column("metadata", FreeText, comment="The caller's own, a JSON object."),
    Column("formula", Text, comment="What it costs, if by a formula: packed JSON."),
    Index(None, "id"),
    partial_index("ix_gatekeeper_holds_open_expiry", "expires_at", where="status = 'open'"),
    partial_index("ix_gatekeeper_holds_open", "customer", "unit", where="status = 'open'"),
    key=("customer", "id"),
    comment="Claims on an account. A hold ends exactly once; only an open one ever changes.",
)

caps: Final = table(
    "caps",
    required("customer"),
    required("unit"),
    required("scope", FreeText),
    required("every"),
    Column("cap_limit", BigInteger, comment="NULL: counted, not refused."),
    required("window_start", UtcDateTime),
    required("window_end", UtcDateTime),
    required("used", BigInteger),
    required("reached", Boolean),
    key=("customer", "unit", "scope", "every"),
    comment="How much a part of an account may use in each window; kept under the account's lock.",
)

receipts: Final = table(
    "receipts",
    required("customer"),
    required("key"),
    required("fingerprint"),
    required("result"),
    required("created_at", UtcDateTime),
    Index(None, "created_at"),
    key=("customer", "key"),
    append_only=True,
    comment="Used idempotency keys, written in the transaction of their effect.",
)
