"""The suite's app in Starlette."""

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

import gatekeeper_starlette
from gatekeeper import (
    Gatekeeper,
    consumes,
    consumes_credits,
    current,
    requires_feature,
    requires_plan,
    reserve,
)
from tests.adapters.hosts import base
from tests.adapters.hosts.base import CHAT_TOKENS, CHUNK_TOKENS, OUTCOME_HEADER, Host, Seen


def build(gate: Gatekeeper) -> Host:  # noqa: C901 - a list of routes, not a decision
    seen = Seen()
    base.by_header(gate)

    async def free(request: Request) -> Response:
        return PlainTextResponse("free")

    class Pro(HTTPEndpoint):
        @requires_plan("pro")
        async def get(self, request: Request) -> Response:
            seen.ran.append("pro")
            return PlainTextResponse("pro")

    @requires_feature("downloads")
    async def downloads(request: Request) -> Response:
        return PlainTextResponse("downloads")

    @consumes_credits("image")
    async def image(request: Request) -> Response:
        status = seen.handle("image", request.headers.get(OUTCOME_HEADER))
        return PlainTextResponse("image", status)

    @consumes_credits(4)
    def image_sync(request: Request) -> Response:
        status = seen.handle("image-sync", request.headers.get(OUTCOME_HEADER))
        return PlainTextResponse("image", status)

    @consumes("exports", base.exports_of)
    async def exports(request: Request) -> Response:
        return PlainTextResponse("exports")

    async def chat(request: Request) -> Response:
        hold = await reserve("chat", CHAT_TOKENS)
        chunks, pause = int(request.query_params["chunks"]), float(request.query_params["pause"])
        return StreamingResponse(seen.stream(hold, chunks, pause))

    async def summary(request: Request) -> Response:
        await reserve("chat", CHAT_TOKENS)
        status = seen.handle("summary", request.headers.get(OUTCOME_HEADER))
        return PlainTextResponse("summary", status)

    async def notify(request: Request) -> Response:
        await reserve("chat", CHAT_TOKENS)
        who = await current().identity()
        return PlainTextResponse("notify", background=BackgroundTask(seen.look, gate, who.customer))

    @requires_plan("pro")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    async def talk(websocket: WebSocket) -> None:
        hold = await reserve("chat", CHAT_TOKENS)
        await websocket.accept()
        async for text in websocket.iter_text():
            hold.record(CHUNK_TOKENS)
            await websocket.send_text(text)

    app = Starlette(
        routes=[
            Route("/free", free),
            Route("/pro", Pro),
            Mount("/", routes=[Route("/downloads", downloads)]),
        ],
        lifespan=gate.lifespan,
    )
    gatekeeper_starlette.install(app, gate)
    for handler in (image, image_sync, exports, chat, summary, notify):
        path = "/" + handler.__name__.replace("_", "-")
        app.router.routes.insert(0, Route(path, handler, methods=["POST"]))
    app.router.routes.insert(0, WebSocketRoute("/echo", echo))
    app.router.routes.insert(0, WebSocketRoute("/talk", talk))
    return Host(app, gate, seen)
