"""The suite's app in Quart."""

from typing import Any

from quart import Quart, Response, request, websocket
from quart.typing import ResponseReturnValue

import gatekeeper_quart
from gatekeeper import Gatekeeper, requires_plan, reserve
from tests.adapters.hosts import base
from tests.adapters.hosts.base import CHAT_TOKENS, CHUNK_TOKENS, OUTCOME_HEADER, Host, Seen


def build(gate: Gatekeeper) -> Host:
    seen = Seen()
    base.by_header(gate)
    app = Quart(__name__)
    gatekeeper_quart.install(app, gate)

    @app.get("/free")
    async def free() -> str:
        return "free"

    @app.get("/pro")
    @requires_plan("pro")
    async def pro() -> str:
        seen.ran.append("pro")
        return "pro"

    @app.get("/downloads")
    @gate.requires_feature("downloads")
    async def downloads() -> str:
        return "downloads"

    @app.post("/image")
    @gate.consumes_credits("image")
    async def image() -> ResponseReturnValue:
        return "image", seen.handle("image", request.headers.get(OUTCOME_HEADER))

    @app.post("/image-sync")
    @gate.consumes_credits(4)
    def image_sync() -> ResponseReturnValue:
        return "image", seen.handle("image-sync", request.headers.get(OUTCOME_HEADER))

    @app.post("/exports")
    @gate.consumes("exports", base.exports_of)
    async def exports() -> str:
        return "exports"

    @app.post("/chat")
    async def chat() -> ResponseReturnValue:
        hold = await reserve("chat", CHAT_TOKENS)
        chunks, pause = int(request.args["chunks"]), float(request.args["pause"])
        return Response(seen.stream(hold, chunks, pause))

    @app.post("/summary")
    async def summary() -> ResponseReturnValue:
        await reserve("chat", CHAT_TOKENS)
        return "summary", seen.handle("summary", request.headers.get(OUTCOME_HEADER))

    @app.websocket("/echo")
    @requires_plan("pro")
    async def echo() -> None:
        await websocket.accept()
        await websocket.send(await websocket.receive())
        await websocket.close(1000)

    @app.websocket("/talk")
    async def talk() -> None:
        hold = await reserve("chat", CHAT_TOKENS)
        await websocket.accept()
        while True:
            text = await websocket.receive()
            hold.record(CHUNK_TOKENS)
            await websocket.send(text)

    # Quart's background tasks begin beside the response, not after it.
    served: Any = app  # Quart types ASGI by hypercorn's
    return Host(served, gate, seen, has_background=False)
