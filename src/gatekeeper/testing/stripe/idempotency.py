"""Idempotency keys of the API: same request, same answer.

Source: Stripe's API reference, "Idempotent requests": keys have up to 255 characters and are kept
for at least 24 hours; other parameters are an error, and so is a key that is still in use.
"""

from dataclasses import dataclass

from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.errors import ApiError, invalid

LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer: HTTP status, body, and the id of the request that it answered."""

    status: int
    body: bytes
    request_id: str


@dataclass(slots=True)
class _Entry:
    path: str
    form: str
    begun_at: int
    answer: Answer | None = None


class IdempotencyKeys:
    """What has been asked under which key; kept for a simulated day."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def begin(self, key: str, path: str, form: str, now: int) -> Answer | None:
        """Claim a key; the stored answer if the same request has been answered before.

        Raises ApiError: 400 for another request under the same key, 409 while it is in use.
        """
        if len(key) > LONGEST_KEY:
            raise invalid(f"Idempotency keys may have up to {LONGEST_KEY} characters.")
        self._purge(now)
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = _Entry(path, form, now)
            return None
        if entry.path != path:
            raise _mismatch(
                "Keys for idempotent requests can only be used for the same endpoint they were"
                f" first used for ('{entry.path}' vs '{path}'). Try using a key other than '{key}'"
                " if you meant to execute a different request."
            )
        if entry.form != form:
            raise _mismatch(
                "Keys for idempotent requests can only be used with the same parameters they were"
                f" first used with. Try using a key other than '{key}' if you meant to execute a"
                " different request."
            )
        if entry.answer is None:
            raise ApiError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that"
                " probably means you submitted twice, and the other request is still going"
                f" through): {key}. Please try again later.",
                type="idempotency_error",
                code="idempotency_key_in_use",
            )
        return entry.answer

    def finish(self, key: str, answer: Answer) -> None:
        """Store the answer."""
        self._entries[key].answer = answer

    def abandon(self, key: str) -> None:
        """Forget a request that was refused before it began."""
        self._entries.pop(key, None)

    def _purge(self, now: int) -> None:
        # Keys stand in the order of their time: stop at the first that is young.
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if now - entry.begun_at <= DAY_SECONDS or entry.answer is None:
                return
            del self._entries[key]


def _mismatch(message: str) -> ApiError:
    return ApiError(400, message, type="idempotency_error")
