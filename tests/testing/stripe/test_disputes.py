from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import ApiError, Settings, Simulator
from tests.testing.stripe.test_refunds import charge_of, pay, types

CREATED = "charge.dispute.created"
WITHDRAWN = "charge.dispute.funds_withdrawn"
REINSTATED = "charge.dispute.funds_reinstated"
UPDATED = "charge.dispute.updated"
CLOSED = "charge.dispute.closed"


def disputed(client: Any, card: str = "pm_card_createDispute") -> tuple[Any, Any]:
    intent = pay(client, card)
    (found,) = client.v1.disputes.list({"payment_intent": intent.id}).data
    return intent, found


def argue(client: Any, dispute: Any, text: str, **params: Any) -> Any:
    return client.v1.disputes.update(
        dispute.id, {"evidence": {"uncategorized_text": text}, **params}
    )


def test_a_dispute_takes_the_money_at_once(client: Any, stripe_sim: Simulator) -> None:
    intent, found = disputed(client)
    assert types(stripe_sim)[-4:] == [
        "charge.succeeded",
        CREATED,
        WITHDRAWN,
        "payment_intent.succeeded",
    ]
    assert (found.status, found.reason, found.amount) == ("needs_response", "fraudulent", 500)
    assert found.payment_method_details.card.case_type == "chargeback"
    (row,) = found.balance_transactions
    assert (row.amount, row.fee, row.reporting_category) == (-500, 1_500, "dispute")
    assert charge_of(client, intent).disputed
    assert datetime.fromtimestamp(found.evidence_details.due_by, UTC) == datetime(
        2026, 11, 9, 23, 59, 59, tzinfo=UTC
    )
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_disputed"
    assert client.v1.disputes.list({"charge": intent.latest_charge}).data[0].id == found.id
    other = disputed(client, "pm_card_createDisputeProductNotReceived")[1]
    assert other.payment_method_details.card.network_reason_code == "13.1"


def test_evidence_wins_the_money_back(client: Any, stripe_sim: Simulator) -> None:
    intent, found = disputed(client)
    staged = argue(client, found, "winning_evidence", submit=False)
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    before = len(stripe_sim.events())
    sent = client.v1.disputes.update(found.id, {"submit": True, "metadata": {"a": "1"}})
    assert (sent.status, sent.evidence_details.submission_count) == ("under_review", 1)
    assert types(stripe_sim, before) == [UPDATED, "charge.updated"]
    stripe_sim.advance(seconds=5)
    won = client.v1.disputes.retrieve(found.id)
    assert (won.status, won.is_charge_refundable) == ("won", True)
    assert [row.amount for row in won.balance_transactions] == [-500, 500]
    assert types(stripe_sim, before + 2) == [REINSTATED, CLOSED, "charge.updated"]
    assert client.v1.refunds.create({"payment_intent": intent.id}).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        argue(client, found, "more")
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        client.v1.disputes.close(found.id)


def test_a_dispute_is_lost_by_evidence_by_giving_up_and_by_silence(
    client: Any, stripe_sim: Simulator
) -> None:
    argued, given_up, forgotten, reviewed = (disputed(client)[1] for _ in range(4))
    argue(client, argued, "losing_evidence")
    argue(client, reviewed, "the customer was here")
    before = len(stripe_sim.events())
    assert client.v1.disputes.close(given_up.id).status == "lost"
    assert types(stripe_sim, before) == [CLOSED, "charge.updated"]
    stripe_sim.advance(days=9)
    ends = [client.v1.disputes.retrieve(d.id) for d in (argued, forgotten, reviewed)]
    assert [d.status for d in ends] == ["lost", "lost", "under_review"]
    assert [d.evidence_details.past_due for d in ends] == [False, True, False]
    assert not stripe_sim.events(REINSTATED)
    assert stripe_sim.close_dispute(reviewed.id, "won")["status"] == "won"


def test_an_inquiry_takes_nothing_unless_it_escalates(client: Any, stripe_sim: Simulator) -> None:
    intent, found = disputed(client, "pm_card_createDisputeInquiry")
    assert (found.status, found.is_charge_refundable) == ("warning_needs_response", True)
    assert not stripe_sim.events(WITHDRAWN)
    asked = argue(client, found, "escalate_inquiry_evidence")
    assert asked.status == "warning_under_review"
    before = len(stripe_sim.events())
    stripe_sim.advance(seconds=5)
    now = client.v1.disputes.retrieve(found.id)
    assert (now.status, now.payment_method_details.card.case_type) == (
        "needs_response",
        "chargeback",
    )
    assert types(stripe_sim, before) == [UPDATED, WITHDRAWN]
    assert charge_of(client, intent).disputed
    with pytest.raises(ApiError, match="Only an open inquiry"):
        stripe_sim.escalate_dispute(found.id)


def test_an_inquiry_is_closed_in_four_ways(client: Any, stripe_sim: Simulator) -> None:
    answered, refunded, given_up, forgotten = (
        disputed(client, "pm_card_createDisputeInquiry") for _ in range(4)
    )
    argue(client, answered[1], "losing_evidence")
    client.v1.refunds.create({"payment_intent": refunded[0].id})
    assert client.v1.disputes.close(given_up[1].id).status == "warning_closed"
    with pytest.raises(ApiError, match="cannot become won"):
        stripe_sim.close_dispute(forgotten[1].id, "won")
    stripe_sim.advance(days=119)
    assert client.v1.disputes.retrieve(forgotten[1].id).status == "warning_needs_response"
    stripe_sim.advance(days=1)
    pairs = (answered, refunded, given_up, forgotten)
    statuses = {client.v1.disputes.retrieve(pair[1].id).status for pair in pairs}
    assert statuses == {"warning_closed"}
    assert len(stripe_sim.events(CLOSED)) == 4
    assert not stripe_sim.events(WITHDRAWN, REINSTATED)


def test_a_dispute_can_be_made_of_any_payment(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client)
    first = stripe_sim.dispute(intent.id, amount=200, reason="duplicate")
    assert (first["amount"], first["reason"]) == (200, "duplicate")
    assert stripe_sim.close_dispute(first["id"], "lost")["status"] == "lost"
    second = stripe_sim.dispute(str(intent.latest_charge), status="warning_needs_response")
    assert stripe_sim.escalate_dispute(second["id"])["status"] == "needs_response"
    held = pay(client, capture_method="manual")
    with pytest.raises(ApiError, match="taken no money"):
        stripe_sim.dispute(held.id)
    with pytest.raises(ApiError, match="No such charge"):
        stripe_sim.dispute("ch_none")


def test_a_prevented_dispute_takes_nothing(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client)
    before = len(stripe_sim.events())
    made = stripe_sim.dispute(intent.id, status="prevented")
    assert types(stripe_sim, before) == [CREATED, CLOSED]
    found = client.v1.disputes.retrieve(made["id"])
    assert (found.status, found.balance_transactions) == ("prevented", [])
    assert disputed(client, "pm_card_createRapidDisputeResolutionDispute")[1].status == (
        "needs_response"
    )


class TestEnrolled:
    @pytest.fixture
    def stripe_sim_settings(self) -> Settings:
        return replace(Settings(seed=1, ticking=False), disputes_prevented=True)

    def test_a_network_prevents_the_dispute_of_a_card(self, client: Any) -> None:
        found = disputed(client, "pm_card_createRapidDisputeResolutionDispute")[1]
        assert found.status == "prevented"


def test_an_early_fraud_warning(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client, "pm_card_createIssuerFraudRecord")
    assert types(stripe_sim)[-3:] == [
        "charge.succeeded",
        "radar.early_fraud_warning.created",
        "payment_intent.succeeded",
    ]
    (found,) = client.v1.radar.early_fraud_warnings.list({"payment_intent": intent.id}).data
    assert (found.charge, found.actionable) == (intent.latest_charge, True)
    before = len(stripe_sim.events())
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 499})
    client.v1.refunds.create({"payment_intent": intent.id})
    assert types(stripe_sim, before)[-1] == "radar.early_fraud_warning.updated"
    assert not client.v1.radar.early_fraud_warnings.retrieve(found.id).actionable
    other = pay(client)
    warning = stripe_sim.warn_of_fraud(other.id, "made_with_stolen_card")
    assert (warning["actionable"], warning["fraud_type"]) == (True, "made_with_stolen_card")
    stripe_sim.dispute(other.id)
    assert not client.v1.radar.early_fraud_warnings.retrieve(warning["id"]).actionable


def test_reviews_are_opened_and_closed(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client, "pm_card_riskLevelElevated", expand=["review"])
    assert (intent.review.open, intent.review.opened_reason) == (True, "rule")
    assert [r.id for r in client.v1.reviews.list().data] == [intent.review.id]
    approved = client.v1.reviews.approve(intent.review.id)
    assert (approved.open, approved.closed_reason) == (False, "approved")
    assert client.v1.reviews.list().data == []
    with pytest.raises(stripe.InvalidRequestError, match="already been closed"):
        client.v1.reviews.approve(intent.review.id)

    def reason_after(end: Any) -> str:
        payment = pay(client)
        review = stripe_sim.open_review(payment.id)
        end(payment)
        return str(client.v1.reviews.retrieve(review["id"]).closed_reason)

    def refund(payment: Any, **why: Any) -> None:
        client.v1.refunds.create({"payment_intent": payment.id, **why})

    assert reason_after(refund) == "refunded"
    assert reason_after(lambda p: refund(p, reason="fraudulent")) == "refunded_as_fraud"
    assert reason_after(lambda p: stripe_sim.dispute(p.id)) == "disputed"
    assert reason_after(lambda p: stripe_sim.close_review(p.id, "redacted")) == "redacted"
    with pytest.raises(ApiError, match="No such review"):
        stripe_sim.close_review(pay(client).id, "approved")
    assert len(stripe_sim.events("review.closed")) == 5
