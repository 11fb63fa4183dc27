"""A host that sells, with the real client, and the simulator in Stripe's place."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.entitlements import Entitlements
from gatekeeper.ledger import Balance
from gatekeeper.services import accounts
from gatekeeper.services.resolver import resolve
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.stripe.checkout import Checkout, CheckoutLink
from gatekeeper.stripe.client import Limits, StripeGateway
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.stripe.webhooks import Projections, WebhookReceiver, WebhookRegistry
from gatekeeper.testing.stripe import Simulator
from tests.stripe.world import RULES, ManualClock

URLS = {"success_url": "https://app.test/ok?{PURCHASE_ID}", "cancel_url": "https://app.test/no"}


@dataclass
class Shop:
    """A host that sells, the simulator in Stripe's place, and webhooks between them."""

    sim: Simulator
    gateway: StripeGateway
    store: Store
    clock: ManualClock
    receiver: WebhookReceiver
    rules: Rules = RULES

    async def _invalidate(self, customer: str, version: int) -> None:
        """There is no cache."""

    @property
    def checkout(self) -> Checkout:
        return Checkout(self.gateway, self.store, self.rules, self._invalidate)

    async def start(
        self, price: str = "topup_100", customer: str = "org_1", **more: Any
    ) -> CheckoutLink:
        self.clock.now = self.sim.now
        return await self.checkout.start(customer, price, **{**URLS, **more})

    async def settle(self) -> None:
        """Deliver what Stripe has to say, and carry it out."""
        self.clock.now = self.sim.now
        await self.sim.deliver_pending()
        await self.receiver.drain()

    async def customer(self, customer: str = "org_1") -> Customer:
        found = await self.store.read(lambda tx: tx.customers.get(customer))
        assert found is not None
        return found

    async def available(self, unit: str = "credits", customer: str = "org_1") -> int:
        found = await self.store.read(lambda tx: accounts.balance(tx, self.rules, customer, unit))
        assert found.available is not None
        return found.available

    async def balance(self, unit: str = "credits", customer: str = "org_1") -> Balance:
        return await self.store.read(lambda tx: accounts.balance(tx, self.rules, customer, unit))

    async def spend(self, quantity: int, customer: str = "org_1", hold: str = "hold_1") -> None:
        """Use credits, which writes all that is due."""

        def work(tx: Transaction) -> None:
            request = accounts.ReserveRequest(
                customer=customer, name="credits", quantity=quantity, hold_id=hold
            )
            accounts.reserve(tx, self.rules, request)
            accounts.capture(tx, self.rules, hold, customer=customer)

        await self.store.write(work)

    async def entitlements(self, customer: str = "org_1") -> Entitlements:
        return await self.store.read(lambda tx: resolve(tx, self.rules, customer))


async def open_shop(sim: Simulator, store: Store, clock: ManualClock, rules: Rules = RULES) -> Shop:
    clock.now = sim.now
    gateway = StripeGateway(
        sim.settings.api_key,
        api_base=sim.url,
        max_network_retries=0,
        limits=Limits(per_second=10_000),  # the simulator has none, but when it is told
    )
    answer_in_process(gateway, sim)
    await apply_setup(await plan_setup(rules.catalog, gateway), gateway)

    async def invalidate(customer: str, version: int) -> None:
        """There is no cache."""

    async def endpoint(request: Request) -> Response:
        await receiver.receive(await request.body(), request.headers["stripe-signature"])
        return Response()

    app = Starlette(routes=[Route("/hooks", endpoint, methods=["POST"])])
    made = sim.webhook_endpoint("http://app.test/hooks", app=app)
    receiver = WebhookReceiver(
        WebhookRegistry(),
        store,
        [made["secret"]],
        livemode=False,
        projectors=Projections(gateway, store, rules, invalidate).by_type,
        clock=lambda: datetime.now(UTC),  # the simulator signs with the real second
    )
    return Shop(sim, gateway, store, clock, receiver, rules)


def answer_in_process(gateway: StripeGateway, sim: Simulator) -> None:
    """Send what the gateway asks into the simulator's app, with no socket between: half of the work
    of a test would be theirs. `test_client` and `test_pacing` are about the way over the network.
    """
    connection = gateway._connection
    connection._connected()
    connection._http._client = httpx.AsyncClient(transport=httpx.ASGITransport(sim.app))


async def make_price(gateway: StripeGateway, **params: Any) -> dict[str, Any]:
    """A price of Stripe's: 9.99 EUR for a product of its own, but for `params`."""
    price = {"currency": "eur", "unit_amount": 999, **params}
    if "product" not in params:
        price["product_data"] = {"name": "Pro"}
    return await gateway.post("/v1/prices", price, what="prices create")
