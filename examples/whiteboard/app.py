"""The app: people draw, have an AI draw for credits, and take their board away with Pro.

Everything that has to do with money is in `install`, the two guards, and the funnel.
"""

import secrets
from pathlib import Path
from typing import TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import gatekeeper_starlette
from examples.stage import People, Stage
from examples.whiteboard.drawing import Stroke, Wish, sketch, svg
from examples.whiteboard.funnel import funnel_of
from gatekeeper import Gatekeeper, current
from gatekeeper.asgi import BillingOptions

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
MOST_BYTES, MOST_STROKES = 32_768, 400

T = TypeVar("T")


class Viewed(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where somebody came from to the prices."""

    came_from: str


def create_app(gate: Gatekeeper, stage: Stage) -> Starlette:
    """The host app on a gate."""
    people, funnel = People(gate), funnel_of(gate)
    boards: dict[str, list[Stroke]] = {}

    async def board() -> list[Stroke]:
        who = await current().identity()
        return boards.setdefault(who.customer, [])

    async def page(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        headers = stage.page_headers(nonce)
        return HTMLResponse(PAGE.replace("{{ nonce }}", nonce), headers=headers)

    async def show(request: Request) -> Response:
        return _json(await board())

    async def draw(request: Request) -> Response:
        mine, stroke = await board(), await _body(request, Stroke)
        if stroke is None or len(mine) >= MOST_STROKES:
            return JSONResponse({"detail": "That can't be drawn."}, status_code=422)
        mine.append(stroke)
        return _json(stroke)

    async def clear(request: Request) -> Response:
        (await board()).clear()
        return JSONResponse({})

    @gate.consumes_credits("sketch")
    async def ask(request: Request) -> Response:
        mine, wish = await board(), await _body(request, Wish)
        if wish is None or len(mine) >= MOST_STROKES:  # a refusal costs nothing
            return JSONResponse({"detail": "That can't be drawn."}, status_code=422)
        drawn = sketch(wish.text)
        mine.extend(drawn)
        return _json(drawn)

    @gate.requires_feature("export")
    async def export(request: Request) -> Response:
        headers = {"content-disposition": 'attachment; filename="board.svg"'}
        return Response(svg(await board()), media_type="image/svg+xml", headers=headers)

    async def viewed(request: Request) -> Response:
        who, told = await current().identity(), await _body(request, Viewed)
        await funnel.viewed(who.customer, "" if told is None else told.came_from[:20])
        return JSONResponse({})

    async def heard(request: Request) -> Response:
        who = await current().identity()
        return JSONResponse(funnel.of(who.customer))

    app = Starlette(
        lifespan=gate.lifespan,
        routes=[
            Route("/", page),
            Route("/board", show),
            Route("/board", draw, methods=["POST"]),
            Route("/board", clear, methods=["DELETE"]),
            Route("/board.svg", export),
            Route("/sketch", ask, methods=["POST"]),
            Route("/pricing", viewed, methods=["POST"]),
            Route("/funnel", heard),
            *people.routes(),
            *stage.routes(),
        ],
    )
    options = BillingOptions(success_url="/?checkout={PURCHASE_ID}")
    gatekeeper_starlette.install(app, gate, options=options)
    return app


async def _body(request: Request, kind: type[T]) -> T | None:
    """A body of ours; None if it is none."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError:
        return None


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
