"""What Stripe's refusals mean for the payment of an order."""

from typing import Final

from gatekeeper.errors import (
    AmountNotChargeableError,
    CardDeclinedError,
    GatekeeperError,
    PaymentStateError,
    StripeRequestError,
)
from gatekeeper.stripe.client import Obj

_BOUNDS: Final = frozenset({"amount_too_small", "amount_too_large"})
"""What Stripe says of an amount that is outside of what its own settlement currency allows."""


def check_bounds(error: StripeRequestError) -> None:
    """Tell an amount that Stripe does not take by its own name
    (https://docs.stripe.com/error-codes#amount-too-small)."""
    if error.params.get("stripe_code") in _BOUNDS:
        raise AmountNotChargeableError(str(error)) from None


def is_of_no_method(error: GatekeeperError) -> bool:
    """Whether Stripe has no such payment method, or it is another customer's; not that a card was
    declined."""
    if isinstance(error, CardDeclinedError) or not isinstance(error, StripeRequestError):
        return False
    return error.params.get("stripe_param") == "payment_method"


def not_now(found: Obj | None, what: str) -> PaymentStateError:
    """The error of a payment that is past what was asked for."""
    status = "gone" if found is None else str(found["status"])
    reason = None if found is None else found.get("cancellation_reason")
    return PaymentStateError(
        f"The payment can't be {what}: it is {status}.",
        status=status,
        **({} if reason is None else {"reason": reason}),
    )
