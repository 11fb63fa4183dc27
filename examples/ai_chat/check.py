"""The story of the app, step by step."""

import uuid
from typing import Any

import httpx

from examples.stage import DECLINED_CARD, GOOD_CARD, Story


async def check(story: Story) -> None:
    """Walk the whole story."""
    story.glance = glance
    await free(story)
    await subscribe(story)
    await top_up(story)
    await renew_and_cancel(story)


async def glance(story: Story) -> dict[str, Any]:
    """What the customer has."""
    body = await story.me()
    return {
        "plan": "pro" if "pro" in body["plans"] else "free",
        "credits": body["balances"]["credits"]["available"],
        "history": "history" in body["features"],
    }


async def chat(story: Story, key: str | None = None) -> httpx.Response:
    """Send a message."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return await story.client.post("/chat", json={"text": "Hello"}, headers=headers)


async def free(story: Story) -> None:
    """Sign up, spend the free credits, meet the 402."""
    story.step("Nobody is signed in")
    story.expect("chat", (await chat(story)).status_code, 401)
    story.step("Sign up: the free plan and 5 credits")
    await story.sign_up("Ada")
    now = await story.show()
    story.expect("plan and credits", (now["plan"], now["credits"]), ("free", 5))
    story.step("Five messages cost five credits")
    answers = [(await chat(story)).status_code for _ in range(5)]
    story.expect("answers", answers, [200] * 5)
    story.expect("credits", (await story.show())["credits"], 0)
    story.step("The sixth message is a 402")
    denied = await chat(story)
    story.expect("status", denied.status_code, 402)
    story.expect("type", denied.json()["type"], "urn:gatekeeper:problem:credits-required")
    story.expect("where to upgrade", denied.json()["upgrade_url"], "/")
    story.step("History is for Pro")
    story.expect("status", (await story.client.get("/history")).status_code, 402)


async def subscribe(story: Story) -> None:
    """Check out, and get access because a signed webhook arrived."""
    story.step("Check out; the first card is declined")
    checkout = await story.buy("pro_monthly", DECLINED_CARD, GOOD_CARD)
    story.expect("before any webhook", (await story.show())["plan"], "free")
    story.step("Stripe's webhooks arrive: Pro, and 1,000 credits")
    await story.until(lambda now: now["plan"] == "pro" and now["credits"] == 1_000)
    await story.show()
    status = await story.client.get(f"/billing/checkout/{checkout}")
    story.expect("the return page says", status.json()["status"], "paid")
    story.step("More messages, and a retry that is not charged twice")
    key = str(uuid.uuid4())
    first, again = await chat(story, key), await chat(story, key)
    story.expect("first and retry", (first.status_code, again.status_code), (200, 409))
    story.expect("credits", (await story.show())["credits"], 999)
    story.expect("history", len((await story.client.get("/history")).json()), 6)


async def top_up(story: Story) -> None:
    """Buy a pack."""
    story.step("Buy 100 credits")
    await story.buy("topup_100", GOOD_CARD)
    await story.until(lambda now: now["credits"] == 1_099)
    await story.show()


async def renew_and_cancel(story: Story) -> None:
    """Move the clock over a renewal, cancel, and move it over the end."""
    story.step("A month later the subscription renews: 1,000 new credits, 100 carried over")
    await story.simulator.play(days=32)
    await story.until(lambda now: now["credits"] == 1_200)
    await story.show()
    story.step("Cancel at the end of the period: Pro until then")
    await story.portal("cancel")
    await story.simulator.deliver_pending()
    story.expect("plan", (await story.show())["plan"], "pro")
    story.step("The period ends: Free again, and the bought credits stay")
    await story.simulator.play(days=35)
    await story.until(lambda now: now["plan"] == "free")
    now = await story.show()
    story.expect("credits and history", (now["credits"], now["history"]), (100, False))
