"""The story of the app, step by step."""

import uuid
from typing import Any

import httpx

from examples.stage import GOOD_CARD, Story

MIX = {"drums": 90, "bass": 70, "keys": 20, "voice": 60}


async def check(story: Story) -> None:
    """Walk the whole story."""
    story.glance = glance
    await free(story)
    await pro_in_the_page(story)
    await what_pro_brings(story)
    await yearly(story)
    await ending(story)
    await on_stripes_page(story)


async def glance(story: Story) -> dict[str, Any]:
    """What the customer has."""
    body = await story.me()
    left = {unit: balance["available"] for unit, balance in body["balances"].items()}
    return {
        "plan": "pro" if "pro" in body["plans"] else "free",
        "exports": left.get("exports", 0),
        "masters": left.get("masters", 0),
    }


async def make(story: Story, what: str, key: str | None = None) -> httpx.Response:
    """Export or master."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return await story.client.post(f"/{what}", json=MIX, headers=headers)


async def free(story: Story) -> None:
    """Listening is free; everything else is a 402 to the upgrade dialog."""
    story.step("Nobody is signed in")
    story.expect("export", (await make(story, "exports")).status_code, 401)
    story.step("Sign up: mixing and listening are free")
    await story.sign_up("Ada")
    story.expect("plan", (await story.show())["plan"], "free")
    heard = await story.client.post("/listen", json=MIX)
    story.expect("a sound", (heard.status_code, heard.content[:4]), (200, b"RIFF"))
    story.step("Export, master, download and save are 402s")
    denied = await make(story, "exports")
    story.expect("export", denied.status_code, 402)
    story.expect("type", denied.json()["type"], "urn:gatekeeper:problem:credits-required")
    story.expect("where to upgrade", denied.json()["upgrade_url"], "/")
    story.expect("master", (await make(story, "masters")).status_code, 402)
    story.expect("download", (await story.client.get("/files/mine.wav")).status_code, 402)
    project = {"name": "First", "mix": MIX}
    story.expect("save", (await story.client.put("/projects", json=project)).status_code, 402)


async def pro_in_the_page(story: Story) -> None:
    """Elements: the subscription waits in the page until its payment is confirmed."""
    story.step("The upgrade dialog: what is for sale")
    sold = await story.ok("GET", "/billing/catalog")
    (pro,) = (plan for plan in sold["plans"] if plan["plan"] == "pro")
    prices = {one["price"]: one["amount_minor"] for one in pro["prices"]}
    story.expect("prices", prices, {"pro_monthly": 999, "pro_yearly": 9_999})
    story.step("Pay in the page; the first card is declined")
    begun = await story.ok("POST", "/billing/subscriptions", json={"price": "pro_monthly"})
    story.expect("status", begun["subscription"]["status"], "incomplete")
    story.expect("due", (begun["amount_due_minor"], begun["currency"]), (999, "eur"))
    again = await story.ok("POST", "/billing/subscriptions", json={"price": "pro_monthly"})
    same = again["subscription"]["id"] == begun["subscription"]["id"]
    story.expect("opened twice, begun once", same, True)
    secret, key = begun["secret"]["client_secret"], sold["publishable_key"]
    story.expect("declined", (await confirm(story, secret, key, "4000000000000002")), 402)
    story.expect("plan", (await glance(story))["plan"], "free")
    story.expect("paid", (await confirm(story, secret, key, GOOD_CARD)), 200)
    done = await story.ok("GET", f"/billing/checkout/{begun['checkout']}")
    story.expect("the page asks, before any webhook", done["status"], "paid")
    story.step("Stripe's webhooks arrive too, and give nothing twice")
    await story.until(lambda now: now["exports"] == 10 and now["masters"] == 5)


async def what_pro_brings(story: Story) -> None:
    """Ten exports and five masters a month, downloads and projects."""
    story.step("Ten exports; the eleventh is a 402")
    key = str(uuid.uuid4())
    first = await make(story, "exports", key)
    story.expect(
        "a retry is not charged twice", (await make(story, "exports", key)).status_code, 409
    )
    answers = [(await make(story, "exports")).status_code for _ in range(10)]
    story.expect("answers", answers, [200] * 9 + [402])
    story.step("Five masters; the sixth is a 402")
    answers = [(await make(story, "masters")).status_code for _ in range(6)]
    story.expect("answers", answers, [200] * 5 + [402])
    story.step("Download an export, save a project")
    sound = await story.client.get(f"/files/{first.json()['file']}")
    story.expect("a sound", (sound.status_code, sound.content[:4]), (200, b"RIFF"))
    await story.ok("PUT", "/projects", json={"name": "First", "mix": MIX})
    story.expect("saved", len(await story.ok("GET", "/projects")), 1)


async def yearly(story: Story) -> None:
    """From monthly to yearly, seen first; and the months go on inside the year."""
    story.step("Change to yearly: what it costs, and then it is done")
    own = (await story.ok("GET", "/billing/subscriptions"))["data"][0]["id"]
    at, wanted = f"/billing/subscriptions/{own}", {"price": "pro_yearly"}
    cost = await story.ok("POST", f"{at}/preview", json=wanted)
    story.expect("when", cost["when"], "now")
    story.expect("less what the month still holds", 9_000 <= cost["due_now_minor"] < 9_100, True)
    changed = await story.ok("POST", f"{at}/change", json={**wanted, "as_of": cost["at"]})
    (item,) = changed["subscription"]["items"]
    story.expect("price", item["price"], "pro_yearly")
    story.step("A month later there are new exports and masters, and nothing to pay")
    paid = len(story.simulator.events("charge.succeeded"))
    await story.simulator.play(days=32)
    await story.until(lambda now: now["exports"] == 10 and now["masters"] == 5)
    story.expect("payments", len(story.simulator.events("charge.succeeded")) - paid, 0)


async def ending(story: Story) -> None:
    """Cancel, think better of it, cancel again; at the end of the year it is over."""
    own = (await story.ok("GET", "/billing/subscriptions"))["data"][0]["id"]
    at = f"/billing/subscriptions/{own}"
    story.step("Cancel at the end of the year, and take it back")
    canceled = (await story.ok("POST", f"{at}/cancel", json={}))["subscription"]
    story.expect("ends with the year", canceled["cancel_at"], canceled["period_end"])
    resumed = (await story.ok("POST", f"{at}/resume", json={}))["subscription"]
    story.expect("goes on", resumed["cancel_at"], None)
    story.step("Cancel, and let the year end: Free again, and the project is still there")
    await story.ok("POST", f"{at}/cancel", json={})
    story.expect("plan until then", (await story.show())["plan"], "pro")
    await story.simulator.play(days=350)
    await story.until(lambda now: now["plan"] == "free")
    story.expect("projects", len(await story.ok("GET", "/projects")), 1)
    story.expect("export", (await make(story, "exports")).status_code, 402)


async def on_stripes_page(story: Story) -> None:
    """Somebody else pays on Stripe's page instead."""
    story.step("Bob goes Pro on Stripe's page")
    bob = await story.person("Bob")
    checkout = await story.buy("pro_yearly", GOOD_CARD, client=bob)
    done = await story.ok("GET", f"/billing/checkout/{checkout}", client=bob)
    story.expect("the return page says", done["status"], "paid")
    story.expect("plans", (await story.me(bob))["plans"], ["free", "pro"])
    other = await story.client.get(f"/billing/checkout/{checkout}")
    story.expect("for Ada there is no such checkout", other.status_code, 404)


async def confirm(story: Story, secret: str, publishable_key: str, card: str) -> int:
    """What Stripe.js does when the person presses Pay: the card goes to Stripe, and never here."""
    stripe = story.simulator.url
    async with httpx.AsyncClient(base_url=stripe, auth=(publishable_key, "")) as browser:
        details = {
            "type": "card",
            "card[number]": card,
            "card[exp_month]": "12",
            "card[exp_year]": "2040",
            "card[cvc]": "123",
        }
        method = (await browser.post("/v1/payment_methods", data=details)).json()["id"]
        intent = secret.partition("_secret_")[0]
        asked = {"client_secret": secret, "payment_method": method}
        answer = await browser.post(f"/v1/payment_intents/{intent}/confirm", data=asked)
        return answer.status_code
