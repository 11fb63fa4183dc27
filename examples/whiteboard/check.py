"""The story of the app, step by step."""

from typing import Any

import httpx

from examples.stage import DECLINED_CARD, GOOD_CARD, Story

LINE = {"color": "blue", "points": [[10, 10], [200, 120]]}
TOP_UP = {"threshold": 20, "pack": "credits_50", "cap_minor": 1_200}


async def check(story: Story) -> None:
    """Walk the whole story."""
    story.glance = glance
    await free(story)
    await subscribe(story)
    await keep_going(story)
    await ask_the_bank(story)
    await stop_at_the_cap(story)
    await bill_the_rest(story)
    await count(story)
    await leave(story)


async def glance(story: Story) -> dict[str, Any]:
    """What the customer has."""
    body = await story.me()
    found = await story.client.get("/billing/top-ups/credits")
    top_up = found.json() if found.is_success else {"state": None, "reason": None}
    return {
        "plan": body["plan"],
        "credits": body["balances"]["credits"]["available"],
        "export": "export" in body["features"],
        "top-up": top_up["reason"] or top_up["state"],
    }


async def ask(story: Story, text: str = "a flower") -> httpx.Response:
    """Have the AI draw."""
    return await story.client.post("/sketch", json={"text": text})


async def sketches(story: Story, number: int) -> None:
    """Have it draw several."""
    answers = [(await ask(story, f"flower {one}")).status_code for one in range(number)]
    story.expect(f"{number} sketches", answers, [200] * number)


async def free(story: Story) -> None:
    """Draw for nothing, spend the free credits, meet the 402."""
    story.step("Nobody is signed in")
    story.expect("sketch", (await ask(story)).status_code, 401)
    story.step("Sign up: the free plan and 10 credits")
    await story.sign_up("Ada")
    now = await story.show()
    story.expect("plan and credits", (now["plan"], now["credits"]), ("free", 10))
    story.step("Lines by hand cost nothing, a sketch costs five credits")
    story.expect("line", (await story.client.post("/board", json=LINE)).status_code, 200)
    wrong = await story.client.post("/sketch", json={"text": ""})
    story.expect("what can't be drawn costs nothing", wrong.status_code, 422)
    await sketches(story, 2)
    story.expect("credits", (await story.show())["credits"], 0)
    story.expect("strokes on the board", len(await story.ok("GET", "/board")), 5)
    story.step("The third sketch is a 402, and so is taking the board away")
    denied = await ask(story)
    story.expect("status", denied.status_code, 402)
    story.expect("type", denied.json()["type"], "urn:gatekeeper:problem:credits-required")
    story.expect("export", (await story.client.get("/board.svg")).status_code, 402)


async def subscribe(story: Story) -> None:
    """Look at the prices, check out, and have Pro because a signed webhook arrived."""
    story.step("Look at the prices and check out; the first card is declined")
    await story.ok("POST", "/pricing", json={"came_from": "402"})
    checkout = await story.buy("board_monthly", DECLINED_CARD, GOOD_CARD)
    story.expect("before any webhook", (await story.show())["plan"], "free")
    story.step("Stripe's webhooks arrive: Pro, and 100 credits")
    await story.until(lambda now: now["plan"] == "pro" and now["credits"] == 100)
    status = await story.ok("GET", f"/billing/checkout/{checkout}")
    story.expect("the return page says", status["status"], "paid")
    story.step("The gate of the export is open, from this process's memory")
    picture = await story.client.get("/board.svg")
    story.expect("export", (picture.status_code, picture.text.count("<polyline")), (200, 5))
    customer = (await story.me())["customer"]
    held = story.gate.peek(customer)
    story.expect("known without asking the database", held is not None, True)


async def keep_going(story: Story) -> None:
    """Agree to a top-up, and run low."""
    story.step("Agree to 50 credits for 4.00 when fewer than 20 are left, 12.00 a month at most")
    made = await story.ok("PUT", "/billing/top-ups/credits", json=TOP_UP)
    story.expect("state and price", (made["state"], made["amount_minor"]), ("idle", 400))
    story.step("Run low: the saved card pays, and nobody had to do anything")
    await sketches(story, 17)
    await story.until(lambda now: now["credits"] == 65 and now["top-up"] == "idle")
    spent = (await story.ok("GET", "/billing/top-ups/credits"))["spent_minor"]
    story.expect("spent this month", spent, 400)


async def ask_the_bank(story: Story) -> None:
    """The next card's bank asks for the person; another card goes on."""
    story.step("A card whose bank asks for the person: blocked, and said so")
    await use_card(story, "pm_card_authenticationRequired")
    await sketches(story, 10)
    await story.until(lambda now: now["top-up"] == "authentication_required")
    waiting = await story.ok("GET", "/billing/top-ups/credits/payment")
    story.expect("a payment waits for them", waiting["amount_minor"], 400)
    story.step("Another card: it goes on by itself")
    await use_card(story, "pm_card_visa")
    await story.until(lambda now: now["credits"] == 65 and now["top-up"] == "idle")


async def use_card(story: Story, token: str) -> None:
    """Save a card, as the fields in a page do, and pay by it from now on."""
    customer = (await story.me())["customer"]
    known = await story.gate.store.read(lambda tx: tx.customers.get(customer))
    stripe = story.simulator.client().v1
    saved = stripe.payment_methods.attach(token, {"customer": str(known and known.stripe_id)})
    await story.simulator.deliver_pending()
    await story.ok("POST", f"/billing/payment-methods/{saved.id}/default", json={})


async def stop_at_the_cap(story: Story) -> None:
    """The month's cap ends it."""
    story.step("A third pack, and then the month's cap")
    await sketches(story, 10)
    await story.until(lambda now: now["credits"] == 65 and now["top-up"] == "idle")
    await sketches(story, 10)
    await story.until(lambda now: now["top-up"] == "monthly_cap")


async def bill_the_rest(story: Story) -> None:
    """Use beyond the credits is billed with the next invoice."""
    story.step("Turn the top-up off. Beyond its credits Pro goes on, and what is over is metered")
    off = await story.ok("DELETE", "/billing/top-ups/credits")
    story.expect("top-up is on", off["on"], False)
    await sketches(story, 5)
    story.expect("credits", (await story.show())["credits"], 0)
    await story.simulator.play(days=1)
    await story.gate.work()  # as the background does when an hour is over
    story.step("A month later: 100 new credits, and 10 of overage on the invoice")
    await story.simulator.play(days=32)
    await story.until(lambda now: now["credits"] == 100)
    invoices = (await story.ok("GET", "/billing/invoices"))["data"]
    story.expect("invoices", [one["paid_minor"] for one in invoices], [1_300, 1_200])


async def count(story: Story) -> None:
    """What analytics were told."""
    story.step("The funnel: from the prices to the checkout to the payment")
    names = await story.ok("GET", "/funnel")
    steps = ["customer.created", "pricing.viewed", "checkout.started", "payment.succeeded"]
    story.expect("in order", [name for name in names if name in steps][:4], steps)
    story.expect("what stopped the top-ups", names.count("top_up.blocked"), 2)


async def leave(story: Story) -> None:
    """Cancel: at the end of what was paid the gates close."""
    story.step("Cancel: Pro until the end of the period")
    await story.portal("cancel")
    await story.simulator.deliver_pending()
    story.expect("plan", (await story.show())["plan"], "pro")
    story.step("The period ends: Free, and the export is closed")
    await story.simulator.play(days=35)
    await story.until(lambda now: now["plan"] == "free")
    story.expect("export", (await story.client.get("/board.svg")).status_code, 402)
