"""Hard cases 1 to 8, 12 to 14 and 61: from the request to the stored event and its handlers."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from gatekeeper.asgi import webhook_route
from gatekeeper.errors import (
    ConfigurationError,
    PayloadError,
    PayloadTooLargeError,
    SignatureError,
    StoreUnavailableError,
    WebhookError,
)
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus, Stamp
from gatekeeper.storage.sql.sqlite_runner import SqliteOptions
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe.webhooks import DispatchPolicy, WebhookEvent, WebhookReceiver
from gatekeeper.stripe.webhooks.intake import Intake
from gatekeeper.testing.events import (
    DEFAULT_SECRET,
    checkout_session,
    invoice,
    make_event,
    signed,
    stripe_customer,
    subscription,
    thin_event,
)
from tests.adapters.driver import http_scope
from tests.services.postgres import PrivatePostgres
from tests.stripe.money import charge, refund
from tests.stripe.world import ManualClock, World

pytestmark = pytest.mark.anyio


async def pay(world: World) -> None:
    """Org 1 has a paid subscription at Stripe; nothing of it is known here yet."""
    await world.customer()
    world.stripe.put(subscription(latest_invoice=invoice()), invoice())


async def test_case_01_the_same_event_fifty_times_at_once_has_one_effect(world: World) -> None:
    await pay(world)
    seen: list[str] = []

    @world.registry.on("customer.subscription.created")
    async def handler(event: WebhookEvent) -> None:
        seen.append(event.id)

    event = make_event("customer.subscription.created", subscription())
    answers: list[bool] = []

    async def deliver() -> None:
        answers.extend(await world.send(event))
        await world.receiver.drain()

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(deliver)
    assert sorted(answers) == [False] * 49 + [True]
    assert seen == [event["id"]]
    assert await world.version() == 1
    assert await world.available() == 1_005
    assert await world.counts() == {EventStatus.DONE: 1}


async def test_case_02_a_failed_handler_runs_again_and_only_what_failed(world: World) -> None:
    await pay(world)
    ran: list[str] = []

    @world.registry.on("invoice.paid", name="steady")
    async def steady(event: WebhookEvent) -> None:
        ran.append(f"steady {event.attempt}")

    @world.registry.on("invoice.paid", name="shaky")
    async def shaky(event: WebhookEvent) -> None:
        ran.append(f"shaky {event.attempt}")
        if event.attempt == 1:
            raise ValueError("not today")

    event = make_event("invoice.paid", invoice())
    await world.deliver(event)
    stored = await world.stored(event)
    assert (stored.status, stored.last_error) == (EventStatus.PENDING, "ValueError: not today")
    assert await world.send(event) == [False]  # Stripe sends it again: it is known
    world.clock.advance(minutes=1)
    fetched = len(world.stripe.fetches)
    await world.receiver.drain()
    assert ran == ["steady 1", "shaky 1", "shaky 2"]
    assert len(world.stripe.fetches) == fetched  # nor was it projected again
    assert await world.status_of(event) is EventStatus.DONE


async def test_case_03_a_crash_after_the_inbox_commit_is_made_good_by_a_sweep(
    world: World,
) -> None:
    await pay(world)
    event = make_event("customer.subscription.created", subscription())
    await world.send(event)  # and the process is gone before it dispatched anything
    assert await world.new_receiver().run_once() == 1
    assert (await world.entitlements()).has_plan("pro")


async def test_a_crash_in_mid_dispatch_is_made_good_when_the_lease_is_over(world: World) -> None:
    await pay(world)
    event = make_event("customer.subscription.created", subscription())
    await world.send(event)

    def claim_and_die(tx: Transaction) -> int:
        until = tx.now() + timedelta(seconds=world.policy.lease_seconds)
        return len(tx.inbox.claim(tx.now(), until, 10))

    assert await world.store.write(claim_and_die) == 1
    assert await world.receiver.run_once() == 0  # it is somebody's
    world.clock.advance(seconds=world.policy.lease_seconds + 1)
    assert await world.receiver.run_once() == 1
    assert (await world.stored(event)).attempts == 2
    assert (await world.entitlements()).has_plan("pro")


async def test_case_04_a_crash_after_the_effects_and_before_the_end_has_no_second_effect(
    world: World,
) -> None:
    await pay(world)
    wrote: list[str] = []

    @world.registry.on("invoice.paid")
    async def handler(event: WebhookEvent) -> None:
        event.write(lambda tx: wrote.append(event.id))

    event = make_event("invoice.paid", invoice())
    await world.deliver(event)
    assert await world.version() == 1

    def undo_the_end(tx: Transaction) -> None:  # as if the process had died before settling it
        tx.inbox.settle(event_key, EventStatus.PENDING, due_at=tx.now())

    event_key = (await world.stored(event)).key
    await world.store.write(undo_the_end)
    fetched = len(world.stripe.fetches)
    await world.receiver.drain()
    assert await world.status_of(event) is EventStatus.DONE
    assert (wrote, await world.version()) == ([event["id"]], 1)
    assert len(world.stripe.fetches) == fetched
    assert await world.available() == 1_005


async def test_case_05_both_secrets_of_a_rotation_are_accepted_and_a_third_is_not(
    world: World,
) -> None:
    intake = Intake(world.store, ["whsec_new", "whsec_old"], clock=world.clock)
    for number, secret in enumerate(["whsec_new", "whsec_old"]):
        event = make_event("invoice.paid", invoice(), id=f"evt_{number}")
        assert await intake.receive(*signed(event, secret, at=world.clock.now))
    with pytest.raises(SignatureError):
        await intake.receive(*signed(make_event("a", invoice()), "whsec_3", at=world.clock.now))
    assert await world.counts() == {EventStatus.PENDING: 2}


BAD_BODIES = {
    "not UTF-8": b'{"id": "\xff"}',
    "a list": b"[]",
    "a long integer": b'{"id": "evt_1", "object": "event", "n": ' + b"9" * 5_000 + b"}",
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "empty": b"",
    "NUL in an id": b'{"id":"evt\\u0000","object":"event","type":"a","created":1,'
    b'"livemode":false,"data":{"object":{"object":"a"}}}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=list(BAD_BODIES))
async def test_case_06_a_hostile_body_is_a_400_even_when_it_is_signed(
    world: World, body: bytes
) -> None:
    with pytest.raises(PayloadError) as caught:
        await world.receiver.receive(*signed(body, at=world.clock.now))
    assert caught.value.status == 400
    assert await world.counts() == {}


BAD_HEADERS = {
    "none": None,
    "not ASCII": "t=1,v1=ü".encode(),
    "many parts": "t=1767225600" + ",v1=00" * 100_000,
    "two timestamps": "t=1767225600,t=1767225600,v1=00",
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=list(BAD_HEADERS))
async def test_case_06_a_hostile_header_is_a_400(world: World, header: bytes | str | None) -> None:
    with pytest.raises(SignatureError) as caught:
        await world.receiver.receive(b"{}", header)
    assert caught.value.status == 400
    assert await world.counts() == {}


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "in fact"])
async def test_case_06_a_body_over_the_limit_is_a_413_without_reading_on(
    world: World, declared: bool
) -> None:
    receiver = world.new_receiver(max_body_bytes=1_024)
    app = Starlette(routes=[webhook_route(receiver, "/")])
    body, signature = signed(make_event("invoice.paid", invoice()), at=world.clock.now)
    headers = [(b"stripe-signature", signature.encode())]
    if declared:
        headers.append((b"content-length", b"1025"))
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": body.ljust(1_024), "more_body": True}

    answer: list[Any] = []

    async def send(message: Any) -> None:
        answer.append(message)

    await app({**http_scope("POST", "/"), "headers": headers}, receive, send)
    assert answer[0]["status"] == 413
    assert read == (0 if declared else 2)
    with pytest.raises(PayloadTooLargeError):  # nor by a route of the host's own
        await receiver.receive(b" " * 1_025, signature)
    assert await world.counts() == {}


@pytest.mark.parametrize("minutes", [-6, 6], ids=["past", "future"])
async def test_case_07_a_timestamp_far_away_is_refused(world: World, minutes: int) -> None:
    at = world.clock.now + timedelta(minutes=minutes)
    with pytest.raises(SignatureError):
        await world.receiver.receive(*signed(make_event("invoice.paid", invoice()), at=at))
    assert await world.counts() == {}


async def test_case_07_a_tolerance_of_zero_is_refused(memory_world: World) -> None:
    receiver = memory_world.new_receiver(tolerance_seconds=0)
    with pytest.raises(ConfigurationError, match="tolerance"):
        await receiver.receive(b"{}", "t=1,v1=00")


async def test_case_08_an_event_of_the_other_mode_is_stored_without_effect_and_alerted(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await pay(world)
    seen: list[str] = []

    @world.registry.on("customer.subscription.created")
    async def handler(event: WebhookEvent) -> None:
        seen.append(event.id)

    event = make_event("customer.subscription.created", subscription(), livemode=True)
    await world.deliver(event)
    assert await world.counts() == {EventStatus.IGNORED: 1}
    assert (seen, world.stripe.fetches) == ([], [])
    assert not (await world.entitlements()).has_plan("pro")
    assert "is of the other mode" in caplog.text
    assert (await world.stored(event)).payload is not None


async def test_case_08_a_test_of_a_connected_account_at_a_live_endpoint_is_no_alarm(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Stripe sends live endpoints the tests of their connected accounts too."""
    caplog.set_level("INFO", "gatekeeper.webhooks")
    intake = Intake(world.store, [DEFAULT_SECRET], livemode=True, clock=world.clock)
    for account in ("acct_2", None):
        event = make_event("charge.succeeded", {"id": "ch_1", "object": "charge"}, account=account)
        await intake.receive(*signed(event, at=world.clock.now))
    assert await world.counts() == {EventStatus.IGNORED: 2}
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]
    assert "is a test of connected account acct_2" in caplog.messages[0]


async def test_the_secret_with_which_a_browser_pays_is_not_stored(memory_world: World) -> None:
    intent = {
        "id": "pi_1",
        "object": "payment_intent",
        "client_secret": "pi_1_secret_2",
        "description": 'says "client_secret": "no"',
    }
    event = make_event("payment_intent.created", intent)
    await memory_world.deliver(event)
    payload = (await memory_world.stored(event)).payload
    assert payload is not None
    assert json.loads(payload)["data"]["object"] == {**intent, "client_secret": None}


async def test_case_09_the_events_of_a_connect_account_change_nothing_of_ours(
    world: World,
) -> None:
    await pay(world)
    seen: list[tuple[str | None, str | None]] = []

    @world.registry.on("customer.subscription.created")
    async def handler(event: WebhookEvent) -> None:
        seen.append((event.account, event.customer))

    theirs = make_event("customer.subscription.created", subscription(), account="acct_2")
    await world.deliver(theirs)
    assert not (await world.entitlements()).has_plan("pro")
    assert await world.version() == 0
    await world.deliver(make_event("customer.subscription.created", subscription()))
    assert seen == [("acct_2", None), (None, "org_1")]
    assert (await world.entitlements()).has_plan("pro")


async def test_case_12_an_unknown_type_is_a_200_and_no_dead_letter_though_nobody_handles_it(
    world: World,
) -> None:
    app = Starlette(routes=[webhook_route(world.receiver, "/")])
    odd = make_event("quantum.entangled", {"id": "q_1", "object": "quantum"})
    body, signature = signed(odd, at=world.clock.now)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://host.test") as stripe:
        answer = await stripe.post("/", content=body, headers={"stripe-signature": signature})
    assert answer.status_code == 200
    assert await world.counts() == {EventStatus.PENDING: 1}
    await world.receiver.drain()
    stored = await world.stored(odd)
    assert (stored.status, stored.payload, stored.attempts) == (EventStatus.DONE, body, 1)


async def test_case_12_an_unknown_type_is_stored_and_reaches_the_fallback(world: World) -> None:
    seen: list[str] = []

    @world.registry.fallback
    async def fallback(event: WebhookEvent) -> None:
        seen.append(event.type)

    odd = make_event("quantum.entangled", {"id": "q_1", "object": "quantum"})
    nameless = make_event("balance.available", {"object": "balance"})
    await world.deliver(odd, nameless)
    assert seen == ["quantum.entangled", "balance.available"]
    assert await world.counts() == {EventStatus.DONE: 2}


async def test_case_13_what_always_fails_becomes_a_dead_letter_and_others_go_on(
    world: World,
) -> None:
    await pay(world)
    world.policy = DispatchPolicy(max_attempts=5)
    tries: list[int] = []

    @world.registry.on("invoice.paid")
    async def handler(event: WebhookEvent) -> None:
        tries.append(event.attempt)
        raise RuntimeError("always")

    event = make_event("invoice.paid", invoice())
    other = make_event("checkout.session.completed", checkout_session())
    world.stripe.put(checkout_session())
    await world.send(event, other)
    waits = []
    for _ in range(6):
        await world.receiver.drain()
        waits.append(((await world.stored(event)).due_at - world.clock.now).total_seconds())
        world.clock.advance(hours=2)
    assert tries == [1, 2, 3, 4, 5]
    # Twice as long each time, of which a half is chance.
    for wait, longest in zip(waits[:4], (2, 4, 8, 16), strict=True):
        assert longest / 2 <= wait <= longest
    stored = await world.stored(event)
    assert (stored.status, stored.last_error) == (EventStatus.DEAD, "RuntimeError: always")
    assert await world.status_of(other) is EventStatus.DONE
    assert (await world.entitlements()).has_plan("pro")  # our own part of it succeeded


async def test_events_of_an_object_are_handled_as_they_came_and_one_that_waits_holds_up_none(
    world: World,
) -> None:
    ran: list[tuple[str, int]] = []

    @world.registry.on("charge.updated")
    async def handler(event: WebhookEvent) -> None:
        ran.append((event.id, event.attempt))
        if event.id == "evt_2" and event.attempt == 1:
            raise ValueError("not today")

    for name in ("evt_3", "evt_2", "evt_1"):
        await world.send(make_event("charge.updated", {"id": "ch_1", "object": "charge"}, id=name))
        world.clock.advance(seconds=1)
    await world.receiver.drain()
    world.clock.advance(minutes=1)
    await world.receiver.drain()
    assert ran == [("evt_3", 1), ("evt_2", 1), ("evt_1", 1), ("evt_2", 2)]


async def test_case_14_the_first_handler_is_not_run_again_when_the_second_fails(
    world: World,
) -> None:
    ran: list[str] = []

    @world.registry.on("charge.succeeded", name="first")
    async def first(event: WebhookEvent) -> None:
        ran.append("first")

    @world.registry.on("charge.succeeded", name="second")
    async def second(event: WebhookEvent) -> None:
        ran.append("second")
        if event.attempt < 3:
            raise ValueError(event.attempt)

    event = make_event("charge.succeeded", {"id": "ch_1", "object": "charge"})
    await world.deliver(event)
    for _ in range(3):
        world.clock.advance(hours=1)
        await world.receiver.drain()
    assert ran == ["first", "second", "second", "second"]
    assert await world.status_of(event) is EventStatus.DONE


class PostgresOutage:
    """A PostgreSQL that is stopped."""

    def __init__(self, private: PrivatePostgres) -> None:
        self.url = private.url
        self.begin, self.end = private.stop, private.start


class SqliteOutage:
    """A file whose lock somebody else keeps for longer than we wait."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._other = sqlite3.connect(url.removeprefix("sqlite:///"), check_same_thread=False)

    def begin(self) -> None:
        self._other.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        self._other.rollback()


@pytest.fixture(params=["sqlite", "postgresql"])
def outage(request: pytest.FixtureRequest) -> Iterator[SqliteOutage | PostgresOutage]:
    if request.param == "sqlite":
        locked = SqliteOutage(request.getfixturevalue("migrated_sqlite_url"))
        yield locked
        locked._other.close()
    else:
        private: PrivatePostgres = request.getfixturevalue("private_postgres")
        upgrade(private.url)
        yield PostgresOutage(private)


async def test_case_61_an_inbox_that_cannot_commit_is_a_503_and_the_retry_works(
    outage: SqliteOutage | PostgresOutage, clock: ManualClock
) -> None:
    """By the route: Stripe sees a 503 for a known event and for a new one, and sends both again."""
    patience = SqliteOptions(busy_timeout_seconds=0.1)
    async with store_for(outage.url, clock=clock, sqlite=patience) as store:
        world = World(store, clock)
        app = Starlette(routes=[webhook_route(world.receiver, "/")])
        known, new = (make_event("invoice.paid", invoice()) for _ in range(2))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://host.test") as stripe:

            async def send(event: dict[str, Any]) -> httpx.Response:
                body, signature = signed(event, at=clock.now)
                return await stripe.post("/", content=body, headers={"stripe-signature": signature})

            assert (await send(known)).status_code == 200
            await anyio.to_thread.run_sync(outage.begin)
            for event in (known, new, new):
                refused = await send(event)
                assert refused.status_code == 503
                assert refused.json()["code"] in {"store_unavailable", "transaction_conflict"}
                assert refused.headers["retry-after"]
            answer = await world.receiver.answer(*signed(new, at=clock.now))
            assert (answer.status, answer.new) == (503, False)
            await anyio.to_thread.run_sync(outage.end)
            assert await world.counts() == {EventStatus.PENDING: 1}
            for event in (new, known):
                assert (await send(event)).status_code == 200
            assert await world.counts() == {EventStatus.PENDING: 2}


async def test_every_refusal_is_a_webhook_error(memory_world: World) -> None:
    for refused in (SignatureError, PayloadError, PayloadTooLargeError):
        assert issubclass(refused, WebhookError)


# -- thin events, connected accounts, hosts with a route of their own ------------------------------


@pytest.mark.parametrize("thin_first", [True, False])
@pytest.mark.parametrize("together", [True, False])
async def test_case_11_a_thin_event_and_its_snapshot_twin_have_one_effect(
    world: World, thin_first: bool, together: bool
) -> None:
    await pay(world)
    seen: list[str] = []

    @world.registry.on("invoice.paid")
    async def handler(event: WebhookEvent) -> None:
        seen.append(event.id)

    snapshot = make_event("invoice.paid", invoice())
    thin = thin_event(
        "v1.invoice.paid", object_type="invoice", object_id=invoice()["id"], snapshot=snapshot
    )
    twins = [thin, snapshot] if thin_first else [snapshot, thin]
    if together:
        await world.send(*twins)
        world.clock.advance(seconds=1)
        await world.receiver.drain()
        fetches = [one for one in world.stripe.fetches if one[0] == "invoice"]
        assert len(fetches) == 1
    else:
        await world.deliver(*twins)
    assert len(seen) == 1
    if not together:
        assert seen == [twins[0]["id"]]
    assert await world.available() == 1_005
    assert await world.version() == 1
    assert await world.counts() == {EventStatus.DONE: 2}  # both are kept, for replay
    assert (await world.stored(thin)).object_key == (await world.stored(snapshot)).object_key


async def test_case_11_a_thin_event_without_a_twin_reaches_the_handlers_of_its_snapshot(
    world: World,
) -> None:
    seen: list[tuple[str, str]] = []

    @world.registry.on("v1.charge.updated", name="thin")
    async def thin(event: WebhookEvent) -> None:
        seen.append(("thin", event.type))

    @world.registry.on("charge.updated", "v1.charge.updated", name="both")
    async def both(event: WebhookEvent) -> None:
        seen.append(("both", event.type))

    event = thin_event("v1.charge.updated", object_type="charge", object_id="ch_1")
    await world.deliver(event, make_event("charge.updated", {"id": "ch_1", "object": "charge"}))
    assert seen == [
        ("thin", "v1.charge.updated"),
        ("both", "v1.charge.updated"),
        ("both", "charge.updated"),
    ]


@pytest.mark.parametrize("routes", [("/stripe",), ("/stripe", "/stripe/thin")])
async def test_case_11_snapshots_and_thin_events_share_a_route_or_have_two(
    world: World, routes: tuple[str, ...]
) -> None:
    """Each endpoint at Stripe has a secret of its own, wherever it sends to."""
    await pay(world)
    receiver = WebhookReceiver(
        world.registry,
        world.store,
        ["whsec_snapshots", "whsec_thin"],
        livemode=False,
        clock=world.clock,
        projectors=world.projections.by_type,
    )
    app = Starlette(routes=[webhook_route(receiver, path) for path in routes])
    snapshot = make_event("invoice.paid", invoice())
    thin = thin_event(
        "v1.invoice.paid", object_type="invoice", object_id=invoice()["id"], snapshot=snapshot
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://host.test") as stripe:
        for event, secret, path in (
            (snapshot, "whsec_snapshots", routes[0]),
            (thin, "whsec_thin", routes[-1]),
        ):
            body, signature = signed(event, secret, at=world.clock.now)
            told = {"stripe-signature": signature}
            assert (await stripe.post(path, content=body, headers=told)).status_code == 200
    await receiver.drain()
    assert await world.available() == 1_005
    assert await world.counts() == {EventStatus.DONE: 2}


async def test_a_thin_event_of_a_customer_names_the_hosts_customer(world: World) -> None:
    await world.customer()
    seen: list[str | None] = []

    @world.registry.on("customer.updated")
    async def handler(event: WebhookEvent) -> None:
        seen.append(event.customer)

    world.stripe.put(stripe_customer())
    await world.deliver(
        thin_event("v1.customer.updated", object_type="customer", object_id="cus_1")
    )
    assert seen == ["org_1"]


async def test_whose_it_is_is_known_of_what_names_no_customer(world: World) -> None:
    await world.customer()
    seen: list[tuple[str, str | None]] = []

    @world.registry.fallback
    async def handler(event: WebhookEvent) -> None:
        seen.append((event.type, event.customer))

    world.stripe.put(charge(), refund("re_1", 100), subscription())
    thin = {"object_type": "subscription", "object_id": subscription()["id"]}
    events = [
        make_event("refund.created", refund("re_1", 100)),
        thin_event("v1.customer.subscription.updated", **thin),
    ]
    await world.deliver(*events)
    assert seen == [(event["type"], "org_1") for event in events]
    await world.store.write(lambda tx: tx.audit.erase("org_1", "erased_1", world.clock.now))
    await world.deliver(make_event("refund.updated", refund("re_1", 100)))
    assert seen[-1] == ("refund.updated", None)


@pytest.mark.parametrize(
    ("context", "account"),
    [
        (None, None),
        ("acct_1", None),  # our own, as an organisation's endpoint names it
        ("acct_2", "acct_2"),
        ("acct_1/acct_2", "acct_2"),
        ("org_1/acct_1/acct_3", "acct_3"),
        ("acct_2/", "acct_2"),
    ],
)
async def test_case_09_a_context_names_the_account_by_its_last_part(
    world: World, context: str | None, account: str | None
) -> None:
    await world.store.write(lambda tx: tx.put_stamp(Stamp(account="acct_1", livemode=False)))
    for number in range(2):  # the second time our own account is known already
        event = thin_event(
            "v2.core.account.updated",
            object_type="v2.core.account",
            object_id=f"acct_9{number}",
            context=context,
        )
        await world.send(event)
        key = f"{account or ''}/{event['id']}"
        stored = await world.store.read(partial(lambda tx, key: tx.inbox.get(key), key=key))
        assert stored is not None
        assert (stored.account, stored.object_type) == (account, "account")


async def test_case_09_the_same_object_id_on_two_accounts_is_two_objects(world: World) -> None:
    events = [
        make_event("charge.updated", {"id": "ch_1", "object": "charge"}, account=account)
        for account in (None, "acct_2", "acct_3")
    ]
    await world.send(*events)
    assert len({(await world.stored(event)).object_key for event in events}) == 3


async def test_a_host_with_a_route_of_its_own_is_told_what_to_answer(world: World) -> None:
    body, signature = signed(make_event("invoice.paid", invoice()), at=world.clock.now)
    first, second = [await world.receiver.answer(body, signature) for _ in range(2)]
    assert (first.status, first.new, first.error) == (200, True, None)
    assert (second.status, second.new) == (200, False)
    assert first.headers == {"Content-Type": "application/json"}
    assert json.loads(first.body) == {"received": True}
    refused = await world.receiver.answer(body, "t=1,v1=00")
    assert (refused.status, refused.headers) == (400, {"Content-Type": "application/problem+json"})
    assert json.loads(refused.body)["type"] == "urn:gatekeeper:problem:signature-invalid"


async def test_a_host_with_a_route_of_its_own_is_told_of_an_outage() -> None:
    clock = ManualClock()
    async with MemoryStore(clock=clock) as store:
        world = World(store, clock)
    event = signed(make_event("invoice.paid", invoice()), at=clock.now)
    answer = await world.receiver.answer(*event)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert isinstance(answer.error, StoreUnavailableError)
