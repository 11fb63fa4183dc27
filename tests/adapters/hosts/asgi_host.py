"""The suite's app without any framework."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from gatekeeper import (
    Gatekeeper,
    asgi,
    consumes,
    consumes_credits,
    current,
    requires_feature,
    requires_plan,
    reserve,
)
from gatekeeper.asgi import Receive, Scope, Send
from tests.adapters.hosts import base
from tests.adapters.hosts.base import CHAT_TOKENS, CHUNK_TOKENS, OUTCOME_HEADER, Host, Seen

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


def build(gate: Gatekeeper) -> Host:  # noqa: C901 - a list of routes, not a decision
    seen = Seen()
    base.by_header(gate)

    async def free(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, "free")

    @requires_plan("pro")
    async def pro(scope: Scope, receive: Receive, send: Send) -> None:
        seen.ran.append("pro")
        await _answer(send, "pro")

    @requires_feature("downloads")
    async def downloads(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, "downloads")

    @consumes_credits("image")
    async def image(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, "image", seen.handle("image", _outcome(scope)))

    @consumes_credits(4)
    def decide(scope: Scope) -> int:
        return seen.handle("image-sync", _outcome(scope))

    async def image_sync(scope: Scope, receive: Receive, send: Send) -> None:
        status: Awaitable[int] = decide(scope)  # type: ignore[assignment]  # guarded: to be awaited
        await _answer(send, "image", await status)

    @consumes("exports", base.exports_of)
    async def exports(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, "exports")

    async def chat(scope: Scope, receive: Receive, send: Send) -> None:
        hold = await reserve("chat", CHAT_TOKENS)
        query = parse_qs(scope["query_string"].decode())

        async def stream() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            chunks = seen.stream(hold, int(query["chunks"][0]), float(query["pause"][0]))
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        streaming = asyncio.create_task(stream())
        leaving = asyncio.create_task(_disconnect(receive))
        done, _ = await asyncio.wait((streaming, leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in (streaming, leaving):
            task.cancel()
        await asyncio.gather(streaming, leaving, return_exceptions=True)
        if streaming in done:
            streaming.result()

    async def summary(scope: Scope, receive: Receive, send: Send) -> None:
        await reserve("chat", CHAT_TOKENS)
        await _answer(send, "summary", seen.handle("summary", _outcome(scope)))

    async def notify(scope: Scope, receive: Receive, send: Send) -> None:
        await reserve("chat", CHAT_TOKENS)
        await _answer(send, "notify")
        await seen.look(gate, (await current().identity()).customer)

    @requires_plan("pro")
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": (await receive())["text"]})
        await send({"type": "websocket.close", "code": 1000})

    async def talk(scope: Scope, receive: Receive, send: Send) -> None:
        hold = await reserve("chat", CHAT_TOKENS)
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            hold.record(CHUNK_TOKENS)
            await send({"type": "websocket.send", "text": message["text"]})

    handlers = (free, pro, downloads, image, image_sync, exports, chat, summary, notify, echo, talk)
    routes: dict[str, Handler] = {
        "/" + handler.__name__.replace("_", "-"): handler for handler in handlers
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await routes[scope["path"]](scope, receive, send)

    return Host(asgi.install(app, gate, endpoints=routes.items), gate, seen)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _outcome(scope: Scope) -> str | None:
    wanted = OUTCOME_HEADER.encode()
    return next((value.decode() for name, value in scope["headers"] if name == wanted), None)


async def _answer(send: Send, text: str, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
