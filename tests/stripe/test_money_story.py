"""Hard cases 35, 37, 43, 49 and 62 once more, with the real client and the simulator."""

import pytest

from gatekeeper.errors import CreditsFrozenError
from gatekeeper.testing.stripe import Simulator
from tests.stripe.shop import Shop

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

FREE = 5
TEAM = 5_000


async def buy(shop: Shop, price: str) -> str:
    """Org 1 buys something; the charge that paid it."""
    link = await shop.start(price)
    shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    (charge,) = shop.sim.events("charge.succeeded")
    return str(charge["data"]["object"]["id"])


async def again(shop: Shop) -> None:
    """Everything that was ever told is told once more, the latest first."""
    for event in reversed(shop.sim.events()):
        shop.sim.redeliver(event["id"])
    await shop.settle()


async def test_case_62_a_subscriptions_refund_finds_its_invoice_and_takes_back(
    durable_shop: Shop,
) -> None:
    shop = durable_shop
    charge = await buy(shop, "team_monthly")
    await shop.spend(1_000)
    client = shop.sim.client()
    client.v1.refunds.create({"charge": charge, "amount": 2_999 // 2})
    await shop.settle()
    part = TEAM * (2_999 // 2) // 2_999
    assert await shop.available() == FREE + TEAM - 1_000 - part
    client.v1.refunds.create({"charge": charge})
    await shop.settle()
    owed = await shop.balance()
    assert (owed.available, owed.debt) == (0, 1_000 - FREE)
    await again(shop)
    owed = await shop.balance()
    assert (owed.available, owed.debt) == (0, 1_000 - FREE)


async def test_case_62_the_refund_that_fails_gives_the_window_back(durable_shop: Shop) -> None:
    shop = durable_shop
    charge = await buy(shop, "team_monthly")
    shop.sim.stall_refunds()
    made = shop.sim.client().v1.refunds.create({"charge": charge})
    await shop.settle()
    assert await shop.available() == FREE
    shop.sim.fail_refund(made.id)
    await shop.settle()
    assert await shop.available() == FREE + TEAM
    await again(shop)
    assert await shop.available() == FREE + TEAM


@pytest.mark.parametrize(("end", "left"), [("won", 100), ("lost", 0)])
async def test_case_37_a_dispute_takes_and_gives_back_what_it_won(
    end: str, left: int, durable_shop: Shop
) -> None:
    shop = durable_shop
    charge = await buy(shop, "topup_100")
    made = shop.sim.dispute(charge)
    await shop.settle()
    assert await shop.available() == FREE
    shop.sim.close_dispute(made["id"], end)
    await shop.settle()
    assert await shop.available() == FREE + left
    await again(shop)
    assert await shop.available() == FREE + left


async def test_case_49_a_fraud_warning_of_the_simulator_freezes(durable_shop: Shop) -> None:
    shop = durable_shop
    charge = await buy(shop, "topup_100")
    shop.sim.warn_of_fraud(charge)
    await shop.settle()
    with pytest.raises(CreditsFrozenError):
        await shop.spend(1)


async def test_a_hold_that_is_let_go_takes_nothing_from_a_customer(
    stripe_sim: Simulator, durable_shop: Shop
) -> None:
    shop = durable_shop
    await buy(shop, "topup_100")
    client = stripe_sim.client()
    owner = await shop.customer()
    held = client.v1.payment_intents.create(
        {
            "amount": 700,
            "currency": "eur",
            "customer": str(owner.stripe_id),
            "payment_method": "pm_card_visa",
            "capture_method": "manual",
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )
    client.v1.payment_intents.cancel(held.id)
    await shop.settle()
    assert len(stripe_sim.events("charge.refunded")) == 1
    assert await shop.available() == FREE + 100
