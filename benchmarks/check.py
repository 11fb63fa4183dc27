"""What a check costs a request: ours in process, beside the usual ways to do it.

The app is bare ASGI and sends an answer of two messages. Each row after the first adds one thing to
it; `added` is what that costs over the bare app. Nothing here does I/O but the Redis GET, which
goes to a real server on the loopback interface.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis.asyncio
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from benchmarks.table import Measurement, Row, measure, repeated, repeated_async
from gatekeeper import Catalog, Feature, Gatekeeper, Identity, Plan, Settings, requires_plan
from gatekeeper.asgi import App, GatekeeperMiddleware, Receive, Scope, Send
from gatekeeper.storage.memory import MemoryStore
from tests.services.redis import PrivateRedis

TITLE: Final = "A check on the path of a request (cached; CPU of one request)"
AIM_US: Final = 2.0
CUSTOMER: Final = "org_42"
IDENTITY: Final = Identity(CUSTOMER, "user_7")

_START: Final = {"type": "http.response.start", "status": 200, "headers": []}
_BODY: Final = {"type": "http.response.body", "body": b"ok"}


async def handler(scope: Scope, receive: Receive, send: Send) -> None:
    """A bare app."""
    await send(_START)
    await send(_BODY)


guarded = requires_plan("pro")(handler)


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None:
    pass


def request(app: App) -> Callable[[], Awaitable[None]]:
    """One request to `app`. A server makes a new scope for each."""

    def call() -> Awaitable[None]:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/masters",
            "headers": [(b"host", b"app.test"), (b"x-customer", b"org_42")],
        }
        return app(scope, _receive, _send)

    return call


class SameCheck(BaseHTTPMiddleware):
    """The check that ours does, on Starlette's BaseHTTPMiddleware."""

    def __init__(self, app: Any, gate: Gatekeeper) -> None:
        super().__init__(app)
        self._gate = gate

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Let a request pass whose customer has the plan."""
        entitlements = self._gate.peek(IDENTITY.customer)
        if entitlements is None or not entitlements.has_plan("pro"):
            return Response(status_code=402)
        return await call_next(request)


def _redis_check(client: "redis.asyncio.Redis") -> App:
    """An app that asks Redis for each request."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if await client.get(CUSTOMER) != b"pro":
            raise PermissionError
        await handler(scope, receive, send)

    return app


async def who(connection: HTTPConnection) -> Identity:
    """The host's own authentication, which costs what it costs."""
    return IDENTITY


async def _opened(settings: Settings) -> Gatekeeper:
    catalog = Catalog(
        plans=[
            Plan("free", default=True),
            Plan("pro", includes="free", features=[Feature("downloads")]),
        ]
    )
    gate = Gatekeeper(catalog, settings, store=MemoryStore())

    gate.identify(who)
    await gate.__aenter__()
    await gate.customers.override_plan(CUSTOMER, "pro")
    await gate.entitlements(CUSTOMER)
    return gate


@contextmanager
def _redis() -> Iterator[str]:
    server = PrivateRedis()
    try:
        server.start()
        yield server.url
    finally:
        server.dispose()


def run() -> list[Row]:
    """Measure, and say whether the aim is reached."""
    with tempfile.TemporaryDirectory() as folder, _redis() as url, asyncio.Runner() as runner:
        settings = Settings.load(database_url=f"sqlite:///{Path(folder) / 'unused.db'}")
        gate = runner.run(_opened(settings))
        client = redis.asyncio.Redis.from_url(url)
        runner.run(_prepare(client))
        identified: HTTPConnection = HTTPConnection({"type": "http", "headers": []})
        apps: dict[str, App] = {
            "bare ASGI app": handler,
            "+ our middleware": GatekeeperMiddleware(handler, gate),
            "+ our middleware and requires_plan": GatekeeperMiddleware(guarded, gate),
            "+ BaseHTTPMiddleware with the same check": SameCheck(handler, gate),
            "+ Redis GET": _redis_check(client),
        }
        batches = [repeated_async(runner, request(app)) for app in apps.values()]
        measured = measure(
            *batches,
            repeated(lambda: gate.peek(CUSTOMER)),
            repeated_async(runner, lambda: gate.allows(CUSTOMER, "downloads")),
            repeated_async(runner, lambda: who(identified)),
        )
        runner.run(_closed(gate, client))
    bare, rest = measured[0], measured[1:]
    rows = [Row("bare ASGI app", bare.cells())]
    for subject, found in zip(list(apps)[1:], rest, strict=False):
        aim = AIM_US if "requires_plan" in subject else None
        rows.append(Row(subject, found.cells() | _added(found, bare, aim)))
    names = ("gate.peek alone", "gate.allows alone", "of it, the host's own identify")
    rows += [Row(name, found.cells()) for name, found in zip(names, rest[4:], strict=True)]
    return rows


def _added(found: Measurement, bare: Measurement, aim: float | None) -> dict[str, str]:
    added = found.cpu_us - bare.cpu_us
    verdict = "" if aim is None else f" (aim {aim:g}: {'met' if added <= aim else 'MISSED'})"
    return {"added CPU us": f"{added:,.2f}{verdict}"}


async def _prepare(client: "redis.asyncio.Redis") -> None:
    await client.set(CUSTOMER, "pro")


async def _closed(gate: Gatekeeper, client: "redis.asyncio.Redis") -> None:
    await gate.__aexit__(None, None, None)
    await client.aclose()
