"""A host whose customers pay once: a gate on a database, and the simulator in Stripe's place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper import Gatekeeper, Identity, Settings, Signal
from gatekeeper.errors import InvalidInputError
from gatekeeper.services.orders import OrderRequest, Quote
from gatekeeper.storage.orders import Order
from gatekeeper.storage.port import Store
from gatekeeper.stripe.orders import OrderIntent
from gatekeeper.testing.clock import ManualClock
from gatekeeper.testing.stripe import Simulator
from tests.stripe.shop import answer_in_process
from tests.stripe.world import CATALOG

ADA = Identity("ada", "ada's clerk")
CUPS = {"cup": 2}
"""Two cups are 12.50 EUR."""

PRICES = {"cup": 625, "pot": 2_000}
VISA, DECLINED = "pm_card_visa", "pm_card_chargeDeclined"
SECURE = "pm_card_authenticationRequired"


@dataclass
class Till:
    """What a test of orders needs."""

    gate: Gatekeeper
    sim: Simulator
    terms: dict[str, Any] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)

    async def price(self, request: OrderRequest) -> Quote:
        """The host's function: its own price list."""
        if not isinstance(request.items, dict):
            raise InvalidInputError("There is nothing in the basket.")
        amount = sum(PRICES[name] * count for name, count in request.items.items())
        return Quote(**{"amount_minor": amount, "currency": "eur", **self.terms})

    async def order(self, items: Any = None, **more: Any) -> Order:
        return await self.gate.orders.create(ADA, CUPS if items is None else items, **more)

    async def get(self, order: Order) -> Order:
        return await self.gate.orders.get(order.id, order.customer)

    async def pay(self, order: Order, **more: Any) -> OrderIntent:
        return await self.gate.orders.pay(order.id, order.customer, **more)

    def browse(self, intent: OrderIntent, card: str = VISA) -> Any:
        """What the customer's browser does with the client secret."""
        client = self.sim.client()
        return client.v1.payment_intents.confirm(intent.id, {"payment_method": card})

    async def paid(self, items: Any = None, card: str = VISA) -> tuple[Order, OrderIntent]:
        """An order that was paid by a card, as the webhooks say."""
        order = await self.order(items)
        intent = await self.pay(order)
        self.browse(intent, card)
        await self.settle()
        return await self.get(order), intent

    async def settle(self) -> None:
        """Deliver what Stripe has to say, carry it out, and tell the host."""
        await self.sim.deliver_pending()
        await self.gate.receiver.drain()
        await self.gate.work()

    def topics(self) -> list[str]:
        return [signal.topic for signal in self.signals]

    def posts(self, path: str) -> list[Any]:
        return [
            one for one in self.requests if one.method == "POST" and one.operation.endswith(path)
        ]

    requests: list[Any] = field(default_factory=list)


@asynccontextmanager
async def open_till(
    sim: Simulator, *, url: str | None = None, store: Store | None = None
) -> AsyncIterator[Till]:
    """A till on a database, or on a store of its own."""

    async def endpoint(request: Request) -> Response:
        await gate.receiver.receive(await request.body(), request.headers["stripe-signature"])
        return Response()

    app = Starlette(routes=[Route("/hooks", endpoint, methods=["POST"])])
    made = sim.webhook_endpoint("http://app.test/hooks", app=app)
    settings = Settings.load(
        database_url=url or "sqlite:///unused.db",
        stripe_secret_key=sim.settings.api_key,
        stripe_api_base=sim.url,
        stripe_webhook_secret=made["secret"],
        stripe_max_per_second=10_000,  # the simulator has no limit, but when it is told
        stripe_max_retries=0,
        background_work=False,
    )
    clock = ManualClock(sim.now)
    gate = Gatekeeper(CATALOG, settings, store=store, clock=lambda: max(clock(), sim.now))
    answer_in_process(gate.stripe, sim)
    till = Till(gate, sim)
    gate.orders.priced(till.price)
    sim.on_exchange(till.requests.append)

    @gate.on(*sorted(topic for topic in gate.signals.topics if topic.startswith("order.")))
    async def hear(signal: Signal) -> None:
        till.signals.append(signal)

    async with gate.connected():
        yield till
