"""2025-03-31.basil, from 2025-09-30.clover.

Source: Stripe's changelog of clover: a discount's coupon went into `source`, and a promotion code's
into `promotion`, each by its id alone.
"""

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.versions.known import Known, drop


def subscription(obj: Obj, known: Known) -> None:
    """Without the billing mode: everything was what is `classic` since."""
    drop(obj, "billing_mode", "customer_account")


def discount(obj: Obj, known: Known) -> None:
    """With its whole coupon."""
    source = obj.pop("source")
    obj["coupon"] = known.find("coupon", source["coupon"])


def promotion_code(obj: Obj, known: Known) -> None:
    """With its whole coupon."""
    promotion = obj.pop("promotion")
    obj["coupon"] = known.find("coupon", promotion["coupon"])
