"""kill -9 at named points on the road of an event: nothing is lost and nothing is done twice.

A customer buys a subscription and a pack at the simulator, and gets a part of the pack's price
back. A process receives the events, carries them out, spends some credits and tells the host, and
is killed at a point. Another one, later, gets the events that were not acknowledged (Stripe sends
them again) and goes on. What the customer has in the end is exactly what they would have had.
"""

import asyncio
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.settings import Settings
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.records import EventStatus, OutboxState
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.stripe.webhooks import EVENT_TYPES
from gatekeeper.testing.stripe import Simulator
from tests.killed.nursery import Nursery
from tests.killed.process import Job
from tests.killed.shop import CATALOG, SECRET, SPENT, TOPICS

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

LATER_SECONDS: Final = 600.0
"""By then the leases of the dead process are over."""

TRANSACTIONS: Final = {
    "Store.arrive.insert": "intake",
    "Dispatcher._claim.work": "dispatch",
    "Carrier._run_handler.complete": "dispatch",
    "Lease.settle.work": "dispatch",
    "Lease.settle_done.work": "dispatch",
    "Context.fetch.<lambda>": "projection",
    "SubscriptionProjector.refresh.work": "projection",
    "commit_invoice.work": "projection",
    "MirrorProjector.refresh.work": "projection",
    "CustomerProjector.project.work": "projection",
    "CheckoutProjector.refresh.work": "grant",
    "MoneyProjector.refresh.work": "grant",
    "Ways._locking.<lambda>": "grant",
    "Deliverer._claim.work": "outbox",
    "MessageLease.sent.<lambda>": "outbox",
    "CacheTeller.tell_due.<lambda>": "outbox",
}
"""All on the road of an event, and the part of it that each belongs to."""

POINTS: Final = [
    pytest.param(f"{when} {name}", id=f"{part}: {when} {name}")
    for name, part in TRANSACTIONS.items()
    for when in ("before", "after")
]


class Story:
    """What has happened at Stripe, and the files of the processes that hear of it."""

    def __init__(self, folder: Path, url: str, simulator: Simulator, nursery: Nursery) -> None:
        self.url = url
        self._simulator = simulator
        self._nursery = nursery
        self._folder = folder
        self.journal = folder / "journal"
        self.events: list[str] = []

    def _settings(self) -> Settings:
        return Settings(
            database_url=self.url,
            stripe_secret_key=self._simulator.settings.api_key,
            stripe_api_base=self._simulator.url,
            stripe_webhook_secret=SECRET,
        )

    def gate(self) -> Gatekeeper:
        """A gate on the story's database."""
        return Gatekeeper(CATALOG, self._settings())

    async def begin(self) -> None:
        """Have the customer buy everything, and write down the events."""
        await asyncio.to_thread(upgrade, self.url)
        async with (gate := self.gate()).connected():
            await apply_setup(await plan_setup(CATALOG, gate.stripe), gate.stripe)
            page = "https://app.test/"
            for price in ("pro_monthly", "topup_100"):
                link = await gate.checkout("org_1", price, success_url=page, cancel_url=page)
                paid = self._simulator.pay_checkout(link.session_id)
            two_fifths = {"payment_intent": paid["payment_intent"], "amount": 200}
            await gate.stripe.post("/v1/refunds", two_fifths, what="a refund")
            payer = f"/v1/customers/{paid['customer']}"
            await gate.stripe.post(payer, {"name": "Ada Lovelace"}, what="a customer")
        events = [event for event in self._simulator.events() if event["type"] in EVENT_TYPES]
        self.events = [event["id"] for event in events]
        lines = [json.dumps(event) for event in events]
        (self._folder / "story").write_text("\n".join(lines))

    async def process(self, point: str | None = None, *, later_seconds: float = 0.0) -> int:
        """Run a process to its end; returns how it ended."""
        job = Job(
            url=self.url,
            api_base=self._simulator.url,
            api_key=self._simulator.settings.api_key,
            story=str(self._folder / "story"),
            journal=str(self.journal),
            errors=str(self._folder / "errors"),
            point=point,
            later_seconds=later_seconds,
        )
        return await asyncio.to_thread(self._nursery.run, job)

    def told(self) -> Counter[str]:
        """The lines of the journal."""
        return Counter(self.journal.read_text().splitlines() if self.journal.exists() else [])

    def errors(self) -> str:
        """What the processes have said."""
        return (self._folder / "errors").read_text()

    async def check(self) -> None:
        """That the customer has what was bought, once, and the host has heard of it."""
        told = self.told()
        assert told["done"] == 1
        assert all(told[f"answered {event}"] == 1 for event in self.events)
        async with (gate := self.gate()).connected():
            store = gate._parts.store
            assert await store.read(lambda tx: tx.inbox.counts()) == {
                EventStatus.DONE: len(self.events)
            }
            # 2 of 5 were paid back for the pack of 100.
            assert (await gate.balance("org_1", "credits")).available == 5 + 1_000 + 60 - SPENT
            assert (await gate.entitlements("org_1")).has_plan("pro")
            handled = {line for line in told if line.startswith("handled ")}
            assert (await gate.balance("org_1", "thanks")).available == 1 + len(handled)
            assert len(handled) == 3  # the invoice, and two sessions
            await self._check_outbox(gate)
            verified = [found async for found in gate.auditor.verify()]
            assert verified
            assert all(found.breaches == () for found in verified)

    async def _check_outbox(self, gate: Gatekeeper) -> None:
        """Each thing is told of by one message, and each message has been heard, in order."""
        counts = await gate.outbox.counts()
        assert (counts.waiting, counts.dead) == (0, 0)
        listed = await gate.outbox.listing(OutboxState.SENT)
        sent = [one for one in listed if one.topic in TOPICS and not one.receiver]
        assert Counter(message.topic for message in sent) == {
            "payment.succeeded": 2,
            "subscription.changed": 1,
        }
        written = sorted(sent, key=lambda message: (message.created_at, message.id))
        heard = [line for line in self.journal.read_text().splitlines() if "heard " in line]
        assert list(dict.fromkeys(heard)) == [
            f"heard {message.topic} {message.id}" for message in written
        ]


@pytest.fixture(params=["sqlite", "postgresql"])
async def story(
    request: pytest.FixtureRequest, tmp_path: Path, stripe_sim: Simulator, nursery: Nursery
) -> Story:
    url = (
        f"sqlite:///{tmp_path}/gatekeeper.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    made = Story(tmp_path, url, stripe_sim, nursery)
    await made.begin()
    return made


async def killed_and_continued(story: Story, *points: str) -> None:
    for number, point in enumerate(points):
        ended = await story.process(point, later_seconds=number * LATER_SECONDS)
        assert ended == -signal.SIGKILL, f"{point!r} was never reached\n{story.errors()}"
        assert story.told()["done"] == 0
    assert await story.process(later_seconds=len(points) * LATER_SECONDS) == 0, story.errors()
    await story.check()


async def test_cases_3_and_4_a_process_killed_at_five_points_loses_and_doubles_nothing(
    story: Story,
) -> None:
    """The sample of every test run: five deaths on one database, one after the other. Objects are
    worked on at once: only what a death leaves undone for certain may be the next one's point."""
    await killed_and_continued(
        story,
        "after Store.arrive.insert",
        "before CheckoutProjector.refresh.work",
        "before Lease.settle.work",
        "after Lease.settle.work",
        "before MessageLease.sent.<lambda>",
    )


def test_there_are_twenty_points_and_more_in_each_part_of_the_road() -> None:
    assert len(POINTS) >= 20
    assert set(TRANSACTIONS.values()) == {"intake", "dispatch", "projection", "grant", "outbox"}


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
async def test_a_process_killed_at_any_point_loses_and_doubles_nothing(
    story: Story, point: str
) -> None:
    await killed_and_continued(story, point)


async def test_the_points_are_all_the_transactions_of_the_road(story: Story) -> None:
    """A transaction that comes to the road must come to the list."""
    assert await story.process("?") == 0, story.errors()
    written = {line.removeprefix("write ") for line in story.told() if line.startswith("write ")}
    assert written == TRANSACTIONS.keys()
    await story.check()
