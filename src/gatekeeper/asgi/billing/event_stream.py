"""Server-sent events as an ASGI response that ends when its reader leaves.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio
import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")

MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    # nginx holds answers back otherwise (https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering).
    "x-accel-buffering": "no",
}
HEARTBEAT: Final = b": still here\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLimits:
    """How many connections may wait for events, and for how long.

    Attributes:
        per_customer: open connections of one customer to one process; more are a 429. A browser
            opens at most six to one origin over HTTP/1.1, its other requests included.
        per_process: open connections to one process; more are a 503.
        every_seconds: how often the database is asked, once for all of them.
        heartbeat_seconds: how often a quiet connection is told that it lives, so that nothing on
            the way closes it.
        life_seconds: when a connection is ended. The browser opens another one by itself, and is
            asked again who it is.
    """

    per_customer: int = 4
    per_process: int = 1_000
    every_seconds: float = 1.0
    heartbeat_seconds: float = 15.0
    life_seconds: float = 600.0


class EventStream(Response):
    """Sends what `frames` yields of what `source` opens, until either side is done."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        source: AbstractContextManager[T],
        frames: Callable[[T], AsyncIterator[bytes]],
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._source = source
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        with self._source as opened:
            await send(start)
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            async with anyio.create_task_group() as group:
                group.start_soon(_until_left, receive, group.cancel_scope)
                async for frame in self._frames(opened):
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
                group.cancel_scope.cancel()


async def _until_left(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel once the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def frame(event: str, data: Any, *, event_id: str | None = None) -> bytes:
    """One event. Its data is JSON, which has no line feeds."""
    lines = [b"event: " + event.encode(), b"data: " + msgspec.json.encode(data)]
    if event_id is not None:
        lines.append(b"id: " + event_id.encode())
    return b"\n".join(lines) + b"\n\n"


def server_is_leaving() -> bool:
    """Whether uvicorn has been told to stop. It waits for open connections before it says so to
    anybody, and a stream would never end; but the handler that it has put on the signal belongs to
    the server, which knows. Of other servers nothing is known: their time limit ends the streams.
    """
    handler = signal.getsignal(signal.SIGTERM)
    server = getattr(handler, "__self__", None)
    return bool(getattr(server, "should_exit", False))
