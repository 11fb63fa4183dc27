from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import ApiError, Settings, Simulator
from tests.testing.stripe.conftest import START
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
    sources = client.v1.balance_transactions.list({"expand": ["data.source"]}).data
    assert [row.source.object for row in sources] == [
        "dispute",
        "dispute",
        "refund",
        "refund",
        "charge",
    ]
    with pytest.raises(stripe.InvalidRequestError, match="No such balance transaction"):
        client.v1.balance_transactions.retrieve("txn_none")


def test_a_hold_has_a_row_when_it_is_captured(client: Any) -> None:
    held = pay(client, capture_method="manual", expand=["latest_charge"])
    assert held.latest_charge.balance_transaction is None
    done = client.v1.payment_intents.capture(
        held.id, {"amount_to_capture": 200, "expand": ["latest_charge.balance_transaction"]}
    )
    assert done.latest_charge.balance_transaction.amount == 200


def test_money_is_paid_out_by_hand(client: Any, stripe_sim: Simulator) -> None:
    pay(client, amount=10_000)
    terms = {"amount": 5_000, "currency": "eur", "metadata": {"a": "1"}}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payouts.create(terms)
    assert caught.value.code == "balance_insufficient"
    stripe_sim.advance(days=7)
    made = client.v1.payouts.create({**terms, "expand": ["balance_transaction"]})
    assert (made.status, made.automatic, made.balance_transaction.amount) == (
        "pending",
        False,
        -5_000,
    )
    assert amounts(client) == (4_825, 0)
    changed = client.v1.payouts.update(made.id, {"metadata": {"b": "2"}})
    assert changed.metadata.to_dict() == {"a": "1", "b": "2"}
    stripe_sim.advance(days=2)
    assert client.v1.payouts.retrieve(made.id).status == "paid"
    assert [p.id for p in client.v1.payouts.list({"status": "paid"}).data] == [made.id]
    with pytest.raises(stripe.InvalidRequestError, match="only if they are pending"):
        client.v1.payouts.cancel(made.id)
    failed = stripe_sim.fail_payout(made.id)
    assert (failed["status"], failed["failure_code"]) == ("failed", "account_closed")
    with pytest.raises(ApiError, match="cannot fail"):
        stripe_sim.fail_payout(made.id)
    second = client.v1.payouts.create({**terms, "method": "instant"})
    assert client.v1.payouts.cancel(second.id).status == "canceled"
    stripe_sim.advance(days=2)
    assert amounts(client) == (9_825, 0)
    told = [e["type"] for e in stripe_sim.events() if e["type"].startswith("payout.")]
    assert told == [
        "payout.created",
        "payout.updated",
        "payout.paid",
        "payout.failed",
        "payout.created",
        "payout.canceled",
    ]


class TestPaidOutDaily:
    @pytest.fixture
    def stripe_sim_settings(self) -> Settings:
        return Settings(seed=1, ticking=False, start=START, payout_schedule="daily")

    def test_what_is_available_goes_to_the_bank(self, client: Any, stripe_sim: Simulator) -> None:
        account = client.v1.accounts.create({}).id
        stripe_sim.onboard(account)
        intent = pay(client, amount=10_000, transfer_data={"destination": account, "amount": 500})
        stripe_sim.advance(days=7, hours=12)
        (made,) = client.v1.payouts.list().data
        assert (made.amount, made.automatic, made.status) == (9_325, True, "pending")
        rows = client.v1.balance_transactions.list({"payout": made.id}).data
        assert {row.source for row in rows} >= {str(intent.latest_charge)}
        (theirs,) = client.v1.payouts.list({}, {"stripe_account": account}).data
        assert theirs.amount == 500
        stripe_sim.advance(days=3)
        assert client.v1.payouts.retrieve(made.id).reconciliation_status == "completed"
        assert len(client.v1.payouts.list().data) == 1
        paid = stripe_sim.events("payout.paid", "payout.reconciliation_completed")
        assert [event.get("account") for event in paid] == [None, None, account, account]
