"""kill -9 at named points on the road of an event: nothing is lost and nothing is done twice.

A customer buys a subscription and a pack at the simulator. A process receives the events and
carries them out, and is killed at a point. Another one, later, gets the events that were not
acknowledged (Stripe sends them again) and goes on. What the customer has in the end is exactly
what they would have had.
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec
import pytest

from gatekeeper import Gatekeeper
from gatekeeper.settings import Settings
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.records import EventStatus
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.stripe.webhooks import EVENT_TYPES
from gatekeeper.testing.stripe import Simulator
from tests.killed.process import Job
from tests.killed.shop import CATALOG, SECRET

pytestmark = pytest.mark.anyio

LATER_SECONDS: Final = 600.0
"""By then the leases of the dead process are over."""

TRANSACTIONS: Final = [
    "GroupCommit._commit.insert",
    "Dispatcher._claim.work",
    "Context.fetch.<lambda>",
    "SubscriptionProjector.refresh.work",
    "commit_invoice.work",
    "CheckoutProjector.refresh.work",
    "Dispatcher._run_handler.complete",
    "Lease.settle.work",
]
"""On the road of an event, in its order."""

POINTS: Final = [f"{when} {name}" for name in TRANSACTIONS for when in ("before", "after")]


class Story:
    """What has happened at Stripe, and the files of the processes that hear of it."""

    def __init__(self, folder: Path, url: str, simulator: Simulator) -> None:
        self.url = url
        self._simulator = simulator
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
        upgrade(self.url)
        async with (gate := self.gate()).connected():
            await apply_setup(await plan_setup(CATALOG, gate.stripe), gate.stripe)
            page = "https://app.test/"
            for price in ("pro_monthly", "topup_100"):
                link = await gate.checkout("org_1", price, success_url=page, cancel_url=page)
                self._simulator.pay_checkout(link.session_id)
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
            point=point,
            later_seconds=later_seconds,
        )
        argument = msgspec.json.encode(job).decode()
        with (self._folder / "stderr").open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.killed.process", argument), stderr=stderr
            )
        try:
            return await asyncio.wait_for(process.wait(), 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def told(self) -> Counter[str]:
        """The lines of the journal."""
        return Counter(self.journal.read_text().splitlines() if self.journal.exists() else [])

    async def check(self) -> None:
        """That the customer has what was bought, once."""
        told = self.told()
        assert told["done"] == 1
        assert all(told[f"answered {event}"] == 1 for event in self.events)
        async with (gate := self.gate()).connected():
            store = gate._parts.store
            assert await store.read(lambda tx: tx.inbox.counts()) == {
                EventStatus.DONE: len(self.events)
            }
            assert (await gate.balance("org_1", "credits")).available == 5 + 1_000 + 100
            assert (await gate.entitlements("org_1")).has_plan("pro")
            handled = {line for line in told if line.startswith("handled ")}
            assert (await gate.balance("org_1", "thanks")).available == 1 + len(handled)
            assert len(handled) == 3  # the invoice, and two sessions
            verified = [found async for found in gate.auditor.verify()]
            assert verified
            assert all(found.breaches == () for found in verified)


@pytest.fixture(params=["sqlite", "postgresql"])
async def story(request: pytest.FixtureRequest, tmp_path: Path, stripe_sim: Simulator) -> Story:
    url = (
        f"sqlite:///{tmp_path}/gatekeeper.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    made = Story(tmp_path, url, stripe_sim)
    await made.begin()
    return made


async def killed_and_continued(story: Story, point: str) -> None:
    assert await story.process(point) == -signal.SIGKILL, f"{point!r} was never reached"
    assert story.told()["done"] == 0
    assert await story.process(later_seconds=LATER_SECONDS) == 0
    await story.check()


async def test_cases_3_and_4_a_process_killed_at_three_points_loses_and_doubles_nothing(
    story: Story,
) -> None:
    """The sample of every test run: three deaths on one database, one after the other."""
    deaths = [
        "after GroupCommit._commit.insert",
        "before CheckoutProjector.refresh.work",
        "after SubscriptionProjector.refresh.work",
    ]
    for number, point in enumerate(deaths):
        ended = await story.process(point, later_seconds=number * LATER_SECONDS)
        assert ended == -signal.SIGKILL, f"{point!r} was never reached"
    assert await story.process(later_seconds=len(deaths) * LATER_SECONDS) == 0
    await story.check()


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
async def test_a_process_killed_at_any_point_loses_and_doubles_nothing(
    story: Story, point: str
) -> None:
    await killed_and_continued(story, point)


@pytest.mark.long
async def test_the_points_are_all_the_transactions_of_the_road(story: Story) -> None:
    """A transaction that comes to the road must come to the list."""
    assert await story.process("?") == 0
    written = {line.removeprefix("write ") for line in story.told() if line.startswith("write ")}
    assert written == set(TRANSACTIONS)
