"""What customers pay once, and the payments made for it."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, Text

from gatekeeper.projection.orders import OrderStatus
from gatekeeper.storage.sql.tables.base import partial_index, required, table
from gatekeeper.storage.sql.types import FreeText, UtcDateTime, Word

UNSETTLED: Final = "status IN ('pending', 'processing', 'failed')"
"""What partial indexes and the statements that use them call an order that is not paid yet."""

orders: Final = table(
    "orders",
    required("id"),
    Column("customer", Text, nullable=False, comment="Who pays."),
    required("status", Word(OrderStatus)),
    required("amount_minor", BigInteger),
    required("currency"),
    required("created_at", UtcDateTime),
    required("updated_at", UtcDateTime),
    Column("actor", Text, comment="Who has made it for them."),
    Column("reference", FreeText, comment="The host's own id of it."),
    Column("description", FreeText),
    Column("items", FreeText, nullable=False, comment="JSON: what was asked for, and priced."),
    Column("metadata", FreeText, nullable=False, comment="JSON: the host's words, for Stripe."),
    required("capture"),
    Column("seller", Text, comment="The customer whose sale it is."),
    required("commission_minor", BigInteger),
    required("transfers"),
    Column("revision", Integer, nullable=False, comment="How often it was priced."),
    Column("payment_id", Text, comment="The payment that is being made, or was."),
    Column("checkout_session_id", Text),
    required("authorized_minor", BigInteger),
    required("captured_minor", BigInteger),
    required("refunded_minor", BigInteger),
    Column("failure", Text),
    Column("paid_at", UtcDateTime),
    Column("canceled_at", UtcDateTime),
    Column("cancel_reason", Text),
    Index(None, "customer", "created_at", "id"),
    Index(None, "seller", "created_at", "id"),
    Index(None, "checkout_session_id"),
    partial_index("ix_gatekeeper_orders_unsettled", "id", where=UNSETTLED),
    Index("uq_gatekeeper_orders_reference", "customer", "reference", unique=True),
    key=("id",),
    comment="What customers pay once, as the host has priced it.",
)

order_payments: Final = table(
    "order_payments",
    Column("id", Text, nullable=False, comment="Of the payment intent."),
    required("order_id"),
    required("customer"),
    required("status"),
    required("amount_minor", BigInteger),
    required("currency"),
    required("created_at", UtcDateTime),
    required("capturable_minor", BigInteger),
    required("received_minor", BigInteger),
    required("returned_minor", BigInteger),
    Column("charge_id", Text),
    Column("failure", Text),
    Column("fault", Text, comment="Why it can't pay the order."),
    Index(None, "order_id"),
    Index(None, "customer"),
    key=("id",),
    comment="The payments that were begun for orders, as Stripe has them.",
)
