"""An app that sells, on the simulator, with its browser: `page` in memory, `durable` on SQLite and
PostgreSQL in turn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from gatekeeper import Gatekeeper, Settings
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
from tests.gates import gate_url  # noqa: F401 -- fixture
from tests.stripe.shop import answer_in_process
from tests.stripe.world import CATALOG

SECRET = "whsec_" + "s" * 32
OPTIONS = BillingOptions(success_url="/thanks?{CHECKOUT_SESSION_ID}", cancel_url="/pricing")


@dataclass
class Page:
    """The app, what stands in Stripe's place, and the browser of whoever is signed in."""

    gate: Gatekeeper
    sim: Simulator
    browser: httpx.AsyncClient

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        customer: str = "ada",
        status: int | None = None,
        key: str | None = None,
    ) -> Any:
        """One request of the page: its JSON; its status and its JSON if none is expected."""
        headers = {"x-customer": customer}
        if key is not None:
            headers["idempotency-key"] = key
        answer = await self.browser.request(method, f"/billing{path}", json=body, headers=headers)
        found = answer.json() if answer.content else None
        if status is None:
            return answer.status_code, found
        assert answer.status_code == status, answer.text
        return found

    async def post(self, path: str, body: Any = None, *, status: int = 200, **more: Any) -> Any:
        return await self.ask("POST", path, {} if body is None else body, status=status, **more)

    async def get(self, path: str, *, status: int = 200, **more: Any) -> Any:
        return await self.ask("GET", path, status=status, **more)

    async def settle(self) -> None:
        """Deliver what Stripe has to say, and carry it out."""
        await self.sim.deliver_pending()
        await self.gate.receiver.drain()

    async def available(self, unit: str = "credits", customer: str = "ada") -> int:
        found = (await self.gate.balance(customer, unit)).available
        assert found is not None
        return found

    async def plans(self, customer: str = "ada") -> set[str]:
        return set((await self.gate.entitlements(customer)).plans)

    def confirm(self, secret: Any, card: str = "pm_card_visa") -> None:
        """What Stripe.js does with a client secret."""
        intent = secret["client_secret"].partition("_secret")[0]
        stripe = self.sim.client().v1
        api = stripe.setup_intents if secret["confirms"] == "setup" else stripe.payment_intents
        api.confirm(intent, {"payment_method": card})

    async def subscribed(
        self, price: str = "team_monthly", customer: str = "ada", **more: Any
    ) -> str:
        """A subscription that was begun and paid in the page; its id."""
        body = {"price": price, **more}
        started = await self.post("/subscriptions", body, customer=customer, status=201)
        self.confirm(started["secret"])
        await self.settle()
        return str(started["subscription"]["id"])


@asynccontextmanager
async def opened(
    sim: Simulator, store: Store, *, options: BillingOptions = OPTIONS, **more: Any
) -> AsyncIterator[Page]:
    settings = Settings.load(
        background_work=False,
        stripe_secret_key=sim.settings.api_key,
        stripe_webhook_secret=SECRET,
        stripe_api_base=sim.url,
        stripe_max_per_second=10_000,
        stripe_max_retries=0,
        **more,
    )
    gate = Gatekeeper(CATALOG, settings, store=store, clock=lambda: sim.now)

    @gate.identify
    def who(connection: HTTPConnection) -> str | None:
        return connection.headers.get("x-customer")

    app = Starlette(routes=[Mount("/billing", app=billing_routes(gate, options))])
    sim.webhook_endpoint(f"{BASE_URL}/billing/webhooks", secret=SECRET, app=app)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    answer_in_process(gate.stripe, sim)
    async with gate, httpx.AsyncClient(transport=transport, base_url=BASE_URL) as browser:
        await apply_setup(await plan_setup(CATALOG, gate.stripe), gate.stripe)
        yield Page(gate, sim, browser)


@pytest.fixture
async def page(stripe_sim: Simulator) -> AsyncIterator[Page]:  # noqa: F811
    async with opened(stripe_sim, MemoryStore(clock=lambda: stripe_sim.now)) as made:
        yield made


@pytest.fixture
async def durable(stripe_sim: Simulator, gate_url: str) -> AsyncIterator[Page]:  # noqa: F811
    store = store_for(gate_url, clock=lambda: stripe_sim.now)
    async with opened(stripe_sim, store, refund_duplicates=True) as made:
        yield made
