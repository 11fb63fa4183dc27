"""Customers, what they have bought, and the projections that entitlements derive from."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Text

from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.storage.sql.tables.base import partial_index, required, since_2, table
from gatekeeper.storage.sql.types import FreeText, OverrideValue, TermsText, UtcDateTime, Word

customers: Final = table(
    "customers",
    required("id"),
    required("created_at", UtcDateTime),
    Column("version", BigInteger, nullable=False),
    Column("stripe_id", Text),
    Column("email", FreeText),
    Column("name", FreeText),
    Column("deleted_at", UtcDateTime),
    Index("uq_gatekeeper_customers_stripe_id", "stripe_id", unique=True),
    Index(None, "email"),
    key=("id",),
)

erased: Final = table(
    "erased",
    required("id_hash"),
    required("erased_at", UtcDateTime),
    key=("id_hash",),
    comment="Customers who were erased, by a hash of their id: it is not used again.",
)

overrides: Final = table(
    "overrides",
    required("customer"),
    required("kind"),
    required("key"),
    required("value", OverrideValue),
    Column("expires_at", UtcDateTime),
    Column("reason", FreeText),
    Column("actor", Text),
    key=("customer", "kind", "key"),
)

subscriptions: Final = table(
    "subscriptions",
    required("id"),
    required("customer"),
    required("status"),
    required("started_at", UtcDateTime),
    required("anchor", UtcDateTime),
    Column("trial_end", UtcDateTime),
    Column("cancel_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    required("collection_paused", Boolean),
    Column("latest_invoice_id", Text),
    required("updated_at", UtcDateTime),
    Column("unpaid_since", UtcDateTime),
    Column("duplicate_of", Text, comment="The subscription that it was bought beside by mistake."),
    Index(None, "customer"),
    key=("id",),
)

items: Final = table(
    "subscription_items",
    required("customer"),
    required("id"),
    required("subscription_id"),
    required("status"),
    required("price_id"),
    required("quantity", BigInteger),
    Column("terms", TermsText),
    required("started_at", UtcDateTime),
    required("anchor", UtcDateTime),
    required("period_start", UtcDateTime),
    required("period_end", UtcDateTime),
    Column("trial_end", UtcDateTime),
    Column("cancel_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    required("collection_paused", Boolean),
    Index(None, "subscription_id"),
    key=("customer", "id"),
)

paid_lines: Final = table(
    "paid_lines",
    required("customer"),
    required("id"),
    required("item_id"),
    required("invoice_id"),
    required("start", UtcDateTime),
    required("end", UtcDateTime),
    required("quantity", BigInteger),
    required("terms", TermsText),
    required("proration", Boolean),
    required("amount_minor", BigInteger),
    required("currency"),
    since_2("paid_minor", BigInteger, "0", "What was paid for the whole invoice."),
    since_2("returned_minor", BigInteger, "0", "What of that has gone back."),
    Index(None, "customer", "item_id"),
    key=("customer", "id"),
)

invoices: Final = table(
    "invoices",
    required("id"),
    required("customer"),
    Column("subscription_id", Text),
    required("status"),
    required("amount_due_minor", BigInteger),
    required("amount_paid_minor", BigInteger),
    required("currency"),
    required("created_at", UtcDateTime),
    Column("finalized_at", UtcDateTime),
    Column("due_at", UtcDateTime),
    Column("paid_at", UtcDateTime),
    since_2("failures_told", Integer, "0", "The last attempt of whose failure was told."),
    since_2("credited_minor", BigInteger, "0", "What credit notes gave back."),
    Index(None, "customer"),
    partial_index("ix_gatekeeper_invoices_open", "subscription_id", where="status = 'open'"),
    key=("id",),
)

prices: Final = table(
    "prices",
    required("price_id"),
    required("lookup_key"),
    Column("plan", Text),
    Column("pack", Text),
    required("first_seen_at", UtcDateTime),
    key=("price_id",),
)

purchases: Final = table(
    "purchases",
    required("id"),
    required("customer"),
    required("price_lookup_key"),
    required("quantity", BigInteger),
    required("mode"),
    required("status", Word(PurchaseStatus)),
    required("created_at", UtcDateTime),
    Column("checkout_session_id", Text),
    Column("payment_intent_id", Text),
    Column("subscription_id", Text),
    Column("settled_at", UtcDateTime),
    Column("duplicate_of", Text, comment="The purchase of the same that it was paid beside."),
    Index(None, "customer"),
    Index("uq_gatekeeper_purchases_checkout_session_id", "checkout_session_id", unique=True),
    Index(None, "payment_intent_id"),
    partial_index(
        "ix_gatekeeper_purchases_duplicates", "created_at", where="duplicate_of IS NOT NULL"
    ),
    key=("id",),
)
