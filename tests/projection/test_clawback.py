"""How much is to be taken back: hard cases 34, 35, 38 and 39, as numbers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.projection.clawback import ChargeMoney, project_charge_money, to_take_back


def money(
    *,
    refunds: list[tuple[int, str | None]] | None = None,
    disputes: list[tuple[int, str]] | None = None,
    currency: str = "eur",
    **fields: Any,
) -> ChargeMoney:
    charge = {
        "id": "ch_1",
        "object": "charge",
        "amount": 1_000,
        "amount_captured": 1_000,
        "currency": "eur",
        "payment_intent": "pi_1",
        **fields,
    }
    return project_charge_money(
        charge,
        [
            {"id": "re", "object": "refund", "amount": amount, "status": status, "currency": "eur"}
            for amount, status in refunds or []
        ],
        [
            {
                "id": f"dp_{status}",
                "object": "dispute",
                "amount": amount,
                "status": status,
                "currency": currency,
            }
            for amount, status in disputes or []
        ],
    )


@pytest.mark.parametrize("status", ["pending", "requires_action", "succeeded", None])
def test_a_refund_counts_from_its_start_on(status: str | None) -> None:
    assert money(refunds=[(300, status), (200, "succeeded")]).returned_minor == 500


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_case_35_a_refund_that_came_to_nothing_does_not_count(status: str) -> None:
    assert money(refunds=[(300, status)]).returned_minor == 0


@pytest.mark.parametrize("status", ["needs_response", "under_review", "lost"])
def test_a_dispute_counts_while_its_money_is_withdrawn(status: str) -> None:
    found = money(disputes=[(400, status)])
    assert (found.returned_minor, found.open_disputes) == (400, (f"dp_{status}",))
    assert not found.won_disputes


@pytest.mark.parametrize("status", ["warning_closed", "prevented", "won"])
def test_case_38_one_that_was_prevented_closed_or_won_does_not(status: str) -> None:
    found = money(disputes=[(400, status)])
    assert (found.returned_minor, found.won_disputes) == (0, (f"dp_{status}",))
    assert not found.open_disputes


def test_case_39_a_refund_and_a_dispute_are_never_more_than_the_charge() -> None:
    assert money(refunds=[(700, "succeeded")], disputes=[(1_000, "lost")]).returned_minor == 1_000


def test_a_dispute_in_another_currency_is_of_all_the_charge() -> None:
    assert money(disputes=[(90, "lost")], currency="usd").returned_minor == 1_000


def test_a_charge_is_known_by_its_intent_and_counts_what_was_captured() -> None:
    found = money(amount_captured=600, customer="cus_1")
    assert (found.payment_id, found.amount_minor, found.customer) == ("pi_1", 600, "cus_1")
    alone = money(payment_intent=None, amount_captured=None)
    assert (alone.payment_id, alone.amount_minor) == ("ch_1", 1_000)


def test_what_was_never_captured_can_not_go_back() -> None:
    held = money(amount_captured=0, captured=False, refunds=[(1_000, "succeeded")])
    assert (held.amount_minor, held.returned_minor) == (0, 0)
    assert money(amount_captured=None, captured=False).amount_minor == 0
    assert money(amount_captured=None, paid=False).amount_minor == 0


def test_what_was_let_go_of_a_hold_is_no_refund() -> None:
    released = {"id": "re_1", "object": "refund", "amount": 400, "currency": "eur"}
    real = {**released, "id": "re_2", "amount": 200, "balance_transaction": "txn_1"}
    charge = {
        "id": "ch_1",
        "object": "charge",
        "amount": 1_000,
        "amount_captured": 600,
        "currency": "eur",
    }
    gone = {**released, "status": "succeeded", "balance_transaction": None}
    found = project_charge_money(charge, [gone, {**real, "status": "succeeded"}], [])
    assert (found.amount_minor, found.returned_minor) == (600, 200)
    waiting = {**released, "status": "pending", "balance_transaction": None}
    assert project_charge_money(charge, [waiting], []).returned_minor == 400


def test_the_broken_part_stays_with_the_customer() -> None:
    assert to_take_back(2, 500, 249) == 0
    assert to_take_back(100, 0, 10) == 0
    assert to_take_back(100, 500, -1) == 0


@given(st.integers(0, 10**12), st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_the_target_never_exceeds_what_was_granted_and_only_grows(
    granted: int, amount: int, returned: int, more: int
) -> None:
    target = to_take_back(granted, amount, returned)
    assert 0 <= target <= to_take_back(granted, amount, returned + more) <= granted
    assert to_take_back(granted, amount, amount) == granted
