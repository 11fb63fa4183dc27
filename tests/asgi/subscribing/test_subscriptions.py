"""The routes of subscriptions and payment methods, as a page walks them."""

from typing import Any

import pytest

from tests.asgi.subscribing.conftest import Page

pytestmark = pytest.mark.anyio


async def test_a_page_subscribes_changes_and_ends(page: Page) -> None:
    asked = {"price": "team_monthly"}
    preview = await page.post("/subscriptions/preview", asked)
    assert (preview["due_now_minor"], preview["currency"]) == (2_999, "eur")
    started = await page.post("/subscriptions", asked, status=201)
    assert started["subscription"]["status"] == "incomplete"
    assert started["secret"]["confirms"] == "payment"
    assert (await page.get(f"/checkout/{started['checkout']}"))["status"] == "pending"
    page.confirm(started["secret"])
    done = await page.get(f"/checkout/{started['checkout']}")
    own = started["subscription"]["id"]
    assert (done["status"], done["subscription"], done["price"]) == ("paid", own, "team_monthly")
    assert await page.plans() == {"free", "pro", "team"}

    cost = await page.post(f"/subscriptions/{own}/preview", {"quantity": 2})
    assert (cost["when"], cost["due_now_minor"]) == ("now", 2_999)
    more = await page.post(
        f"/subscriptions/{own}/quantity", {"quantity": 2, "as_of": cost["at"]}, key="k"
    )
    assert [item["quantity"] for item in more["subscription"]["items"]] == [2]
    less = await page.post(f"/subscriptions/{own}/change", {"price": "pro_yearly", "quantity": 1})
    (later,) = less["subscription"]["upcoming"]
    assert [(one["plan"], one["price"]) for one in later["items"]] == [("pro", "pro_yearly")]

    ending = await page.post(f"/subscriptions/{own}/cancel")
    assert ending["subscription"]["cancel_at"] == ending["subscription"]["period_end"]
    going = await page.post(f"/subscriptions/{own}/resume")
    assert going["subscription"]["cancel_at"] is None
    assert (await page.post(f"/subscriptions/{own}/pause"))["subscription"]["collection_paused"]
    assert await page.plans() == {"free"}
    await page.post(f"/subscriptions/{own}/resume")
    over = await page.post(f"/subscriptions/{own}/cancel", {"when": "now"})
    assert over["subscription"]["status"] == "canceled"


async def test_lists_are_paged_and_ones_own(page: Page) -> None:
    first = await page.subscribed("team_monthly")
    page.sim.advance(minutes=1)
    second = await page.subscribed("pro_yearly")
    await page.subscribed("team_monthly", customer="bob")
    newest = await page.get("/subscriptions?limit=1")
    assert [one["id"] for one in newest["data"]] == [second]
    rest = await page.get(f"/subscriptions?limit=1&cursor={newest['next_cursor']}")
    assert ([one["id"] for one in rest["data"]], rest["next_cursor"]) == ([first], None)

    seen: list[Any] = []
    cursor = ""
    while True:
        history = await page.get(f"/subscriptions/history?limit=1{cursor}")
        seen += history["data"]
        if history["next_cursor"] is None:
            break
        cursor = f"&cursor={history['next_cursor']}"
    assert {one["subscription"] for one in seen} == {first, second}
    assert seen[-1]["before"] is None
    assert seen[-1]["cause"] == "request"
    assert (await page.get("/subscriptions", customer="eve"))["data"] == []


async def test_a_promotion_code_is_looked_up_and_held_against_what_it_is_for(page: Page) -> None:
    stripe = page.sim.client().v1
    half: Any = {"percent_off": 50, "duration": "once"}
    code: Any = {"promotion": {"type": "coupon", "coupon": stripe.coupons.create(half).id}}
    minimum = {"minimum_amount": 100_000, "minimum_amount_currency": "eur"}
    for name, more in (("HALF", {}), ("RICH", {"restrictions": minimum})):
        params: Any = {**code, "code": name, **more}
        stripe.promotion_codes.create(params)
    found = await page.post("/promotion-codes/check", {"code": "HALF", "price": "team_monthly"})
    assert found["promotion_code"]["percent_off"] == 50
    assert found["preview"]["discount_minor"] in (1_499, 1_500)
    assert (await page.post("/promotion-codes/check", {"code": "HALF"}))["preview"] is None
    for body in ({"code": "NONE"}, {"code": "RICH", "price": "team_monthly"}):
        problem = await page.post("/promotion-codes/check", body, status=400)
        assert problem["code"] == "discount_invalid"
    problem = await page.post(
        "/subscriptions", {"price": "team_monthly", "promotion_code": "RICH"}, status=400
    )
    assert problem["code"] == "discount_invalid"

    link = await page.post("/checkout", {"price": "topup_100", "promotion_code": "HALF"})
    page.sim.pay_checkout(link["session"])
    assert (await page.get(f"/checkout/{link['checkout']}"))["status"] == "paid"
    assert await page.available() == 105
    problem = await page.post(
        "/checkout", {"price": "topup_100", "promotion_code": "RICH"}, status=400
    )
    assert problem["code"] == "discount_invalid"


async def test_payment_methods_are_saved_chosen_and_forgotten(page: Page) -> None:
    own = await page.subscribed()
    (paying,) = (await page.get("/payment-methods"))["data"]
    assert (paying["last4"], paying["pays_for"]) == ("4242", [own])
    setup = await page.post("/payment-methods/setup", status=201)
    page.confirm(setup["secret"], "pm_card_mastercard")
    first = await page.get("/payment-methods?limit=1")
    second = await page.get(f"/payment-methods?limit=1&cursor={first['next_cursor']}")
    other = first["data"][0]
    assert other["brand"] == "mastercard"
    assert second["data"][0]["id"] == paying["id"]
    at = f"/payment-methods/{paying['id']}"
    assert (await page.ask("DELETE", at, status=409))["code"] == "conflict"
    chosen = await page.post(f"/payment-methods/{other['id']}/default")
    assert (chosen["is_default"], chosen["pays_for"]) == (True, [own])
    await page.ask("DELETE", at, status=204)
    await page.ask("DELETE", at, status=404)


async def test_nothing_of_somebody_elses_is_there(page: Page) -> None:
    own = await page.subscribed()
    link = await page.post("/checkout", {"price": "topup_100"})
    (card,) = (await page.get("/payment-methods"))["data"]
    asked = [
        ("GET", f"/checkout/{link['checkout']}", None),
        ("GET", f"/checkout/{link['session']}", None),
        ("GET", f"/subscriptions/{own}", None),
        *(
            ("POST", f"/subscriptions/{own}/{verb}", body)
            for verb, body in (
                *(("preview", {"quantity": 2}), ("change", {"quantity": 2})),
                *(("quantity", {"quantity": 2}), ("cancel", {"when": "now"})),
                *(("pause", {}), ("resume", {})),
            )
        ),
        ("POST", f"/payment-methods/{card['id']}/default", {}),
        ("DELETE", f"/payment-methods/{card['id']}", None),
    ]
    for customer in ("eve", "bob"):
        await page.post("/payment-methods/setup", customer="bob", status=201)
        for method, path, body in asked:
            problem = await page.ask(method, path, body, customer=customer, status=404)
            assert problem["code"] == "not_found"
