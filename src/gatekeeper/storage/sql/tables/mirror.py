"""Copies of Stripe's objects, and what subscriptions have been through."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Text

from gatekeeper.storage.sql.tables.base import partial_index, required, table
from gatekeeper.storage.sql.types import UtcDateTime

objects: Final = table(
    "objects",
    required("kind"),
    required("id"),
    Column("account", Text, nullable=False, comment="The Connect account; '' for our own."),
    Column("customer", Text, comment="The host's customer, where it is known."),
    Column("stripe_customer", Text),
    Column("parent", Text, comment="'kind/id' of the object that it belongs to."),
    Column("status", Text),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("created_at", UtcDateTime),
    required("facts"),
    required("deleted", Boolean),
    required("seen_at", UtcDateTime),
    Index(None, "customer", "kind"),
    Index(None, "parent", "kind"),
    partial_index("ix_gatekeeper_objects_nobodys", "stripe_customer", where="customer IS NULL"),
    partial_index("ix_gatekeeper_objects_disputes", "created_at", "id", where="kind = 'dispute'"),
    partial_index(
        "ix_gatekeeper_objects_balance_transactions",
        "created_at",
        "id",
        where="kind = 'balance_transaction'",
    ),
    partial_index("ix_gatekeeper_objects_refunds", "created_at", "id", where="kind = 'refund'"),
    key=("kind", "id", "account"),
    comment="Stripe's objects as last fetched: facts is JSON, by projection/.",
)

subscription_changes: Final = table(
    "subscription_changes",
    required("subscription_id"),
    Column("sequence", BigInteger, nullable=False, comment="From 1, within the subscription."),
    required("customer"),
    required("at", UtcDateTime),
    required("cause"),
    Column("event_key", Text, comment="The event of the inbox that caused it, if one did."),
    required("status"),
    required("facts"),
    Index(None, "customer"),
    key=("subscription_id", "sequence"),
    append_only=True,
    comment="The states of each subscription, append-only, with what caused each.",
)
