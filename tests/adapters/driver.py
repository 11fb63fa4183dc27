"""Driving an ASGI app without a server: lifespans, clients that leave, websockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from gatekeeper.asgi import App

BASE_URL = "http://host.test"


class LifespanError(Exception):
    """The app said that its start-up or shutdown failed."""


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    """Run an app's lifespan around the block, in one task of its own, as servers do."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(_run(app, scope, to_app, from_app))
    try:
        await _turn("startup", to_app, from_app)
        yield
        await _turn("shutdown", to_app, from_app)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _run(
    app: App, scope: dict[str, Any], to_app: "asyncio.Queue[Any]", from_app: "asyncio.Queue[Any]"
) -> None:
    try:
        await app(scope, to_app.get, from_app.put)
    except Exception as error:  # noqa: BLE001 - told to whoever waits for the answer
        await from_app.put(error)


async def _turn(phase: str, to_app: "asyncio.Queue[Any]", from_app: "asyncio.Queue[Any]") -> None:
    await to_app.put({"type": f"lifespan.{phase}"})
    answer = await from_app.get()
    if isinstance(answer, Exception):
        raise LifespanError(str(answer)) from answer
    if answer["type"] != f"lifespan.{phase}.complete":
        raise LifespanError(answer.get("message", ""))


@asynccontextmanager
async def client_of(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of an app whose lifespan runs. Exceptions of the app are 500s."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield client


def http_scope(
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    query: str = "",
    spec_version: str = "2.3",
) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": quote(path, errors="replace").encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (b"host", b"host.test"),
            *((name.lower().encode(), value.encode()) for name, value in (headers or {}).items()),
        ],
        "client": ("127.0.0.1", 50_000),
        "server": ("host.test", 80),
        "state": {},
    }


@dataclass
class LeavingClient:
    """A client that goes away in the middle of a response.

    After `after_chunks` body messages it is gone: by ASGI 2.3, `receive` says so and `send` does
    nothing; from 2.4 on `send` raises OSError too
    (https://asgi.readthedocs.io/en/latest/specs/www.html#disconnected-client-send-exception).
    """

    after_chunks: int
    spec_version: str
    sent: list[dict[str, Any]] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: bool = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.gone.is_set():
            if self.spec_version >= "2.4":
                raise OSError("the client is gone")
            return
        self.sent.append(message)
        chunks = sum(1 for m in self.sent if m["type"] == "http.response.body" and m.get("body"))
        if chunks >= self.after_chunks:
            self.gone.set()

    async def post(self, app: App, path: str, query: str, headers: dict[str, str]) -> None:
        """Send a POST, and wait until the app has ended."""
        scope = http_scope(
            "POST", path, query=query, headers=headers, spec_version=self.spec_version
        )
        await app(scope, self.receive, self.send)


@dataclass
class WebsocketClient:
    """A websocket connection to an app, message by message."""

    app: App
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)
    _to_app: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)
    _from_app: "asyncio.Queue[Any]" = field(default_factory=asyncio.Queue)
    _task: "asyncio.Task[None] | None" = None

    async def __aenter__(self) -> "WebsocketClient":
        scope = http_scope("GET", self.path, headers=self.headers)
        del scope["method"]
        scope |= {
            "type": "websocket",
            "scheme": "ws",
            "subprotocols": [],
            "extensions": self.extensions,
        }
        await self.say({"type": "websocket.connect"})
        self._task = asyncio.create_task(self._serve(scope))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _serve(self, scope: dict[str, Any]) -> None:
        try:
            await self.app(scope, self._to_app.get, self._from_app.put)
        except Exception as error:  # noqa: BLE001 - told to whoever listens
            await self._from_app.put({"type": "raised", "error": error})
        await self._from_app.put({"type": "ended"})

    async def say(self, message: dict[str, Any]) -> None:
        """Send the app a message of the server's."""
        await self._to_app.put(message)

    async def say_text(self, text: str) -> None:
        await self.say({"type": "websocket.receive", "text": text, "bytes": None})

    async def leave(self) -> None:
        """Close the connection and wait until the app has ended."""
        await self.say({"type": "websocket.disconnect", "code": 1001, "reason": ""})
        while (await self.heard())["type"] not in ("ended", "raised"):
            pass

    async def heard(self) -> dict[str, Any]:
        """The next message of the app's."""
        message: dict[str, Any] = await self._from_app.get()
        return message
