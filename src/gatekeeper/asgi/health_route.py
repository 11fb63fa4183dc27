"""Health as routes, mountable in any ASGI app: whether to send requests here, and whether it lives.

The body is of the draft "Health Check Response Format for HTTP APIs"
(https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check).
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.services.health import Health, HealthStatus

MEDIA_TYPE: Final = "application/health+json"
RETRY_AFTER_SECONDS: Final = 5
_WORDS: Final = {
    HealthStatus.OK: "pass",
    HealthStatus.DEGRADED: "warn",
    HealthStatus.FAILING: "fail",
}

MaySee = Callable[[Request], bool | Awaitable[bool]]
"""Whether who asks may see more than whether it is well: your own authentication decides."""


class HasHealth(Protocol):
    """A gate."""

    async def health(self) -> Health:
        """How it is."""


def health_route(gate: HasHealth, path: str = "/health", *, details: MaySee | None = None) -> Route:
    """A Starlette route for readiness: 200 while requests can be served, else 503.

    Degraded is 200: taking the process away would mend nothing. Strangers are told `pass` or
    `fail` and no more.

    Args:
        details: who may see every check with its reason; None: nobody.
    """

    async def answer(request: Request) -> Response:
        health = await gate.health()
        if details is not None:
            may_see = details(request)
            if inspect.isawaitable(may_see):
                may_see = await may_see
            if may_see is True:
                return _answer(health, health_body(health))
        return _answer(health, {"status": "pass" if health.is_ready else "fail"})

    return Route(path, answer, methods=["GET"], name="gatekeeper-health")


def liveness_route(path: str = "/live") -> Route:
    """A Starlette route for liveness: 200 as long as the event loop turns. Nothing is looked at: to
    start a process anew because its database is away would help nobody."""

    async def answer(request: Request) -> Response:
        return Response(
            b'{"status":"pass"}', media_type=MEDIA_TYPE, headers={"cache-control": "no-store"}
        )

    return Route(path, answer, methods=["GET"], name="gatekeeper-live")


def health_body(health: Health) -> dict[str, Any]:
    """All that is known, in the draft's form."""
    return {
        "status": _WORDS[health.status],
        "checks": {
            one.name: [{"status": _WORDS[one.status], "output": one.reason}]
            for one in health.checks
        },
    }


def _answer(health: Health, body: dict[str, Any]) -> Response:
    headers = {"cache-control": "no-store"}
    if not health.is_ready:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    status = 200 if health.is_ready else 503
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)
