"""What the `stripe` package raises, as our own errors: one place that decides, and no secrets.

Source: https://docs.stripe.com/api/errors and https://docs.stripe.com/error-low-level. Stripe's
message is kept, because it says what to mend, with anything that looks like a key blotted out: an
error ends up in logs and answers.
"""

from typing import TYPE_CHECKING, Final

from gatekeeper.errors import (
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


def refusal_of(error: "StripeError", what: str) -> GatekeeperError:
    """The error to raise when Stripe did not do `what` (a noun: "fetching an invoice").

    An answer that is none (a broken connection, a timeout, a 5xx, a 429, a body that is no JSON)
    is `StripeUnavailableError`: nothing is known to have failed, and it may be tried again under
    the same idempotency key. Everything else is Stripe's refusal, `StripeRequestError`, with its
    `stripe_code`, `stripe_param`, `decline_code`, `request_id` and the id of the `payment_intent`
    that was refused among the params. Both have `stripe_status`, if there was an answer.
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
    return StripeRequestError(
        f"Stripe refused {what}: {message}",
        **{name: value for name, value in known.items() if value is not None},
    )


def _details(error: "StripeError") -> dict[str, object]:
    body = error.json_body
    found = body.get("error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def _id_of(found: object) -> object:
    """The id of an object that came with an error."""
    return found.get("id") if isinstance(found, dict) else found
