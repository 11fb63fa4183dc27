"""`GET /v3/`: the stand-in for Stripe.js, and what browsers need to call the API across origins."""

import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.testing.stripe.state import State

SCRIPT = Path(__file__).with_name("elements.js")

OPEN = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "Request-Id, Stripe-Version",
}
"""Stripe's API is open to every origin: what a request may do, its key says."""

PREFLIGHT = {
    **OPEN,
    "access-control-allow-headers": (
        "Authorization, Content-Type, Idempotency-Key, Stripe-Account, Stripe-Version"
    ),
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-max-age": "300",
}


class ElementsScript:
    """The script of one simulator: it calls this one, wherever it was loaded from."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes = [
            Route("/v3/", self.script, methods=["GET"]),
            Route("/v1/{rest:path}", preflight, methods=["OPTIONS"]),
        ]

    async def script(self, request: Request) -> Response:
        """The script, told where the simulator is."""
        where = self._state.settings.public_url or str(request.base_url).rstrip("/")
        text = SCRIPT.read_text().replace('"{{ api }}"', json.dumps(where))
        headers = {**OPEN, "cache-control": "no-store"}
        return Response(text, media_type="text/javascript", headers=headers)


async def preflight(request: Request) -> Response:
    """The browser's question before a request to another origin."""
    return Response(status_code=204, headers=PREFLIGHT)
