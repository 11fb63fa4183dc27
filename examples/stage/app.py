"""What an example says about itself, and what the stage hands to it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gatekeeper import Catalog, Gatekeeper
from gatekeeper.asgi import page_headers
from gatekeeper.testing.stripe import Simulator

if TYPE_CHECKING:
    from examples.stage.story import Story

ASSETS = {path.name: path for path in (Path(__file__).parent / "assets").iterdir()}
STRIPE_JS = "https://js.stripe.com/clover/stripe.js"
"""Stripe's own script, always from Stripe (https://docs.stripe.com/js/including)."""
MAX_DAYS = 400


class Leap(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How far the clock is moved."""

    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)] = 31


@dataclass(frozen=True, slots=True)
class Stage:
    """What an app is served on. `simulator` is None on Stripe itself."""

    simulator: Simulator | None = None

    @property
    def stripe_js(self) -> str:
        """The script that makes the fields for cards: Stripe's, or the simulator's stand-in."""
        return STRIPE_JS if self.simulator is None else f"{self.simulator.url}/v3/"

    def page_headers(self, nonce: str) -> dict[str, str]:
        """Headers of a page that takes payments: of scripts, those run that have the nonce, the
        app's own and Stripe's."""
        if self.simulator is None:
            return page_headers(nonce=nonce)
        parts = urlsplit(self.simulator.url)
        return page_headers(stripe_origins=(f"{parts.scheme}://{parts.netloc}",), nonce=nonce)

    def routes(self) -> list[BaseRoute]:
        """`/stage/stage.css` and `/stage/stage.js` for the page, `/stage/stripe.js`, and the clock:
        `GET /clock` tells its day, `POST /clock {"days": 31}` moves it."""
        clock = [Route("/clock", self._now, methods=["GET"])]
        if self.simulator is not None:
            clock.append(Route("/clock", self._move, methods=["POST"]))
        return [
            Route("/stage/stripe.js", self._stripe_js, methods=["GET"]),
            Route("/stage/{asset}", _asset, methods=["GET"]),
            *clock,
        ]

    async def _stripe_js(self, request: Request) -> Response:
        return RedirectResponse(self.stripe_js)

    async def _now(self, request: Request) -> Response:
        now = None if self.simulator is None else self.simulator.now.date().isoformat()
        return JSONResponse({"now": now})

    async def _move(self, request: Request) -> Response:
        assert self.simulator is not None  # without one there is no such route
        try:
            leap = msgspec.json.decode(await request.body() or b"{}", type=Leap)
        except msgspec.DecodeError as error:
            return JSONResponse({"detail": str(error)}, status_code=422)
        await self.simulator.play(days=leap.days)
        return await self._now(request)


async def _asset(request: Request) -> Response:
    path = ASSETS.get(request.path_params["asset"])
    return Response(status_code=404) if path is None else FileResponse(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One example.

    Attributes:
        title: its name, for people.
        catalog: what it sells.
        create: makes the ASGI app on a gate that is not open yet.
        check: walks its story.
        settings: of the gate, beside the database and Stripe.
        prepare: what is to be there before the app is served, beside the catalogue's prices.
        connect: whether events of connected accounts come to the webhook too.
    """

    title: str
    catalog: Catalog
    create: Callable[[Gatekeeper, Stage], Any]
    check: Callable[["Story"], Awaitable[None]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Gatekeeper, Stage], Awaitable[None]] | None = None
    connect: bool = False
