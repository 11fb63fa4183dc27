"""What Stripe says afterwards of meter events: dead letters with its reason, told to the host."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.errors import NotFoundError, StripeUnavailableError
from gatekeeper.services import customers
from gatekeeper.services.metering import Sealer, UsageRecorder, UsageWindows, reject
from gatekeeper.storage.metering import UsageWindow, WindowStatus
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import EventStatus, OutboxState
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.meter_reports import TYPES, MeterReports
from gatekeeper.stripe.meters import MeterSender
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.stripe.webhooks import WebhookReceiver, WebhookRegistry
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.stripe import Settings, Simulator
from tests.stripe.world import CATALOG, RULES, FakeStripe, ManualClock, World

pytestmark = pytest.mark.anyio

REPORT, NO_METER = TYPES


class Reporting(FakeStripe):
    """A Stripe that has the wholes of thin events."""

    def __init__(self) -> None:
        super().__init__()
        self.wholes: dict[str, Obj] = {}
        self.asked: list[str] = []

    async def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        what: str,
        account: str | None = None,
    ) -> Obj | None:
        self.asked.append(path)
        if self.failure is not None:
            raise self.failure
        return self.wholes.get(path.removeprefix("/v2/core/events/"))


def report(identifier: str | None, *, count: int = 1) -> dict[str, Any]:
    request = {} if identifier is None else {"request": {"identifier": identifier}}
    return {
        "developer_message_summary": f"There are {count} invalid events",
        "reason": {
            "error_count": count,
            "error_types": [
                {
                    "code": "meter_event_customer_not_found",
                    "error_count": count,
                    "sample_errors": [{"error_message": "No such customer.", **request}],
                }
            ],
        },
        "validation_start": "2026-03-01T12:00:00.000Z",
        "validation_end": "2026-03-01T12:00:10.000Z",
    }


def thin(event_id: str, type_: str = REPORT, **fields: Any) -> Obj:
    """The notification as Stripe sends it."""
    meter = {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"}
    return {
        "id": event_id,
        "object": "v2.core.event",
        "type": type_,
        "created": "2026-01-01T01:00:00.000Z",
        "livemode": False,
        "related_object": meter if type_ == REPORT else None,
        **fields,
    }


@pytest.fixture
def stripe(world: World) -> Reporting:
    world.stripe = Reporting()
    MeterReports(world.stripe).register(world.registry)
    return world.stripe


async def sent_window(world: World, identifier: str = "use_1", **fields: Any) -> UsageWindow:
    window = replace(
        samples.usage_window(), identifier=identifier, status=WindowStatus.SENT, **fields
    )
    window = replace(window, sent_at=window.created_at)
    await world.store.write(lambda tx: tx.metering.add_window(window))
    return window


async def found(world: World, identifier: str) -> UsageWindow:
    window = await world.store.read(lambda tx: tx.metering.window(identifier))
    assert window is not None
    return window


@pytest.mark.parametrize("type_", TYPES)
async def test_what_a_report_names_is_a_dead_letter_and_is_told(
    world: World, stripe: Reporting, type_: str
) -> None:
    window = await sent_window(world)
    stripe.wholes["evt_1"] = {**thin("evt_1", type_), "data": report("use_1")}
    event = thin("evt_1", type_)
    await world.deliver(event)
    dead = await found(world, "use_1")
    reason = "rejected by Stripe (meter_event_customer_not_found): No such customer."
    assert (dead.status, dead.last_error) == (WindowStatus.DEAD, reason)
    (told,) = await world.store.read(lambda tx: tx.outbox.listing(OutboxState.WAITING, 9))
    assert (told.topic, told.customer) == ("usage.rejected", window.customer)
    assert '"code":"meter_event_customer_not_found"' in told.body
    assert await world.status_of(event) is EventStatus.DONE
    await world.deliver(event)  # once more changes nothing
    assert len(await world.store.read(lambda tx: tx.outbox.listing(OutboxState.WAITING, 9))) == 1


async def test_an_event_that_comes_with_its_data_is_not_fetched(
    world: World, stripe: Reporting
) -> None:
    await sent_window(world)
    await world.deliver(thin("evt_1", data=report("use_1")))
    assert (await found(world, "use_1")).status is WindowStatus.DEAD
    assert stripe.asked == []


async def test_what_is_counted_and_not_named_is_said_aloud(
    world: World, stripe: Reporting, caplog: pytest.LogCaptureFixture
) -> None:
    await world.deliver(thin("evt_1", data=report(None, count=7)))
    assert "could not use 7 meter events, and names 0" in caplog.text


async def test_a_report_that_can_not_be_fetched_is_tried_again(
    world: World, stripe: Reporting
) -> None:
    await sent_window(world)
    stripe.failure = StripeUnavailableError("Stripe did not answer.")
    event = thin("evt_1")
    await world.deliver(event)
    assert await world.status_of(event) is EventStatus.PENDING
    stripe.failure = None
    stripe.wholes["evt_1"] = {**event, "data": report("use_1")}
    world.clock.advance(hours=1)
    await world.receiver.drain()
    assert (await found(world, "use_1")).status is WindowStatus.DEAD


async def test_of_a_strangers_event_and_of_a_connected_account_nothing_becomes(
    world: World, stripe: Reporting
) -> None:
    await sent_window(world)
    await world.deliver(thin("evt_1", data=report("somebody-elses")))
    await world.deliver(thin("evt_2", data=report("use_1"), context="acct_other"))
    assert (await found(world, "use_1")).status is WindowStatus.SENT


async def test_a_rejected_window_is_told_anew_under_an_identifier_that_stripe_does_not_know(
    world: World, stripe: Reporting
) -> None:
    window = await sent_window(world)
    assert await world.store.write(lambda tx: reject(tx, "use_1", "code", "why"))
    assert not await world.store.write(lambda tx: reject(tx, "use_1", "code", "why"))
    desk = UsageWindows(world.store)
    anew = await desk.retry("use_1")
    assert anew.identifier != "use_1"
    assert (anew.status, anew.quantity, anew.at, anew.start) == (
        WindowStatus.PENDING,
        window.quantity,
        window.at,
        window.start,
    )
    old = await found(world, "use_1")
    assert old.status is WindowStatus.DISCARDED
    assert anew.identifier in str(old.last_error)
    with pytest.raises(NotFoundError):
        await desk.retry("use_1")
    # It may be rejected again, and told once more.
    assert await world.store.write(lambda tx: reject(tx, anew.identifier, "code", "why"))
    third = await desk.retry(anew.identifier)
    assert len({"use_1", anew.identifier, third.identifier}) == 3


class TestFromTheSimulator:
    """From the meter event that Stripe takes and can't use to what is told anew, with the real
    client: it fetches the whole of the event from API v2."""

    @pytest.fixture
    def stripe_sim_settings(self) -> Settings:
        return Settings(seed=1, ticking=False, meter_errors="later")

    async def test_a_customer_whom_stripe_lost_is_reported_and_told_anew(
        self, stripe_sim: Simulator, memory_store: Store, clock: ManualClock
    ) -> None:
        clock.now = stripe_sim.now
        key, url = stripe_sim.settings.api_key, stripe_sim.url
        async with StripeGateway(key, api_base=url, max_network_retries=0) as gateway:
            await apply_setup(await plan_setup(CATALOG, gateway), gateway)
            registry = WebhookRegistry()
            MeterReports(gateway).register(registry)

            async def endpoint(request: Request) -> Response:
                await receiver.receive(await request.body(), request.headers["stripe-signature"])
                return Response()

            app = Starlette(routes=[Route("/thin", endpoint, methods=["POST"])])
            made = stripe_sim.event_destination("http://app.test/thin", TYPES, app=app)
            receiver = WebhookReceiver(
                registry,
                memory_store,
                [made["secret"]],
                livemode=False,
                clock=lambda: datetime.now(UTC),  # the simulator signs with the real second
            )
            outgoing = OutgoingRequests(gateway, memory_store)
            identities = StripeIdentities(gateway, outgoing, memory_store)
            await memory_store.write(lambda tx: customers.ensure(tx, "org_1"))
            lost = await identities.ensure("org_1")
            stripe_sim.client().v1.customers.delete(lost)
            await UsageRecorder(memory_store, RULES, clock).record("org_1", "overage", 7)
            stripe_sim.advance(hours=2)
            clock.now = stripe_sim.now
            await Sealer(memory_store, length="hour", grace=timedelta(minutes=1)).seal_due()
            sender = MeterSender(gateway, memory_store, CATALOG, identities)
            assert await sender.send_due() == 1  # Stripe has said yes
            stripe_sim.advance(hours=1)
            await stripe_sim.deliver_pending()
            await receiver.drain()

            (dead,) = await UsageWindows(memory_store).find(status=WindowStatus.DEAD)
            assert "meter_event_customer_not_found" in str(dead.last_error)
            told = await memory_store.read(lambda tx: tx.outbox.listing(OutboxState.WAITING, 9))
            assert [one.topic for one in told] == ["customer.created", "usage.rejected"]
            anew = await UsageWindows(memory_store).retry(dead.identifier)
            assert await sender.send_due() == 1  # a new identifier: Stripe takes it for a new one
            (sent,) = await UsageWindows(memory_store).find(status=WindowStatus.SENT)
            assert sent.identifier == anew.identifier
