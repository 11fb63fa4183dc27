"""The first schema.

Revision ID: gatekeeper_0001
Revises:
"""

import uuid
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "gatekeeper_0001"
down_revision: Final = None
branch_labels: Final = ("gatekeeper",)
depends_on: Final = None

_INSTANT: Final = sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
"""As `UtcDateTime` is stored. A migration imports nothing that a later release may change."""


def upgrade() -> None:
    """From nothing."""
    _create_customers()
    _create_overrides()
    _create_subscriptions()
    _create_subscription_items()
    _create_paid_lines()
    _create_invoices()
    _create_prices()
    _create_purchases()
    _create_accounts()
    _create_entries()
    _create_grants()
    _create_holds()
    _create_receipts()
    _create_inbox()
    _create_inbox_objects()
    _create_inbox_completions()
    _create_outbox()
    _create_stamp()
    _create_schema()
    op.execute(
        sa.text(
            "INSERT INTO gatekeeper_schema (id, version, readable_from, database_id) "
            "VALUES (1, 1, 1, :database_id)"
        ).bindparams(sa.bindparam("database_id", uuid.uuid4().hex, sa.Text(), literal_execute=True))
    )


def downgrade() -> None:
    """Refused: this would drop every account with its history."""
    raise NotImplementedError(
        "Gatekeeper's first schema can't be taken back: the ledger would be lost. Drop the "
        "gatekeeper_* tables yourself if that is what you want."
    )


def _partial_index(
    name: str, table: str, columns: list[str], where: str, *, unique: bool = False
) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=unique, postgresql_where=condition, sqlite_where=condition
    )


def _create_customers() -> None:
    op.create_table(
        "gatekeeper_customers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("stripe_id", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("deleted_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gatekeeper_customers")),
    )
    op.create_index(
        "uq_gatekeeper_customers_stripe_id", "gatekeeper_customers", ["stripe_id"], unique=True
    )


def _create_overrides() -> None:
    op.create_table(
        "gatekeeper_overrides",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer", "kind", "key", name=op.f("pk_gatekeeper_overrides")),
    )


def _create_subscriptions() -> None:
    op.create_table(
        "gatekeeper_subscriptions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("anchor", _INSTANT, nullable=False),
        sa.Column("trial_end", _INSTANT, nullable=True),
        sa.Column("cancel_at", _INSTANT, nullable=True),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("collection_paused", sa.Boolean(), nullable=False),
        sa.Column("latest_invoice_id", sa.Text(), nullable=True),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.Column("unpaid_since", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gatekeeper_subscriptions")),
    )
    op.create_index(
        "ix_gatekeeper_subscriptions_customer", "gatekeeper_subscriptions", ["customer"]
    )


def _create_subscription_items() -> None:
    op.create_table(
        "gatekeeper_subscription_items",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("price_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=True),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("anchor", _INSTANT, nullable=False),
        sa.Column("period_start", _INSTANT, nullable=False),
        sa.Column("period_end", _INSTANT, nullable=False),
        sa.Column("trial_end", _INSTANT, nullable=True),
        sa.Column("cancel_at", _INSTANT, nullable=True),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("collection_paused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "id", name=op.f("pk_gatekeeper_subscription_items")),
    )
    op.create_index(
        "ix_gatekeeper_subscription_items_subscription_id",
        "gatekeeper_subscription_items",
        ["subscription_id"],
    )


def _create_paid_lines() -> None:
    op.create_table(
        "gatekeeper_paid_lines",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("start", _INSTANT, nullable=False),
        sa.Column("end", _INSTANT, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("proration", sa.Boolean(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "id", name=op.f("pk_gatekeeper_paid_lines")),
    )
    op.create_index(
        "ix_gatekeeper_paid_lines_customer_item_id",
        "gatekeeper_paid_lines",
        ["customer", "item_id"],
    )


def _create_invoices() -> None:
    op.create_table(
        "gatekeeper_invoices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("amount_due_minor", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("finalized_at", _INSTANT, nullable=True),
        sa.Column("due_at", _INSTANT, nullable=True),
        sa.Column("paid_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gatekeeper_invoices")),
    )
    op.create_index("ix_gatekeeper_invoices_customer", "gatekeeper_invoices", ["customer"])
    _partial_index(
        "ix_gatekeeper_invoices_open", "gatekeeper_invoices", ["subscription_id"], "status = 'open'"
    )


def _create_prices() -> None:
    op.create_table(
        "gatekeeper_prices",
        sa.Column("price_id", sa.Text(), nullable=False),
        sa.Column("lookup_key", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("pack", sa.Text(), nullable=True),
        sa.Column("first_seen_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("price_id", name=op.f("pk_gatekeeper_prices")),
    )


def _create_purchases() -> None:
    op.create_table(
        "gatekeeper_purchases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("price_lookup_key", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("checkout_session_id", sa.Text(), nullable=True),
        sa.Column("payment_intent_id", sa.Text(), nullable=True),
        sa.Column("subscription_id", sa.Text(), nullable=True),
        sa.Column("settled_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gatekeeper_purchases")),
    )
    op.create_index("ix_gatekeeper_purchases_customer", "gatekeeper_purchases", ["customer"])
    op.create_index(
        "uq_gatekeeper_purchases_checkout_session_id",
        "gatekeeper_purchases",
        ["checkout_session_id"],
        unique=True,
    )


def _create_accounts() -> None:
    op.create_table(
        "gatekeeper_accounts",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("debt", sa.BigInteger(), nullable=False),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=False,
            comment="The sequence number of the last entry.",
        ),
        sa.Column(
            "grants", sa.Text(), nullable=False, comment="What grants have left, as packed JSON."
        ),
        sa.Column(
            "received",
            sa.Text(),
            nullable=False,
            comment="What each window was given, as packed JSON.",
        ),
        sa.Column("last_entry_at", _INSTANT, nullable=True),
        sa.CheckConstraint("posted - held >= 0", name=op.f("ck_gatekeeper_accounts_available")),
        sa.CheckConstraint("debt >= 0", name=op.f("ck_gatekeeper_accounts_debt")),
        sa.CheckConstraint("held >= 0", name=op.f("ck_gatekeeper_accounts_held")),
        sa.PrimaryKeyConstraint("customer", "unit", name=op.f("pk_gatekeeper_accounts")),
        comment=(
            "One row per customer and unit. posted is the sum of the entries' posted_delta, "
            "held the sum of their held_delta; posted - held can be spent."
        ),
    )


def _create_entries() -> None:
    op.create_table(
        "gatekeeper_entries",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("posted_delta", sa.BigInteger(), nullable=False),
        sa.Column("held_delta", sa.BigInteger(), nullable=False),
        sa.Column("debt_delta", sa.BigInteger(), nullable=False),
        sa.Column("grant_id", sa.Text(), nullable=True),
        sa.Column("hold_id", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("feature", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer", "unit", "sequence", name=op.f("pk_gatekeeper_entries")),
        comment=("The history of the accounts: append-only, numbered from 1 within an account."),
        sqlite_with_rowid=False,
    )


def _create_grants() -> None:
    op.create_table(
        "gatekeeper_grants",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True, comment="NULL: without bound."),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=True),
        sa.Column(
            "source_key",
            sa.Text(),
            nullable=True,
            comment="The business key of what gave it, unique for ever.",
        ),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer", "unit", "id", name=op.f("pk_gatekeeper_grants")),
        comment=(
            "Every allotment as it was given: immutable. What is left of it stands in the account."
        ),
    )
    _partial_index(
        "uq_gatekeeper_grants_source_key",
        "gatekeeper_grants",
        ["source_key"],
        "source_key IS NOT NULL",
        unique=True,
    )


def _create_holds() -> None:
    op.create_table(
        "gatekeeper_holds",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column(
            "allocations",
            sa.Text(),
            nullable=False,
            comment="[grant, amount] pairs, in burn order.",
        ),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("captured", sa.BigInteger(), nullable=False),
        sa.Column("overrun", sa.BigInteger(), nullable=False),
        sa.Column("cost_numerator", sa.BigInteger(), nullable=False),
        sa.Column("cost_denominator", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("feature", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer", "id", name=op.f("pk_gatekeeper_holds")),
        comment=("Claims on an account. A hold ends exactly once; only an open one ever changes."),
    )
    op.create_index("ix_gatekeeper_holds_id", "gatekeeper_holds", ["id"])
    _partial_index(
        "ix_gatekeeper_holds_open", "gatekeeper_holds", ["customer", "unit"], "status = 'open'"
    )
    _partial_index(
        "ix_gatekeeper_holds_open_expiry", "gatekeeper_holds", ["expires_at"], "status = 'open'"
    )


def _create_receipts() -> None:
    op.create_table(
        "gatekeeper_receipts",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("customer", "key", name=op.f("pk_gatekeeper_receipts")),
        comment="Used idempotency keys, written in the transaction of their effect.",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_gatekeeper_receipts_created_at", "gatekeeper_receipts", ["created_at"])


def _create_inbox() -> None:
    op.create_table(
        "gatekeeper_inbox",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("api_version", sa.Text(), nullable=True),
        sa.Column("object_type", sa.Text(), nullable=True),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.Column("leased_until", _INSTANT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_gatekeeper_inbox")),
    )
    _partial_index(
        "ix_gatekeeper_inbox_object", "gatekeeper_inbox", ["object_key"], "status = 'pending'"
    )
    _partial_index(
        "ix_gatekeeper_inbox_payload",
        "gatekeeper_inbox",
        ["received_at"],
        "payload IS NOT NULL AND status <> 'pending'",
    )
    op.create_index(
        "ix_gatekeeper_inbox_status_received_at_key",
        "gatekeeper_inbox",
        ["status", "received_at", "key"],
    )


def _create_inbox_objects() -> None:
    op.create_table(
        "gatekeeper_inbox_objects",
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column(
            "leased_until",
            _INSTANT,
            nullable=True,
            comment="Until when one dispatcher has this object.",
        ),
        sa.Column(
            "taken", sa.BigInteger(), nullable=False, comment="The last fetch ticket given out."
        ),
        sa.Column(
            "used",
            sa.BigInteger(),
            nullable=False,
            comment="The last ticket whose fetch was written.",
        ),
        sa.Column(
            "terminal",
            sa.Boolean(),
            nullable=False,
            comment="A state that nothing follows was seen.",
        ),
        sa.PrimaryKeyConstraint("object_key", name=op.f("pk_gatekeeper_inbox_objects")),
        comment=("One row per object that events are about: its lease and its fetch tickets."),
    )


def _create_inbox_completions() -> None:
    op.create_table(
        "gatekeeper_inbox_completions",
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("completed_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint(
            "event_key", "handler", name=op.f("pk_gatekeeper_inbox_completions")
        ),
        comment=("Which handlers have completed which events, written with their effects."),
        sqlite_with_rowid=False,
    )


def _create_outbox() -> None:
    op.create_table(
        "gatekeeper_outbox",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", _INSTANT, nullable=True),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("leased_until", _INSTANT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer", "id", name=op.f("pk_gatekeeper_outbox")),
    )
    _partial_index(
        "ix_gatekeeper_outbox_due", "gatekeeper_outbox", ["due_at"], "sent_at IS NULL AND NOT dead"
    )
    op.create_index("ix_gatekeeper_outbox_id", "gatekeeper_outbox", ["id"])
    _partial_index(
        "ix_gatekeeper_outbox_order",
        "gatekeeper_outbox",
        ["customer", "topic", "created_at", "id"],
        "sent_at IS NULL AND NOT dead",
    )


def _create_stamp() -> None:
    op.create_table(
        "gatekeeper_stamp",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_gatekeeper_stamp_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gatekeeper_stamp")),
        comment="The one Stripe account and mode that this database belongs to.",
    )


def _create_schema() -> None:
    op.create_table(
        "gatekeeper_schema",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="The number of this schema."),
        sa.Column(
            "readable_from",
            sa.Integer(),
            nullable=False,
            comment="The oldest schema number whose releases still run on this schema.",
        ),
        sa.Column(
            "database_id",
            sa.Text(),
            nullable=False,
            comment="Made at random once; tells databases apart.",
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_gatekeeper_schema_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gatekeeper_schema")),
        comment="What releases this schema is good for; each migration writes it.",
    )
