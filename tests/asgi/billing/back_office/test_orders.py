"""Orders in the back office: what is held is captured once, with who did it and why."""

import pytest

from gatekeeper.services.orders import Quote
from tests.asgi.billing.back_office.office import REASON, Office

pytestmark = pytest.mark.anyio


async def held(office: Office) -> str:
    """An order of 12.50 whose money is held."""
    quote = Quote(amount_minor=1_250, currency="eur", capture="manual")
    order = await office.gate.orders.place("ada", quote)
    payment = await office.gate.orders.pay(order.id, "ada")
    card = {"payment_method": "pm_card_visa"}
    await office.gate.stripe.post(f"/v1/payment_intents/{payment.id}/confirm", card, what="paying")
    await office.settle()
    return order.id


async def test_what_is_held_is_captured_once_and_recorded(office: Office) -> None:
    order = await held(office)
    seen = await office.get(f"orders/{order}")
    assert (seen["customer"], seen["seller"]) == ("ada", None)
    assert seen["order"]["authorized_minor"] == 1_250
    path = f"orders/{order}/capture"
    refused = await office.ask(path, 400, amount_minor=1_251)
    assert (refused["code"], refused["maximum_minor"]) == ("invalid_amount", 1_250)
    for _ in range(2):
        done = await office.ask(path, once="click", amount_minor=1_000)
        assert (done["order"]["status"], done["order"]["captured_minor"]) == ("paid", 1_000)
    assert (await office.ask(path, 409))["code"] == "payment_state"
    assert len(office.sim.events("charge.captured")) == 1
    (record,) = (await office.get("actions"))["data"]
    assert (record["kind"], record["actor"], record["reason"], record["subject"]) == (
        "order.capture",
        "ann@support",
        REASON,
        f"order/{order}",
    )
    assert record["before"] == {"authorized_minor": 1_250, "status": "processing"}
    assert record["after"] == {"captured_minor": 1_000, "currency": "eur"}


async def test_a_capture_that_was_cut_off_is_recorded_and_made_by_asking_again(
    office: Office,
) -> None:
    order = await held(office)
    office.sim.misbehave("unavailable", path="/v1/payment_intents/*/capture", times=3)
    path = f"orders/{order}/capture"
    await office.ask(path, 503, once="click")
    done = await office.ask(path, once="click")
    assert done["order"]["captured_minor"] == 1_250
    assert len((await office.get("actions"))["data"]) == 1


async def test_a_capture_that_stripe_refuses_is_recorded_as_refused(office: Office) -> None:
    """Somebody has let the money go at Stripe, and no webhook has told of it yet."""
    order = await held(office)
    payment = (await office.gate.orders.any(order)).payment_id
    await office.gate.stripe.post(f"/v1/payment_intents/{payment}/cancel", {}, what="letting go")
    for _ in range(2):
        refused = await office.ask(f"orders/{order}/capture", 409, once="click")
    found = (await office.get("actions"))["data"]
    refusal, meant = sorted(found, key=lambda one: len(one["kind"]), reverse=True)
    assert (meant["kind"], refusal["kind"]) == ("order.capture", "order.capture.refused")
    assert refusal["after"] == {"refused": refused["code"]}
    for part in ("subject", "actor", "reason", "customer"):
        assert refusal[part] == meant[part]


async def test_there_is_no_such_order(office: Office) -> None:
    assert (await office.ask("orders/ord_none/capture", 404))["code"] == "not_found"
