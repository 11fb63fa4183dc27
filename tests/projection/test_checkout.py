"""Checkout sessions of every API version."""

from datetime import UTC, datetime, timedelta

import pytest

from gatekeeper.errors import ProjectionError
from gatekeeper.projection import CheckoutFacts, project_checkout_session
from tests.projection.reading_samples import sample, without

JANUARY_1 = datetime(2025, 1, 1, tzinfo=UTC)


def test_case_10_an_old_session_has_no_status() -> None:
    facts = project_checkout_session(sample("checkout.session.2020-03-02"))
    assert facts == CheckoutFacts(
        id="cs_test_old",
        livemode=False,
        mode="payment",
        status=None,
        payment_status="paid",
        customer="cus_Old",
        subscription_id=None,
        payment_intent_id="pi_1Old",
        invoice_id=None,
        amount_total_minor=500,
        currency="eur",
        created_at=None,
        expires_at=None,
    )
    assert facts.is_settled


def test_a_free_subscription_is_settled_without_a_payment() -> None:
    facts = project_checkout_session(sample("checkout.session.2025-02-24.acacia"))
    assert (facts.customer, facts.subscription_id, facts.invoice_id) == (
        "cus_Aca",
        "sub_1Aca",
        "in_1Aca",
    )
    assert facts.is_settled


def test_case_31_a_session_can_be_complete_and_unpaid() -> None:
    value = sample("checkout.session.2026-05-27.dahlia")
    facts = project_checkout_session(value)
    assert (facts.status, facts.payment_status) == ("complete", "unpaid")
    assert not facts.is_settled
    assert facts.created_at == JANUARY_1
    assert facts.expires_at == JANUARY_1 + timedelta(days=1)
    assert project_checkout_session(value | {"payment_status": "paid"}).is_settled


@pytest.mark.parametrize("status", ["open", "expired", "new_in_2031"])
def test_what_is_not_complete_is_not_settled(status: str) -> None:
    value = sample("checkout.session.2026-05-27.dahlia")
    assert not project_checkout_session(
        value | {"status": status, "payment_status": "paid"}
    ).is_settled


def test_a_session_that_sets_up_a_card_has_no_amount() -> None:
    facts = project_checkout_session(sample("checkout.session.2026-10-28.endive"))
    assert (facts.mode, facts.amount_total_minor, facts.currency) == ("setup", None, None)
    assert not facts.is_settled


@pytest.mark.parametrize("key", ["id", "mode", "payment_status"])
def test_what_must_be_there_must_be_there(key: str) -> None:
    value = sample("checkout.session.2026-10-28.endive")
    with pytest.raises(ProjectionError, match=rf"^checkout\.session\.{key} is missing\.$"):
        project_checkout_session(without(value, key))
