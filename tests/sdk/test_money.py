"""What a gate shows of money: frozen credits, what was paid twice, what is owed to sellers."""

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import (
    CreditsFrozenError,
    InvalidInputError,
    NotFoundError,
    SettingsError,
)
from gatekeeper.services import transfers
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Purchase, PurchaseStatus
from gatekeeper.stripe.duplicates import NAME
from tests.gates import CUSTOMER, new_gate

pytestmark = pytest.mark.anyio


async def test_freezing_by_hand(gate: Gatekeeper) -> None:
    assert await gate.freeze(CUSTOMER, "looks odd", key="case/1")
    assert not await gate.freeze(CUSTOMER, "looks odd", key="case/1")
    with pytest.raises(CreditsFrozenError):
        await gate.reserve(CUSTOMER, "credits", 1)
    assert await gate.unfreeze(CUSTOMER, actor="ann", key="case/1")
    assert not await gate.unfreeze(CUSTOMER, actor="ann")
    assert [one.actor for one in await gate.freezes(CUSTOMER)] == ["ann"]


async def test_what_was_not_sent_to_sellers_is_listed_the_refused_first(gate: Gatekeeper) -> None:
    for name in ("order_1", "order_2"):
        await gate.owe_transfer(
            name,
            customer=CUSTOMER,
            charge_id="ch_1",
            destination="acct_1",
            amount_minor=400,
            currency="eur",
        )
    refused = "The seller may not be paid yet."
    await gate._parts.store.write(lambda tx: transfers.note_refused(tx, "order_2", refused))
    failed, owed = await gate.unsent_transfers()
    assert (failed.id, failed.attempts, owed.id) == ("order_2", 1, "order_1")
    assert (await gate.retry_transfer("order_2")).due_at < failed.due_at
    with pytest.raises(NotFoundError):
        await gate.retry_transfer("order_3")


async def test_what_was_paid_twice_is_listed(gate: Gatekeeper) -> None:
    def buy(tx: Transaction) -> None:
        for name, first in (("pur_1", None), ("pur_2", "pur_1")):
            tx.purchases.insert(
                Purchase(
                    id=name,
                    customer=CUSTOMER,
                    price_lookup_key="pro_monthly",
                    quantity=1,
                    mode="subscription",
                    status=PurchaseStatus.PAID,
                    created_at=tx.now(),
                    duplicate_of=first,
                )
            )

    await gate._parts.store.write(buy)
    for whose in (None, CUSTOMER):
        assert [one.id for one in await gate.duplicate_purchases(whose)] == ["pur_2"]
    assert list(await gate.duplicate_purchases("org_43")) == []
    with pytest.raises(InvalidInputError, match="from 1 to 1000"):
        await gate.duplicate_purchases(limit=-1)


@pytest.mark.parametrize("refunds", [False, True])
def test_duplicates_are_refunded_if_that_is_the_policy(gate_url: str, refunds: bool) -> None:
    made = new_gate(gate_url, refund_duplicates=refunds, stripe_secret_key="sk_test_" + "k" * 24)
    names = [one.name for one in made.signals.handlers_of("payment.duplicate")]
    assert (NAME in names) is refunds


async def test_a_gate_has_the_rules_of_its_settings(gate_url: str) -> None:
    made = new_gate(gate_url, velocity_rules="cards>3/1d:signal", freeze_on_review=True)
    (rule,) = made._parts.credits._rules.velocity
    assert (rule.counts, rule.then) == ("cards", "signal")
    assert made._parts.credits._rules.freezes.on_review
    with pytest.raises(SettingsError, match="GATEKEEPER_VELOCITY_RULES must be rules such as"):
        new_gate(gate_url, velocity_rules="cards>many")
