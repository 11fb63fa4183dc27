"""Whatever is told, in whatever order and however often: what was taken back is the target."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatekeeper.projection.clawback import DISPUTE_TAKES, REFUND_GONE
from gatekeeper.services.audit.verify import verify
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.testing.events import Obj, checkout_session, make_event
from tests.stripe.money import charge, dispute, refund
from tests.stripe.test_clawbacks import balance
from tests.stripe.test_invoice_refunds import BILL, CREATED, PAID, YEAR, YEARLY, paid_by, to_month
from tests.stripe.test_purchases import COMPLETED, begin
from tests.stripe.world import ManualClock, World

FREE, PACK, PAID_MINOR = 5, 100, 500
REFUNDS = ("pending", "requires_action", "succeeded", "failed", "canceled")
DISPUTES = (*sorted(DISPUTE_TAKES), "won", "warning_closed", "prevented")


class Step(NamedTuple):
    """Something happens: at Stripe, or at the host, or an event of it comes."""

    what: Literal["refund", "dispute", "told", "bought", "spend"]
    which: int = 0
    status: str = ""
    amount: int = 0
    heard: bool = False


steps = st.lists(
    st.one_of(
        st.builds(
            Step,
            st.just("refund"),
            st.integers(0, 2),
            st.sampled_from(REFUNDS),
            st.integers(1, PAID_MINOR),
            st.booleans(),
        ),
        st.builds(
            Step,
            st.just("dispute"),
            st.integers(0, 1),
            st.sampled_from(DISPUTES),
            st.integers(1, PAID_MINOR),
            st.booleans(),
        ),
        st.builds(Step, st.just("told"), st.integers(0, 4)),
        st.builds(Step, st.just("bought")),
        st.builds(Step, st.just("spend"), amount=st.integers(1, 60)),
    ),
    max_size=14,
)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Till:
    """What Stripe has, and what the host has heard and spent."""

    def __init__(self, world: World, amount_minor: int) -> None:
        self.world = world
        self.amount_minor = amount_minor
        self.charge = charge(amount=amount_minor)
        self.things: dict[str, Obj] = {}
        self.told = 0
        self.spent = 0

    async def refund(self, step: Step) -> None:
        known = self.things.get(f"re_{step.which}")  # the amount of a refund never changes
        amount = step.amount if known is None else known["amount"]
        self._put(refund(f"re_{step.which}", amount, step.status))

    async def dispute(self, step: Step) -> None:
        known = self.things.get(f"dp_{step.which}")
        amount = step.amount if known is None else known["amount"]
        self._put(dispute(step.status, amount, id=f"dp_{step.which}"))
        self.charge = {**self.charge, "disputed": True}
        self.world.stripe.put(self.charge)

    async def tell(self, step: Step) -> None:
        """An event of one of them, or of the charge, comes."""
        known = [self.charge, *self.things.values()]
        about = known[step.which % len(known)]
        kind = {
            "charge": "charge.refunded",
            "refund": "refund.updated",
            "dispute": "charge.dispute.updated",
        }[about["object"]]
        self.told += 1
        await self.world.deliver(make_event(kind, about, id=f"evt_told_{self.told}"))

    async def spend(self, step: Step) -> None:
        """Spend as much of it as there is."""
        now = await balance(self.world)
        amount = min(step.amount, now.available or 0)
        if amount and not now.debt:
            await self.world.spend(amount, hold=f"hold_{self.spent}")
            self.spent += amount

    @property
    def returned_minor(self) -> int:
        """What has gone back, said once more."""
        gone: list[int] = [
            one["amount"]
            for one in self.things.values()
            if (one["object"] == "refund" and one["status"] not in REFUND_GONE)
            or (one["object"] == "dispute" and one["status"] in DISPUTE_TAKES)
        ]
        return min(sum(gone), self.amount_minor)

    def _put(self, made: Obj) -> None:
        self.things[made["id"]] = made
        self.world.stripe.put(made)


async def check_books(world: World) -> None:
    """What the ledger says of itself adds up, and can be rebuilt from its entries."""
    async for page in verify(world.store):
        assert not page.breaches


async def play(till: Till, taken: Sequence[Step], bought: Any, *, early: bool) -> None:
    if early:
        await bought(Step("bought"))
    acts = {
        "refund": till.refund,
        "dispute": till.dispute,
        "told": till.tell,
        "spend": till.spend,
        "bought": bought,
    }
    for step in taken:
        await acts[step.what](step)
        if step.heard:
            await till.tell(Step("told"))
    await bought(Step("bought"))
    await till.tell(Step("told"))  # the last word on it


@SETTINGS
@given(steps, st.booleans())
def test_of_a_pack_the_returned_part_is_taken_whatever_happened(
    taken: list[Step], early: bool
) -> None:
    async def story() -> None:
        clock = ManualClock()
        async with MemoryStore(clock=clock) as store:
            world = World(store, clock)
            await begin(world)
            till = Till(world, PAID_MINOR)
            world.stripe.put(checkout_session(), till.charge)

            async def bought(step: Step) -> None:
                await world.deliver(make_event(COMPLETED, checkout_session()))

            await play(till, taken, bought, early=early)
            now = await balance(world)
            await check_books(world)
            target = PACK * till.returned_minor // PAID_MINOR
            assert (now.available or 0) - now.debt == FREE + PACK - till.spent - target

    anyio.run(story)


@SETTINGS
@given(steps, st.lists(st.integers(1, 12), max_size=3), st.booleans())
def test_of_a_years_invoice_each_month_keeps_its_part_whatever_happened(
    taken: list[Step], months: list[int], early: bool
) -> None:
    async def story() -> None:
        clock = ManualClock()
        async with MemoryStore(clock=clock) as store:
            world = World(store, clock)
            await world.customer()
            till = Till(world, 9_999)
            world.stripe.put({**YEAR, "latest_invoice": BILL}, BILL, YEARLY, till.charge, paid_by())

            async def bought(step: Step) -> None:
                await world.deliver(PAID, CREATED)
                if months:
                    await to_month(world, max(months.pop(), clock.now.month))

            await play(till, taken, bought, early=early)
            now = await balance(world)
            kept = 1_000 - 1_000 * till.returned_minor // 9_999
            await check_books(world)
            left = (now.available or 0) - now.debt
            if clock.now.month == 1:
                assert left == FREE + kept - till.spent
            # Later the running month has its part; what was used beyond that of others is taken
            # off it, and what was not used of others has lapsed.
            assert 0 <= now.debt <= till.spent
            assert FREE + kept - till.spent <= left <= FREE + kept

    anyio.run(story)
