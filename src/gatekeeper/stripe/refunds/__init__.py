"""Refunds that people ask for: of a payment, an invoice, an order or a purchase."""

from gatekeeper.stripe.refunds.desk import RefundDesk
from gatekeeper.stripe.refunds.values import REFUND_REASONS, Refund, RefundReason

__all__ = ["REFUND_REASONS", "Refund", "RefundDesk", "RefundReason"]
