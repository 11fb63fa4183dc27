"""A host app for a comparison over HTTP, in a process of its own: with a gate, or without one.

Run as `python -m benchmarks._http_app [URL]`: with the database's URL it has a gate. It says on
which port it listens, and ends with its standard input.
"""

import asyncio
import json
import sys
from typing import Final

import uvicorn
from fastapi import FastAPI, Request
from starlette.requests import HTTPConnection

import gatekeeper_fastapi
from benchmarks._gates import new_gate
from gatekeeper import Gatekeeper
from gatekeeper.asgi import BillingOptions, RateLimits
from gatekeeper.testing.stripe import listener_on

MODULE: Final = "benchmarks._http_app"
WORK: Final = "/work"
ME: Final = "/billing/me"
CUSTOMER: Final = "x-customer"

_UNREACHED: Final = "1000000/second"
"""Requests are counted as they are by default, and none is refused."""


def bare_app() -> FastAPI:
    """The app without a gate: both routes answer what they are told to."""
    app = FastAPI()
    me = {"plan": "free", "balances": {"credits": {"available": 5, "held": 0, "debt": 0}}}

    @app.post(WORK)
    async def work(request: Request) -> dict[str, bool]:
        return {"done": bool(request.headers[CUSTOMER])}

    @app.get(ME)
    async def about(request: Request) -> dict[str, object]:
        return {"customer": request.headers[CUSTOMER], **me}

    return app


def gated_app(gate: Gatekeeper) -> FastAPI:
    """The same work for a credit, and what the customer has."""
    app = FastAPI(lifespan=gate.lifespan)
    limits = RateLimits(reads=_UNREACHED, writes=_UNREACHED)
    gatekeeper_fastapi.install(app, gate, options=BillingOptions(rate_limits=limits))

    @gate.identify
    async def who(connection: HTTPConnection) -> str:
        return connection.headers[CUSTOMER]

    @app.post(WORK)
    @gate.consumes_credits(1)
    async def work(request: Request) -> dict[str, bool]:
        return {"done": bool(request.headers[CUSTOMER])}

    return app


async def serve(app: FastAPI) -> None:
    """Serve until standard input ends."""
    listener = listener_on()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(serve(gated_app(new_gate(sys.argv[1])) if sys.argv[1:] else bare_app()))
