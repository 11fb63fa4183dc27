"""What is known of declines: which are tried again, how often and when."""

from datetime import timedelta
from typing import Final

MAX_DECLINES: Final = 3
"""So many declines in a row block, though each by itself might have passed."""

WAITS: Final = (timedelta(hours=1), timedelta(hours=12))
"""The waits after the first decline, and after the second."""

HARD: Final = frozenset(
    {
        "authentication_not_handled",
        "authentication_required",
        "do_not_try_again",
        "expired_card",
        "fraudulent",
        "highest_risk_level",
        "incorrect_number",
        "invalid_account",
        "lost_card",
        "mobile_device_authentication_required",
        "merchant_blacklist",
        "new_account_information_available",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)
"""The decline codes by which the same card is not tried again
(https://docs.stripe.com/declines/codes,
https://docs.stripe.com/billing/revenue-recovery/smart-retries#non-retryable-decline-codes)."""

AUTHENTICATION: Final = frozenset(
    {
        "authentication_not_handled",
        "authentication_required",
        "mobile_device_authentication_required",
    }
)
"""The codes that ask for the person
(https://docs.stripe.com/payments/save-and-reuse#charge-saved-payment-method)."""
