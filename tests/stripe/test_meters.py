"""Sealed windows told to the simulated Stripe: once each, whatever happens in between."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gatekeeper.errors import StripeRequestError, StripeUnavailableError
from gatekeeper.services import customers
from gatekeeper.services.metering import Sealer, UsageRecorder, UsageWindows, reject
from gatekeeper.storage.metering import UsageWindow, WindowStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.meters import PATH, MeterSender, SendingPolicy, compare, told_customers
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.stripe import Simulator
from tests.stripe.world import CATALOG, RULES, ManualClock

pytestmark = pytest.mark.anyio


class Killed(BaseException):
    """No handler of errors sees it: as if the process were gone."""


class Gateway(StripeGateway):
    """The real gateway to the simulator, whose meter events can fail before or after Stripe."""

    before: BaseException | None = None
    after: BaseException | None = None
    sent: list[Mapping[str, Any]]

    async def post(self, path: str, params: Mapping[str, Any], **options: Any) -> Obj:
        if path != PATH:
            return await super().post(path, params, **options)
        self.sent.append(params)
        if self.before is not None:
            raise self.before
        made = await super().post(path, params, **options)
        if self.after is not None:
            raise self.after
        return made


@pytest.fixture
async def gateway(stripe_sim: Simulator, clock: ManualClock) -> AsyncIterator[Gateway]:
    clock.now = stripe_sim.now
    async with Gateway(stripe_sim.settings.api_key, api_base=stripe_sim.url) as opened:
        opened.sent = []
        await apply_setup(await plan_setup(CATALOG, opened), opened)
        yield opened


def identities_of(gateway: StripeGateway, store: Store) -> StripeIdentities:
    return StripeIdentities(gateway, OutgoingRequests(gateway, store), store)


@pytest.fixture
def sender(gateway: Gateway, store: Store) -> MeterSender:
    async def no_wait(seconds: float) -> None:
        await anyio.lowlevel.checkpoint()

    return MeterSender(gateway, store, CATALOG, identities_of(gateway, store), sleep=no_wait)


async def use(store: Store, clock: ManualClock, quantity: int = 7, customer: str = "org_1") -> None:
    """Use of the meter, sealed; two hours pass."""
    await store.write(lambda tx: customers.ensure(tx, customer))
    recorder = UsageRecorder(store, RULES, clock)
    await recorder.record(customer, "overage", quantity, correction=quantity < 0)
    clock.advance(hours=2)
    await Sealer(store, length="hour", grace=timedelta(minutes=1)).seal_due()


async def windows(store: Store) -> list[UsageWindow]:
    return await UsageWindows(store).find()


def billed(sim: Simulator) -> list[tuple[str, str]]:
    """What Stripe has: identifiers and values."""
    with sim.state.lock:
        events = sim.state.store.all("billing.meter_event")
        return [(event["identifier"], event["payload"]["value"]) for event in events]


async def test_a_window_is_one_meter_event(
    store: Store, clock: ManualClock, sender: MeterSender, gateway: Gateway, stripe_sim: Simulator
) -> None:
    used_at = clock.now
    await use(store, clock)
    stripe_sim.advance(hours=2)
    assert await sender.send_due() == 1
    assert await sender.send_due() == 0
    (window,) = await windows(store)
    assert (window.status, window.sent_at, window.attempts) == (WindowStatus.SENT, clock.now, 1)
    assert billed(stripe_sim) == [(window.identifier, "7")]
    known = await store.read(lambda tx: tx.customers.get("org_1"))
    assert known is not None
    assert gateway.sent == [
        {
            "event_name": "ai_credits",
            "identifier": window.identifier,
            "timestamp": int(used_at.timestamp()),
            "payload": {"stripe_customer_id": known.stripe_id, "value": "7"},
        }
    ]


async def test_case_44_an_answer_that_was_lost_is_asked_for_again_and_counts_once(
    store: Store, clock: ManualClock, sender: MeterSender, gateway: Gateway, stripe_sim: Simulator
) -> None:
    await use(store, clock)
    stripe_sim.advance(hours=2)
    gateway.after = StripeUnavailableError("Stripe did not answer.")
    assert await sender.send_due() == 0
    (waiting,) = await windows(store)
    assert (waiting.status, waiting.last_error) == (
        WindowStatus.PENDING,
        "Stripe did not answer.",
    )
    assert waiting.due_at > clock.now
    gateway.after = None
    clock.advance(minutes=5)
    assert await sender.send_due() == 1
    (window,) = await windows(store)
    assert (window.status, window.last_error) == (WindowStatus.SENT, None)
    assert len(gateway.sent) == 2
    assert gateway.sent[0] == gateway.sent[1]
    assert billed(stripe_sim) == [(window.identifier, "7")]


async def test_a_sender_killed_between_sending_and_marking_sends_the_same_again(
    store: Store, clock: ManualClock, sender: MeterSender, gateway: Gateway, stripe_sim: Simulator
) -> None:
    await use(store, clock)
    stripe_sim.advance(hours=2)
    gateway.after = Killed()
    with pytest.raises(BaseExceptionGroup):  # the process is gone
        await sender.send_due()
    gateway.after = None
    other = MeterSender(gateway, store, CATALOG, identities_of(gateway, store))
    assert await other.send_due() == 0  # the lease of the dead one runs
    clock.advance(minutes=5)
    assert await other.send_due() == 1
    (window,) = await windows(store)
    assert (window.status, window.attempts) == (WindowStatus.SENT, 2)
    assert billed(stripe_sim) == [(window.identifier, "7")]


async def test_what_may_have_arrived_longer_ago_than_stripe_remembers_is_left_to_people(
    store: Store, clock: ManualClock, sender: MeterSender, gateway: Gateway, stripe_sim: Simulator
) -> None:
    await use(store, clock)
    stripe_sim.advance(hours=2)
    gateway.after = StripeUnavailableError("Stripe did not answer.")
    await sender.send_due()
    gateway.after = None
    clock.advance(hours=25)
    stripe_sim.advance(hours=25)
    assert await sender.send_due() == 0
    (window,) = await windows(store)
    assert window.status is WindowStatus.DEAD
    assert str(window.last_error).startswith("uncertain")
    assert len(billed(stripe_sim)) == 1


async def test_an_outage_before_stripe_knows_the_customer_is_waited_out_for_days(
    store: Store,
    clock: ManualClock,
    sender: MeterSender,
    gateway: Gateway,
    stripe_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def down(*_: object, **__: object) -> Obj:
        raise StripeUnavailableError("Stripe did not answer.")

    await use(store, clock)
    with monkeypatch.context() as patched:
        patched.setattr(gateway, "post", down)
        for _ in range(3):
            await sender.send_due()
            clock.advance(days=2)
    assert gateway.sent == []
    stripe_sim.advance(days=7)
    assert await sender.send_due() == 1


async def test_case_45_usage_that_grows_too_old_while_it_waits_is_a_dead_letter(
    store: Store,
    clock: ManualClock,
    sender: MeterSender,
    gateway: Gateway,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await use(store, clock)
    clock.advance(days=36)
    assert await sender.send_due() == 0
    (window,) = await windows(store)
    assert window.status is WindowStatus.DEAD
    assert "35 days" in str(window.last_error)
    assert gateway.sent == []
    assert "can't be billed" in caplog.text


async def test_what_stripe_refuses_is_a_dead_letter_until_somebody_retries_it(
    store: Store, clock: ManualClock, sender: MeterSender, gateway: Gateway, stripe_sim: Simulator
) -> None:
    await use(store, clock)
    stripe_sim.advance(hours=2)
    gateway.before = StripeRequestError("No active meter.", stripe_status=400)
    assert await sender.send_due() == 0
    (dead,) = await windows(store)
    assert (dead.status, dead.last_error) == (WindowStatus.DEAD, "No active meter.")
    gateway.before = None
    await UsageWindows(store).retry(dead.identifier)
    assert await sender.send_due() == 1
    assert billed(stripe_sim) == [(dead.identifier, "7")]


async def test_a_key_that_may_not_send_is_waited_for(
    store: Store, clock: ManualClock, sender: MeterSender, gateway: Gateway
) -> None:
    await use(store, clock)
    gateway.before = StripeRequestError("No such permission.", stripe_status=403)
    assert await sender.send_due() == 0
    (window,) = await windows(store)
    assert (window.status, window.tried_at) == (WindowStatus.PENDING, None)


async def test_a_meter_that_the_catalogue_lost_is_a_dead_letter(
    store: Store, clock: ManualClock, sender: MeterSender
) -> None:
    await use(store, clock)
    (window,) = await windows(store)
    other = replace(window, meter="gone", identifier="gone")
    await store.write(lambda tx: tx.metering.add_window(other))
    await sender.send_due()
    dead = await UsageWindows(store).find(status=WindowStatus.DEAD)
    assert [one.identifier for one in dead] == ["gone"]


async def test_summaries_agree_with_what_was_told(
    store: Store, clock: ManualClock, sender: MeterSender, gateway: Gateway, stripe_sim: Simulator
) -> None:
    start = clock.now - timedelta(hours=1)
    for quantity in (7, 4, -2):
        await use(store, clock, quantity)
        stripe_sim.advance(hours=2)
    assert await sender.send_due() == 3
    (same,) = await compare(gateway, store, CATALOG, "org_1", start, clock.now)
    assert (same.told, same.at_stripe, same.agrees) == (9, 9, True)
    with stripe_sim.state.lock:
        stripe_sim.state.store.all("billing.meter_event")[0]["payload"]["value"] = "100"
    (other,) = await compare(gateway, store, CATALOG, "org_1", start, clock.now)
    assert not other.agrees
    (nobody,) = await compare(gateway, store, CATALOG, "org_2", start, clock.now)
    assert (nobody.told, nobody.at_stripe) == (0, 0)


async def test_everybody_of_whom_something_was_told_is_compared(
    memory_store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many windows there are from before: none but those of this time are looked at."""
    monkeypatch.setattr("gatekeeper.stripe.meters.PAGE", 2)
    now = clock.now

    def fill(tx: Transaction) -> None:
        for name in ("ada", "bob", "cyd", "dan", "gone"):
            customers.ensure(tx, name)
            for number, at in enumerate((now - timedelta(days=30), now)):
                window = samples.usage_window(str(number), name, at=at, status=WindowStatus.SENT)
                tx.metering.add_window(window)
        tx.audit.erase("gone", "erased_1", now)

    await memory_store.write(fill)
    since, until = now - timedelta(hours=1), now + timedelta(hours=1)
    assert await told_customers(memory_store, since, until) == ["ada", "bob", "cyd", "dan"]


async def test_it_begins_no_more_in_a_second_than_stripe_takes(
    store: Store, clock: ManualClock, gateway: Gateway, stripe_sim: Simulator
) -> None:
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)
        await anyio.lowlevel.checkpoint()

    for number in range(6):
        await use(store, clock, customer=f"org_{number}")
    stripe_sim.advance(hours=13)
    policy = SendingPolicy(per_second=5.0, batch=4)
    identities = identities_of(gateway, store)
    paced = MeterSender(gateway, store, CATALOG, identities, policy=policy, sleep=note)
    assert await paced.send_due() == 6
    assert sum(waited) == pytest.approx(6 / 5.0)


async def test_what_stripe_rejected_meanwhile_is_not_marked_as_sent(
    store: Store, clock: ManualClock, sender: MeterSender, gateway: Gateway, stripe_sim: Simulator
) -> None:
    await use(store, clock)
    stripe_sim.advance(hours=2)
    (window,) = await windows(store)
    gateway.after = StripeUnavailableError("Stripe did not answer.")
    await sender.send_due()
    await store.write(lambda tx: reject(tx, window.identifier, "code", "why"))
    late = replace(window, status=WindowStatus.SENT, sent_at=clock.now)
    await sender._save(late)
    (dead,) = await windows(store)
    assert dead.status is WindowStatus.DEAD
