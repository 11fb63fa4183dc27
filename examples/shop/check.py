"""The story of the shop, step by step."""

import uuid
from typing import Any

from stripe import CardError

from examples.stage import GOOD_CARD, Story

SECURE = "pm_card_authenticationRequired"


async def check(story: Story) -> None:
    """Walk the whole story."""
    story.glance = glance
    await pay(story, await basket(story))
    await secure(story)
    await change(story)
    await club(story)


async def glance(story: Story) -> dict[str, Any]:
    """What has become of the customer's orders, and what was sent."""
    listed = await story.ok("GET", "/billing/orders")
    return {
        **{one["order"]: one["status"] for one in listed["data"]},
        "parcels": len(await story.ok("GET", "/parcels")),
        "club": "club" in (await story.me())["plans"],
    }


async def order(story: Story, items: dict[str, int], **headers: str) -> dict[str, Any]:
    """Order a basket."""
    made: dict[str, Any] = await story.ok(
        "POST", "/billing/orders", json={"items": items}, headers=headers
    )
    return made


async def begin(story: Story, made: dict[str, Any]) -> dict[str, Any]:
    """Begin to pay an order, or go on with it."""
    asked = {"order": made["order"]}
    found: dict[str, Any] = await story.ok("POST", "/billing/payment-intents", json=asked)
    return found


def confirm(story: Story, intent: dict[str, Any], card: str = "pm_card_visa") -> str:
    """What Stripe.js does with a client secret; the payment's status, or why it was declined."""
    api = story.simulator.client().v1.payment_intents
    try:
        return api.confirm(intent["id"], {"payment_method": card}).status
    except CardError as error:
        return str(error.code)


async def basket(story: Story) -> dict[str, Any]:
    """Sign up, fill a basket, and meet what a browser may not say."""
    story.step("Sign up")
    await story.sign_up("Ada")
    await story.show()
    story.step("A basket of two cups and a teapot costs what the server says")
    forged = {"items": {"cup": 2}, "amount_minor": 1}
    answer = await story.client.post("/billing/orders", json=forged)
    story.expect("a price from the browser", answer.status_code, 400)
    for items, why in (({"moon": 1}, "not sold"), ({"cup": -1}, "less than nothing")):
        answer = await story.client.post("/billing/orders", json={"items": items})
        story.expect(why, answer.status_code, 400)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    made = await order(story, {"cup": 2, "teapot": 1}, **key)
    again = await order(story, {"cup": 2, "teapot": 1}, **key)
    story.expect("amount", (made["amount_minor"], made["currency"]), (6_050, "eur"))
    story.expect("one click, one order", again["order"] == made["order"], True)
    return made


async def look(story: Story, made: dict[str, Any]) -> dict[str, Any]:
    """An order as it is now."""
    found: dict[str, Any] = await story.ok("GET", f"/billing/orders/{made['order']}")
    return found


async def comes_to(story: Story, made: dict[str, Any], status: str, parcels: int) -> None:
    """Deliver webhooks until an order has come to this."""
    wanted = (status, parcels)
    await story.until(lambda now: (now.get(made["order"]), now["parcels"]) == wanted)


async def pay(story: Story, made: dict[str, Any]) -> None:
    """A declined card, then a good one; paid when the webhook says so."""
    story.step("The first card is declined; the order is there to be paid by another")
    intent = await begin(story, made)
    story.expect("the card", confirm(story, intent, "pm_card_chargeDeclined"), "card_declined")
    await comes_to(story, made, "failed", 0)
    story.step("Going on with it is the same payment; the next card is good")
    again = await begin(story, made)
    same = (again["id"], again["client_secret"]) == (intent["id"], intent["client_secret"])
    story.expect("the same payment", same, True)
    story.expect("the card", confirm(story, again), "succeeded")
    story.expect("before any webhook", (await look(story, made))["status"], "failed")
    story.step("Stripe's webhook arrives: paid, and sent")
    await comes_to(story, made, "paid", 1)
    receipt = await story.ok("GET", f"/billing/orders/{made['order']}/receipt")
    story.expect("the receipt", receipt["captured_minor"], 6_050)


async def secure(story: Story) -> None:
    """A card whose bank asks its holder."""
    story.step("A card whose bank asks: nothing is paid until its holder has answered")
    made = await order(story, {"bowl": 1})
    intent = await begin(story, made)
    story.expect("the card", confirm(story, intent, SECURE), "requires_action")
    story.simulator.authenticate(intent["id"], success=False)
    await comes_to(story, made, "failed", 1)
    intent = await begin(story, made)
    story.expect("once more", confirm(story, intent, SECURE), "requires_action")
    story.simulator.authenticate(intent["id"])
    await comes_to(story, made, "paid", 2)


async def change(story: Story) -> None:
    """A basket that changes while it is being paid, and Stripe's own page."""
    story.step("A basket that changes takes its payment along")
    made = await order(story, {"cup": 1})
    intent = await begin(story, made)
    path = f"/billing/orders/{made['order']}"
    changed = await story.ok("POST", path, json={"items": {"cup": 1, "bowl": 1}})
    again = await begin(story, changed)
    story.expect("the same payment", again["id"] == intent["id"], True)
    story.expect("for", again["amount_minor"], 2_075)
    story.step("On Stripe's own page instead; the payment in the page is over then")
    link = await story.ok("POST", "/billing/checkout", json={"order": made["order"]})
    await story.pay(link["url"], GOOD_CARD)
    await comes_to(story, made, "paid", 3)
    back = await story.ok("GET", f"/billing/checkout/{link['checkout']}")
    story.expect("the return page says", back["status"], "paid")
    looked = await story.ok("GET", f"/billing/payment-intents/{intent['id']}")
    story.expect("the payment in the page", looked["status"], "canceled")


async def club(story: Story) -> None:
    """A piece for members, and a refund."""
    story.step("The Raku vase is for the club: a 402")
    denied = await story.client.post("/billing/orders", json={"items": {"raku": 1}})
    story.expect("status", denied.status_code, 402)
    story.expect("type", denied.json()["type"], "urn:gatekeeper:problem:feature-required")
    story.step("Join the club: the vase, and ten percent off")
    await story.buy("club_monthly", GOOD_CARD)
    await story.until(lambda now: now["club"])
    made = await order(story, {"raku": 1})
    story.expect("amount", made["amount_minor"], 8_010)
    intent = await begin(story, made)
    story.expect("the card", confirm(story, intent), "succeeded")
    await comes_to(story, made, "paid", 4)
    story.step("It broke on the way: refunded in two parts")
    refunds = story.simulator.client().v1.refunds
    for amount in (3_010, 5_000):
        refunds.create({"payment_intent": intent["id"], "amount": amount})
    await comes_to(story, made, "refunded", 4)
    story.expect("given back", (await look(story, made))["refunded_minor"], 8_010)
