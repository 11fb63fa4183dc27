"""PostgreSQL and Redis restarted, by SIGKILL and in order, while events arrive and access is asked
for.

An app with the billing routes and a guarded route runs on both, with all its background work. What
has been answered with 2xx is applied once in the end, whatever was down when; nobody is ever
answered anything but 2xx or 503.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import gatekeeper_starlette
from gatekeeper import Gatekeeper
from gatekeeper.ledger import GrantCredits, GrantKind
from gatekeeper.services import accounts
from gatekeeper.services.outbox import Signal
from gatekeeper.services.rules import Rules
from gatekeeper.settings import Settings
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus, OutboxState
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.stripe.webhooks import EVENT_TYPES, WebhookEvent
from gatekeeper.testing.events import signed
from gatekeeper.testing.stripe import Simulator
from tests.killed.shop import CATALOG, SECRET, TOPICS
from tests.services.postgres import PrivatePostgres
from tests.services.redis import PrivateRedis

pytestmark = pytest.mark.anyio

BUYERS: Final = 40
KNOWN: Final = 5
"""So many of them have what they bought before anything goes down, and ask for it all the time."""

SENDERS: Final = 8
BACK_OFF_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 100
CHECKS_WITHOUT_REDIS: Final = 200


class Load:
    """Senders, who send each event until it is answered with 2xx and every fifth twice, and
    customers who ask for what they have."""

    def __init__(self, client: httpx.AsyncClient, known: Sequence[str]) -> None:
        self._client = client
        self._known = known
        self._queue: deque[Any] = deque()
        self._unanswered = 0
        self._done = asyncio.Event()
        self._over = False
        self.answers: Counter[int] = Counter()
        self.checks: Counter[int] = Counter()

    def send(self, events: Sequence[Any]) -> None:
        """Have these sent from now on."""
        for number, event in enumerate(events):
            self._queue += [event] * (2 if number % 5 == 0 else 1)
        self._unanswered = len(self._queue)
        self._done.clear()

    async def answered(self) -> None:
        """Wait until all have been answered with 2xx."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._done.wait()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something to be counted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_so():  # noqa: ASYNC110 -- what counts knows nothing of who waits
                await asyncio.sleep(BACK_OFF_SECONDS)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._sender())
            for customer in self._known:
                group.create_task(self._asker(customer))
            yield
            self._over = True

    async def _sender(self) -> None:
        while not self._over:
            if not self._queue:
                await asyncio.sleep(BACK_OFF_SECONDS)
                continue
            event = self._queue.popleft()
            body, signature = signed(event, SECRET)
            headers = {"stripe-signature": signature}
            answer = await self._client.post("/billing/webhooks", content=body, headers=headers)
            self.answers[answer.status_code] += 1
            if answer.status_code == 200:
                self._unanswered -= 1
                if not self._unanswered:
                    self._done.set()
                continue
            assert answer.headers["retry-after"]
            self._queue.append(event)
            await asyncio.sleep(BACK_OFF_SECONDS)

    async def _asker(self, customer: str) -> None:
        while not self._over:
            answer = await self._client.get("/downloads", headers={"x-customer": customer})
            self.checks[answer.status_code] += 1
            await asyncio.sleep(0)


class Host:
    """The app's own: what it does for an event, and what it hears."""

    def __init__(self, gate: Gatekeeper) -> None:
        self.handled: set[str] = set()
        self.heard: list[Signal] = []
        gate.webhooks.on("checkout.session.completed", "invoice.paid")(self.thank)
        gate.on(*TOPICS)(self.hear)

    async def thank(self, event: WebhookEvent) -> None:
        self.handled.add(event.id)
        customer = event.customer
        assert customer is not None

        def once(tx: Transaction) -> None:
            command = GrantCredits(grant_id=f"for-{event.id}", amount=1, kind=GrantKind.MANUAL)
            accounts.grant(tx, Rules(CATALOG), customer, "thanks", command)

        event.write(once)

    async def hear(self, signal: Signal) -> None:
        self.heard.append(signal)


def app_of(gate: Gatekeeper) -> Starlette:
    @gate.identify
    async def who(connection: HTTPConnection) -> str:
        return connection.headers["x-customer"]

    @gate.requires_plan("pro")
    async def downloads(request: Request) -> PlainTextResponse:
        return PlainTextResponse("here")

    app = Starlette(routes=[Route("/downloads", downloads)])
    gatekeeper_starlette.install(app, gate)
    return app


async def buy(gate: Gatekeeper, simulator: Simulator, customer: str) -> list[Any]:
    """A subscription and a pack; returns the events of it."""
    before = len(simulator.events())
    for price in ("pro_monthly", "topup_100"):
        page = "https://app.test/"
        link = await gate.checkout(customer, price, success_url=page, cancel_url=page)
        simulator.pay_checkout(link.session_id)
    return [event for event in simulator.events()[before:] if event["type"] in EVENT_TYPES]


Down = Callable[[], Awaitable[None]]


@pytest.fixture
async def gate(
    private_postgres: PrivatePostgres, private_redis: PrivateRedis, stripe_sim: Simulator
) -> Gatekeeper:
    await asyncio.to_thread(upgrade, private_postgres.url)
    settings = Settings(
        database_url=private_postgres.url,
        redis_url=private_redis.url,
        stripe_secret_key=stripe_sim.settings.api_key,
        stripe_api_base=stripe_sim.url,
        stripe_webhook_secret=SECRET,
    )
    return Gatekeeper(CATALOG, settings)


@pytest.mark.long
async def test_postgresql_and_redis_restarted_under_load_lose_and_double_nothing(
    gate: Gatekeeper,
    private_postgres: PrivatePostgres,
    private_redis: PrivateRedis,
    stripe_sim: Simulator,
) -> None:
    host, app = Host(gate), app_of(gate)
    customers = [f"org_{number}" for number in range(BUYERS)]
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
    async with gate, client:
        await apply_setup(await plan_setup(CATALOG, gate.stripe), gate.stripe)
        bought = [await buy(gate, stripe_sim, customer) for customer in customers]
        load = Load(client, customers[:KNOWN])
        known = [event for events in bought[:KNOWN] for event in events]
        events = [event for events in bought[KNOWN:] for event in events]
        for event in known:
            await gate.receiver.receive(*signed(event, SECRET))
        await settled(gate, len(known))

        async def without_postgresql() -> None:
            """Until it was missed by somebody who sends, and nobody who asks was turned away."""
            refused = load.answers[503]
            await load.until(lambda: load.answers[503] > refused)

        async def without_redis() -> None:
            asked = load.checks.total()
            await load.until(lambda: load.checks.total() > asked + CHECKS_WITHOUT_REDIS)

        falls: list[tuple[Callable[[], None], Down, Callable[[], None]]] = [
            (private_postgres.kill, without_postgresql, private_postgres.start),
            (private_redis.kill, without_redis, private_redis.start),
            (private_postgres.stop, without_postgresql, private_postgres.start),
            (private_redis.stop, without_redis, private_redis.start),
            (private_postgres.kill, without_postgresql, private_postgres.start),
        ]
        share = -(-len(events) // len(falls))
        async with load.running():
            for number, (fall, down, rise) in enumerate(falls):
                load.send(events[number * share : (number + 1) * share])
                await asyncio.to_thread(fall)
                await down()
                await asyncio.to_thread(rise)
                await load.answered()
        assert load.answers.keys() == {200, 503}
        assert load.checks.keys() <= {200, 503}
        assert load.checks[200] > CHECKS_WITHOUT_REDIS
        await settled(gate, len(known) + len(events))
        await check(gate, client, host, customers)


async def settled(gate: Gatekeeper, events: int) -> None:
    """Wait until all is carried out and told."""
    store = gate._parts.store
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            counts = await store.read(lambda tx: tx.inbox.counts())
            if counts == {EventStatus.DONE: events} and not (await gate.outbox.counts()).waiting:
                return
            assert not counts.get(EventStatus.DEAD), counts
            await asyncio.sleep(BACK_OFF_SECONDS)


async def check(
    gate: Gatekeeper, client: httpx.AsyncClient, host: Host, customers: Sequence[str]
) -> None:
    """That everybody has what they bought, once, and the host has heard of it once."""
    for customer in customers:
        answer = await client.get("/downloads", headers={"x-customer": customer})
        assert answer.status_code == 200
        assert (await gate.balance(customer, "credits")).available == 5 + 1_000 + 100
        assert (await gate.balance(customer, "thanks")).available == 1 + 3
    assert len(host.handled) == 3 * len(customers)
    listed = await gate.outbox.listing(OutboxState.SENT, 10_000)
    sent = [one for one in listed if one.topic in TOPICS and not one.receiver]
    assert Counter(message.topic for message in sent) == {
        "payment.succeeded": 2 * len(customers),
        "subscription.changed": len(customers),
    }
    assert {signal.id for signal in host.heard} == {message.id for message in sent}
    verified = [found async for found in gate.auditor.verify()]
    assert verified
    assert all(found.breaches == () for found in verified)
