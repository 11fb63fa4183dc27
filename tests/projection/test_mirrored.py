"""Objects by their shapes: head, parent, facts, in the shapes of several API versions."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.errors import ProjectionError
from gatekeeper.projection.mirrored import project_copies, project_mirrored
from gatekeeper.projection.shapes import SHAPES
from tests.projection.test_hostile import JUNK

SECONDS = 1_790_000_000
AT = datetime.fromtimestamp(SECONDS, UTC)


def test_a_charge_before_basil_names_its_invoice_and_later_none() -> None:
    later: dict[str, Any] = {
        "id": "ch_1",
        "object": "charge",
        "customer": {"id": "cus_1", "object": "customer"},
        "payment_intent": "pi_1",
        "status": "succeeded",
        "amount": 999,
        "amount_refunded": 0,
        "currency": "eur",
        "created": SECONDS,
        "paid": True,
        "outcome": {"risk_level": "normal"},
        "billing_details": {"name": "Ada Lovelace"},
    }
    seen = project_mirrored(later, "charge")
    assert (seen.stripe_customer, seen.parent) == ("cus_1", "payment_intent/pi_1")
    assert (seen.amount_minor, seen.currency, seen.created_at) == (999, "eur", AT)
    assert seen.facts == {"outcome.risk_level": "normal", "amount_refunded": 0, "paid": True}
    acacia = project_mirrored(later | {"invoice": "in_1"}, "charge")
    assert acacia.facts == {"invoice": "in_1", **seen.facts}


def test_an_account_names_what_it_may_and_what_is_wanted_of_it() -> None:
    value: dict[str, Any] = {
        "id": "acct_1",
        "object": "account",
        "capabilities": {"transfers": "pending"},
        "email": "ada@example.test",
        "requirements": {"currently_due": ["external_account"], "current_deadline": SECONDS},
    }
    wanted = {
        "capabilities.transfers": "pending",
        "requirements.current_deadline": AT,
        "requirements.currently_due": ["external_account"],
    }
    assert project_mirrored(value, "account").facts == wanted
    for strange in ("external_account", [None], [1]):
        value["requirements"]["currently_due"] = strange
        found = project_mirrored(value, "account").facts
        assert "requirements.currently_due" not in found
        assert found["capabilities.transfers"] == "pending"
    assert project_mirrored({"id": "acct_1", "object": "account"}, "account").facts == {}


def test_an_invoice_payment_ties_a_payment_to_its_invoice() -> None:
    value = {
        "id": "inpay_1",
        "object": "invoice_payment",
        "invoice": "in_1",
        "amount_requested": 999,
        "amount_paid": 999,
        "currency": "eur",
        "status": "paid",
        "payment": {"type": "payment_intent", "payment_intent": "pi_1"},
        "status_transitions": {"paid_at": SECONDS, "canceled_at": None},
        "created": SECONDS,
    }
    seen = project_mirrored(value, "invoice_payment")
    assert (seen.parent, seen.status, seen.final) == ("invoice/in_1", "paid", True)
    assert seen.facts["payment.payment_intent"] == "pi_1"
    assert seen.facts["status_transitions.paid_at"] == AT


def test_a_dispute_without_a_charge_belongs_to_its_payment_intent() -> None:
    value = {"id": "du_1", "object": "dispute", "payment_intent": "pi_1", "status": "lost"}
    seen = project_mirrored(value, "dispute")
    assert (seen.parent, seen.final) == ("payment_intent/pi_1", False)


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_a_bare_object_of_each_kind_can_be_read(kind: str) -> None:
    seen = project_mirrored({"id": "x_1", "object": kind}, kind)
    assert (seen.id, seen.parent, seen.facts, seen.final) == ("x_1", None, {}, False)


def test_an_object_of_another_kind_is_refused() -> None:
    with pytest.raises(ProjectionError):
        project_mirrored({"id": "x_1", "object": "refund"}, "charge")


@given(st.sampled_from(sorted(SHAPES)), st.data())
def test_one_wrong_value_raises_nothing_unexpected(kind: str, data: st.DataObject) -> None:
    shape = SHAPES[kind]
    paths = [*shape.words, *shape.references, *shape.wholes, *shape.flags, *shape.moments]
    heads = [
        "id",
        "customer",
        "created",
        "currency",
        shape.status,
        *(p.split(".")[0] for p in paths),
    ]
    heads += [field for field, _ in shape.inside] + ["items", "phases"]
    value = {"id": "x_1", "object": kind, data.draw(st.sampled_from(heads)): data.draw(JUNK)}
    with contextlib.suppress(ProjectionError):
        project_copies(value, kind)


def test_a_fact_that_is_not_as_it_must_be_is_left_out_and_the_rest_is_read() -> None:
    value = {
        "id": "sub_1",
        "object": "subscription",
        "status": "active",
        "created": SECONDS,
        "trial_end": "soon",
        "collection_method": 7,
        "schedule": "sub_sched_1",
        "items": 3,
    }
    seen = project_mirrored(value, "subscription")
    assert (seen.status, seen.facts) == ("active", {"schedule": "sub_sched_1"})


def test_what_came_along_is_read_after_what_holds_it() -> None:
    fee = {"id": "txn_1", "object": "balance_transaction", "amount": -5, "status": "available"}
    value = {
        "id": "po_1",
        "object": "payout",
        "amount": 500,
        "balance_transaction": fee,
        "failure_balance_transaction": "txn_2",  # not expanded
    }
    payout, found = project_copies(value, "payout")
    assert payout.facts["balance_transaction"] == "txn_1"
    assert (found.id, found.parent, found.final) == ("txn_1", "payout/po_1", True)
    for odd in (fee | {"object": "charge"}, {"object": "balance_transaction"}, [7], 7):
        (alone,) = project_copies(value | {"balance_transaction": odd}, "payout")
        assert alone.id == "po_1"


def test_a_schedule_tells_what_is_to_come() -> None:
    phases = [
        {"start_date": SECONDS, "end_date": SECONDS + 60, "items": [{"price": {"id": "price_1"}}]},
        {
            "start_date": SECONDS + 60,
            "items": [{"plan": "price_2", "quantity": 3}, {"price": None, "quantity": 1}],
        },
    ]
    value = {"id": "sub_sched_1", "object": "subscription_schedule", "phases": phases}
    first, second = project_mirrored(value, "subscription_schedule").facts["phases"]
    assert first["items"] == [{"price": "price_1", "quantity": 1}]
    assert (second["start_date"], second["end_date"]) == (AT + timedelta(seconds=60), None)
    assert second["items"] == [{"price": "price_2", "quantity": 3}]
