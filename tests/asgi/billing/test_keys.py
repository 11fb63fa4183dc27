"""The client's Idempotency-Key on every kind of POST that changes something: the same request under
the same key, at once and again later, is made once, and answered alike."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from gatekeeper.asgi import BillingOptions
from gatekeeper.asgi.billing.rate_limits import RateLimits
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.asgi.billing.world import BUYER, SELLER, World
from tests.asgi.subscribing.conftest import Page, opened

pytestmark = pytest.mark.anyio

OPTIONS = BillingOptions(
    rate_limits=RateLimits(reads=None, writes=None, strangers=None),
    back_office=lambda request: "carl",
    consumable=("credits",),
)


@dataclass(frozen=True)
class Click:
    """A request, and how often Stripe is asked to change something for it, whoever clicks twice."""

    path: str
    body: Any = None
    who: str = BUYER
    asks: int = 1


OWN = "/subscriptions/{subscription}"
OFFICE = f"/admin/customers/{BUYER}"
BECAUSE = {"reason": "They asked."}

CLICKS = (
    Click("/orders", {"items": {"pot": 1}}, asks=0),
    Click("/orders", {"items": {"pot": 1}, "reference": "cart 1"}, asks=0),
    Click("/orders/{order}", {"items": {"pot": 3}}, asks=0),
    # Ada's orders are Sam's to sell by now: what was begun before is let go first.
    Click("/payment-intents", {"order": "{order}"}, asks=2),
    Click("/checkout", {"order": "{order}"}, asks=2),
    Click("/orders/{order}/cancel", {}),
    Click("/payment-intents/{payment_intent}/cancel", {}),
    Click("/checkout", {"price": "topup_100"}),
    Click(f"{OWN}/quantity", {"quantity": 3}),
    Click(f"{OWN}/change", {"quantity": 4}),
    Click(f"{OWN}/pause", {}),
    Click(f"{OWN}/resume", {}),
    Click(f"{OWN}/cancel", {}),
    Click("/payment-methods/setup", {}),
    Click("/payment-methods/{payment_method}/default", {}, asks=2),  # and what runs
    Click("/credits/consume", {"name": "credits", "quantity": 1}, asks=0),
    Click("/payment-intents/{held}/capture", {"amount_minor": 400}, SELLER),
    Click("/sellers/orders/{sale}/capture", {"amount_minor": 400}, SELLER),
    Click("/sellers/orders/{sale}/refund", {"amount_minor": 100}, SELLER),
    Click("/sellers", {"country": "IE"}, "new"),
    Click("/subscriptions", {"price": "pro_monthly"}, "newer", asks=2),  # a customer, too
    Click("/disputes/{dispute}/evidence", {"evidence": {"uncategorized_text": "It came."}}, SELLER),
    Click("/admin/refunds", {"order": "{paid_order}", "amount_minor": 100, **BECAUSE}),
    Click(f"{OFFICE}/grants", {"unit": "credits", "amount": 5, **BECAUSE}, asks=0),
    Click(f"{OFFICE}/freezes", {"key": "case/1", **BECAUSE}, asks=0),
    Click(f"{OFFICE}/unfreeze", BECAUSE, asks=0),
)


@pytest.fixture
async def page(stripe_sim: Simulator) -> AsyncIterator[Page]:  # noqa: F811
    store = MemoryStore(clock=lambda: stripe_sim.now)
    async with opened(stripe_sim, store, options=OPTIONS) as made:
        yield made


async def test_what_is_asked_twice_under_one_key_is_made_once(page: Page) -> None:
    world = World(page)
    await world.fill()
    # Of the one sale, each of the two ways to capture it gets its own.
    world.ids["sale"], _ = await _held(world)
    wrong: list[str] = []
    for number, click in enumerate(CLICKS):

        def ask(click: Click = click, key: str = f"click {number}") -> Any:
            path, body = click.path.format(**world.ids), click.body
            if isinstance(body, dict) and isinstance(body.get("order"), str):
                body = {**body, "order": body["order"].format(**world.ids)}
            return page.ask("POST", path, body, customer=click.who, key=key)

        world.asked.clear()
        answers = [*await asyncio.gather(ask(), ask()), await ask()]
        await page.settle()
        answers.append(await ask())
        statuses = {status for status, _ in answers}
        if not statuses <= {200, 201} or len({str(one) for _, one in answers}) > 1:
            wrong.append(f"{click.path}: {answers}")
        if len(world.asked) != click.asks:
            wrong.append(f"{click.path} asked Stripe for {world.asked}")
    assert not wrong, "\n".join(wrong)


async def test_an_earlier_click_that_comes_again_undoes_no_later_one(page: Page) -> None:
    world = World(page)
    order, _ = await world.order(pay=False)
    path = f"/orders/{order}"
    for key, pots in (("first", 1), ("second", 7)):
        await page.post(path, {"items": {"pot": pots}}, key=key)
    again = await page.post(path, {"items": {"pot": 1}}, key="first")
    assert again["items"] == (await page.get(path))["items"] == {"pot": 7}
    other = await page.post(path, {"items": {"pot": 2}}, key="first", status=409)
    assert other["code"] == "idempotency_conflict"


async def test_a_canceled_payment_that_is_canceled_again_is_canceled(page: Page) -> None:
    world = World(page)
    order, payment = await world.order(pay=False)
    path = f"/payment-intents/{payment}/cancel"
    assert await page.post(path) == await page.post(path)
    assert (await page.get(f"/orders/{order}"))["payment_intent"] is None
    assert (await page.post(path, customer="eve", status=404))["code"] == "not_found"


async def _held(world: World) -> tuple[str, str]:
    """One more order of Sam's, whose money is held."""
    world.quote = {"seller": SELLER, "commission_minor": 100, "capture": "manual"}
    held = await world.order()
    world.quote = {"seller": SELLER, "commission_minor": 100}
    return held
