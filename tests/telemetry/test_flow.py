"""What a gate tells in a real flow: a subscription on the simulator, refusals, holds, gauges."""

from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
import msgspec
import pytest

from gatekeeper import Catalog, Feature, Gatekeeper, Plan, Price, Settings, Unit
from gatekeeper.errors import CreditsRequiredError, StoreUnavailableError
from gatekeeper.services.credit_options import reserve_request
from gatekeeper.services.outbox import Signal
from gatekeeper.services.surveyor import MAX_AGE_ROUNDS, READER_SECONDS, WATCHED, Surveyor
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.stripe.client import Account
from gatekeeper.stripe.reconciliation import RunOptions, reconciled_at
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.telemetry import Telemetry, metrics, spans
from gatekeeper.testing.clock import ManualClock
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.stripe import Simulator
from tests.telemetry.listening import Listener

pytestmark = pytest.mark.anyio

SECRET = "whsec_" + "t" * 32
credits_ = Unit("credits")
CATALOG = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits_.once(5)]),
        Plan(
            "pro",
            includes="free",
            prices=[Price("pro_monthly", amount_minor=999, currency="eur", every="month")],
            features=[Feature("downloads")],
            grants=[credits_.every("month", 1_000)],
        ),
    ]
)


@pytest.fixture
def clock(stripe_sim: Simulator) -> ManualClock:
    return ManualClock(stripe_sim.now)


@pytest.fixture
async def gate(
    stripe_sim: Simulator, listener: Listener, clock: ManualClock
) -> AsyncIterator[Gatekeeper]:
    settings = Settings.load(
        inline_dispatch=True,
        stripe_secret_key=stripe_sim.settings.api_key,
        stripe_api_base=stripe_sim.url,
        stripe_webhook_secret=SECRET,
        reconcile_every_hours=0,
    )
    store = MemoryStore(clock=clock)
    gate = Gatekeeper(CATALOG, settings, store=store, clock=clock, telemetry=listener.telemetry)
    async with gate.connected():
        yield gate


async def subscribed(gate: Gatekeeper, stripe_sim: Simulator) -> None:
    """A customer who pays for Pro at Stripe; of which no webhook has come."""
    await apply_setup(await plan_setup(CATALOG, gate.stripe), gate.stripe)
    await gate.customers.ensure("org_1", email="ada@example.com")
    link = await gate.checkout(
        "org_1",
        "pro_monthly",
        success_url="https://example.com/paid",
        cancel_url="https://example.com/",
    )
    await stripe_sim.complete_checkout(link.session_id)


async def test_a_subscription_of_which_no_webhook_came_is_told_as_drift(
    gate: Gatekeeper, stripe_sim: Simulator, listener: Listener
) -> None:
    await subscribed(gate, stripe_sim)
    await gate.reconciler.run(RunOptions(dry_run=True))
    assert listener.points(metrics.RECONCILIATION_DRIFT) == []  # a dry run finds it once more
    await gate.reconciler.run(RunOptions(events=False))
    kinds = {
        found[metrics.KIND]: value for found, value in listener.points(metrics.RECONCILIATION_DRIFT)
    }
    assert "subscription" in kinds
    assert listener.points(metrics.RECONCILIATION_DURATION) == [({metrics.OUTCOME: "finished"}, 2)]
    assert await gate.allows("org_1", "downloads")
    report = await gate.reconciler.run(RunOptions(objects=False))
    assert report.missed
    assert listener.value(metrics.RECONCILIATION_MISSED) == report.missed
    *_, last = listener.spans(spans.RECONCILIATION.name)
    assert last.attributes == {metrics.OUTCOME: "finished"}
    templates = {found[metrics.TEMPLATE] for found, _ in listener.points(metrics.STRIPE_DURATION)}
    assert {"/v1/checkout/sessions", "/v1/subscriptions/{id}", "/v1/events"} <= templates
    assert not [one for one in templates if "cus_" in one or "sub_" in one]


async def test_refusals_are_told_by_reason_and_name_of_the_catalogue(
    gate: Gatekeeper, listener: Listener
) -> None:
    await gate.customers.ensure("org_1")
    assert not await gate.allows("org_1", "downloads")
    with pytest.raises(CreditsRequiredError):
        await gate.reserve("org_1", "credits", 6)
    found = {
        (attributes[metrics.REASON], attributes[metrics.SUBJECT]): value
        for attributes, value in listener.points(metrics.DENIALS)
    }
    assert found == {("feature_required", "downloads"): 1, ("credits_required", "credits"): 1}


async def test_holds_that_expire_are_counted(
    gate: Gatekeeper, listener: Listener, clock: ManualClock
) -> None:
    await gate.customers.ensure("org_1")
    await gate.credits.reserve(reserve_request("org_1", "credits", 2))
    clock.advance(hours=1)
    assert await gate._parts.upkeep.expire_holds() == 1
    assert listener.value(metrics.HOLDS_EXPIRED) == 1


async def test_a_hold_that_a_command_of_its_account_ends_is_counted_too(
    gate: Gatekeeper, listener: Listener, clock: ManualClock
) -> None:
    await gate.customers.ensure("org_1")
    await gate.credits.reserve(reserve_request("org_1", "credits", 5))
    clock.advance(hours=1)
    await gate.credits.reserve(reserve_request("org_1", "credits", 5))
    assert listener.value(metrics.HOLDS_EXPIRED) == 1


async def test_a_delivery_is_told_with_its_topic_and_its_end(
    gate: Gatekeeper, listener: Listener, clock: ManualClock
) -> None:
    failing = True

    @gate.on("credits.exhausted", name="warn")
    async def warn(signal: Signal) -> None:
        if failing:
            raise RuntimeError("no secrets here")

    await gate.customers.ensure("org_1")
    async with gate.reserve("org_1", "credits", 5):
        pass
    await gate.outbox.drain()
    failing = False
    clock.advance(hours=1)
    await gate.outbox.drain()
    found = {
        (attributes[metrics.TOPIC], attributes[metrics.OUTCOME]): value
        for attributes, value in listener.points(metrics.OUTBOX_DURATION)
    }
    assert found == {("credits.exhausted", "retry"): 1, ("credits.exhausted", "sent"): 1}
    receivers = {told[metrics.RECEIVER] for told, _ in listener.points(metrics.OUTBOX_DURATION)}
    assert receivers == {"warn"}
    first, second = listener.spans(spans.DELIVERY.name)
    assert (first.attributes or {})[metrics.ERROR_TYPE] == "retry"
    assert (second.attributes or {})[spans.ATTEMPT] == 2


async def test_the_gauges_of_an_open_gate_are_shown_until_it_closes(
    listener: Listener, clock: ManualClock
) -> None:
    settings = Settings.load(stripe_secret_key="sk_test_1", reconcile_every_hours=0)
    gate = Gatekeeper(
        CATALOG, settings, store=MemoryStore(), clock=clock, telemetry=listener.telemetry
    )
    gate.stripe._account = Account("acct_1", False)
    async with gate:
        assert listener.points(metrics.STRIPE_CIRCUIT) == [({}, 0)]
        for _ in range(5):
            gate.stripe.circuit.failed(StoreUnavailableError())
        assert listener.points(metrics.STRIPE_CIRCUIT) == [({}, 1)]
        await gate.customers.ensure("org_1")
        await gate.entitlements("org_1")
        assert listener.value(metrics.CACHE_EVENTS, {metrics.OUTCOME: "loads"}) == 1
        await gate._parts.surveyor.look()
        assert listener.points(metrics.INBOX_DEPTH) == [({}, 0)]
        assert listener.points(metrics.RECONCILIATION_AGE) == []
    assert listener.points(metrics.STRIPE_CIRCUIT) == listener.points(metrics.INBOX_DEPTH) == []


class Untold(Telemetry):
    """Telemetry that must not be called."""

    def count(self, *_: object) -> None:
        raise AssertionError

    record = span = context = count  # type: ignore[assignment]


async def test_what_passes_a_check_or_reserves_tells_nothing() -> None:
    async with Gatekeeper(
        CATALOG, Settings.load(), store=MemoryStore(), telemetry=Untold()
    ) as gate:
        await gate.customers.ensure("org_1")
        await gate.customers.override_plan("org_1", "pro")
        assert await gate.allows("org_1", "downloads")
        async with gate.reserve("org_1", "credits", 2):
            pass
        with pytest.raises(AssertionError):
            await gate.reserve("org_1", "credits", 1_000_000)  # a refusal does tell


# -- the surveyor ---------------------------------------------------------------------------------


class Readers(Telemetry):
    """Telemetry whose metrics were last collected at a moment of the test's."""

    def __init__(self) -> None:
        self.collected_at: float | None = None

    @property
    def read_at(self) -> float | None:
        return self.collected_at


class Seconds:
    """Monotonic time that stands still."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def fill(store: Store) -> None:
    """Of each queue something that waits, and something that is dead."""

    def work(tx: Transaction) -> None:
        now = tx.now()
        tx.inbox.insert(samples.event("evt_1", received_at=now - timedelta(seconds=90)))
        tx.inbox.insert(samples.event("evt_2", about="sub_2", status=EventStatus.DEAD))
        tx.outbox.add([samples.message("msg_1", created_at=now - timedelta(seconds=30))])
        tx.metering.add_window(samples.usage_window(created_at=now - timedelta(seconds=60)))
        tx.requests.insert(samples.request(created_at=now - timedelta(seconds=120)))
        state = {"finished": int(now.timestamp()) - 3600, "drift": 2}
        tx.progress.put("reconciliation", msgspec.json.encode(state).decode(), now)

    await store.write(work)


async def test_the_surveyor_shows_what_it_saw_for_some_rounds(
    memory_store: Store,
) -> None:
    seconds = Seconds()
    surveyor = Surveyor(memory_store, Readers(), reconciled_at, every_seconds=10, monotonic=seconds)
    await fill(memory_store)
    assert list(surveyor.readings()) == []
    await surveyor.look()
    shown = {reading.metric: reading.value for reading in surveyor.readings()}
    assert set(shown) == set(WATCHED)
    assert shown[metrics.INBOX_DEPTH] == shown[metrics.INBOX_DEAD] == 1
    assert shown[metrics.INBOX_AGE] == 90
    assert (shown[metrics.OUTBOX_DEPTH], shown[metrics.OUTBOX_LAG]) == (1, 30)
    assert (shown[metrics.USAGE_DEPTH], shown[metrics.USAGE_AGE]) == (1, 60)
    assert (shown[metrics.REQUESTS_DEPTH], shown[metrics.REQUESTS_AGE]) == (1, 120)
    assert shown[metrics.HOLDS_OPEN] == 0
    assert shown[metrics.RECONCILIATION_AGE] == pytest.approx(3600, abs=1)
    seconds.now += 10 * MAX_AGE_ROUNDS
    assert list(surveyor.readings())
    seconds.now += 1
    assert list(surveyor.readings()) == []


async def test_the_surveyor_looks_only_while_somebody_reads(
    memory_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    seconds, readers = Seconds(), Readers()
    surveyor = Surveyor(memory_store, readers, reconciled_at, every_seconds=3600, monotonic=seconds)

    async def is_seen_after_a_round() -> bool:
        surveyor._seen = None
        async with anyio.create_task_group() as group:
            group.start_soon(surveyor.run)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        return surveyor._seen is not None

    assert not await is_seen_after_a_round()
    readers.collected_at = seconds.now
    assert await is_seen_after_a_round()
    seconds.now += READER_SECONDS
    assert not await is_seen_after_a_round()
    readers.collected_at = seconds.now
    await memory_store.close()
    assert not await is_seen_after_a_round()
    assert "it is tried again" in caplog.text
