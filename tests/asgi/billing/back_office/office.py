"""An app whose back office is asked over HTTP, with the simulator in Stripe's place."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.requests import Request

from gatekeeper import Gatekeeper, Settings, asgi
from gatekeeper.storage.port import Store
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.testing.stripe import Simulator
from tests.adapters.driver import client_of
from tests.asgi.apps import by_header
from tests.stripe.shop import URLS, answer_in_process
from tests.stripe.world import CATALOG

SECRET = "whsec_" + "o" * 32
FREE, PACK, PRICE = 5, 100, 500
ANN = {"x-actor": "ann@support"}
REASON = "The export had failed."


def by_actor(request: Request) -> str | None:
    """The host's own authorisation: a header, in these tests."""
    return request.headers.get("x-actor")


@dataclass
class Office:
    """The app and what is behind it."""

    gate: Gatekeeper
    sim: Simulator
    client: httpx.AsyncClient

    async def get(self, path: str, **query: Any) -> Any:
        """What is answered to Ann, who may."""
        answer = await self.client.get(f"/billing/admin/{path}", params=query, headers=ANN)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ask(self, path: str, status: int = 200, once: str | None = None, **body: Any) -> Any:
        """What Ann is answered when she changes something."""
        headers = ANN if once is None else {**ANN, "idempotency-key": once}
        asked = {"reason": REASON, **body}
        answer = await self.client.post(f"/billing/admin/{path}", json=asked, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def walk(self, path: str, **query: Any) -> list[Any]:
        """All of a list, in pages of two."""
        found: list[Any] = []
        page: Any = {"next_cursor": None}
        while not found or page["next_cursor"]:
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
            page = await self.get(path, limit=2, **query, **cursor)
            assert len(page["data"]) <= 2
            found += page["data"]
            if not page["data"]:
                break
        return found

    async def buy(self, price: str = "topup_100", customer: str = "org_1") -> str:
        """A customer buys something; the charge that paid it, "" for what is tried first."""
        before = len(self.sim.events("charge.succeeded"))
        link = await self.gate.checkout(
            customer, price, success_url=URLS["success_url"], cancel_url=URLS["cancel_url"]
        )
        self.sim.pay_checkout(link.session_id)
        await self.settle()
        charges = self.sim.events("charge.succeeded")[before:]
        return str(charges[0]["data"]["object"]["id"]) if charges else ""

    async def settle(self) -> None:
        """Deliver what Stripe has to say, and carry it out."""
        await self.sim.deliver_pending()
        await self.gate.receiver.drain()

    async def available(self, customer: str = "org_1") -> int:
        found = (await self.gate.balance(customer, "credits")).available
        assert found is not None
        return found


async def open_office(
    sim: Simulator, url: str, store: Store | None = None
) -> AsyncIterator[Office]:
    """Open the app."""
    settings = Settings.load(
        database_url=url,
        stripe_secret_key=sim.settings.api_key,
        stripe_api_base=sim.url,
        stripe_webhook_secret=SECRET,
        stripe_max_per_second=10_000,  # the simulator has no limit, but when it is told
        background_work=False,
    )
    gate = Gatekeeper(CATALOG, settings, store=store, clock=lambda: sim.now)
    answer_in_process(gate.stripe, sim)
    by_header(gate)
    options = asgi.BillingOptions(back_office=by_actor)
    app = asgi.install(_no_app, gate, options=options)
    async with client_of(app) as client:
        await apply_setup(await plan_setup(CATALOG, gate.stripe), gate.stripe)
        sim.webhook_endpoint("http://host.test/billing/webhooks", secret=SECRET, app=app)
        await gate.customers.ensure("org_1", email="ada@example.org", name="Ada")
        yield Office(gate, sim, client)


async def _no_app(*_: Any) -> None:
    raise AssertionError("it was not for the app")
