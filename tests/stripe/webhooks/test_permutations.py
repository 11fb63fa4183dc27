"""All orders of a subscription's six events, in four kinds of weather: one final state.

Stripe has at each delivery what has happened by then, and no event comes before it happened: so an
order in which the last event is delivered first is one in which all the others are late.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import pytest

from gatekeeper.entitlements.state import Item
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.stripe.reconciliation import Reconciler, Report, RunOptions
from gatekeeper.testing.events import (
    DEFAULT_START,
    Obj,
    invoice,
    invoice_line,
    make_event,
    subscription,
    subscription_item,
    unix,
)
from tests.stripe.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

RENEWAL: Final = DEFAULT_START + timedelta(days=31)
MOMENTS: Final = [
    DEFAULT_START,
    DEFAULT_START + timedelta(seconds=5),
    DEFAULT_START + timedelta(days=10),
    RENEWAL,
    RENEWAL + timedelta(hours=2),
    RENEWAL + timedelta(days=9),
]
"""When each of the six happened."""
END: Final = MOMENTS[-1] + timedelta(days=4)
"""When the final states are compared."""

ORDERS: Final = list(itertools.permutations(range(6)))
Schedule = Sequence[tuple[datetime, int]]
"""What is delivered when, by number."""


class History:
    """What one subscription went through at Stripe: six states, and the event of each.

    It begins incomplete, is paid, gets more seats, renews, pays late, and is to end with its
    period.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.customer = f"org_{number}"
        self.states = [self._state(step) for step in range(6)]
        types = [
            ("customer.subscription.created", 0),
            ("invoice.paid", 1),
            ("customer.subscription.updated", 0),
            ("invoice.finalized", 2),
            ("invoice.paid", 2),
            ("customer.subscription.updated", 0),
        ]
        self.events = [
            make_event(type_, self.states[step][place], created=MOMENTS[step])
            for step, (type_, place) in enumerate(types)
        ]

    def _state(self, step: int) -> list[Obj]:
        """The subscription and its invoices after a step."""
        number = self.number
        renewed, late = step >= 3, step == 3
        begun = RENEWAL if renewed else DEFAULT_START
        item = subscription_item(f"si_{number}", start=begun, quantity=3 if step >= 2 else 1)
        item["created"] = unix(DEFAULT_START)
        first = self._invoice("a", "paid" if step >= 1 else "open", DEFAULT_START, 1)
        second = self._invoice("b", "open" if late else "paid", RENEWAL, 3)
        paying = subscription(
            f"sub_{number}",
            customer=f"cus_{number}",
            status="incomplete" if step == 0 else "past_due" if late else "active",
            items=[item],
            latest_invoice=second if renewed else first,
            cancel_at_period_end=step == 5,
        )
        return [paying, first, *([second] if renewed else [])]

    def _invoice(self, name: str, status: str, start: datetime, quantity: int) -> Obj:
        line = invoice_line(
            f"il_{self.number}{name}",
            item=f"si_{self.number}",
            of_subscription=f"sub_{self.number}",
            start=start,
            quantity=quantity,
            amount_minor=999 * quantity,
        )
        return invoice(
            f"in_{self.number}{name}",
            customer=f"cus_{self.number}",
            of_subscription=f"sub_{self.number}",
            status=status,
            lines=[line],
            start=start,
        )

    async def play(self, world: World, schedule: Schedule) -> None:
        """Deliver events, Stripe being as far as the latest moment has brought it."""
        await world.customer(self.customer, f"cus_{self.number}")
        for moment, index in schedule:
            self.happen(world, moment)
            await world.deliver(self.events[index])
        self.happen(world, END)

    def happen(self, world: World, now: datetime) -> None:
        """Let it be `now` here and at Stripe."""
        world.clock.now = now
        so_far = sum(moment <= now for moment in MOMENTS)
        world.stripe.put(*self.states[so_far - 1])


# -- the weather ----------------------------------------------------------------------------------


def plain(order: Sequence[int]) -> Schedule:
    """Each event once, as soon as this order allows."""
    latest = itertools.accumulate((MOMENTS[index] for index in order), max)
    return list(zip(latest, order, strict=True))


def doubled(order: Sequence[int]) -> Schedule:
    """Each event twice: at once, and again when all the others have come."""
    once = plain(order)
    again = [(END, index) for index in reversed(order)]
    return [*itertools.chain.from_iterable((one, one) for one in once), *again]


def one_dropped(order: Sequence[int]) -> Schedule:
    """The event that would have come third never comes."""
    return plain([index for place, index in enumerate(order) if place != 2])


def three_days_late(order: Sequence[int]) -> Schedule:
    """None comes before three days after the last one happened."""
    return [(MOMENTS[-1] + timedelta(days=3), index) for index in order]


class Outcome(msgspec.Struct, frozen=True):
    """All that can be told of a customer afterwards, without the ids."""

    status: str
    cancel_at: datetime | None
    items: tuple[tuple[object, ...], ...]
    unpaid: bool
    plans: tuple[str, ...]
    features: tuple[str, ...]
    seats: object
    credits: int


async def outcome(world: World, history: History) -> Outcome:
    def work(tx: Transaction) -> tuple[str, datetime | None, bool, Sequence[Item]]:
        name = f"sub_{history.number}"
        row = tx.subscriptions.get(name)
        assert row is not None
        unpaid = tx.subscriptions.oldest_unpaid(name) is not None
        return row.status, row.cancel_at, unpaid, tx.subscriptions.items(name)

    status, cancel_at, unpaid, items = await world.store.read(work)
    allowed = await world.entitlements(history.customer)
    return Outcome(
        status=status,
        cancel_at=cancel_at,
        items=tuple(
            (
                item.quantity,
                item.period_end,
                item.unpaid_since,
                [(line.start, line.end, line.quantity) for line in item.paid_lines],
            )
            for item in items
        ),
        unpaid=unpaid,
        plans=tuple(sorted(allowed.plans)),
        features=tuple(sorted(allowed.features)),
        seats=allowed.limits.get("seats"),
        credits=await world.available("credits", history.customer),
    )


EXPECTED: Final = Outcome(
    status="active",
    cancel_at=RENEWAL + timedelta(days=31),
    items=(
        (
            3,
            RENEWAL + timedelta(days=31),
            None,
            [(DEFAULT_START, RENEWAL, 1), (RENEWAL, RENEWAL + timedelta(days=31), 3)],
        ),
    ),
    unpaid=False,
    plans=("free", "pro"),
    features=("downloads",),
    seats=3,
    credits=1_005,
)


async def run(
    world: World, weather: Callable[[Sequence[int]], Schedule], orders: Iterable[Sequence[int]]
) -> None:
    """Play every order for a customer of its own, and compare."""
    played = []
    for number, order in enumerate(orders):
        history = History(number)
        schedule = weather(order)
        await history.play(world, schedule)
        played.append((history, order, schedule))
    if weather is one_dropped:
        report = await reconcile(world)
        assert report.drift
        assert report.is_clean
    for history, order, schedule in played:
        assert await outcome(world, history) == EXPECTED, f"order {order}"
        delivered = {history.events[index]["id"] for _, index in schedule}
        statuses = [
            await world.status_of(event) for event in history.events if event["id"] in delivered
        ]
        assert statuses == [EventStatus.DONE] * len(delivered)


async def reconcile(world: World) -> Report:
    """Have every object of Stripe's looked at, and what differs repaired."""
    reconciler = Reconciler(world.stripe, world.store, world.receiver, world.projections)
    return await reconciler.run(RunOptions(events=False))


WEATHERS: Final = [plain, doubled, one_dropped, three_days_late]


@pytest.mark.parametrize("weather", WEATHERS)
async def test_a_sample_of_orders_comes_to_one_state(
    world: World, weather: Callable[[Sequence[int]], Schedule]
) -> None:
    await run(world, weather, ORDERS[::120])  # one that begins with each of the events


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("weather", WEATHERS)
async def test_every_order_comes_to_one_state(
    world: World, weather: Callable[[Sequence[int]], Schedule]
) -> None:
    """720 orders in four kinds of weather: 2,880 runs on each store."""
    await run(world, weather, ORDERS)


async def test_a_state_that_was_missed_would_be_seen(memory_world: World) -> None:
    """The comparison can fail: without the last event, and without reconciliation, it does."""
    history = History(0)
    await history.play(memory_world, plain(range(5)))
    assert await outcome(memory_world, history) != EXPECTED
