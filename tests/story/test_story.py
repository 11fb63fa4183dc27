"""From an empty account to Pro and back: set up, check out, subscribe, be told, cancel.

On Stripe itself nobody can click on the hosted page, so the customer's part is played by the API:
the subscription is made with a test card, and the events that Stripe made are fetched from
`/v1/events`, signed by us and delivered to the gate's receiver. What is left behind in the account
is what `gatekeeper stripe setup` makes, and one customer.
"""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from gatekeeper import Catalog, Feature, Gatekeeper, Plan, Price, Settings, Unit
from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.stripe.signature import sign
from tests.story.conftest import Stage

pytestmark = pytest.mark.anyio

SECRET = "whsec_" + "story" * 8
PATIENCE_SECONDS = 60
credits_ = Unit("credits")
CATALOG = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits_.once(5)]),
        Plan(
            "story_pro",
            includes="free",
            prices=[
                Price("gatekeeper_story_monthly", amount_minor=999, currency="eur", every="month")
            ],
            features=[Feature("downloads")],
            grants=[credits_.every("month", 1_000)],
        ),
    ]
)


@pytest.fixture
async def gate(stage: Stage, tmp_path: Path) -> AsyncIterator[Gatekeeper]:
    """A gate on SQLite, whose database lives as long as the test."""
    settings = Settings.load(
        database_url=f"sqlite:///{tmp_path / 'story.db'}",
        schema_auto_upgrade=True,
        inline_dispatch=True,
        stripe_secret_key=stage.api_key,
        stripe_api_base=stage.api_base,
        stripe_webhook_secret=SECRET,
    )
    async with Gatekeeper(CATALOG, settings) as gate:
        yield gate


async def deliver_news(stage: Stage, gate: Gatekeeper, stripe_customer: str) -> None:
    """Deliver what Stripe has to tell of a customer, oldest first, as its webhooks would."""
    listed = await anyio.to_thread.run_sync(lambda: stage.client.v1.events.list({"limit": 50}))
    for event in reversed(listed.data):
        body: dict[str, Any] = event.to_dict()
        told = body["data"]["object"]
        if stripe_customer in (told.get("customer"), told.get("id")):
            raw = msgspec.json.encode(body)
            await gate.receiver.receive(raw, sign(raw, SECRET, datetime.now(UTC)))


async def become(
    stage: Stage, gate: Gatekeeper, customer: str, stripe_customer: str, *, pro: bool
) -> None:
    """Deliver news until the customer is Pro, or is no longer; Stripe may take some seconds."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while ("story_pro" in (await gate.entitlements(customer)).plans) is not pro:
            await deliver_news(stage, gate, stripe_customer)
            await anyio.sleep(0.05)


async def test_the_story(stage: Stage, gate: Gatekeeper) -> None:
    await apply_setup(await plan_setup(CATALOG, gate.stripe), gate.stripe)
    assert await plan_setup(CATALOG, gate.stripe) == []

    customer = f"story-{uuid.uuid4()}"
    await gate.customers.ensure(customer, name="Ada")
    assert (await gate.balance(customer, "credits")).available == 5
    assert not await gate.allows(customer, "downloads")

    link = await gate.checkout(
        customer,
        "gatekeeper_story_monthly",
        success_url="https://example.com/paid",
        cancel_url="https://example.com/",
    )
    assert link.url.startswith("http")
    assert (await gate.checkout_status(link.purchase_id, customer)).status is PurchaseStatus.PENDING
    v1 = stage.client.v1
    session = v1.checkout.sessions.retrieve(link.session_id)
    stripe_customer = str(session.customer)
    assert session.amount_total == 999

    method = v1.payment_methods.attach("pm_card_visa", {"customer": stripe_customer})
    price = v1.prices.list({"lookup_keys": ["gatekeeper_story_monthly"]}).data[0]
    subscription = v1.subscriptions.create(
        {
            "customer": stripe_customer,
            "items": [{"price": price.id}],
            "default_payment_method": method.id,
        }
    )
    await become(stage, gate, customer, stripe_customer, pro=True)
    assert await gate.allows(customer, "downloads")
    assert (await gate.balance(customer, "credits")).available == 1_005
    async with gate.reserve(customer, "credits", 40):
        pass
    await deliver_news(stage, gate, stripe_customer)  # all of it again: nothing is granted twice
    assert (await gate.balance(customer, "credits")).available == 965

    v1.subscriptions.cancel(subscription.id)
    await become(stage, gate, customer, stripe_customer, pro=False)
    assert not await gate.allows(customer, "downloads")
