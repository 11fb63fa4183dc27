"""Hard case 63: what a buyer has paid reaches the seller once, though Stripe refuses it first."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from gatekeeper import Gatekeeper, Settings
from gatekeeper.errors import (
    ConflictError,
    IdempotencyConflictError,
    NotFoundError,
    StripeUnavailableError,
)
from gatekeeper.services import transfers
from gatekeeper.services.outbox import Signal, SignalRegistry
from gatekeeper.services.outbox.deliverer import Deliverer
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.transfers import Transfer, TransferStatus
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.selling.transfers import TransferSender
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.testing.stripe import Simulator
from tests.sdk.hosts import async_host
from tests.stripe.shop import URLS, Shop
from tests.stripe.world import CATALOG

pytestmark = pytest.mark.anyio


class Market:
    """A shop whose sales are owed to a seller."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.outgoing = OutgoingRequests(shop.gateway, shop.store)
        self.sender = TransferSender(shop.gateway, shop.store, self.outgoing)
        client = shop.sim.client()
        self.client = client
        self.seller = client.v1.accounts.create({"type": "express", "country": "IE"}).id

    async def sell(self) -> None:
        """Org 1 pays 500, of which 400 are owed to the seller."""
        link = await self.shop.start("topup_100")
        self.shop.sim.pay_checkout(link.session_id)
        await self.shop.settle()
        (charge,) = self.shop.sim.events("charge.succeeded")
        self.charge = charge["data"]["object"]["id"]
        await self.owe()
        await self.owe()  # however often it is noted

    async def owe(self, amount: int = 400) -> Transfer:
        return await transfers.TransferDesk(self.shop.store).owe(
            "order_1",
            customer="org_1",
            charge_id=self.charge,
            destination=self.seller,
            amount_minor=amount,
            currency="eur",
        )

    async def owed(self) -> Transfer:
        found = await self.shop.store.read(lambda tx: tx.transfers.get("order_1"))
        assert found is not None
        return found

    async def retry(self) -> None:
        """Somebody has mended what was wrong."""
        await self.shop.store.write(lambda tx: transfers.retry(tx, "order_1"))
        await self.sender.send_due()

    def sent(self) -> list[Any]:
        return self.shop.sim.events("transfer.created")

    async def told(self) -> list[Signal]:
        found: list[Signal] = []
        registry = SignalRegistry()

        @registry.on("transfer.failed", name="host")
        async def hear(signal: Signal) -> None:
            found.append(signal)

        deliverer = Deliverer(self.shop.store, registry)
        while await deliverer.run_once():
            pass
        return found


async def test_case_63_a_transfer_that_failed_is_visible_and_retried_and_made_once(
    durable_shop: Shop,
) -> None:
    market = Market(durable_shop)
    await market.sell()
    assert await market.sender.send_due() == 1  # the seller may not be paid yet
    failed = await market.owed()
    assert (failed.status, failed.attempts) == (TransferStatus.FAILED, 1)
    assert "destination account" in str(failed.last_error)
    (signal,) = await market.told()
    assert (signal.customer, signal.body["transfer"]) == ("org_1", "order_1")
    assert await market.sender.send_due() == 0  # not before its time
    await market.retry()
    assert (await market.owed()).attempts == 2
    assert await market.told() == []  # it was told
    durable_shop.sim.onboard(market.seller)
    durable_shop.clock.advance(hours=7)
    assert await market.sender.send_due() == 1
    sent = await market.owed()
    (made,) = market.sent()
    assert (sent.status, sent.transfer_id) == (
        TransferStatus.SENT,
        made["data"]["object"]["id"],
    )
    assert made["data"]["object"]["amount"] == 400
    assert await market.sender.send_due() == 0
    with pytest.raises(NotFoundError):
        await market.retry()
    with pytest.raises(ConflictError):
        await market.owe(401)


def next_request(shop: Shop, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Have the next change reach Stripe, and end here with an error all the same."""
    post = shop.gateway.post

    async def fail(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(shop.gateway, "post", post)
        await post(*args, **options)
        raise error

    monkeypatch.setattr(shop.gateway, "post", fail)


@pytest.mark.parametrize("hours", [0, 48])
async def test_case_63_an_answer_that_was_lost_makes_no_second_transfer(
    hours: int, durable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the life of its key by the key; after it Stripe is asked."""
    market = Market(durable_shop)
    durable_shop.sim.onboard(market.seller)
    await market.sell()
    next_request(durable_shop, monkeypatch, StripeUnavailableError("The answer was lost."))
    await market.sender.send_due()
    assert (await market.owed()).status is TransferStatus.OWED
    assert await market.told() == []
    durable_shop.clock.advance(hours=hours, minutes=2)
    assert await market.outgoing.resume() == 1
    durable_shop.clock.advance(minutes=10)
    await market.sender.send_due()
    assert (await market.owed()).status is TransferStatus.SENT
    assert len(market.sent()) == 1


async def test_case_63_the_next_try_finds_what_a_lost_answer_has_made(
    durable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = Market(durable_shop)
    durable_shop.sim.onboard(market.seller)
    await market.sell()
    next_request(durable_shop, monkeypatch, StripeUnavailableError("The answer was lost."))
    await market.sender.send_due()
    durable_shop.clock.advance(hours=48)  # nobody has resumed it
    assert await market.sender.send_due() == 1
    assert (await market.owed()).status is TransferStatus.SENT
    assert len(market.sent()) == 1


@pytest.mark.parametrize("minutes", [10, 48 * 60])
async def test_case_63_a_key_that_was_used_otherwise_leads_to_no_second_transfer(
    minutes: int, durable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier release has sent it, in other words, and heard of no answer."""
    market = Market(durable_shop)
    durable_shop.sim.onboard(market.seller)
    await market.sell()
    used = IdempotencyConflictError("This key was used for another request.")
    next_request(durable_shop, monkeypatch, used)
    await market.sender.send_due()
    owed = await market.owed()
    assert (owed.status, owed.attempts) == (TransferStatus.OWED, 0)
    durable_shop.clock.advance(minutes=minutes)
    assert await market.sender.send_due() == 1
    sent = await market.owed()
    (made,) = market.sent()
    assert (sent.status, sent.transfer_id) == (
        TransferStatus.SENT,
        made["data"]["object"]["id"],
    )


async def test_case_43_what_is_taken_back_from_a_seller_is_recorded_once(
    durable_shop: Shop,
) -> None:
    market = Market(durable_shop)
    durable_shop.sim.onboard(market.seller)
    await market.sell()
    await market.sender.send_due()
    transfer_id = (await market.owed()).transfer_id
    assert transfer_id is not None
    reversals = market.client.v1.transfers.reversals
    for amount, total in ((100, 100), (50, 150)):
        reversals.create(transfer_id, {"amount": amount})
        for event in durable_shop.sim.events("transfer.reversed"):
            durable_shop.sim.redeliver(event["id"])
        await durable_shop.settle()
        assert (await market.owed()).reversed_minor == total


async def test_a_transfer_of_nobody_s_has_no_effect(shop: Shop) -> None:
    market = Market(shop)
    shop.sim.onboard(market.seller)
    market.client.v1.transfers.create(
        {"amount": 10, "currency": "eur", "destination": market.seller}
    )
    await shop.settle()

    def note(tx: Transaction) -> None:
        transfers.note_sent(tx, "order_9", {"id": "tr_9"})
        transfers.note_refused(tx, "order_9", "no")

    await shop.store.write(note)
    assert await market.told() == []


@pytest.mark.parametrize(
    "database",
    ["migrated_sqlite_url", "migrated_postgres_url"],
    ids=["sqlite", "postgresql"],
)
async def test_case_63_what_a_host_owes_with_its_own_order_is_sent_once_by_the_work(
    stripe_sim: Simulator, database: str, request: pytest.FixtureRequest
) -> None:
    """From the gate's own method, in the host's transaction, to Stripe."""
    url = request.getfixturevalue(database)
    stripe = stripe_sim.client()
    seller = stripe.v1.accounts.create({"type": "express", "country": "IE"}).id
    stripe_sim.onboard(seller)
    settings = Settings.load(
        database_url=url,
        stripe_secret_key=stripe_sim.settings.api_key,
        stripe_api_base=stripe_sim.url,
    )
    gate = Gatekeeper(CATALOG, settings, clock=lambda: stripe_sim.now)
    async with gate.connected(), async_host(url) as engine:
        await apply_setup(await plan_setup(CATALOG, gate.stripe), gate.stripe)
        back = URLS["success_url"], URLS["cancel_url"]
        link = await gate.checkout("org_1", "topup_100", success_url=back[0], cancel_url=back[1])
        stripe_sim.pay_checkout(link.session_id)
        (charge,) = stripe_sim.events("charge.succeeded")
        for end in (AsyncSession.rollback, AsyncSession.commit, AsyncSession.commit):
            async with AsyncSession(engine) as session:
                await gate.owe_transfer(
                    "order_1",
                    customer="org_1",
                    charge_id=charge["data"]["object"]["id"],
                    destination=seller,
                    amount_minor=400,
                    currency="eur",
                    session=session,
                )
                await end(session)
            await gate.work()
            sent = stripe_sim.events("transfer.created")
            assert len(sent) == (0 if end is AsyncSession.rollback else 1)
        (made,) = stripe.v1.transfers.list({"destination": seller}).data
        assert (made.amount, made.currency) == (400, "eur")
        assert list(await gate.unsent_transfers()) == []
