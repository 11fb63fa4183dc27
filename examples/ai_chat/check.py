"""The story of the demo, walked over HTTP without hands; every step is checked."""

import asyncio
import os
import re
import uuid
from collections.abc import Callable
from typing import Any

import httpx
from demo import running

from gatekeeper.testing.stripe import Simulator

GOOD_CARD, DECLINED_CARD = "4242424242424242", "4000000000000002"
PATIENCE_SECONDS = 20.0


class StoryError(Exception):
    """A step did not go as it should."""


class Story:
    """One customer's walk through the app, printing what happens."""

    def __init__(self, client: httpx.AsyncClient, simulator: Simulator) -> None:
        self._client = client
        self._simulator = simulator
        self._step = 0
        self._heard = 0
        self._seen: dict[str, Any] = {}

    def step(self, title: str) -> None:
        """Begin a step."""
        self._step += 1
        print(f"\n{self._step}. {title}")

    def expect(self, what: str, actual: object, wanted: object) -> None:
        """Go on only if `actual` is `wanted`.

        Raises:
            StoryError: it is not.
        """
        if actual != wanted:
            raise StoryError(f"step {self._step}: {what} is {actual!r}, not {wanted!r}")
        print(f"   ok       {what}: {actual!r}")

    async def me(self) -> dict[str, Any]:
        """What the customer has."""
        answer = await self._client.get("/billing/me")
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return {
            "plan": "pro" if "pro" in body["plans"] else "free",
            "credits": body["balances"]["credits"]["available"],
            "history": "history" in body["features"],
        }

    async def show(self) -> dict[str, Any]:
        """Print what Stripe has sent since the last step, and what has changed."""
        for attempt in self._simulator.delivery_log[self._heard :]:
            print(f"   stripe   {attempt.event_type} -> {attempt.status}")
        self._heard = len(self._simulator.delivery_log)
        now = await self.me()
        for key, value in now.items():
            before = self._seen.get(key)
            if before != value:
                print(f"   changed  {key}: {before!r} -> {value!r}")
        self._seen = now
        return now

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Deliver webhooks until the customer has what is wanted.

        Raises:
            StoryError: they don't get it.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                await self._simulator.deliver_pending()
                if wanted(now := await self.me()):
                    return now
                await asyncio.sleep(0.05)

    async def chat(self, key: str | None = None) -> httpx.Response:
        """Send a message."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self._client.post("/chat", json={"text": "Hello"}, headers=headers)

    async def buy(self, price: str, *cards: str) -> str:
        """Check out as a browser would, trying one card after the other; returns the checkout."""
        answer = await self._client.post("/billing/checkout", json={"price": price})
        self.expect("checkout started", answer.status_code, 200)
        link = answer.json()
        for card in cards:
            form = {
                "email": "ada@example.com",
                "name": "Ada",
                "country": "IE",
                "method": "card",
                "card_number": card,
                "card_expiry": "12 / 34",
                "card_cvc": "123",
            }
            paid = await self._client.post(link["url"], data=form)
            wanted = 303 if card == GOOD_CARD else 402
            self.expect(f"card ...{card[-4:]}", paid.status_code, wanted)
        return str(link["checkout"])

    async def portal(self, action: str) -> None:
        """Do something on the customer portal."""
        answer = await self._client.post("/billing/portal", json={})
        url = answer.json()["url"]
        page = await self._client.get(url)
        found = re.search(r'name="subscription" value="(sub_\w+)"', page.text)
        if found is None:
            raise StoryError("the portal shows no subscription")
        done = await self._client.post(url, data={"action": action, "subscription": found.group(1)})
        self.expect(f"portal: {action}", done.status_code < 400, True)


async def check() -> None:
    """Walk the whole story.

    Raises:
        StoryError: a step is wrong.
    """
    if os.environ.get("STRIPE_SECRET_KEY"):
        raise StoryError("--check walks the simulator's pages: unset STRIPE_SECRET_KEY")
    async with (
        running(deliver=False) as demo,
        httpx.AsyncClient(base_url=demo.url, timeout=30) as client,
    ):
        assert demo.simulator is not None  # without a key there is one
        story = Story(client, demo.simulator)
        await free(story, client)
        await subscribe(story, client)
        await top_up(story)
        await renew_and_cancel(story, demo.simulator)
    print("\nAll steps are right.")


async def free(story: Story, client: httpx.AsyncClient) -> None:
    """Sign up, spend the free credits, meet the 402."""
    story.step("Nobody is signed in")
    story.expect("chat", (await story.chat()).status_code, 401)
    story.step("Sign up: the free plan and 5 credits")
    await client.post("/sign-up", json={"name": "Ada"})
    now = await story.show()
    story.expect("plan and credits", (now["plan"], now["credits"]), ("free", 5))
    story.step("Five messages cost five credits")
    answers = [(await story.chat()).status_code for _ in range(5)]
    story.expect("answers", answers, [200] * 5)
    story.expect("credits", (await story.show())["credits"], 0)
    story.step("The sixth message is a 402")
    denied = await story.chat()
    story.expect("status", denied.status_code, 402)
    story.expect("type", denied.json()["type"], "urn:gatekeeper:problem:credits-required")
    story.expect("where to upgrade", denied.json()["upgrade_url"], "/")
    story.step("History is for Pro")
    story.expect("status", (await client.get("/history")).status_code, 402)


async def subscribe(story: Story, client: httpx.AsyncClient) -> None:
    """Check out, and get access because a signed webhook arrived."""
    story.step("Check out; the first card is declined")
    checkout = await story.buy("pro_monthly", DECLINED_CARD, GOOD_CARD)
    story.expect("before any webhook", await story.me(), await story.show())
    story.step("Stripe's webhooks arrive: Pro, and 1,000 credits")
    await story.until(lambda now: now["plan"] == "pro" and now["credits"] == 1_000)
    await story.show()
    status = await client.get(f"/billing/checkout/{checkout}")
    story.expect("the return page says", status.json()["status"], "paid")
    story.step("More messages, and a retry that is not charged twice")
    key = str(uuid.uuid4())
    first, again = await story.chat(key), await story.chat(key)
    story.expect("first and retry", (first.status_code, again.status_code), (200, 409))
    story.expect("credits", (await story.show())["credits"], 999)
    story.expect("history", len((await client.get("/history")).json()), 6)


async def top_up(story: Story) -> None:
    """Buy a pack."""
    story.step("Buy 100 credits")
    await story.buy("topup_100", GOOD_CARD)
    await story.until(lambda now: now["credits"] == 1_099)
    await story.show()


async def renew_and_cancel(story: Story, simulator: Simulator) -> None:
    """Move the clock over a renewal, cancel, and move it over the end."""
    story.step("A month later the subscription renews: 1,000 new credits, 100 carried over")
    await simulator.play(days=32)
    await story.until(lambda now: now["credits"] == 1_200)
    await story.show()
    story.step("Cancel at the end of the period: Pro until then")
    await story.portal("cancel")
    await simulator.deliver_pending()
    story.expect("plan", (await story.show())["plan"], "pro")
    story.step("The period ends: Free again, and the bought credits stay")
    await simulator.play(days=35)
    await story.until(lambda now: now["plan"] == "free")
    now = await story.show()
    story.expect("credits and history", (now["credits"], now["history"]), (100, False))
