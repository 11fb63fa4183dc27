"""2025-09-30.clover, from 2026-05-27.dahlia."""

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.versions.known import Known, drop


def subscription(obj: Obj, known: Known) -> None:
    """Without what came later."""
    drop(obj, "billing_schedules", "managed_payments")


def invoice(obj: Obj, known: Known) -> None:
    """Without what came later."""
    drop(obj, "amount_paid_off_stripe", "customer_account", "confirmation_secret")
    for line in obj["lines"]["data"]:
        drop(line, "quantity_decimal", "subtotal")
