"""The shop: people fill a basket, pay it in the page, and get their parcel when it is paid.

Everything that has to do with money is in three places: `sell` prices orders, `install` serves the
billing API, and `send` hears that an order was paid.
"""

import secrets
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import gatekeeper_starlette
from examples.shop.billing import CLUB_PERCENT, CURRENCY, SHELF, sell
from examples.stage import People, Stage
from gatekeeper import Gatekeeper, Signal
from gatekeeper.asgi import BillingOptions

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


def create_app(gate: Gatekeeper, stage: Stage) -> Starlette:
    """The host app on a gate."""
    people = People(gate)
    sell(gate)
    parcels: dict[str, list[str]] = {}  # a real shop keeps these in its own database

    @gate.on("order.paid", name="send")
    async def send(signal: Signal) -> None:
        order = signal.body["order"]
        mine = parcels.setdefault(signal.customer, [])
        if order not in mine:  # a signal may come twice
            mine.append(order)

    async def page(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        headers = stage.page_headers(nonce)
        return HTMLResponse(PAGE.replace("{{ nonce }}", nonce), headers=headers)

    async def shelf(request: Request) -> Response:
        shown = [
            {"key": key, "name": one.name, "amount_minor": one.amount_minor, "club": one.club}
            for key, one in SHELF.items()
        ]
        return JSONResponse({"products": shown, "currency": CURRENCY, "club_percent": CLUB_PERCENT})

    async def sent(request: Request) -> Response:
        who = people.customer(request)
        return JSONResponse([] if who is None else parcels.get(who.id, []))

    app = Starlette(
        lifespan=gate.lifespan,
        routes=[
            Route("/", page),
            Route("/shelf", shelf),
            Route("/parcels", sent),
            *people.routes(),
            *stage.routes(),
        ],
    )
    gatekeeper_starlette.install(
        app, gate, options=BillingOptions(success_url="/?checkout={PURCHASE_ID}")
    )
    return app
