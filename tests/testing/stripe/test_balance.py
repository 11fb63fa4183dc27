from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.test_refunds import pay


def amounts(client: Any) -> tuple[int, int]:
    found = client.v1.balance.retrieve()
    return found.available[0].amount, found.pending[0].amount


def test_money_is_pending_then_available(client: Any, stripe_sim: Simulator) -> None:
    assert amounts(client) == (0, 0)
    intent = pay(client, amount=10_000, expand=["latest_charge.balance_transaction"])
    row = intent.latest_charge.balance_transaction
    assert (row.amount, row.fee, row.net, row.type) == (10_000, 175, 9_825, "charge")
    assert (row.status, row.fee_details[0].type) == ("pending", "stripe_fee")
    assert amounts(client) == (0, 9_825)
    stripe_sim.advance(days=7)
    assert amounts(client) == (9_825, 0)
    assert client.v1.balance_transactions.retrieve(row.id).status == "available"


def test_every_movement_has_a_row(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    stripe_sim.fail_refund(refund.id)
    dispute = stripe_sim.dispute(intent.id)
    stripe_sim.close_dispute(dispute["id"], "won")
    rows = client.v1.balance_transactions.list({"limit": 100}).data
    told = [(row.type, row.amount, row.reporting_category) for row in reversed(rows)]
    assert told == [
        ("charge", 500, "charge"),
        ("refund", -100, "refund"),
        ("refund_failure", 100, "refund_failure"),
        ("adjustment", -500, "dispute"),
        ("adjustment", 500, "dispute_reversal"),
    ]
    of_charge = client.v1.balance_transactions.list({"source": intent.latest_charge}).data
    assert [row.type for row in of_charge] == ["charge"]
    assert client.v1.balance_transactions.list({"source": dispute["id"]}).data == []
    assert len(client.v1.balance_transactions.list({"type": "adjustment"}).data) == 2
    with pytest.raises(stripe.InvalidRequestError, match="No such balance transaction"):
        client.v1.balance_transactions.retrieve("txn_none")


def test_a_hold_has_a_row_when_it_is_captured(client: Any) -> None:
    held = pay(client, capture_method="manual", expand=["latest_charge"])
    assert held.latest_charge.balance_transaction is None
    done = client.v1.payment_intents.capture(
        held.id, {"amount_to_capture": 200, "expand": ["latest_charge.balance_transaction"]}
    )
    assert done.latest_charge.balance_transaction.amount == 200
