"""What to answer to a webhook, as a value: for hosts that have a route of their own."""

from typing import Final

import msgspec

from gatekeeper.errors import GatekeeperError

_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"


class WebhookAnswer(msgspec.Struct, frozen=True):
    """The answer to one delivery.

    Attributes:
        status: 200 once the event is committed; 400 or 413 for what Stripe did not send; 503 when
            it could not be stored, so that Stripe sends it again.
        new: whether the event was not known before.
        error: why it was refused.
    """

    status: int
    new: bool = False
    error: GatekeeperError | None = None

    @classmethod
    def refused(cls, error: GatekeeperError) -> "WebhookAnswer":
        """The answer to what was not stored."""
        return cls(error.status, error=error)

    @property
    def headers(self) -> dict[str, str]:
        """The headers to send."""
        if self.error is None:
            return {"Content-Type": _JSON}
        wait = self.error.retry_after_seconds
        headers = {"Content-Type": _PROBLEM}
        return headers if wait is None else {**headers, "Retry-After": str(wait)}

    @property
    def body(self) -> bytes:
        """The body to send: JSON, or an RFC 9457 problem."""
        if self.error is None:
            return b'{"received":true}'
        problem = {
            "type": self.error.problem_type,
            "title": self.error.title,
            "status": self.status,
            "detail": self.error.detail,
        }
        return msgspec.json.encode(problem)
