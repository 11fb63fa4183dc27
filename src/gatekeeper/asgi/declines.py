"""Why a payment was declined, as far as the person may be told.

Source: https://docs.stripe.com/declines/codes. Of a card that the bank holds to be stolen or used
by somebody else nothing is said beyond that it was declined: whoever holds it must not learn why.
"""

from collections.abc import Mapping
from typing import Any, Final

from gatekeeper.errors import AuthenticationRequiredError, CardDeclinedError

GENERIC: Final = "generic_decline"

_REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    "insufficient_funds": ("insufficient_funds",),
    "expired_card": ("expired_card",),
    "incorrect_cvc": ("incorrect_cvc", "invalid_cvc"),
    "incorrect_number": ("incorrect_number", "invalid_number"),
    "incorrect_address": ("incorrect_address", "incorrect_zip"),
    "invalid_expiry": ("invalid_expiry_month", "invalid_expiry_year"),
    "card_not_supported": (
        "card_not_supported",
        "not_permitted",
        "service_not_allowed",
        "transaction_not_allowed",
    ),
    "currency_not_supported": ("currency_not_supported",),
    "limit_exceeded": ("card_velocity_exceeded", "withdrawal_count_limit_exceeded"),
    "duplicate_transaction": ("duplicate_transaction",),
    "try_again": (
        "approve_with_id",
        "issuer_not_available",
        "payment_method_provider_timeout",
        "processing_error",
        "reenter_transaction",
        "try_again_later",
    ),
    "authentication_failed": (
        "payment_intent_authentication_failure",
        "setup_intent_authentication_failure",
    ),
    "test_card": ("live_mode_test_card", "testmode_decline"),
}
"""Our word for what a person can do about it, and Stripe's codes that come to it."""

_WORDS: Final = {code: word for word, codes in _REASONS.items() for code in codes}


def reason_of(error: CardDeclinedError) -> tuple[str, str | None]:
    """The decline code that a program is told, and our word for it; None has no text of its own.

    Some codes are Stripe's `code`, not its `decline_code`.
    """
    for name in ("decline_code", "stripe_code"):
        code = str(error.params.get(name))
        if code in _WORDS:
            return code, _WORDS[code]
    return GENERIC, None


def shown_code(code: str) -> str:
    """A decline code as the person may know it."""
    return code if code in _WORDS else GENERIC


def shown_params(error: CardDeclinedError) -> dict[str, Any]:
    """What a page needs to go on after a declined payment: of the params only what is for it."""
    shown = {"payment_intent": error.params.get("payment_intent")}
    if isinstance(error, AuthenticationRequiredError):
        return {**shown, "client_secret": error.params.get("client_secret"), "next": "confirm"}
    return {**shown, "decline_code": reason_of(error)[0]}
