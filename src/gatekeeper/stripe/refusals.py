"""What the `stripe` package raises, as our own errors: one place that decides, and no secrets.

Source: https://docs.stripe.com/api/errors, https://docs.stripe.com/error-codes,
https://docs.stripe.com/declines/codes and https://docs.stripe.com/error-low-level. Stripe's message
is kept, because it says what to mend, with anything that looks like a key blotted out: an
error ends up in logs and answers.
"""

from typing import TYPE_CHECKING, Final

from gatekeeper.errors import (
    AuthenticationRequiredError,
    CardDeclinedError,
    GatekeeperError,
    IdempotencyConflictError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.telemetry.redaction import redact_keys

if TYPE_CHECKING:
    from stripe import StripeError

_MAX_MESSAGE_CHARS: Final = 300
WAITING: Final = "too_many_waiting"
"""The code of an error of our own: Stripe was not asked, since too many wait for their turn."""

_TRY_AGAIN: Final = frozenset({409, 424, 429})
"""409 and 424: another request holds a lock or an idempotency key just now."""

_WANTS_AUTHENTICATION: Final = frozenset(
    {"authentication_required", "mobile_device_authentication_required"}
)

_DECLINES_ELSEWHERE: Final = frozenset(
    {
        "payment_intent_authentication_failure",
        "payment_intent_payment_attempt_failed",
        "payment_method_customer_decline",
        "payment_method_provider_decline",
        "payment_method_provider_timeout",
        "setup_intent_authentication_failure",
    }
)
"""Codes of means of payment other than cards, and of a confirmation that failed: Stripe does not
call all of these card errors (https://docs.stripe.com/error-codes)."""


def refusal_of(error: "StripeError", what: str) -> GatekeeperError:
    """The error to raise when Stripe did not do `what` (a noun: "fetching an invoice").

    An answer that is none (a broken connection, a timeout, a 5xx, a 429, a body that is no JSON)
    is `StripeUnavailableError`: nothing is known to have failed, and it may be tried again under
    the same idempotency key. Everything else is Stripe's refusal, `StripeRequestError`, with its
    `stripe_code`, `stripe_param`, `decline_code`, `request_id` and the id of the `payment_intent`
    that was refused among the params. Both have `stripe_status`, if there was an answer.

    A refusal of the card, or of another means of payment, is a `CardDeclinedError`; one that the
    person can lift by confirming the payment is an `AuthenticationRequiredError`, with the
    `client_secret` with which a page does so.
    """
    if error.code == WAITING:
        return StripeUnavailableError(
            f"Too many requests to Stripe wait for their turn ({what}); try again."
        )
    status = error.http_status
    if status is None or not 400 <= status < 500 or status in _TRY_AGAIN:
        shown = f"answered {status}" if status else "did not answer"
        answered = {} if status is None else {"stripe_status": status}
        return StripeUnavailableError(f"Stripe {shown} ({what}); try again.", **answered)
    details = _details(error)
    if details.get("type") == "idempotency_error":
        return IdempotencyConflictError(
            f"This idempotency key was used at Stripe for another request ({what})."
        )
    message = redact_keys(str(details.get("message") or "it gave no reason"))[:_MAX_MESSAGE_CHARS]
    known = {
        "stripe_code": details.get("code"),
        "stripe_param": details.get("param"),
        "decline_code": details.get("decline_code"),
        "stripe_status": status,
        "payment_intent": _id_of(details.get("payment_intent")),
        "request_id": error.request_id,
    }
    kind = _kind_of(details)
    if kind is AuthenticationRequiredError:
        known["client_secret"] = _client_secret_of(details)
    return kind(
        f"Stripe refused {what}: {message}",
        **{name: value for name, value in known.items() if value is not None},
    )


def _kind_of(details: dict[str, object]) -> type[StripeRequestError]:
    codes = {details.get("code"), details.get("decline_code")}
    if codes & _WANTS_AUTHENTICATION:
        return AuthenticationRequiredError
    if details.get("type") == "card_error" or codes & _DECLINES_ELSEWHERE:
        return CardDeclinedError
    return StripeRequestError


def _client_secret_of(details: dict[str, object]) -> object:
    """Of the intent that came with the error: https://docs.stripe.com/api/errors#errors-payment_intent"""
    for name in ("payment_intent", "setup_intent"):
        intent = details.get(name)
        if isinstance(intent, dict) and intent.get("client_secret"):
            return intent["client_secret"]
    return None


def _details(error: "StripeError") -> dict[str, object]:
    body = error.json_body
    found = body.get("error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def _id_of(found: object) -> object:
    """The id of an object that came with an error."""
    return found.get("id") if isinstance(found, dict) else found
