"""Serving one request by an ASGI app from inside another framework's handler."""

from typing import Any

from gatekeeper.asgi.types import App, Message, Scope


async def answer_inline(
    app: App, scope: Scope, body: bytes
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, raw headers and body of an app's answer to a request that has been read.

    For frameworks whose sessions and users exist inside their own handlers alone: the app then
    runs there.
    """
    start: Message = {"status": 500, "headers": []}
    chunks: list[bytes] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))

    inner: dict[str, Any] = {**scope, "extensions": {}}
    await app(inner, receive, send)
    return start["status"], list(start["headers"]), b"".join(chunks)
