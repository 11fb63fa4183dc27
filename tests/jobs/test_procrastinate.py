"""Dispatch, delivery and reconciliation as jobs of procrastinate, as docs/guides/jobs.md says."""

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from procrastinate import App
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.tasks import Task

from gatekeeper import Catalog, Feature, Gatekeeper, Plan, Price, Settings
from gatekeeper.gate import WorkDone
from gatekeeper.services.outbox import Signal
from gatekeeper.storage.records import EventStatus
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.stripe.webhooks import WebhookEvent
from gatekeeper.testing.clock import ManualClock
from gatekeeper.testing.events import make_event, signed
from gatekeeper.testing.stripe import Simulator
from tests.gates import CUSTOMER, WEBHOOK_SECRET, new_gate

pytestmark = pytest.mark.anyio


SHOP = Catalog(
    plans=[
        Plan("free", default=True),
        Plan(
            "pro",
            includes="free",
            prices=[Price("pro_monthly", amount_minor=999, currency="eur", every="month")],
            features=[Feature("downloads")],
        ),
    ]
)


class Host:
    """An app whose web process takes requests only, and whose jobs do the rest."""

    def __init__(self, jobs: App, url: str, **settings: Any) -> None:
        self.jobs = jobs
        self.gate = new_gate(url, background_work=False, **settings)
        self.worker = new_gate(url, background_work=False, **settings)
        self.handled: Counter[str] = Counter()
        self.told: list[str] = []
        self.done: list[WorkDone] = []
        self.failures = 0

        @jobs.task(name="gatekeeper.work", queueing_lock="gatekeeper.work")
        async def work() -> None:
            async with self.worker.connected():
                self.done.append(await self.worker.work())

        self.work: Task[Any, Any, Any] = work
        for gate in (self.gate, self.worker):
            self._register(gate)

        @self.gate.on_accepted
        async def wake() -> None:
            with suppress(AlreadyEnqueued):
                await self.work.defer_async()

    def _register(self, gate: Gatekeeper) -> None:
        @gate.webhooks.on("charge.succeeded", name="note")
        async def note(event: WebhookEvent) -> None:
            if self.failures:
                self.failures -= 1
                raise RuntimeError("not today")
            event.write(lambda tx: self.handled.update([event.id]))

        @gate.on("credits.low", "credits.exhausted", name="tell")
        async def tell(signal: Signal) -> None:
            self.told.append(signal.topic)

    async def send(self, number: int) -> None:
        about = {"id": f"ch_{number}", "object": "charge"}
        event = make_event("charge.succeeded", about, id=f"evt_{number}")
        answer = await self.gate.receive_webhook(*signed(event, WEBHOOK_SECRET))
        assert answer.status == 200

    async def run_jobs(self) -> None:
        """What a worker of procrastinate does until its queue is empty."""
        await self.gate.receiver.waking.settled()
        await self.jobs.run_worker_async(wait=False, install_signal_handlers=False)

    async def queued(self) -> int:
        await self.gate.receiver.waking.settled()
        return len([*await self.jobs.job_manager.list_jobs_async(status="todo")])

    async def counts(self) -> dict[EventStatus, int]:
        return await self.gate._parts.store.read(lambda tx: tx.inbox.counts())


async def test_what_is_accepted_wakes_one_job_which_dispatches_all(jobs: App, job_url: str) -> None:
    host = Host(jobs, job_url)
    async with host.gate:
        for number in range(5):
            await host.send(number)
        assert await host.queued() == 1
        assert await host.counts() == {EventStatus.PENDING: 5}  # this process does not dispatch
        await host.run_jobs()
        assert await host.counts() == {EventStatus.DONE: 5}
        assert host.handled == {f"evt_{number}": 1 for number in range(5)}
        await host.send(1)  # Stripe sends it again
        await host.run_jobs()
        assert host.handled["evt_1"] == 1
    assert [done.events for done in host.done] == [5, 0]


async def test_what_came_last_is_told_before_the_gate_closes(jobs: App, job_url: str) -> None:
    host = Host(jobs, job_url)
    async with host.gate:
        await host.send(1)
    assert await host.queued() == 1


async def test_a_handler_that_fails_is_tried_again_by_a_later_job(jobs: App, job_url: str) -> None:
    host = Host(jobs, job_url)
    host.failures = 1
    async with host.gate:
        await host.send(1)
        await host.run_jobs()
        assert await host.counts() == {EventStatus.PENDING: 1}
        assert host.handled == {}
        # The periodic job finds it when it is due; an operator need not wait.
        await host.gate._parts.store.write(
            lambda tx: tx.inbox.settle("/evt_1", EventStatus.PENDING, due_at=tx.now())
        )
        await host.work.defer_async()
        await host.run_jobs()
        assert host.handled == {"evt_1": 1}


async def test_an_event_outlives_a_queue_that_cannot_be_reached(
    jobs: App, job_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(jobs, job_url)
    async with host.gate:
        await jobs.close_async()
        await host.send(1)
        await host.gate.receiver.waking.settled()
        assert "could not be woken" in caplog.text
        await jobs.open_async()
        await host.work.defer_async()
        await host.run_jobs()
        assert host.handled == {"evt_1": 1}


async def test_messages_of_the_outbox_are_delivered_by_a_job(jobs: App, job_url: str) -> None:
    host = Host(jobs, job_url)
    async with host.gate:
        async with host.gate.reserve(CUSTOMER, "credits", 5):
            pass
        assert host.told == []
        await host.work.defer_async()
        await host.run_jobs()
        assert host.told == ["credits.exhausted"]
    assert host.done[0].messages


async def test_what_never_came_by_webhook_is_found_by_a_job(
    jobs: App,
    job_url: str,
    stripe_sim: Simulator,
) -> None:
    """The customer has paid, and no webhook told of it: the next day's job reconciles."""
    clock = ManualClock(stripe_sim.now)
    settings = Settings.load(
        database_url=job_url,
        background_work=False,
        stripe_secret_key=stripe_sim.settings.api_key,
        stripe_api_base=stripe_sim.url,
    )
    gate = Gatekeeper(SHOP, settings, clock=clock)

    @jobs.task(name="gatekeeper.work")
    async def work() -> None:
        await gate.work()

    async with gate:
        await apply_setup(await plan_setup(SHOP, gate.stripe), gate.stripe)
        await gate.customers.ensure(CUSTOMER, email="ada@example.com")
        link = await gate.checkout(
            CUSTOMER,
            "pro_monthly",
            success_url="https://a.example/",
            cancel_url="https://a.example/",
        )
        await stripe_sim.complete_checkout(link.session_id)
        assert not await gate.allows(CUSTOMER, "downloads")
        for allowed in (False, True):  # the first look only notes from when on events are ours
            await work.defer_async()
            await jobs.run_worker_async(wait=False, install_signal_handlers=False)
            assert await gate.allows(CUSTOMER, "downloads") is allowed
            clock.advance(hours=25)


async def test_jobs_at_once_share_the_work(jobs: App, job_url: str) -> None:
    """A job engine may run more than one worker, and start what a dead one had begun."""
    host = Host(jobs, job_url)
    async with host.gate:
        for number in range(12):
            await host.send(number)
        other = host.jobs.configure_task("gatekeeper.dispatch")

        @jobs.task(name="gatekeeper.dispatch")
        async def dispatch() -> None:
            await host.gate.receiver.drain()

        for _ in range(3):
            await other.defer_async()
        await host.gate.receiver.waking.settled()
        await jobs.run_worker_async(wait=False, concurrency=4, install_signal_handlers=False)
        assert host.handled == {f"evt_{number}": 1 for number in range(12)}
        assert await host.counts() == {EventStatus.DONE: 12}
