"""What is counted, and that nobody's name, address or card leaves with it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest

from gatekeeper.errors import (
    ConfigurationError,
    CreditsRequiredError,
    DebtOutstandingError,
    FeatureRequiredError,
    PlanRequiredError,
    RegistrationError,
    StoreUnavailableError,
    UnavailableError,
    UndeliverableError,
)
from gatekeeper.services import customers
from gatekeeper.services.analytics import (
    EVENTS,
    Analytics,
    AnalyticsEvent,
    Denials,
    PostHogAnalytics,
    denials,
)
from gatekeeper.services.analytics.desk import event_of
from gatekeeper.services.outbox import TOPICS, Signal
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import OutboxState
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, new_gate

pytestmark = pytest.mark.anyio

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
EVENT = AnalyticsEvent(
    id="01a1fee0-a4ee-7066-a364-33d1233bb5b6",
    name="credits.low",
    customer="org_1",
    at=AT,
    properties={"unit": "credits", "left": 3},
)


class Service(ThreadingHTTPServer):
    """A server that notes what is posted to it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.posted: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, json.loads(body)))
        answer = b'{"status": "Ok"}'
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Service]:
    with Service() as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        yield service
        service.shutdown()
        thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


def signal(topic: str, customer: str = "org_1", **body: Any) -> Signal:
    return Signal(id="sig_1", topic=topic, customer=customer, at=AT, body=body)


def test_only_what_is_named_leaves() -> None:
    told = signal(
        "credits.low", unit="credits", left=3, scope="ann@example.com", email="a@b.c", card="4242"
    )
    assert event_of(told).properties == {"unit": "credits", "left": 3}


def test_an_event_has_a_uuid_that_stays_the_same() -> None:
    told = signal("customer.created")
    assert event_of(told).id == event_of(told).id
    assert UUID(event_of(told).id).version == 5
    given = Signal(id=EVENT.id, topic="customer.created", customer="ada", at=AT, body={})
    assert event_of(given).id == EVENT.id


def test_a_customer_whose_id_is_an_address_leaves_as_a_hash() -> None:
    told = event_of(signal("customer.created", "ada@example.com"))
    assert told.customer.startswith("sha256-")
    assert told.customer == event_of(signal("customer.created", "ada@example.com")).customer


def test_every_event_is_a_topic() -> None:
    assert set(EVENTS) <= TOPICS


async def test_posthog_is_sent_one_event_by_its_uuid(service: Service) -> None:
    for _ in range(2):
        await PostHogAnalytics("phc_1", host=service.url).capture(EVENT)
    first, second = service.posted
    assert first == second
    path, body = first
    assert path == "/batch/"
    assert body["api_key"] == "phc_1"
    (sent,) = body["batch"]
    assert sent == {
        "uuid": EVENT.id,
        "event": "credits.low",
        "distinct_id": "org_1",
        "timestamp": "2026-01-05T12:00:00+00:00",
        "properties": {
            "unit": "credits",
            "left": 3,
            "$lib": "gatekeeper",
            "$process_person_profile": False,
            "$geoip_disable": True,
        },
    }


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_what_posthog_does_not_take_now_is_an_outage(service: Service, status: int) -> None:
    service.status = status
    with pytest.raises(UnavailableError, match=str(status)):
        await PostHogAnalytics("phc_1", host=service.url).capture(EVENT)


async def test_what_posthog_refuses_is_undeliverable(service: Service) -> None:
    service.status = 400
    with pytest.raises(UndeliverableError, match="400"):
        await PostHogAnalytics("phc_1", host=service.url).capture(EVENT)


async def test_a_posthog_that_is_not_there_is_an_outage() -> None:
    with pytest.raises(UnavailableError, match="can't be reached"):
        await PostHogAnalytics("phc_1", host="http://127.0.0.1:1").capture(EVENT)


# -- refusals --------------------------------------------------------------------------------------


async def test_a_refusal_is_told_once_an_hour_over_all_processes(
    store: Store, clock: ManualClock
) -> None:
    first, second = Denials(store, clock), Denials(store, clock)
    for one in (first, second):
        one.is_told = True
        for _ in range(100):
            one.note("ada", PlanRequiredError(required_plan="pro"))
        one.note("ada", FeatureRequiredError(required_feature="downloads"))
        one.note("bob", CreditsRequiredError(unit="credits"))
        one.note("bob", DebtOutstandingError(unit="credits"))
        one.note("bob", StoreUnavailableError())
    assert await first.write() == 3
    assert await second.write() == 3
    assert await first.write() == 0

    async def bodies() -> list[tuple[str, str]]:
        found = await store.read(lambda tx: tx.outbox.listing(OutboxState.WAITING, 99))
        return sorted((one.customer, one.body) for one in found)

    assert await bodies() == [
        ("ada", '{"needs":"feature","name":"downloads"}'),
        ("ada", '{"needs":"plan","name":"pro"}'),
        ("bob", '{"needs":"credits","name":"credits"}'),
    ]
    clock.advance(hours=1)
    first.note("ada", PlanRequiredError(required_plan="pro"))
    assert await first.write() == 1
    assert len(await bodies()) == 4


async def test_of_somebody_who_was_erased_no_refusal_is_written(
    memory_store: Store, clock: ManualClock
) -> None:
    told = Denials(memory_store, clock)
    told.is_told = True
    told.note("ada", PlanRequiredError(required_plan="pro"))
    await memory_store.write(lambda tx: customers.ensure(tx, "ada", is_news=False))
    await memory_store.write(lambda tx: tx.audit.erase("ada", "erased_1", tx.now()))
    await told.write()
    assert await memory_store.read(lambda tx: tx.outbox.listing(OutboxState.WAITING, 9)) == []


async def test_nobody_who_wants_to_hear_of_refusals_costs_nothing(
    memory_store: Store, clock: ManualClock
) -> None:
    told = Denials(memory_store, clock)
    told.note("ada", PlanRequiredError(required_plan="pro"))
    assert await told.write() == 0


async def test_refusals_are_bounded_and_outlive_an_outage(
    memory_store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials, "MAX_WAITING", 3)
    told = Denials(memory_store, clock)
    told.is_told = True
    for number in range(9):
        told.note(f"customer {number}", PlanRequiredError(required_plan="pro"))

    async def refuse(*_: object) -> None:
        raise StoreUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(memory_store, "write", refuse)
        with pytest.raises(StoreUnavailableError):
            await told.write()
    assert await told.write() == 3


# -- the gate --------------------------------------------------------------------------------------


class Counted(Analytics):
    def __init__(self) -> None:
        self.events: list[AnalyticsEvent] = []

    async def capture(self, event: AnalyticsEvent) -> None:
        self.events.append(event)


async def test_a_new_customer_and_a_refusal_are_counted(migrated_sqlite_url: str) -> None:
    gate, counted = new_gate(migrated_sqlite_url, clock=ManualClock()), Counted()
    gate.analyse(counted)
    async with gate:
        assert gate.denials.is_told
        await gate.customers.ensure(CUSTOMER, email="ada@example.com", name="Ada")
        gate.denials.note(CUSTOMER, PlanRequiredError(required_plan="pro"))
        await gate.denials.write()
        await gate.outbox.drain()
    assert [(one.name, one.properties) for one in counted.events] == [
        ("customer.created", {}),
        ("access.denied", {"needs": "plan", "name": "pro"}),
    ]


def test_what_can_not_be_counted_is_refused_when_it_is_registered(migrated_sqlite_url: str) -> None:
    gate = new_gate(migrated_sqlite_url)
    with pytest.raises(ConfigurationError, match="GATEKEEPER_POSTHOG_KEY"):
        gate.analyse()
    with pytest.raises(RegistrationError, match="no event 'spam'"):
        gate.analyse(Counted(), events=["spam"])
    with pytest.raises(RegistrationError, match="No event"):
        gate.analyse(Counted(), events=[])
    other = new_gate(migrated_sqlite_url, posthog_key="phc_1")
    other.analyse(events=["credits.low"])
    assert other.signals.types == {"credits.low"}
