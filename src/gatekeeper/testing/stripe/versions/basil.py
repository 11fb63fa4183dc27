"""2025-03-31.basil, from 2025-09-30.clover."""

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.versions.known import Known, drop


def subscription(obj: Obj, known: Known) -> None:
    """Without the billing mode: everything was what is `classic` since."""
    drop(obj, "billing_mode", "customer_account")
