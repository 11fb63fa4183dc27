"""An app that sells, on the simulator, with its browser: `place`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from gatekeeper import (
    Catalog,
    Feature,
    Gatekeeper,
    Limit,
    Meter,
    Pack,
    Plan,
    Price,
    Settings,
    Unit,
)
from gatekeeper.asgi import BillingOptions, billing_routes
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.adapters.driver import BASE_URL
from tests.gates import gate_url  # noqa: F401 -- a fixture
from tests.stripe.shop import answer_in_process

SECRET = "whsec_" + "c" * 32
credits_ = Unit("credits", low=3, expiry_notice_hours=72)
exports = Unit("exports")
CATALOG = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits_.once(5)]),
        Plan(
            "pro",
            name="Pro",
            includes="free",
            prices=[Price("pro_monthly", amount_minor=999, currency="eur", every="month")],
            features=[Feature("downloads")],
            limits={Limit("seats"): 5},
            grants=[credits_.every("month", 100), exports.every("month", 10)],
        ),
        Plan("secret", includes="pro"),
    ],
    packs=[
        Pack(
            "credits_100",
            name="100 credits",
            grants=credits_(100),
            price=Price("topup_100", amount_minor=500, currency="eur"),
            expires_after_days=5,
        )
    ],
    costs={"message": credits_(1), "image": credits_(4)},
    declares=[Meter("minutes", event_name="minutes"), Meter("tokens", event_name="tokens")],
)


@dataclass
class Place:
    """The app, what stands in Stripe's place, and the browser of somebody who is signed in."""

    gate: Gatekeeper
    sim: Simulator
    browser: httpx.AsyncClient

    async def settle(self) -> None:
        """Deliver what Stripe has to say, and carry it out."""
        await self.sim.deliver_pending()
        await self.gate.receiver.drain()

    async def ok(self, path: str, *, customer: str = "ada", **query: Any) -> Any:
        answer = await self.browser.get(
            f"/billing{path}", params=query, headers={"x-customer": customer}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(
        self, path: str, body: Any, *, customer: str = "ada", method: str = "POST", **headers: str
    ) -> httpx.Response:
        return await self.browser.request(
            method, f"/billing{path}", json=body, headers={"x-customer": customer, **headers}
        )

    async def buy(self, price: str, customer: str = "ada", **payment: Any) -> None:
        link = await self.gate.checkout(
            customer, price, success_url="https://app.test/", cancel_url="https://app.test/"
        )
        await self.sim.complete_checkout(link.session_id, **payment)
        await self.settle()

    async def break_card(self) -> None:
        """From now on the bank declines what is taken for Ada's subscription."""
        await self._use("pm_card_chargeCustomerFail")

    async def mend_card(self) -> None:
        """Her subscription has a good card again."""
        await self._use("pm_card_visa")

    async def _use(self, method: str) -> None:
        (subscription,) = (await self.gate.standing.of("ada")).subscriptions
        row = await self.gate.store.read(lambda tx: tx.customers.get("ada"))
        v1 = self.sim.client().v1
        used = v1.payment_methods.attach(method, {"customer": str(row and row.stripe_id)})
        v1.subscriptions.update(subscription.id, {"default_payment_method": used.id})


def new_place_gate(sim: Simulator, store: Store) -> Gatekeeper:
    settings = Settings.load(
        background_work=False,
        stripe_secret_key=sim.settings.api_key,
        stripe_publishable_key="pk_test_1",
        stripe_webhook_secret=SECRET,
        stripe_api_base=sim.url,
        stripe_max_per_second=10_000,
        stripe_max_retries=0,
        upgrade_url="/pricing",
    )
    gate = Gatekeeper(CATALOG, settings, store=store, clock=lambda: sim.now)

    @gate.identify
    def who(connection: HTTPConnection) -> str | None:
        return connection.headers.get("x-customer")

    return gate


@asynccontextmanager
async def opened_place(sim: Simulator, store: Store) -> AsyncIterator[Place]:
    gate = new_place_gate(sim, store)
    routes = billing_routes(gate, BillingOptions(consumable=("message",)))
    app = Starlette(routes=[Mount("/billing", app=routes)])
    sim.webhook_endpoint(f"{BASE_URL}/billing/webhooks", secret=SECRET, app=app)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    answer_in_process(gate.stripe, sim)
    async with gate, httpx.AsyncClient(transport=transport, base_url=BASE_URL) as browser:
        await apply_setup(await plan_setup(CATALOG, gate.stripe), gate.stripe)
        yield Place(gate, sim, browser)


@pytest.fixture
async def place(stripe_sim: Simulator) -> AsyncIterator[Place]:  # noqa: F811
    """In memory: for what does not depend on the database."""
    async with opened_place(stripe_sim, MemoryStore(clock=lambda: stripe_sim.now)) as opened:
        yield opened


@pytest.fixture
async def durable_place(
    stripe_sim: Simulator,  # noqa: F811
    gate_url: str,  # noqa: F811
) -> AsyncIterator[Place]:
    """On SQLite and on PostgreSQL."""
    async with opened_place(stripe_sim, store_for(gate_url, clock=lambda: stripe_sim.now)) as made:
        yield made
