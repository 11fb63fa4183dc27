"""A shop's page on the simulator: `page` in memory, `durable` on SQLite and PostgreSQL in turn."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gatekeeper import OrderRequest, Quote
from gatekeeper.errors import InvalidInputError
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.asgi.subscribing.conftest import Page, opened
from tests.gates import gate_url  # noqa: F401 -- fixture

PRICES = {"cup": 625, "pot": 2_000, "lot": 100_000_000, "crumb": 1}


def sell(page: Page, **terms: Any) -> Page:
    """Have the host price orders; `terms` are its quote's beside the amount."""

    async def price(request: OrderRequest) -> Quote:
        try:
            amount = sum(PRICES[name] * count for name, count in request.items.items())
        except (AttributeError, KeyError, TypeError):
            raise InvalidInputError("That is not for sale.") from None
        return Quote(**{"amount_minor": amount, "currency": "eur", **page_terms})

    page_terms: dict[str, Any] = terms
    page.gate.orders.priced(price)
    page.terms = page_terms  # type: ignore[attr-defined]
    return page


@pytest.fixture
async def page(stripe_sim: Simulator) -> AsyncIterator[Page]:  # noqa: F811
    async with opened(stripe_sim, MemoryStore(clock=lambda: stripe_sim.now)) as made:
        yield sell(made)


@pytest.fixture
async def durable(stripe_sim: Simulator, gate_url: str) -> AsyncIterator[Page]:  # noqa: F811
    store = store_for(gate_url, clock=lambda: stripe_sim.now)
    async with opened(stripe_sim, store) as made:
        yield sell(made)


async def ordered(page: Page, items: Any = None, **more: Any) -> Any:
    body = {"items": {"cup": 2} if items is None else items}
    return await page.post("/orders", body, status=201, **more)


async def paid(page: Page, items: Any = None) -> Any:
    """An order that was paid in the page, as the webhook says."""
    order = await ordered(page, items)
    intent = await page.post("/payment-intents", {"order": order["order"]})
    browse(page, intent)
    await page.settle()
    return await page.get(f"/orders/{order['order']}")


def browse(page: Page, intent: Any, card: str = "pm_card_visa") -> Any:
    """What Stripe.js does with the client secret."""
    api = page.sim.client().v1.payment_intents
    return api.confirm(intent["client_secret"].partition("_secret")[0], {"payment_method": card})
