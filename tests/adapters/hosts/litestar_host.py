"""The suite's app in Litestar."""

from typing import Annotated, Any

from litestar import Controller, Litestar, Request, Response, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import WebSocketDisconnect
from litestar.params import HeaderParameter
from litestar.response import Stream

from gatekeeper import Gatekeeper, current, requires_plan, reserve
from gatekeeper_litestar import GatekeeperPlugin
from tests.adapters.hosts import base
from tests.adapters.hosts.base import CHAT_TOKENS, CHUNK_TOKENS, Host, Seen

Outcome = Annotated[str | None, HeaderParameter(name=base.OUTCOME_HEADER)]


def build(gate: Gatekeeper) -> Host:  # noqa: C901 - a list of routes, not a decision
    seen = Seen()
    base.by_header(gate)

    @get("/free")
    async def free() -> str:
        return "free"

    class Pro(Controller):
        @get("/pro")
        @requires_plan("pro")
        async def pro(self) -> str:
            seen.ran.append("pro")
            return "pro"

    @get("/downloads")
    @gate.requires_feature("downloads")
    async def downloads() -> str:
        return "downloads"

    @post("/image")
    @gate.consumes_credits("image")
    async def image(outcome: Outcome = None) -> Response[str]:
        return Response("image", status_code=seen.handle("image", outcome))

    @post("/image-sync")
    @gate.consumes_credits(4)
    def image_sync(outcome: Outcome = None) -> Response[str]:
        return Response("image", status_code=seen.handle("image-sync", outcome))

    @post("/exports", status_code=200)
    @gate.consumes("exports", base.exports_of)
    async def exports() -> str:
        return "exports"

    @post("/chat", status_code=200)
    async def chat(request: Request[Any, Any, Any]) -> Stream:
        hold = await reserve("chat", CHAT_TOKENS)
        query = request.query_params
        return Stream(seen.stream(hold, int(query["chunks"]), float(query["pause"])))

    @post("/summary")
    async def summary(outcome: Outcome = None) -> Response[str]:
        await reserve("chat", CHAT_TOKENS)
        return Response("summary", status_code=seen.handle("summary", outcome))

    @post("/notify")
    async def notify() -> Response[str]:
        await reserve("chat", CHAT_TOKENS)
        who = await current().identity()
        return Response(
            "notify", status_code=200, background=BackgroundTask(seen.look, gate, who.customer)
        )

    @websocket("/echo")
    @requires_plan("pro")
    async def echo(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    @websocket("/talk")
    async def talk(socket: WebSocket[Any, Any, Any]) -> None:
        hold = await reserve("chat", CHAT_TOKENS)
        await socket.accept()
        try:
            while True:
                text = await socket.receive_text()
                hold.record(CHUNK_TOKENS)
                await socket.send_text(text)
        except WebSocketDisconnect:
            pass

    handlers: list[Any] = [
        free,
        Pro,
        downloads,
        image,
        image_sync,
        exports,
        chat,
        summary,
        notify,
        echo,
        talk,
    ]
    app: Any = Litestar(handlers, plugins=[GatekeeperPlugin(gate)])  # it types ASGI by its own
    return Host(app, gate, seen)
