"""The app: people put things up for sale, and others buy them.

Everything that has to do with money is in two places: `sell` prices orders, and `install` serves
the billing API: onboarding, payments, sales, disputes and reports.
"""

import secrets
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import gatekeeper_starlette
from examples.marketplace.billing import CURRENCIES, Thing, made_to_order, sell
from examples.stage import People, Stage
from gatekeeper import Gatekeeper
from gatekeeper.asgi import BillingOptions
from gatekeeper.errors import NotFoundError

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
OFFICE = "Office"
"""Who runs the marketplace: a real app asks its own list of staff, and not for a name."""

MAX_AMOUNT_MINOR = 10_000_000


class Offer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What somebody wants to sell."""

    name: str
    amount_minor: int
    currency: str
    made_to_order: bool = False


def create_app(gate: Gatekeeper, stage: Stage) -> Starlette:
    """The host app on a gate."""
    people = People(gate)
    things: dict[str, Thing] = {}  # a real marketplace keeps these in its own database
    sell(gate, things)

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def shown(request: Request) -> Response:
        names = ("id", "seller_name", "name", "amount_minor", "currency", "made_to_order")
        rows = [{name: getattr(one, name) for name in names} for one in things.values()]
        return JSONResponse(rows)

    async def offer(request: Request) -> Response:
        who = people.customer(request)
        if who is None:
            return _refused("Sign up first.", 401)
        try:
            asked = msgspec.json.decode(await request.body(), type=Offer)
        except msgspec.DecodeError as error:
            return _refused(str(error), 422)
        if not 1 <= len(asked.name) <= 60 or asked.currency not in CURRENCIES:
            return _refused("A thing has a name, and a price in euros, dollars or yen.", 422)
        if not 50 <= asked.amount_minor <= MAX_AMOUNT_MINOR:
            return _refused("That is not a price that can be paid by card.", 422)
        if not await _may_sell(gate, who.id):
            return _refused("Finish the onboarding first: Stripe has to know whom to pay.", 409)
        if asked.made_to_order and not await gate.allows(who.id, made_to_order.key):
            return _refused("Only a workshop takes orders for what is not made yet.", 402)
        thing = Thing(
            f"thing-{secrets.token_hex(6)}",
            who.id,
            who.name,
            asked.name,
            asked.amount_minor,
            asked.currency,
            asked.made_to_order,
        )
        things[thing.id] = thing
        return JSONResponse({"id": thing.id}, status_code=201)

    def staff(request: Request) -> str | None:
        who = people.customer(request)
        return who.id if who is not None and who.name == OFFICE else None

    app = Starlette(
        lifespan=gate.lifespan,
        routes=[
            Route("/", page),
            Route("/things", shown, methods=["GET"]),
            Route("/things", offer, methods=["POST"]),
            *people.routes(),
            *stage.routes(),
        ],
    )
    options = BillingOptions(success_url="/?paid", cancel_url="/", back_office=staff)
    gatekeeper_starlette.install(app, gate, options=options)
    return app


async def _may_sell(gate: Gatekeeper, customer: str) -> bool:
    try:
        return (await gate.sellers.state(customer)).may_be_charged_for
    except NotFoundError:
        return False


def _refused(detail: str, status: int) -> Response:
    return JSONResponse({"detail": detail}, status_code=status)
