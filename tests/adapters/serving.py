"""A host app under a real uvicorn, on the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from gatekeeper.asgi import App, Receive, Scope, Send
from gatekeeper.testing.stripe import listener_on


@dataclass
class Served:
    """A running server. `app_ended` counts the HTTP requests that the app has come to an end of."""

    url: str
    _ended: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        self._ended += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def app_ended(self, requests: int) -> None:
        """Wait until the app has come to the end of so many requests."""
        while self._ended < requests:
            await self._changed.wait()


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[Served]:
    """Serve `app` on a free loopback port until the block ends."""
    listener = listener_on()
    served = Served(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                served.end()

    application: Any = counted
    config = uvicorn.Config(application, lifespan="on", log_config=None, ws="wsproto")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.01)
        yield served
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def client_of_server(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url) as client:
        yield client
