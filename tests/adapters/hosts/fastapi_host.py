"""The suite's app in FastAPI, with guards as decorators and as dependencies."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, FastAPI, Header, WebSocket
from starlette.responses import PlainTextResponse, Response, StreamingResponse

import gatekeeper_fastapi
from gatekeeper import Gatekeeper, current, requires_plan, reserve
from tests.adapters.hosts import base
from tests.adapters.hosts.base import CHAT_TOKENS, CHUNK_TOKENS, Host, Seen

Outcome = Annotated[str | None, Header(alias=base.OUTCOME_HEADER)]


def build(gate: Gatekeeper) -> Host:
    """Guards as decorators."""
    app, seen = _new_app(gate)
    gatekeeper_fastapi.install(app, gate)
    router = APIRouter()

    @router.get("/pro")
    @gate.requires_plan("pro")
    async def pro() -> str:
        seen.ran.append("pro")
        return "pro"

    @router.get("/downloads")
    @gate.requires_feature("downloads")
    async def downloads() -> str:
        return "downloads"

    @app.post("/image")
    @gate.consumes_credits("image")
    async def image(x_outcome: Outcome = None) -> Response:
        return PlainTextResponse("image", seen.handle("image", x_outcome))

    @app.post("/image-sync")
    @gate.consumes_credits(4)
    def image_sync(x_outcome: Outcome = None) -> Response:
        return PlainTextResponse("image", seen.handle("image-sync", x_outcome))

    @app.post("/exports")
    @gate.consumes("exports", base.exports_of)
    async def exports(n: int) -> str:
        return "exports"

    app.include_router(router)
    _add_the_rest(app, gate, seen)
    return Host(app, gate, seen)


def build_depends(gate: Gatekeeper) -> Host:
    """Guards as dependencies."""
    app, seen = _new_app(gate)
    billing = gatekeeper_fastapi.install(app, gate)
    router = APIRouter(dependencies=[billing.requires_plan("pro")])

    @router.get("/pro")
    async def pro() -> str:
        seen.ran.append("pro")
        return "pro"

    @app.get("/downloads", dependencies=[billing.requires_feature("downloads")])
    async def downloads() -> str:
        return "downloads"

    @app.post("/image", dependencies=[billing.consumes_credits("image")])
    async def image(x_outcome: Outcome = None) -> Response:
        return PlainTextResponse("image", seen.handle("image", x_outcome))

    @app.post("/image-sync", dependencies=[billing.consumes_credits(4)])
    def image_sync(x_outcome: Outcome = None) -> Response:
        return PlainTextResponse("image", seen.handle("image-sync", x_outcome))

    @app.post("/exports", dependencies=[billing.consumes("exports", base.exports_of)])
    async def exports(n: int) -> str:
        return "exports"

    app.include_router(router)
    _add_the_rest(app, gate, seen)
    return Host(app, gate, seen)


def _new_app(gate: Gatekeeper) -> tuple[FastAPI, Seen]:
    base.by_header(gate)
    return FastAPI(lifespan=gate.lifespan), Seen()


def _add_the_rest(app: FastAPI, gate: Gatekeeper, seen: Seen) -> None:
    """What is written the same way with both kinds of guards."""

    @app.get("/free")
    async def free() -> str:
        return "free"

    @app.post("/chat")
    async def chat(chunks: int, pause: float) -> StreamingResponse:
        hold = await reserve("chat", CHAT_TOKENS)
        return StreamingResponse(seen.stream(hold, chunks, pause))

    @app.post("/summary")
    async def summary(x_outcome: Outcome = None) -> Response:
        await reserve("chat", CHAT_TOKENS)
        return PlainTextResponse("summary", seen.handle("summary", x_outcome))

    @app.post("/notify")
    async def notify(tasks: BackgroundTasks) -> str:
        await reserve("chat", CHAT_TOKENS)
        who = await current().identity()
        tasks.add_task(seen.look, gate, who.customer)
        return "notify"

    @app.websocket("/echo")
    @requires_plan("pro")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        hold = await reserve("chat", CHAT_TOKENS)
        await websocket.accept()
        async for text in websocket.iter_text():
            hold.record(CHUNK_TOKENS)
            await websocket.send_text(text)
