"""`GET me`: what a customer has and should know, through a subscription's life."""

import json
from typing import Any

import pytest

from gatekeeper.testing.stripe import Simulator
from tests.asgi.customer.conftest import Place

pytestmark = pytest.mark.anyio


async def warnings(place: Place) -> list[str]:
    return [one["code"] for one in (await place.ok("/me"))["warnings"]]


async def spend(place: Place, amount: int, unit: str = "credits") -> None:
    await place.gate.credits.consume("ada", unit, amount)


async def test_somebody_new_has_the_default_plan_and_no_warnings(place: Place) -> None:
    me = await place.ok("/me")
    assert (me["plan"], me["status"], me["plans"]) == ("free", None, ["free"])
    assert me["balances"]["credits"] == {
        "available": 5,
        "overage": 0,
        "held": 0,
        "spent": 0,
        "spent_since": me["balances"]["credits"]["spent_since"],
        "debt": 0,
        "renews_at": None,
        "expiring": [],
    }
    assert (me["subscriptions"], me["warnings"]) == ([], [])


async def test_what_is_spent_counts_from_the_start_of_the_running_window(place: Place) -> None:
    await spend(place, 2)
    free = (await place.ok("/me"))["balances"]["credits"]
    assert (free["available"], free["spent"]) == (3, 2)

    await place.sim.play(days=1)
    await place.buy("pro_monthly")
    me = await place.ok("/me")
    assert (me["plan"], me["status"], me["features"]) == ("pro", "active", ["downloads"])
    assert me["limits"] == {"seats": 5}
    credits, subscription = me["balances"]["credits"], me["subscriptions"][0]
    assert (credits["available"], credits["spent"]) == (103, 0)
    assert credits["renews_at"] == subscription["renews_at"]
    assert subscription | {"id": "", "renews_at": ""} == {
        "id": "",
        "status": "active",
        "plans": ["pro"],
        "quantity": 1,
        "has_access": True,
        "renews_at": "",
        "cancel_at": None,
        "trial_end": None,
        "grace_until": None,
        "collection_paused": False,
    }

    await spend(place, 7)
    async with place.gate.reserve("ada", "credits", 4):
        held = (await place.ok("/me"))["balances"]["credits"]
    assert (held["available"], held["held"], held["spent"]) == (92, 4, 7)
    await place.sim.play(days=32)
    await place.settle()
    renewed = (await place.ok("/me"))["balances"]["credits"]
    assert (renewed["available"], renewed["spent"]) == (103, 0)
    assert renewed["spent_since"] == credits["renews_at"]


async def test_a_cancellation_is_warned_of_and_nothing_renews(place: Place) -> None:
    await place.buy("pro_monthly")
    subscription = (await place.ok("/me"))["subscriptions"][0]["id"]
    place.sim.client().v1.subscriptions.update(subscription, {"cancel_at_period_end": True})
    await place.settle()
    me = await place.ok("/me")
    shown = me["subscriptions"][0]
    assert (shown["renews_at"], shown["has_access"]) == (None, True)
    assert me["warnings"] == [
        {**NOTHING, "code": "cancel_scheduled", "subscription": subscription}
        | {"at": shown["cancel_at"]}
    ]
    credits = me["balances"]["credits"]
    assert credits["renews_at"] is None
    assert [one["amount"] for one in credits["expiring"]] == [100]  # they go with the plan


async def test_a_renewal_that_fails_is_warned_of_with_what_to_pay(place: Place) -> None:
    await place.buy("pro_monthly")
    await place.break_card()
    await place.sim.play(days=32)
    await place.settle()
    me = await place.ok("/me")
    (warning,) = me["warnings"]
    shown = me["subscriptions"][0]
    assert shown["status"] == "past_due"
    assert warning["code"] == "payment_failing"
    assert (warning["amount_minor"], warning["currency"]) == (999, "eur")
    assert warning["at"] == shown["grace_until"]
    assert warning["next_attempt_at"] is not None
    invoices = await place.ok("/invoices")
    assert warning["invoice"] == invoices["data"][0]["id"]


NOTHING: dict[str, Any] = {
    "at": None,
    "unit": None,
    "amount": None,
    "subscription": None,
    "invoice": None,
    "amount_minor": None,
    "currency": None,
    "next_attempt_at": None,
}


async def test_low_and_exhausted_credits_are_warned_of(place: Place) -> None:
    await spend(place, 1)
    assert await warnings(place) == []  # 4 are left, and 3 are low
    await spend(place, 1)
    assert (await place.ok("/me"))["warnings"] == [
        {**NOTHING, "code": "credits_low", "unit": "credits", "amount": 3}
    ]
    await spend(place, 3)
    assert await warnings(place) == ["credits_exhausted"]


async def test_what_was_bought_is_warned_of_before_it_expires(place: Place) -> None:
    await place.buy("topup_100")
    expiring = (await place.ok("/me"))["balances"]["credits"]["expiring"]
    assert [one["amount"] for one in expiring] == [100]
    assert await warnings(place) == []
    await place.sim.play(days=3)
    assert (await place.ok("/me"))["warnings"] == [
        {**NOTHING, "code": "credits_expiring", "unit": "credits", "amount": 100}
        | {"at": expiring[0]["at"]}
    ]
    await place.sim.play(days=3)
    me = await place.ok("/me")
    assert (me["balances"]["credits"]["available"], me["warnings"]) == (5, [])


async def test_a_freeze_and_a_debt_are_warned_of_first(place: Place) -> None:
    await place.buy("topup_100")
    await spend(place, 105)
    payment = (await place.ok("/payments"))["data"][0]
    place.sim.client().v1.refunds.create({"payment_intent": payment["payment_intent"]})
    await place.settle()
    await place.gate.freeze("ada", "a doubt", key="doubt")
    assert await warnings(place) == ["frozen", "debt", "credits_exhausted"]
    text = json.dumps(await place.ok("/me"))
    assert "a doubt" not in text  # why is the host's own affair


async def test_another_customers_me_is_their_own(place: Place, stripe_sim: Simulator) -> None:
    await place.buy("pro_monthly")
    eve = await place.ok("/me", customer="eve")
    assert (eve["customer"], eve["plan"], eve["subscriptions"]) == ("eve", "free", [])
