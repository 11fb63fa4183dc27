"""Automatic top-ups over HTTP: agreeing, seeing how far it is, and who may see it."""

from typing import Any

import pytest
from msgspec.structs import replace

from gatekeeper.storage.port import Transaction
from gatekeeper.topping_up import TopUpState, declined
from tests.asgi.customer.conftest import Place

pytestmark = pytest.mark.anyio

WISH = {"threshold": 4, "pack": "credits_100", "cap_minor": 1_000}


async def on(place: Place, body: Any = WISH, unit: str = "credits", **more: Any) -> Any:
    answer = await place.post(f"/top-ups/{unit}", body, method="PUT", **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_customer_agrees_runs_low_and_has_more(place: Place) -> None:
    made = await on(place)
    assert made == {
        "unit": "credits",
        "threshold": 4,
        "pack": "credits_100",
        "amount_minor": 500,
        "currency": "eur",
        "cap_minor": 1_000,
        "spent_minor": 0,
        "on": True,
        "state": "idle",
        "reason": None,
        "error": None,
        "declines": 0,
        "next_attempt_at": None,
        "agreed_at": made["agreed_at"],
    }
    await place.gate.credits.consume("ada", "message", 2)
    await place.gate.work()
    blocked = await place.ok("/top-ups/credits")
    assert (blocked["state"], blocked["reason"]) == ("blocked", "no_card")
    await place.buy("pro_monthly")  # its card is the subscription's
    await place.gate.work()
    await place.gate.credits.consume("ada", "message", 100)
    await place.gate.work()
    await place.settle()
    listed = await place.ok("/top-ups")
    assert listed["next_cursor"] is None
    (top_up,) = listed["data"]
    assert (top_up["state"], top_up["spent_minor"]) == ("idle", 500)
    assert (await place.gate.credits.balance("ada", "credits")).available == 103


async def test_turning_it_off_says_how_it_is_left(place: Place) -> None:
    await on(place)
    answer = await place.post("/top-ups/credits", None, method="DELETE")
    assert (answer.status_code, answer.json()["on"]) == (200, False)
    assert (await place.ok("/top-ups/credits"))["on"] is False


@pytest.mark.parametrize(
    ("unit", "body", "code"),
    [
        ("credits", {**WISH, "pack": "gold"}, "unknown_name"),
        ("dollars", WISH, "unknown_name"),
        ("exports", WISH, "invalid_request"),
        ("credits", {**WISH, "cap_minor": 499}, "invalid_request"),
        ("credits", {**WISH, "currency": "usd"}, "invalid_request"),
        ("credits", {**WISH, "threshold": 0}, "invalid_request"),
        ("credits", {**WISH, "price": "free"}, "invalid_request"),
    ],
)
async def test_what_can_t_be_agreed_to(place: Place, unit: str, body: Any, code: str) -> None:
    answer = await place.post(f"/top-ups/{unit}", body, method="PUT")
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert (await place.ok("/top-ups"))["data"] == []


async def test_nobody_sees_or_changes_another_s(place: Place) -> None:
    await on(place)
    assert (await place.ok("/top-ups", customer="eve"))["data"] == []
    for method, path in (
        ("GET", "/top-ups/credits"),
        ("GET", "/top-ups/credits/payment"),
        ("DELETE", "/top-ups/credits"),
    ):
        answer = await place.post(path, None, customer="eve", method=method)
        assert answer.status_code == 404, path
    assert (await place.ok("/top-ups/credits"))["on"] is True


async def test_the_customer_finishes_the_payment_that_the_bank_asks_them_for(place: Place) -> None:
    await on(place)
    await place.buy("pro_monthly")
    row = await place.gate.store.read(lambda tx: tx.customers.get("ada"))
    v1 = place.sim.client().v1
    stripe_id = str(row and row.stripe_id)
    card = v1.payment_methods.attach("pm_card_authenticationRequired", {"customer": stripe_id}).id
    default: Any = {"invoice_settings": {"default_payment_method": card}}
    v1.customers.update(stripe_id, default)
    await place.gate.credits.consume("ada", "message", 102)
    await place.gate.work()
    await place.settle()
    blocked = await place.ok("/top-ups/credits")
    assert (blocked["reason"], blocked["error"]) == ("authentication_required",) * 2
    waiting = await place.ok("/top-ups/credits/payment")
    assert (waiting["amount_minor"], waiting["currency"]) == (500, "eur")
    await on(place, customer="eve")
    theirs = await place.post("/top-ups/credits/payment", None, customer="eve", method="GET")
    assert theirs.status_code == 404  # it is Ada's bank that asks
    v1.payment_intents.confirm(waiting["payment_intent"], {"payment_method": card})
    place.sim.authenticate(waiting["payment_intent"])
    await place.settle()
    done = await place.ok("/top-ups/credits")
    assert (done["state"], done["spent_minor"]) == ("idle", 500)
    assert (await place.gate.credits.balance("ada", "credits")).available == 103


@pytest.mark.parametrize(
    ("code", "final", "reason", "shown"),
    [
        ("insufficient_funds", False, None, "insufficient_funds"),
        ("stolen_card", False, "declined", "generic_decline"),
        ("mobile_device_authentication_required", False, *("authentication_required",) * 2),
        ("resource_missing", True, "refused", None),
    ],
)
async def test_the_person_is_told_no_more_of_a_decline_than_they_may_know(
    code: str, final: bool, reason: str | None, shown: str | None, place: Place
) -> None:
    await on(place)

    def decline(tx: Transaction) -> None:
        row = tx.top_ups.get("ada", "credits", lock=True)
        assert row is not None
        paying = replace(row, state=TopUpState.PAYING, purchase_id="pur_1", paying_minor=0)
        tx.top_ups.save(declined(paying, "pur_1", code, tx.now(), final=final))

    await place.gate.store.write(decline)
    seen = await place.ok("/top-ups/credits")
    assert (seen["reason"], seen["error"]) == (reason, shown)
