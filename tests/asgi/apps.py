"""Small apps without a framework, and requests to them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import HTTPConnection

from gatekeeper import Gatekeeper, Identity
from gatekeeper.asgi import App, GatekeeperMiddleware, Receive, Scope, Send
from tests.adapters.driver import http_scope
from tests.gates import CUSTOMER

Handler = Callable[[], Awaitable[Any]]


def by_header(gate: Gatekeeper) -> None:
    """Everybody is CUSTOMER unless a header says otherwise."""

    @gate.identify
    async def who(connection: HTTPConnection) -> Identity | None:
        customer = connection.headers.get("x-customer", CUSTOMER)
        return None if customer == "nobody" else Identity(customer, actor="user_7")


@dataclass
class Answer:
    """What an app has sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found

    def take(self, message: Any) -> None:
        self.messages.append(dict(message))
        if message["type"] == "http.response.start":
            assert not self.status, "a second response was started"
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message.get("headers", [])}
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


def app_of(gate: Gatekeeper, handler: Handler, *, status: int = 200) -> App:
    """An app that calls `handler`, then answers with its status."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await handler()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    return GatekeeperMiddleware(app, gate)


async def ask(
    app: App,
    path: str = "/work",
    *,
    method: str = "POST",
    before_send: Callable[[Any], Awaitable[None]] | None = None,
    **headers: str,
) -> Answer:
    """Send one request. Header names have hyphens for underscores."""
    answer = Answer()
    never = asyncio.Event()
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await never.wait()

    async def send(message: Any) -> None:
        if before_send is not None:
            await before_send(message)
        answer.take(message)

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    await app(http_scope(method, path, headers=named), receive, send)
    return answer
