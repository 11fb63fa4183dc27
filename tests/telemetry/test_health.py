"""How a gate is: every part well, ill and gone; as a function, a route and a command."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from gatekeeper import Gatekeeper, Health, HealthStatus, Settings, SyncGatekeeper
from gatekeeper.asgi import health_route, liveness_route, mount_health
from gatekeeper.cache import Freshness, MemoryCache
from gatekeeper.cache.redis import RedisCache
from gatekeeper.circuit import Circuit
from gatekeeper.entitlements import EntitlementsCodec
from gatekeeper.errors import StoreUnavailableError
from gatekeeper.services.health import FRESH_SECONDS, HealthCheck, HealthDesk, Thresholds
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe.reconciliation import LastRun, last_run
from gatekeeper.stripe.stamp import check_stamp
from gatekeeper.testing.conformance.storage import samples
from tests.gates import CATALOG, new_gate
from tests.stripe.world import FakeStripe, ManualClock

pytestmark = pytest.mark.anyio

T = TypeVar("T")
OK, DEGRADED, FAILING = HealthStatus


class Seconds:
    """Monotonic time that stands still."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class SharedCache(MemoryCache[Any]):
    """A cache that is as fresh as the test says."""

    is_shared = True
    is_now = Freshness.HEARD

    @property
    def freshness(self) -> Freshness:
        return self.is_now


def desk(store: Store, **options: Any) -> HealthDesk:
    given: dict[str, Any] = {"cache": MemoryCache(), **options}
    return HealthDesk(store, given.pop("thresholds", Thresholds()), last_run, **given)


def status(health: Health, name: str) -> HealthStatus:
    check = health.check(name)
    assert check is not None
    return check.status


async def write(store: Store, work: Callable[[Transaction], object]) -> None:
    await store.write(lambda tx: (work(tx), None)[1])


def reconciled(tx: Transaction, ago: timedelta, **state: int) -> None:
    finished = int((tx.now() - ago).timestamp())
    body = msgspec.json.encode({"finished": finished, **state}).decode()
    tx.progress.put("reconciliation", body, tx.now())


async def test_a_gate_in_which_all_is_well_is_ok(memory_store: Store) -> None:
    found = await desk(memory_store).look()
    assert found.status is OK
    assert found.is_ready
    assert [one.name for one in found.checks] == [
        "database",
        "schema",
        "inbox",
        "outbox",
        "usage",
        "requests",
        "reconciliation",
        "cache",
    ]


def waiting(tx: Transaction, seconds: int) -> None:
    at = tx.now() - timedelta(seconds=seconds)
    tx.inbox.insert(samples.event(received_at=at))
    tx.outbox.add([samples.message(created_at=at)])
    tx.metering.add_window(samples.usage_window(created_at=at))
    tx.requests.insert(samples.request(created_at=at))


async def test_a_queue_is_degraded_when_its_oldest_has_waited_for_too_long(
    memory_store: Store, clock: ManualClock
) -> None:
    seconds = Seconds()
    thresholds = Thresholds(inbox_age_seconds=60, outbox_lag_seconds=90)
    looking = desk(memory_store, thresholds=thresholds, monotonic=seconds)
    await write(memory_store, lambda tx: waiting(tx, 60))
    assert (await looking.look()).status is OK
    clock.advance(seconds=1)
    seconds.now += FRESH_SECONDS
    found = await looking.look()
    assert [status(found, name) for name in ("inbox", "outbox", "usage")] == [DEGRADED, OK, OK]
    clock.advance(seconds=30)
    seconds.now += FRESH_SECONDS
    found = await looking.look()
    assert [status(found, name) for name in ("outbox", "usage", "requests")] == [DEGRADED] * 3
    assert found.check("inbox") == HealthCheck(
        name="inbox", status=DEGRADED, reason="1 wait, the oldest for 91 s; 0 dead"
    )
    assert found.is_ready


async def test_usage_that_nobody_seals_is_degraded(memory_store: Store, clock: ManualClock) -> None:
    now = clock.now
    row = samples.usage(at=now, received_at=now)
    await write(memory_store, lambda tx: tx.metering.record([row]))
    seconds = Seconds()
    looking = desk(memory_store, monotonic=seconds)
    clock.advance(hours=1, minutes=6)  # an hour, a minute's grace, and five of lag
    assert status(await looking.look(), "usage") is OK
    clock.advance(seconds=1)
    seconds.now += FRESH_SECONDS
    check = (await looking.look()).check("usage")
    assert check is not None
    assert check.status is DEGRADED
    assert "none of the last 3961 s is sealed" in check.reason


async def test_dead_letters_are_degraded_above_what_is_tolerated(memory_store: Store) -> None:
    await write(memory_store, lambda tx: tx.inbox.insert(samples.event(status=EventStatus.DEAD)))
    assert status(await desk(memory_store).look(), "inbox") is DEGRADED
    tolerant = desk(memory_store, thresholds=Thresholds(dead_letters=1))
    assert status(await tolerant.look(), "inbox") is OK


@pytest.mark.parametrize(
    ("ago", "state", "expected"),
    [
        (timedelta(hours=47), {"drift": 3, "unrepaired": 0}, OK),
        (timedelta(hours=49), {}, DEGRADED),
        (timedelta(hours=1), {"drift": 3, "unrepaired": 1}, DEGRADED),
    ],
)
async def test_a_reconciliation_is_degraded_when_it_is_old_or_left_something(
    memory_store: Store, ago: timedelta, state: dict[str, int], expected: HealthStatus
) -> None:
    await write(memory_store, lambda tx: reconciled(tx, ago, **state))
    found = await desk(memory_store).look()
    assert status(found, "reconciliation") is expected
    check = found.check("reconciliation")
    assert check is not None
    assert f"{state.get('drift', 0)} fields differed" in check.reason


async def test_a_reconciliation_that_is_not_on_a_schedule_grows_as_old_as_it_likes(
    memory_store: Store,
) -> None:
    thresholds = Thresholds(reconciliation_age=None)
    assert (await desk(memory_store, thresholds=thresholds).look()).check("reconciliation") is None
    await write(memory_store, lambda tx: reconciled(tx, timedelta(days=900)))
    found = await desk(memory_store, thresholds=thresholds).look()
    assert status(found, "reconciliation") is OK


async def test_a_reconciliation_that_never_ran_is_degraded_after_two_of_its_periods(
    memory_store: Store, clock: ManualClock
) -> None:
    """Whoever sets Stripe up and runs no worker is told, though there is nothing to be too old."""
    seconds = Seconds()
    looking = desk(memory_store, monotonic=seconds)
    assert await memory_store.read(last_run) is None
    assert status(await looking.look(), "reconciliation") is OK
    await check_stamp(memory_store, FakeStripe())
    clock.advance(hours=48)
    seconds.now += FRESH_SECONDS
    assert status(await looking.look(), "reconciliation") is OK
    await check_stamp(memory_store, FakeStripe())  # another process: it does not count anew
    clock.advance(seconds=1)
    seconds.now += FRESH_SECONDS
    assert (await looking.look()).check("reconciliation") == HealthCheck(
        name="reconciliation", status=DEGRADED, reason="never ran, for 172801 s"
    )
    await write(memory_store, lambda tx: reconciled(tx, timedelta(0)))
    await check_stamp(memory_store, FakeStripe())  # what a run has noted stays
    seconds.now += FRESH_SECONDS
    assert status(await looking.look(), "reconciliation") is OK


async def test_what_is_known_of_the_last_run_is_read_from_the_database(
    memory_store: Store, clock: ManualClock
) -> None:
    assert await memory_store.read(last_run) is None
    await write(memory_store, lambda tx: reconciled(tx, timedelta(0), drift=2, unrepaired=1))
    assert await memory_store.read(last_run) == LastRun(
        finished_at=clock.now.replace(microsecond=0), drift=2, unrepaired=1
    )


async def test_an_open_circuit_to_stripe_is_degraded(memory_store: Store) -> None:
    circuit = Circuit(retry_seconds=1, monotonic=Seconds(), on_change=lambda change: None)
    assert status(await desk(memory_store, circuit=circuit).look(), "stripe") is OK
    circuit.failed(StoreUnavailableError())
    found = await desk(memory_store, circuit=circuit).look()
    assert status(found, "stripe") is DEGRADED
    assert found.is_ready


async def test_a_redis_that_does_not_answer_is_degraded(
    memory_store: Store, free_port: int
) -> None:
    cache = SharedCache()
    assert status(await desk(memory_store, cache=cache).look(), "cache") is OK
    cache.is_now = Freshness.BOUNDED
    assert status(await desk(memory_store, cache=cache).look(), "cache") is DEGRADED
    async with RedisCache(f"redis://127.0.0.1:{free_port}/0", EntitlementsCodec()) as gone:
        async with asyncio.timeout(10):
            await gone.wait_for(Freshness.BOUNDED)
        assert status(await desk(memory_store, cache=gone).look(), "cache") is DEGRADED


# -- the database is ill --------------------------------------------------------------------------


class HangingStore(MemoryStore):
    """A database that never answers."""

    reads = 0

    async def read(self, work: Callable[[Transaction], T]) -> T:
        self.reads += 1
        await asyncio.Event().wait()
        raise AssertionError


class SlowStore(MemoryStore):
    """A database that answers, and counts its queues for ever."""

    async def read(self, work: Callable[[Transaction], T]) -> T:
        await super().read(work)
        await asyncio.Event().wait()
        raise AssertionError


class BrokenStore(MemoryStore):
    """A database that fails in a way that nobody foresaw."""

    async def read(self, work: Callable[[Transaction], T]) -> T:
        raise RuntimeError("postgresql://app:hunter2@db/shop is on fire")


async def test_a_database_that_does_not_answer_in_time_is_failing() -> None:
    looking = desk(HangingStore(), timeout_seconds=0.01)
    found = await looking.look()
    assert found.status is FAILING
    assert not found.is_ready
    assert [one.name for one in found.checks] == ["database", "cache"]


async def test_queues_that_are_too_long_to_be_counted_in_time_are_degraded_and_no_more() -> None:
    async with SlowStore() as store:
        found = await desk(store, timeout_seconds=0.01).look()
    assert found.status is DEGRADED
    assert found.is_ready
    assert {one.name: one.status for one in found.checks} == {
        "database": OK,
        "schema": OK,
        "inbox": DEGRADED,
        "outbox": DEGRADED,
        "usage": DEGRADED,
        "requests": DEGRADED,
        "cache": OK,
    }


async def test_a_database_that_is_gone_is_failing_and_its_error_is_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seconds = Seconds()
    looking = desk(BrokenStore(), monotonic=seconds)
    found = await looking.look()
    seconds.now += FRESH_SECONDS
    await looking.look()
    assert found.check("database") == HealthCheck(
        name="database", status=FAILING, reason="RuntimeError (the log says more)"
    )
    assert caplog.text.count("the database could not be looked at") == 1  # once for an outage
    assert "hunter2" not in caplog.text


async def test_a_schema_that_does_not_fit_is_failing(tmp_path: Path) -> None:
    async with store_for(f"sqlite:///{tmp_path / 'app.db'}", auto_upgrade=True) as store:
        assert (await desk(store).look()).status is OK

        def leave_behind(tx: Any) -> None:
            tx._connection.exec_driver_sql("UPDATE gatekeeper_schema SET readable_from = 99")

        await store.write(leave_behind)
        found = await desk(store).look()
    assert [one.name for one in found.checks] == ["database", "schema", "cache"]
    assert status(found, "schema") is FAILING
    check = found.check("schema")
    assert check is not None
    assert "install a newer" in check.reason


async def test_many_who_ask_at_once_and_soon_after_share_one_look() -> None:
    store, seconds = HangingStore(), Seconds()
    looking = desk(store, timeout_seconds=0.05, monotonic=seconds)
    found = await asyncio.gather(*(looking.look() for _ in range(20)))
    assert len({id(one) for one in found}) == store.reads == 1
    await looking.look()
    assert store.reads == 1
    seconds.now += FRESH_SECONDS
    await looking.look()
    assert store.reads == 2


async def test_an_asker_who_goes_away_takes_nothing_from_the_others() -> None:
    looking = desk(HangingStore(), timeout_seconds=0.05)
    first = asyncio.create_task(looking.look())
    second = asyncio.create_task(looking.look())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).status is FAILING


def test_a_desk_serves_one_event_loop_after_another() -> None:
    looking = desk(MemoryStore())
    assert asyncio.run(looking.look()).status is FAILING  # it is not open
    assert asyncio.run(looking.look()).status is FAILING


# -- of a gate ------------------------------------------------------------------------------------


@pytest.fixture
def gate() -> Gatekeeper:
    settings = Settings.load(stripe_secret_key="sk_test_1", reconcile_every_hours=0)
    return Gatekeeper(CATALOG, settings, store=MemoryStore())


async def test_a_gate_that_is_not_open_is_failing(gate: Gatekeeper) -> None:
    found = await gate.health()
    assert found.status is FAILING
    assert status(found, "stripe") is OK


def test_a_synchronous_host_asks_too(tmp_path: Path) -> None:
    gate = new_gate(f"sqlite:///{tmp_path / 'app.db'}", schema_auto_upgrade=True)
    with SyncGatekeeper(gate) as billing:
        assert billing.health().status is OK


class Ill:
    """A gate of which the test says how it is."""

    def __init__(self, status: HealthStatus) -> None:
        self.status = status

    async def health(self) -> Health:
        check = HealthCheck(name="database", status=self.status, reason="7 ms")
        return Health(checks=(check,))


async def ask(app: Any, path: str = "/health", **options: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as client:
        return await client.get(path, **options)


@pytest.mark.parametrize(
    ("is_now", "code", "word"), [(OK, 200, "pass"), (DEGRADED, 200, "pass"), (FAILING, 503, "fail")]
)
async def test_strangers_are_told_whether_it_is_well_and_no_more(
    is_now: HealthStatus, code: int, word: str
) -> None:
    answer = await ask(Starlette(routes=[health_route(Ill(is_now))]))
    assert (answer.status_code, answer.json()) == (code, {"status": word})
    assert answer.headers["content-type"] == "application/health+json"
    assert answer.headers["cache-control"] == "no-store"
    assert ("retry-after" in answer.headers) is (code == 503)


async def test_those_who_may_are_told_all() -> None:
    def has_token(request: Request) -> bool:
        return request.headers.get("x-token") == "1"

    async def later(request: Request) -> bool:
        return has_token(request)

    for details in (has_token, later):
        app = Starlette(routes=[health_route(Ill(DEGRADED), details=details)])
        assert (await ask(app)).json() == {"status": "pass"}
        assert (await ask(app, headers={"x-token": "1"})).json() == {
            "status": "warn",
            "checks": {"database": [{"status": "warn", "output": "7 ms"}]},
        }


async def test_liveness_is_200_whatever_the_gate_says(gate: Gatekeeper) -> None:
    answer = await ask(Starlette(routes=[liveness_route()]), "/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "pass"})

    async def host(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = mount_health(host, gate)
    assert (await ask(app)).status_code == 503
    assert (await ask(app, "/health/live")).status_code == 200
    assert (await ask(app, "/teapot")).status_code == 418
