"""Hard case 10, as a story: whatever version an endpoint has, the state is the same.

The events come in the shapes of the endpoint's version; what is written comes from fetches, whose
version is ours.
"""

from typing import Any

import httpx
import msgspec
import pytest

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.stripe.client import API_VERSION, StripeGateway
from gatekeeper.stripe.webhooks import WebhookEvent
from gatekeeper.testing.events import unix
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.versions import VERSIONS
from tests.stripe.shop import Shop, open_shop
from tests.stripe.test_reconciliation import subscribe
from tests.stripe.world import ManualClock

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

KINDS = (
    "charge",
    "checkout.session",
    "dispute",
    "invoice",
    "payment_intent",
    "refund",
    "subscription",
)


async def told_in(sim: Simulator, store: Store, clock: ManualClock, version: str) -> Shop:
    """A host whose endpoint has this API version."""
    shop = await open_shop(sim, store, clock)
    for endpoint in sim.state.store.all("webhook_endpoint"):
        endpoint["api_version"] = version
    return shop


async def live_through(shop: Shop) -> list[WebhookEvent]:
    """Org 1 subscribes, buys a pack, has half of it refunded, and disputes another payment; what
    its host's handlers have seen."""
    seen: list[WebhookEvent] = []

    @shop.receiver.registry.fallback
    async def see(event: WebhookEvent) -> None:
        seen.append(event)

    post = shop.gateway.post
    await subscribe(shop)
    link = await shop.start()
    session = shop.sim.pay_checkout(link.session_id)
    await post("/v1/refunds", {"payment_intent": session["payment_intent"], "amount": 250}, what="")
    payment = {"amount": 700, "currency": "eur", "customer": session["customer"]}
    how = {"payment_method": "pm_card_createDispute", "confirm": True, "off_session": True}
    await post("/v1/payment_intents", {**payment, **how}, what="intent")
    await shop.settle()
    return seen


def look(sim: Simulator, tx: Transaction) -> set[str]:
    """The kinds of the story's objects, each of which is kept as Stripe has it in our version."""
    kinds = set()
    for kind in KINDS:
        for obj in sim.state.store.all(kind):
            copy = tx.mirror.get(kind, obj["id"])
            assert copy is not None, kind
            assert (copy.customer, copy.status) == ("org_1", obj["status"]), kind
            facts = msgspec.json.decode(copy.facts)
            assert "invoice" not in facts or kind == "checkout.session"  # as until acacia
            assert "latest_charge" in facts or kind != "payment_intent"
            kinds.add(kind)
    (subscription,) = sim.state.store.all("subscription")
    (item,) = tx.subscriptions.items(subscription["id"])
    (wanted,) = subscription["items"]["data"]
    assert (item.id, unix(item.period_end)) == (wanted["id"], wanted["current_period_end"])
    assert [unix(line.end) for line in item.paid_lines] == [wanted["current_period_end"]]
    return kinds


async def check(shop: Shop, version: str) -> None:
    seen = await live_through(shop)
    assert {event.api_version for event in seen} == {version}
    of_customer = {event.object_type for event in seen if event.customer == "org_1"}
    assert of_customer >= {"charge", "checkout.session", "invoice", "payment_intent"}
    assert (await shop.entitlements()).has_plan("pro")
    assert await shop.available() == 5 + 1_000 + 50
    counts = await shop.store.read(lambda tx: tx.inbox.counts())
    assert set(counts) == {EventStatus.DONE}
    assert await shop.store.read(lambda tx: look(shop.sim, tx)) == set(KINDS)


@pytest.mark.parametrize("version", VERSIONS)
async def test_case_10_a_story_told_in_any_version_is_written_as_in_ours(
    stripe_sim: Simulator, memory_store: Store, clock: ManualClock, version: str
) -> None:
    shop = await told_in(stripe_sim, memory_store, clock, version)
    async with shop.gateway:
        await check(shop, version)


async def test_case_10_the_oldest_version_on_every_database(
    stripe_sim: Simulator, store: Store, clock: ManualClock
) -> None:
    shop = await told_in(stripe_sim, store, clock, VERSIONS[-1])
    async with shop.gateway:
        await check(shop, VERSIONS[-1])


async def test_every_request_names_our_version(
    stripe_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    request = httpx.AsyncClient.request

    async def look(client: httpx.AsyncClient, *args: Any, **more: Any) -> httpx.Response:
        asked.append(more["headers"]["Stripe-Version"])
        return await request(client, *args, **more)

    monkeypatch.setattr(httpx.AsyncClient, "request", look)
    async with StripeGateway(
        stripe_sim.settings.api_key, api_base=stripe_sim.url, max_network_retries=0
    ) as gateway:
        made = await gateway.post("/v1/customers", {}, what="customer")
        await gateway.fetch("customer", made["id"])
        await gateway.listed("/v1/refunds", what="refunds")
    assert asked == [API_VERSION] * 3
    assert API_VERSION == "2026-10-28.endive"
