"""Requests that are stored before they are sent, and made good after a crash."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from gatekeeper.errors import StoreUnavailableError, StripeRequestError, StripeUnavailableError
from gatekeeper.services import customers
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.testing.stripe import Simulator
from tests.stripe.world import ManualClock

pytestmark = pytest.mark.anyio


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture
async def gateway(stripe_sim: Simulator) -> AsyncIterator[StripeGateway]:
    async with StripeGateway(
        stripe_sim.settings.api_key, api_base=stripe_sim.url, max_network_retries=0
    ) as opened:
        yield opened


@pytest.fixture
def outgoing(gateway: StripeGateway, store: Store) -> OutgoingRequests:
    return OutgoingRequests(gateway, store)


def dying(gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch, *, sent: bool) -> None:
    """The next request ends the process, before or after Stripe has done it."""
    post = gateway.post

    async def die(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(gateway, "post", post)
        if sent:
            await post(*args, **options)
        raise Crash

    monkeypatch.setattr(gateway, "post", die)


async def rows(store: Store) -> list[OutgoingRequest]:
    """All open requests, claimed from a far future and put back."""

    def find(tx: Transaction) -> list[OutgoingRequest]:
        found = tx.requests.claim(tx.now().replace(year=2100), tx.now(), 100)
        return list(found)

    return await store.write(find)


async def make(outgoing: OutgoingRequests, key: str = "key-1", **more: Any) -> str:
    return await outgoing.post(
        "customers create",
        "/v1/customers",
        {"name": "A", "metadata": {"n": 1}},
        idempotency_key=key,
        settle=lambda tx, made: str(made["id"]),
        **more,
    )


@pytest.mark.parametrize("sent", [False, True])
async def test_case_41_a_customer_whose_making_crashed_is_made_once_and_kept(
    sent: bool,
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    stripe_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identities = StripeIdentities(gateway, outgoing, store)
    dying(gateway, monkeypatch, sent=sent)
    with pytest.raises(Crash):
        await identities.ensure("org_1")
    assert await outgoing.resume() == 0  # it may still be under way
    clock.advance(minutes=1)
    assert await outgoing.resume() == 1
    made = [event["data"]["object"]["id"] for event in stripe_sim.events("customer.created")]
    row = await store.read(lambda tx: tx.customers.get("org_1"))
    assert row is not None
    assert made == [row.stripe_id]
    assert await identities.ensure("org_1") == row.stripe_id
    clock.advance(hours=1)
    assert await outgoing.resume() == 0


async def test_case_40_a_customer_whom_somebody_else_made_meanwhile_keeps_their_id(
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dying(gateway, monkeypatch, sent=True)
    with pytest.raises(Crash):
        await StripeIdentities(gateway, outgoing, store).ensure("org_1")

    def take(tx: Transaction) -> None:
        tx.customers.save(replace(customers.ensure(tx, "org_1"), stripe_id="cus_theirs"))

    await store.write(take)
    clock.advance(minutes=2)
    assert await outgoing.resume() == 1
    row = await store.read(lambda tx: tx.customers.get("org_1"))
    assert row is not None
    assert row.stripe_id == "cus_theirs"


async def test_a_key_whose_life_is_over_is_never_sent_again(
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    stripe_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dying(gateway, monkeypatch, sent=True)
    with pytest.raises(Crash):
        await make(outgoing)
    clock.advance(hours=24)
    with caplog.at_level(logging.ERROR, "gatekeeper.stripe"):
        assert await outgoing.resume() == 1
    assert "look at Stripe" in caplog.text
    assert len(stripe_sim.events("customer.created")) == 1
    assert await rows(store) == []


async def test_case_41_a_customer_whose_making_was_not_heard_of_for_a_day_is_found_again(
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    stripe_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock.now = stripe_sim.now
    identities = StripeIdentities(gateway, outgoing, store)
    dying(gateway, monkeypatch, sent=True)
    with pytest.raises(Crash):
        await identities.ensure("org_1")
    await gateway.post("/v1/customers", {"name": "another"}, what="customers create")
    clock.now = stripe_sim.advance(hours=30)  # nobody worked: the key is forgotten
    made = stripe_sim.events("customer.created")[0]["data"]["object"]["id"]
    assert await identities.ensure("org_1") == made
    assert await rows(store) == []


@pytest.mark.parametrize("asked", [False, True])
async def test_a_customer_who_was_never_made_is_made_a_day_later_if_somebody_asks(
    asked: bool,
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    stripe_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock.now = stripe_sim.now
    identities = StripeIdentities(gateway, outgoing, store)
    dying(gateway, monkeypatch, sent=False)
    with pytest.raises(Crash):
        await identities.ensure("org_1")
    clock.now = stripe_sim.advance(hours=30)
    if asked:
        await identities.ensure("org_1")
    else:
        assert await outgoing.resume() == 1
    assert len(stripe_sim.events("customer.created")) == asked
    assert await rows(store) == []
    await identities.ensure("org_1")
    assert len(stripe_sim.events("customer.created")) == 1


@pytest.mark.parametrize("done", [False, True])
async def test_a_500_is_stripes_last_word_for_its_key_and_locks_nobody_out(
    done: bool,
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    stripe_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stripe answers a key with its first answer for a day, be that a 500."""
    clock.now = stripe_sim.now
    identities = StripeIdentities(gateway, outgoing, store)
    post = gateway.post
    broken: set[str] = set()

    async def remembered(*args: Any, **options: Any) -> Any:
        if not broken:
            broken.add(options["idempotency_key"])
            if done:
                await post(*args, **options)
        if options["idempotency_key"] in broken:
            raise StripeUnavailableError("Stripe answered 500", stripe_status=500)
        return await post(*args, **options)

    monkeypatch.setattr(gateway, "post", remembered)
    with pytest.raises(StripeUnavailableError):
        await identities.ensure("org_1")
    made = await identities.ensure("org_1")
    assert [event["data"]["object"]["id"] for event in stripe_sim.events("customer.created")] == [
        made
    ]
    assert await rows(store) == []


async def test_case_41_a_500_that_stripe_keeps_under_its_key_makes_no_second_customer(
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    stripe_sim: Simulator,
) -> None:
    clock.now = stripe_sim.now
    identities = StripeIdentities(gateway, outgoing, store)
    stripe_sim.misbehave("kept_500", path="/v1/customers", method="POST")
    with pytest.raises(StripeUnavailableError):
        await identities.ensure("org_1")
    made = await identities.ensure("org_1")
    assert [event["data"]["object"]["id"] for event in stripe_sim.events("customer.created")] == [
        made
    ]


async def test_what_can_not_be_resumed_holds_up_nothing_and_a_wrong_key_gives_nothing_up(
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    stripe_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for operation in ("customers create", "broken", "refused"):
        dying(gateway, monkeypatch, sent=False)
        with pytest.raises(Crash):
            await outgoing.post(operation, "/v1/customers", {}, settle=lambda tx, made: None)

    async def broken(request: OutgoingRequest) -> None:
        raise KeyError("a fault of ours")

    async def wrong_key(request: OutgoingRequest) -> None:
        raise StripeRequestError("Invalid API Key", stripe_status=401)

    outgoing.on_resumed("broken", None, look=broken, looks_first=True)
    outgoing.on_resumed("refused", None, look=wrong_key, looks_first=True)
    clock.advance(minutes=2)
    assert await outgoing.resume() == 3
    assert len(stripe_sim.events("customer.created")) == 1
    assert {one.operation for one in await rows(store)} == {"broken", "refused"}
    assert "could not be resumed" in caplog.text


async def test_the_databases_outage_leaves_a_resumed_request_open(
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dying(gateway, monkeypatch, sent=False)
    with pytest.raises(Crash):
        await make(outgoing)

    def away(tx: Transaction, request: OutgoingRequest, answer: Any) -> None:
        raise StoreUnavailableError

    outgoing.on_resumed("customers create", away)
    clock.advance(minutes=2)
    with pytest.raises(StoreUnavailableError):
        await outgoing.resume()
    assert len(await rows(store)) == 1


async def test_two_who_renew_a_spent_key_at_once_send_the_same_one(
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    stripe_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dying(gateway, monkeypatch, sent=False)
    with pytest.raises(Crash):
        await make(outgoing)
    clock.advance(hours=24)
    await asyncio.gather(make(outgoing), make(outgoing))
    assert len(stripe_sim.events("customer.created")) == 1


async def test_an_outage_leaves_it_to_the_background_unless_the_caller_gives_it_up(
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    stripe_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    post = gateway.post

    async def unavailable(*args: Any, **options: Any) -> Any:
        raise StripeUnavailableError

    monkeypatch.setattr(gateway, "post", unavailable)
    for key, keeps_trying in (("kept", True), ("given-up", False)):
        with pytest.raises(StripeUnavailableError):
            await make(outgoing, key, keeps_trying=keeps_trying)
    clock.advance(minutes=2)
    assert await outgoing.resume() == 1  # and Stripe is still away
    [open_one] = await rows(store)
    assert (open_one.idempotency_key, open_one.attempts) == ("kept", 2)
    assert open_one.last_error is not None
    monkeypatch.setattr(gateway, "post", post)
    clock.advance(minutes=10)
    assert await outgoing.resume() == 1
    assert len(stripe_sim.events("customer.created")) == 1
    assert await rows(store) == []


async def test_a_refusal_ends_it_and_the_same_key_may_ask_again(
    outgoing: OutgoingRequests, store: Store
) -> None:
    with pytest.raises(StripeRequestError):
        await outgoing.post("none", "/v1/checkout/sessions", {}, settle=lambda tx, made: None)
    assert await rows(store) == []
    first = await make(outgoing)
    assert await make(outgoing) == first
    assert await rows(store) == []


async def test_a_request_that_is_refused_when_sent_again_is_given_up_and_told(
    gateway: StripeGateway,
    outgoing: OutgoingRequests,
    store: Store,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dying(gateway, monkeypatch, sent=False)
    with pytest.raises(Crash):
        await outgoing.post("none", "/v1/checkout/sessions", {}, settle=lambda tx, made: None)
    clock.advance(minutes=2)
    with caplog.at_level(logging.ERROR, "gatekeeper.stripe"):
        assert await outgoing.resume() == 1
    assert "refused" in caplog.text
    assert await rows(store) == []
