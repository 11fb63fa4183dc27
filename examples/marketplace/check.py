"""The story of the app, step by step."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from examples.stage import DECLINED_CARD, GOOD_CARD, Story

PATIENCE = 200
"""How often is looked again, each a twentieth of a second and what it takes."""

CUP = {"name": "A blue cup", "amount_minor": 2_000, "currency": "eur"}
MAP = {"name": "A map of Kyoto", "amount_minor": 3_000, "currency": "jpy"}
CHAIR = {"name": "A chair", "amount_minor": 40_000, "currency": "usd", "made_to_order": True}


async def check(story: Story) -> None:
    """Walk the whole story."""
    seller = await story.person("Sam")
    office = await story.person("Office")
    await onboard(story, seller)
    things = await put_up(story, seller)
    await story.sign_up("Ada")
    cup = await buy_with_a_coupon(story, seller, things["cup"])
    map_ = await buy_in_yen(story, seller, things["map"])
    chair = await made_to_order(story, seller, things["chair"])
    await refund(story, seller, cup)
    await win_a_dispute(story, seller, map_)
    await lose_a_dispute(story, seller, chair)
    await reports(story, seller, office)
    await strangers(story, cup)


async def settle(story: Story) -> None:
    """Have everything happen that Stripe and the background have to do."""
    for _ in range(2):
        await story.simulator.deliver_pending()
        await story.gate.receiver.drain()
        await story.gate.work()
    await story.show()


async def comes_to(
    story: Story, what: str, ask: Callable[[], Awaitable[object]], wanted: object
) -> None:
    """Go on once an answer is as it should be: what follows from an event may be under way.

    Raises:
        StoryError: it does not come to that.
    """
    found = await ask()
    for _ in range(PATIENCE):
        if found == wanted:
            break
        await asyncio.sleep(0.05)
        await settle(story)
        found = await ask()
    story.expect(what, found, wanted)


async def balance(story: Story, seller: httpx.AsyncClient) -> dict[str, int]:
    """What the seller has at Stripe, by currency."""
    found = await story.ok("GET", "/billing/sellers/balance", client=seller)
    return {
        one["currency"]: one["available_minor"] + one["pending_minor"]
        for one in found["data"]
        if one["available_minor"] + one["pending_minor"]
    }


async def has(story: Story, seller: httpx.AsyncClient, wanted: dict[str, int]) -> None:
    """The seller comes to have so much in these currencies."""

    async def shown() -> object:
        found = await balance(story, seller)
        return {currency: found.get(currency, 0) for currency in wanted}

    await comes_to(story, "Sam has", shown, wanted)


async def order(story: Story, thing: str, coupon: str | None = None) -> dict[str, Any]:
    """Order something."""
    items = {"thing": thing} if coupon is None else {"thing": thing, "coupon": coupon}
    made: dict[str, Any] = await story.ok("POST", "/billing/orders", json={"items": items})
    return made


async def pay(story: Story, ordered: dict[str, Any], *cards: str) -> dict[str, Any]:
    """Pay an order on Stripe's page, and hear of it."""
    link = await story.ok("POST", "/billing/checkout", json={"order": ordered["order"]})
    await story.pay(link["url"], *cards)
    path = f"/billing/orders/{ordered['order']}"

    async def waits() -> object:
        return (await story.ok("GET", path))["status"] in ("pending", "failed")

    await settle(story)
    await comes_to(story, "still unpaid", waits, False)
    paid: dict[str, Any] = await story.ok("GET", path)
    return paid


async def onboard(story: Story, seller: httpx.AsyncClient) -> None:
    """From nobody to a seller whom money can reach."""
    story.step("Sam can't sell before Stripe knows him")
    refused = await seller.post("/things", json=CUP)
    story.expect("status", refused.status_code, 409)
    story.step("Sam becomes a seller, and goes through Stripe's onboarding")
    made = await story.ok("POST", "/billing/sellers", client=seller, json={"country": "IE"})
    story.expect("ready", made["ready"], False)
    pages = {"return_url": "/?sell", "refresh_url": "/?sell"}
    link = await story.ok("POST", "/billing/sellers/onboarding", client=seller, json=pages)
    back = await seller.post(link["url"], data={"action": "submit"})
    story.expect("led back to", back.headers["location"].endswith("/?sell"), True)
    me = await story.ok("GET", "/billing/sellers/me?refresh=true", client=seller)
    story.expect("ready", (me["ready"], me["currently_due"]), (True, []))


async def put_up(story: Story, seller: httpx.AsyncClient) -> dict[str, str]:
    """Three things, in three currencies."""
    story.step("What is made to order is for workshops: a 402, and 9.00 EUR a month")
    story.expect("status", (await seller.post("/things", json=CHAIR)).status_code, 402)
    await story.buy("workshop_monthly", GOOD_CARD, client=seller)

    async def plan() -> object:
        return (await story.me(seller))["plan"]

    await comes_to(story, "Sam's plan", plan, "workshop")
    story.step("Sam puts three things up for sale, in three currencies")
    found = {}
    for key, thing in (("cup", CUP), ("map", MAP), ("chair", CHAIR)):
        found[key] = (await story.ok("POST", "/things", client=seller, json=thing))["id"]
    story.expect("things", len(await story.ok("GET", "/things")), 3)
    return found


async def buy_with_a_coupon(story: Story, seller: httpx.AsyncClient, thing: str) -> str:
    """A destination charge with a commission, and a coupon of the platform's."""
    story.step("Ada orders the cup with a coupon; an unknown one is refused")
    asked = {"items": {"thing": thing, "coupon": "FREE"}}
    refused = await story.client.post("/billing/orders", json=asked)
    story.expect("unknown coupon", refused.status_code, 400)
    ordered = await order(story, thing, "WELCOME")
    story.expect("price", (ordered["amount_minor"], ordered["currency"]), (1_900, "eur"))
    story.step("Her first card is declined, the second pays; Sam has his share")
    paid = await pay(story, ordered, DECLINED_CARD, GOOD_CARD)
    story.expect("order", (paid["status"], paid["captured_minor"]), ("paid", 1_900))
    await has(story, seller, {"eur": 1_800})
    return str(ordered["order"])


async def buy_in_yen(story: Story, seller: httpx.AsyncClient, thing: str) -> str:
    """A currency without cents."""
    story.step("Ada buys the map in yen")
    paid = await pay(story, await order(story, thing), GOOD_CARD)
    story.expect("order", (paid["status"], paid["captured_minor"]), ("paid", 3_000))
    await has(story, seller, {"eur": 1_800, "jpy": 2_700})
    return str(paid["order"])


async def made_to_order(story: Story, seller: httpx.AsyncClient, thing: str) -> str:
    """Money that is held until the seller captures it, and sent by a transfer of its own."""
    story.step("Ada orders the chair: the money is held until Sam takes the order on")
    held = await pay(story, await order(story, thing), GOOD_CARD)
    story.expect("held", (held["status"], held["authorized_minor"]), ("processing", 40_000))
    path = f"/billing/sellers/orders/{held['order']}/capture"
    taken = await story.ok("POST", path, client=seller, json={})
    story.expect("captured", taken["captured_minor"], 40_000)
    await has(story, seller, {"usd": 36_000})
    again = await seller.post(path, json={})
    story.expect("captured twice", again.status_code, 409)
    return str(held["order"])


async def refund(story: Story, seller: httpx.AsyncClient, ordered: str) -> None:
    """Everybody gives back their part."""
    story.step("Sam refunds half of the cup: he and the platform give back their parts")
    path = f"/billing/sellers/orders/{ordered}/refund"
    asked = {"amount_minor": 950, "reason": "a chip in the glaze"}
    await story.ok("POST", path, client=seller, json=asked, headers={"Idempotency-Key": "chip"})
    again = await story.ok(
        "POST", path, client=seller, json=asked, headers={"Idempotency-Key": "chip"}
    )
    story.expect("refunded once", again["amount_minor"], 950)

    async def returned() -> object:
        sale = await story.ok("GET", f"/billing/sellers/orders/{ordered}", client=seller)
        return sale["returned_minor"]

    await comes_to(story, "Ada has back", returned, 950)
    await has(story, seller, {"eur": 900})
    too_much = await seller.post(path, json={"amount_minor": 951})
    story.expect("more than is left", too_much.is_client_error, True)


async def disputed(story: Story, seller: httpx.AsyncClient, ordered: str) -> dict[str, Any]:
    """Ada's bank asks for the money of an order."""
    (payment,) = await story.gate.orders.payments(ordered, (await story.me())["customer"])
    assert payment.charge_id is not None
    story.simulator.dispute(payment.charge_id)

    async def newest() -> object:
        return [one["order"] for one in await listed()][:1]

    async def listed() -> list[dict[str, Any]]:
        found: dict[str, Any] = await story.ok("GET", "/billing/disputes", client=seller)
        return list(found["data"])

    await comes_to(story, "disputed", newest, [ordered])
    dispute = (await listed())[0]
    story.expect("borne by", (dispute["borne_by"], dispute["status"]), ("seller", "needs_response"))
    return dispute


async def win_a_dispute(story: Story, seller: httpx.AsyncClient, ordered: str) -> None:
    """Evidence in time."""
    story.step("Ada's bank disputes the map: Sam's share is gone, and there is a deadline")
    dispute = await disputed(story, seller, ordered)
    story.expect("deadline", dispute["due_at"] is not None, True)
    await has(story, seller, {"jpy": 0})
    story.step("Sam hands in evidence, and wins: he has it again")
    evidence = {"uncategorized_text": "winning_evidence", "shipping_tracking_number": "JP-1"}
    path = f"/billing/disputes/{dispute['id']}/evidence"
    answered = await story.ok("POST", path, client=seller, json={"evidence": evidence})
    story.expect("status", answered["status"], "under_review")
    story.simulator.advance(days=7)
    await settle(story)
    await has(story, seller, {"jpy": 2_700})
    now = await story.ok("GET", f"/billing/disputes/{dispute['id']}", client=seller)
    story.expect("status", now["status"], "won")


async def lose_a_dispute(story: Story, seller: httpx.AsyncClient, ordered: str) -> None:
    """A dispute that is given up."""
    story.step("The chair is disputed too; Sam gives it up")
    dispute = await disputed(story, seller, ordered)
    path = f"/billing/disputes/{dispute['id']}/accept"
    lost = await story.ok("POST", path, client=seller, json={})
    story.expect("status", lost["status"], "lost")
    await has(story, seller, {"usd": 0})


async def reports(story: Story, seller: httpx.AsyncClient, office: httpx.AsyncClient) -> None:
    """Sums, for the seller and for the platform."""
    story.step("Sam's report says what he sold, in each currency")
    rows = (await story.ok("GET", "/billing/sellers/report", client=seller))["data"]
    net = {one["currency"]: one["net_minor"] for one in rows}
    story.expect("left to Sam", net, {"eur": 900, "jpy": 2_700, "usd": 0})
    answer = await seller.get("/billing/sellers/report?format=csv")
    story.expect("as CSV", answer.text.startswith("month,currency,sales"), True)
    story.step("The office sees the platform's money, and what sellers are owed")
    rows = (await story.ok("GET", "/billing/admin/report", client=office))["data"]
    euros = [one for one in rows if one["currency"] == "eur" and one["charges_minor"]]
    shown = [(one["charges_minor"], one["refunds_minor"]) for one in euros]
    story.expect("euros", shown, [(2_800, -950)])
    unsent = (await story.ok("GET", "/billing/admin/transfers", client=office))["data"]
    story.expect("unsent transfers", unsent, [])


async def strangers(story: Story, ordered: str) -> None:
    """What is somebody else's is not there."""
    story.step("A stranger sees nothing of this, and nobody but the office its books")
    stranger = await story.person("Eve")
    for path in (f"orders/{ordered}", f"sellers/orders/{ordered}", "sellers/balance"):
        answer = await stranger.get(f"/billing/{path}")
        story.expect(f"GET {path}".replace(ordered, "..."), answer.status_code, 404)
    answer = await stranger.get("/billing/admin/report")
    story.expect("GET admin/report", answer.status_code, 403)
