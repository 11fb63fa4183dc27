"""The story of the app, step by step."""

import uuid
from typing import Any

import httpx

from examples.stage import DECLINED_CARD, GOOD_CARD, Heard, Story, hearing


async def check(story: Story) -> None:
    """Walk the whole story."""
    story.glance = glance
    await free(story)
    async with hearing(story.client) as heard:
        await heard.until("ready")
        await subscribe(story, heard)
        await top_up(story, heard)
        await look_back(story)
        await renew_and_cancel(story, heard)


async def glance(story: Story) -> dict[str, Any]:
    """What the customer has."""
    body = await story.me()
    return {
        "plan": body["plan"],
        "credits": body["balances"]["credits"]["available"],
        "history": "history" in body["features"],
        "warnings": [one["code"] for one in body["warnings"]],
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
    answers = [(await chat(story)).status_code for _ in range(3)]
    story.expect("warnings at 2 credits", (await story.show())["warnings"], ["credits_low"])
    answers += [(await chat(story)).status_code for _ in range(2)]
    story.expect("answers", answers, [200] * 5)
    now = await story.show()
    story.expect("credits", now["credits"], 0)
    story.expect("warnings", now["warnings"], ["credits_exhausted"])
    story.step("The sixth message is a 402")
    asked = await story.ok("POST", "/billing/credits/check", json={"name": "message"})
    story.expect("a page that asks before", (asked["allowed"], asked["amount"]), (False, 1))
    denied = await chat(story)
    story.expect("status", denied.status_code, 402)
    story.expect("type", denied.json()["type"], "urn:gatekeeper:problem:credits-required")
    story.expect("where to upgrade", denied.json()["upgrade_url"], "/")
    story.step("History is for Pro")
    story.expect("status", (await story.client.get("/history")).status_code, 402)


async def subscribe(story: Story, heard: Heard) -> None:
    """Check out, and get access because a signed webhook arrived."""
    story.step("Check out; the first card is declined")
    checkout = await story.buy("pro_monthly", DECLINED_CARD, GOOD_CARD)
    story.expect("before any webhook", (await story.show())["plan"], "free")
    story.step("Stripe's webhooks arrive: Pro, and 1,000 credits")
    await story.until(lambda now: now["plan"] == "pro" and now["credits"] == 1_000)
    paid, changed = await heard.until("payment.settled"), await heard.until("plan.changed")
    story.expect("the page heard", (paid["amount_minor"], changed["plan"]), (999, "pro"))
    status = await story.client.get(f"/billing/checkout/{checkout}")
    story.expect("the return page says", status.json()["status"], "paid")
    story.step("More messages, and a retry that is not charged twice")
    key = str(uuid.uuid4())
    first, again = await chat(story, key), await chat(story, key)
    story.expect("first and retry", (first.status_code, again.status_code), (200, 409))
    story.expect("credits", (await story.show())["credits"], 999)
    story.expect("history", len((await story.client.get("/history")).json()), 6)


async def top_up(story: Story, heard: Heard) -> None:
    """Buy a pack."""
    story.step("Buy 100 credits")
    await story.buy("topup_100", GOOD_CARD)
    await story.until(lambda now: now["credits"] == 1_099)
    paid = await heard.until("payment.settled")
    story.expect("the page heard of", paid["amount_minor"], 500)


async def look_back(story: Story) -> None:
    """What was used, and what was paid."""
    story.step("Usage, invoices and payments")
    usage = await story.ok("GET", "/billing/usage")
    used = [(row["name"], row["amount"]) for row in usage["data"]]
    story.expect("used today", used, [("message", 6)])
    invoices = (await story.ok("GET", "/billing/invoices"))["data"]
    story.expect(
        "invoices", [(one["status"], one["total_minor"]) for one in invoices], [("paid", 999)]
    )
    links = await story.ok("GET", f"/billing/invoices/{invoices[0]['id']}")
    story.expect("it has a PDF", bool(links["pdf_url"]), True)
    payments = (await story.ok("GET", "/billing/payments"))["data"]
    taken = sorted(one["amount_minor"] for one in payments if one["status"] == "succeeded")
    story.expect("payments, and one that was declined", (taken, len(payments)), ([500, 999], 3))
    stranger = await story.person("Eve")
    theirs = await stranger.get(f"/billing/invoices/{invoices[0]['id']}")
    story.expect("somebody else's invoice", theirs.status_code, 404)


async def renew_and_cancel(story: Story, heard: Heard) -> None:
    """Move the clock over a renewal, cancel, and move it over the end."""
    story.step("A month later the subscription renews: 1,000 new credits, 100 carried over")
    await story.simulator.play(days=32)
    await story.until(lambda now: now["credits"] == 1_200)
    spent = (await story.me())["balances"]["credits"]["spent"]
    story.expect("spent in the new month", spent, 0)
    story.step("Cancel at the end of the period: Pro until then")
    await story.portal("cancel")
    now = await story.until(lambda now: now["warnings"] == ["cancel_scheduled"])
    story.expect("plan", now["plan"], "pro")
    story.step("The period ends: Free again, and the bought credits stay")
    await story.simulator.play(days=35)
    await story.until(lambda now: now["plan"] == "free")
    now = await story.show()
    story.expect("credits and history", (now["credits"], now["history"]), (100, False))
    plan = ""
    while plan != "free":
        plan = (await heard.until("plan.changed"))["plan"]
    story.expect("the page heard of", plan, "free")
