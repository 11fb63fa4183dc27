"""Commands by the gate: keys, what an account is brought up to date by, what others are told.

What `tests/faults` breaks in the services is shown here, in memory where no database matters.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from gatekeeper import Catalog, Gatekeeper, Meter, Plan, Price, Settings, Unit
from gatekeeper.entitlements.state import Item, PaidLine
from gatekeeper.errors import (
    CreditsRequiredError,
    CustomerNotFoundError,
    IdempotencyConflictError,
    OverloadedError,
)
from gatekeeper.ledger import Entry, HoldStatus
from gatekeeper.services.accounts import ReserveRequest
from gatekeeper.services.credit_options import reserve_request
from gatekeeper.services.ledger import overdue
from gatekeeper.services.ledger.batcher import BatchLimits
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer, OutboxMessage, Subscription
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, available, held

pytestmark = pytest.mark.anyio

TICK: Final = timedelta(microseconds=1)
CREDITS: Final = Unit("credits", low=10)
EXPORTS: Final = Unit("exports")
OVERAGE: Final = Meter("overage", event_name="overage")
CATALOG: Final = Catalog(
    plans=[
        Plan("free", default=True, grants=[CREDITS.every("day", 5)]),
        Plan("pro", includes="free", grants=[CREDITS.once(100)]),
        Plan(
            "metered",
            includes="free",
            prices=[Price("metered", amount_minor=999, currency="eur", every="month")],
            grants=[CREDITS.every("month", 6, overage=OVERAGE)],
        ),
    ],
    declares=[EXPORTS],
)


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
async def gate(store: MemoryStore, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    async with gate_on(store, clock).connected() as opened:
        yield opened


def gate_on(store: MemoryStore, clock: ManualClock, catalog: Catalog = CATALOG) -> Gatekeeper:
    settings = Settings.load(database_url="sqlite:////nowhere")
    return Gatekeeper(catalog, settings, store=store, clock=clock)


async def entries(store: MemoryStore, unit: str = "credits") -> Sequence[Entry]:
    return await store.read(lambda tx: tx.ledger.entries(CUSTOMER, unit, 0, 1_000))


async def metered(store: MemoryStore) -> list[tuple[str, int]]:
    """Whose use of the meters is in no window yet, and how much of it."""

    def look(tx: Transaction) -> list[tuple[str, int]]:
        found = []
        for one in tx.metering.unsealed(tx.now() + timedelta(hours=1), 10):
            end = one.since + timedelta(hours=1)
            marked = tx.metering.mark(one.customer, one.meter, one.since, end, "w")
            assert marked is not None
            found.append((one.customer, marked.quantity))
        return found

    return await store.write(look)


async def messages(store: MemoryStore) -> list[OutboxMessage]:
    """What is to be told, and has not been told before."""

    def tell(tx: Transaction) -> list[OutboxMessage]:
        found: list[OutboxMessage] = []
        while some := tx.outbox.claim(tx.now(), tx.now() + timedelta(hours=1), 100):
            for message in some:  # the first of a customer alone
                tx.outbox.sent(message.id, tx.now())
            found.extend(one for one in some if one.topic != "customer.created")
        return sorted(found, key=lambda message: message.topic)

    return await store.write(tell)


# -- idempotency keys -----------------------------------------------------------------------------

Call = Callable[[Gatekeeper], Awaitable[object]]


class Asked:
    """A call of the gate's with what it is asked; `but` asks for something else under its key."""

    def __init__(self, method: str, *arguments: Any, **options: Any) -> None:
        self.method, self.arguments, self.options = method, arguments, options

    def but(self, place: int | str, value: Any) -> "Asked":
        if isinstance(place, str):
            return Asked(self.method, *self.arguments, **{**self.options, place: value})
        arguments = [*self.arguments]
        arguments[place] = value
        return Asked(self.method, *arguments, **self.options)

    async def send(self, gate: Gatekeeper) -> object:
        answer = await getattr(gate, self.method)(*self.arguments, **self.options)
        return getattr(answer, "hold", answer)

    def __str__(self) -> str:
        return self.method


KEY: Final = {"idempotency_key": "key"}
RESERVE: Final = Asked("reserve", CUSTOMER, "credits", 2, partial=False, reference="r", **KEY)
CAPTURE: Final = Asked("capture", "h1", 2, overrun="cap", final=False, **KEY)
RELEASE: Final = Asked("release", "h1", **KEY)
EXTEND: Final = Asked("extend", "h1", timedelta(minutes=9), add_amount=1, **KEY)
GRANT: Final = Asked("grant", CUSTOMER, "credits", 7, reason="a", priority=1, **KEY)
REVOKE: Final = Asked("revoke", CUSTOMER, "credits", "g1", reason="a", **KEY)
SET_CAP: Final = Asked("set_cap", CUSTOMER, "credits", "day", 50, **KEY)
TOMORROW: Final = ManualClock()() + timedelta(days=1)

CHANGED: Final[tuple[tuple[Asked, int | str, Any], ...]] = (
    *((RESERVE, place, value) for place, value in ((1, "exports"), (2, 3), ("partial", True))),
    *((RESERVE, place, value) for place, value in (("reference", "s"), ("scope", "design"))),
    *((CAPTURE, place, value) for place, value in ((0, "h2"), (1, 3), (1, None))),
    *((CAPTURE, place, value) for place, value in (("overrun", "overage"), ("final", True))),
    (RELEASE, 0, "h2"),
    *((EXTEND, place, value) for place, value in ((0, "h2"), ("add_amount", 2))),
    (EXTEND, 1, timedelta(minutes=8)),
    *((GRANT, place, value) for place, value in ((1, "exports"), (2, 8), ("priority", 2))),
    *((GRANT, place, value) for place, value in (("reason", "b"), ("kind", "promotional"))),
    *((GRANT, place, value) for place, value in (("actor", "ann"), ("metadata", {"a": "b"}))),
    *((GRANT, place, TOMORROW) for place in ("expires_at", "effective_at")),
    *((REVOKE, place, value) for place, value in ((2, "g2"), ("reason", "b"), ("actor", "ann"))),
    *((SET_CAP, place, value) for place, value in ((1, "exports"), (2, "month"), (3, 51))),
    *((SET_CAP, place, value) for place, value in (("scope", "design"), ("actor", "ann"))),
)


async def prepare(gate: Gatekeeper) -> None:
    for unit in ("credits", "exports"):
        await gate.grant(CUSTOMER, unit, 100, reason="before")
    for hold_id in ("h1", "h2"):
        await gate.reserve(CUSTOMER, "credits", 10, hold_id=hold_id)


@pytest.mark.parametrize(("asked", "place", "value"), CHANGED)
async def test_a_used_key_refuses_what_differs_in_anything(
    gate: Gatekeeper, store: MemoryStore, asked: Asked, place: int | str, value: Any
) -> None:
    await prepare(gate)
    await asked.send(gate)
    before = (await entries(store), await entries(store, "exports"))
    with pytest.raises(IdempotencyConflictError):
        await asked.but(place, value).send(gate)
    assert (await entries(store), await entries(store, "exports")) == before


@pytest.mark.parametrize("asked", [RESERVE, CAPTURE, RELEASE, EXTEND, GRANT, REVOKE], ids=str)
async def test_the_same_request_under_a_key_is_carried_out_once(
    gate: Gatekeeper, store: MemoryStore, asked: Asked
) -> None:
    await prepare(gate)
    answer = await asked.send(gate)
    before = await entries(store)
    assert await asked.send(gate) == answer
    assert await entries(store) == before


async def test_a_cap_that_was_set_under_a_key_is_not_set_again_by_it(gate: Gatekeeper) -> None:
    await prepare(gate)
    await SET_CAP.send(gate)
    await gate.set_cap(CUSTOMER, "credits", "day", 20)
    await SET_CAP.send(gate)  # a retry that comes late
    with pytest.raises(CreditsRequiredError):
        await gate.reserve(CUSTOMER, "credits", 1)


# -- up to date -----------------------------------------------------------------------------------


async def test_a_new_plan_counts_with_the_next_command(gate: Gatekeeper) -> None:
    await gate.reserve(CUSTOMER, "credits", 1)
    await gate.customers.override_plan(CUSTOMER, "pro", reason="a friend")
    assert (await gate.reserve(CUSTOMER, "credits", 100)).amount == 100


async def test_a_window_begins_with_the_first_command_of_its_very_instant(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    async with gate.reserve(CUSTOMER, "credits", 5):
        pass
    clock.advance(timedelta(days=1) - TICK)
    with pytest.raises(CreditsRequiredError):
        await gate.reserve(CUSTOMER, "credits", 1)
    clock.advance(TICK)
    async with gate.reserve(CUSTOMER, "credits", 5):
        pass


async def test_a_window_begins_for_an_account_that_had_nothing_left_to_wait_for(
    gate: Gatekeeper, store: MemoryStore, clock: ManualClock
) -> None:
    async with gate.reserve(CUSTOMER, "credits", 5):
        pass
    await store.write(lambda tx: tx.customers.touch(CUSTOMER))
    with pytest.raises(CreditsRequiredError):
        await gate.reserve(CUSTOMER, "credits", 1)  # looks at it again
    clock.advance(days=1)
    async with gate.reserve(CUSTOMER, "credits", 5):
        pass


async def test_a_new_catalogue_counts_with_the_next_command(
    gate: Gatekeeper, store: MemoryStore, clock: ManualClock
) -> None:
    await gate.reserve(CUSTOMER, "credits", 1)
    more = Catalog(plans=[Plan("free", default=True, grants=[CREDITS.every("day", 50)])])
    async with gate_on(store, clock, more).connected() as deployed:
        assert (await deployed.reserve(CUSTOMER, "credits", 49)).amount == 49


async def test_a_hold_is_over_for_others_at_the_very_instant_of_its_end(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    await gate.reserve(CUSTOMER, "credits", 5, ttl=timedelta(minutes=1))
    clock.advance(timedelta(minutes=1) - TICK)
    with pytest.raises(CreditsRequiredError):
        await gate.reserve(CUSTOMER, "credits", 1)
    clock.advance(TICK)
    assert (await gate.reserve(CUSTOMER, "credits", 5)).amount == 5


async def test_more_overdue_holds_than_one_command_ends_are_ended_by_the_next(
    gate: Gatekeeper, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "SWEEP_BATCH", 2)
    for _ in range(5):
        await gate.reserve(CUSTOMER, "credits", 1, ttl=timedelta(minutes=1))
    clock.advance(minutes=1)
    for amount in (2, 2, 1):
        await gate.reserve(CUSTOMER, "credits", amount)
    assert await held(gate) == 5


async def test_what_an_overdue_hold_of_a_part_gives_back_has_room_in_its_caps_again(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    await gate.set_cap(CUSTOMER, "credits", "month", 5, scope="design")
    await gate.reserve(CUSTOMER, "credits", 4, scope="design/ann", ttl=timedelta(minutes=1))
    clock.advance(minutes=1)
    await gate.reserve(CUSTOMER, "credits", 1)  # of no part: it ends the hold all the same
    assert (await gate.reserve(CUSTOMER, "credits", 4, scope="design")).amount == 4


async def test_nothing_more_is_held_for_a_customer_who_was_deleted(gate: Gatekeeper) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    await gate.customers.delete(CUSTOMER)
    with pytest.raises(CustomerNotFoundError):
        await gate.reserve(CUSTOMER, "credits", 1)
    with pytest.raises(CustomerNotFoundError):
        await gate.extend(hold.id, add_amount=1)
    with pytest.raises(CustomerNotFoundError):
        await gate.grant(CUSTOMER, "credits", 1, reason="late")
    assert (await gate.capture(hold.id)).status is HoldStatus.CAPTURED


# -- beside one another ---------------------------------------------------------------------------


async def test_a_cap_counts_what_its_own_batch_has_used(gate: Gatekeeper) -> None:
    """The cap counts from the holds that are there, of which one is made by its neighbour."""
    await gate.grant(CUSTOMER, "credits", 100, reason="before")
    await asyncio.gather(
        gate.credits.reserve(reserve_of(30)), gate.set_cap(CUSTOMER, "credits", "day", 50)
    )
    with pytest.raises(CreditsRequiredError) as refused:
        await gate.reserve(CUSTOMER, "credits", 21)
    assert refused.value.params["available"] == 20


async def test_a_reserve_that_nobody_waits_for_any_more_leaves_no_hold(gate: Gatekeeper) -> None:
    """However far it has come: the caller goes some steps of the event loop after the call."""
    for steps in range(12):
        task = asyncio.ensure_future(gate.credits.reserve(reserve_of(1)))
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.cancel():
            await asyncio.wait([task])
        if not task.cancelled():
            await gate.release(task.result().id)
        await gate.credits.drained()
        assert (await available(gate), await held(gate)) == (5, 0)


def reserve_of(amount: int) -> ReserveRequest:
    return reserve_request(CUSTOMER, "credits", amount)


@pytest.mark.parametrize(
    ("limits", "customers"),
    [
        (BatchLimits(max_waiting=3), ("a", "b", "c", "d")),
        (BatchLimits(max_waiting_for_account=3), ("a", "a", "a", "a", "b")),
    ],
)
async def test_what_a_full_queue_has_no_room_for_is_refused_at_once(
    gate: Gatekeeper, limits: BatchLimits, customers: tuple[str, ...]
) -> None:
    gate.credits._batcher._limits = limits
    outcomes = await asyncio.gather(
        *(gate.reserve(customer, "credits", 1) for customer in customers), return_exceptions=True
    )
    assert [isinstance(one, OverloadedError) for one in outcomes] == [
        n == 3 for n in range(len(customers))
    ]


# -- told -----------------------------------------------------------------------------------------


def subscribe(tx: Transaction) -> None:
    """The customer has paid for a month of the plan whose use beyond its grants is billed."""
    start, terms = tx.now(), CATALOG.terms("metered")
    end = start + timedelta(days=31)
    tx.customers.insert(Customer(id=CUSTOMER, created_at=start))
    subscription = Subscription(
        id="sub",
        customer=CUSTOMER,
        status="active",
        started_at=start,
        anchor=start,
        updated_at=start,
    )
    item = Item(
        id="si",
        subscription_id="sub",
        status="active",
        price_id="price",
        quantity=1,
        terms=terms,
        started_at=start,
        anchor=start,
        period_start=start,
        period_end=end,
    )
    line = PaidLine(
        id="il",
        item_id="si",
        invoice_id="in",
        start=start,
        end=end,
        quantity=1,
        terms=terms,
        amount_minor=999,
        currency="eur",
    )
    tx.subscriptions.save(subscription, [item])
    tx.subscriptions.add_paid_lines(CUSTOMER, [line])


async def test_thresholds_and_metered_use_are_written_to_the_outbox_once(
    gate: Gatekeeper, store: MemoryStore
) -> None:
    await store.write(subscribe)
    async with gate.reserve(CUSTOMER, "credits", 8):
        assert await messages(store) == []
    told = await messages(store)
    assert [one.topic for one in told] == ["credits.exhausted", "credits.low"]
    assert await metered(store) == [(CUSTOMER, 2)]
    await gate.grant(CUSTOMER, "credits", 1, reason="not enough to be above the threshold")
    async with gate.reserve(CUSTOMER, "credits", 1):
        pass
    again = await messages(store)
    assert [one.topic for one in again] == ["credits.exhausted"]
