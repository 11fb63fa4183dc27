"""Stripe on a bad day: what goes wrong with requests and with webhooks, declared as rules.

A rule says what it meets (patterns with `*`, as `fnmatch` reads them), what happens, and how often.
Rules are asked in the order in which they were added; the first that fits is used up by one.
"""

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import Response

from gatekeeper.testing.stripe.core.errors import ApiError

FaultKind = Literal[
    "slow",
    "rate_limited",
    "server_error",
    "unavailable",
    "refused",
    "dropped",
    "lost",
    "lost_with_500",
    "kept_500",
]
"""What happens to a request. The first six, before it is carried out:

slow: it waits for `seconds`, then goes on. rate_limited: 429 with `Retry-After`. server_error: 500.
unavailable: 503. refused: 400 with `code` (a transfer's `balance_insufficient`, say). dropped: the
connection breaks, and nothing has been done.

The last three, after: it has been carried out. Its answer is kept under its idempotency key, but
the connection breaks (lost), or a 500 is sent instead (lost_with_500): a retry with the same key
gets the true answer. Or the 500 is what is kept (kept_500): a retry gets it again, for a day
(https://docs.stripe.com/api/idempotent_requests).
"""

WebhookFaultKind = Literal["delayed", "duplicated", "reordered", "dropped"]

Answering: TypeAlias = Callable[[], Awaitable[Response]]


@dataclass(slots=True)
class Fault:
    """A rule for requests.

    Attributes:
        kind: what happens.
        path: of the URL, e.g. `/v1/subscriptions/*`.
        method: `GET`, `POST`, `DELETE` or `*`.
        times: how often; None for always.
        after: how many requests that fit go well first.
        seconds: how long `slow` waits (real time).
        retry_after: the header's seconds of `rate_limited`; None sends none.
        code: Stripe's error code that `refused` answers.
        met: how many requests it has struck.
    """

    kind: FaultKind
    path: str = "*"
    method: str = "*"
    times: int | None = 1
    after: int = 0
    seconds: float = 0.0
    retry_after: int | None = 1
    code: str | None = None
    met: int = 0

    def fits(self, method: str, path: str) -> bool:
        """Whether it strikes such a request, while there are `times` left."""
        left = self.times is None or self.met < self.times
        return left and fnmatchcase(method, self.method) and fnmatchcase(path, self.path)


@dataclass(slots=True)
class WebhookFault:
    """A rule for deliveries, asked once when an event is posted to an endpoint.

    Attributes:
        kind: delayed (by `seconds` of simulated time), duplicated (`copies` more), reordered (to a
            random place among those that wait; the seed's own), dropped (for this endpoint, for
            good; `redeliver` still works).
        type: the event's type, e.g. `invoice.*`.
        endpoint: the endpoint's id, or `*`.
        times, after, met: as a `Fault`'s.
    """

    kind: WebhookFaultKind
    type: str = "*"
    endpoint: str = "*"
    times: int | None = 1
    after: int = 0
    seconds: int = 60
    copies: int = 1
    met: int = 0

    def fits(self, type: str, endpoint: str) -> bool:
        """Whether it strikes such a delivery, while there are `times` left."""
        left = self.times is None or self.met < self.times
        return left and fnmatchcase(type, self.type) and fnmatchcase(endpoint, self.endpoint)


Rule = TypeVar("Rule", Fault, WebhookFault)


@dataclass(slots=True)
class Faults:
    """All that goes wrong at the moment, in requests and in deliveries."""

    requests: list[Fault] = field(default_factory=list)
    webhooks: list[WebhookFault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *faults: Fault | WebhookFault) -> None:
        """Declare rules."""
        with self._lock:
            for fault in faults:
                if isinstance(fault, Fault):
                    self.requests.append(fault)
                else:
                    self.webhooks.append(fault)

    def clear(self) -> None:
        """End the bad day."""
        with self._lock:
            self.requests.clear()
            self.webhooks.clear()

    def of_request(self, method: str, path: str) -> Fault | None:
        """The rule that strikes this request, used up by one."""
        return self._first(self.requests, method, path)

    def of_delivery(self, type: str, endpoint: str) -> WebhookFault | None:
        """The rule that strikes this delivery, used up by one."""
        return self._first(self.webhooks, type, endpoint)

    def _first(self, rules: list[Rule], *what: str) -> Rule | None:
        with self._lock:
            for rule in rules:
                if not rule.fits(*what):
                    continue
                if rule.after > 0:
                    rule.after -= 1
                    continue
                rule.met += 1
                return rule
            return None


async def suffer(fault: Fault, request: Request, answer: Answering) -> Response:
    """Answer a request as the fault has it.

    Raises:
        ApiError: 400, 429, 500 or 503. ConnectionResetError: the connection is to break, and the
            server gives no way to (an ASGI app called in process).
    """
    if fault.kind == "slow":
        await anyio.sleep(fault.seconds)
        return await answer()
    if fault.kind == "kept_500":  # whoever answers keeps it
        return await answer()
    if fault.kind == "dropped":
        return await hang_up(request)
    if fault.kind in ("lost", "lost_with_500"):
        await answer()
        if fault.kind == "lost":
            return await hang_up(request)
    raise _refusal(fault)


def _refusal(fault: Fault) -> ApiError:
    if fault.kind == "rate_limited":
        return ApiError(
            429, "Request rate limit exceeded.", type="invalid_request_error", code="rate_limit"
        )
    if fault.kind == "refused":
        return ApiError(400, "The request was refused.", code=fault.code)
    if fault.kind == "unavailable":
        return ApiError(503, "Stripe is temporarily unavailable.", type="api_error")
    return ApiError(500, "An error occurred on our end.", type="api_error")


async def hang_up(request: Request) -> Response:
    """Break the connection without an answer."""
    # uvicorn's `receive` is a method of the request's cycle, which knows its transport; ASGI itself
    # has no word for this.
    transport = getattr(getattr(request.receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the simulator broke the connection")
    transport.abort()
    await anyio.sleep(
        0.01
    )  # lets the server see that the connection is gone: it then sends nothing
    return Response(status_code=500)
