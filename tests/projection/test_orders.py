"""What an order has come to: every combination of what can be known of it."""

from itertools import permutations, product

import pytest
from msgspec.structs import replace

from gatekeeper.projection.orders import (
    MISMATCH,
    MOVES,
    OPEN,
    OVER,
    PAYABLE,
    OrderStatus,
    OrderTerms,
    PaymentFacts,
    order_state,
)

TERMS = OrderTerms(amount_minor=1_000, currency="eur", payment_id="pi_1")
MADE = PaymentFacts(id="pi_1", status="requires_payment_method", amount_minor=1_000, currency="eur")
PAID = replace(MADE, status="succeeded", received_minor=1_000)
STATUSES = (*PAYABLE, *OVER, "processing", "requires_capture", "something_new")
AMOUNTS = (0, 400, 1_000)


def test_an_order_without_payments_is_pending_until_it_is_canceled() -> None:
    assert order_state(TERMS, []).status is OrderStatus.PENDING
    assert order_state(replace(TERMS, canceled=True), []).status is OrderStatus.CANCELED
    assert order_state(replace(TERMS, payment_id=None), [MADE]).status is OrderStatus.PENDING


def expected(terms: OrderTerms, one: PaymentFacts) -> OrderStatus:
    """The rules, said once more and in another way."""
    right = one.fault is None and one.currency == "eur" and one.amount_minor == 1_000
    received = one.status == "succeeded" and one.received_minor > 0
    if terms.canceled:
        return OrderStatus.CANCELED
    if received and right:
        gone = one.returned_minor >= one.received_minor
        return OrderStatus.REFUNDED if gone else OrderStatus.PAID
    if one.status in ("processing", "requires_capture"):
        return OrderStatus.PROCESSING
    if one.status == "canceled":
        return OrderStatus.FAILED if one.failure == "expired" else OrderStatus.PENDING
    if one.failure or one.status == "succeeded":
        return OrderStatus.FAILED
    return OrderStatus.PENDING


def test_every_combination_of_what_is_known_of_one_payment() -> None:
    seen = set()
    for status, received, returned, failure, fault, amount, currency, canceled in product(
        STATUSES,
        AMOUNTS,
        AMOUNTS,
        (None, "card_declined", "expired"),
        (None, "another customer"),
        (999, 1_000),
        ("eur", "usd"),
        (False, True),
    ):
        one = PaymentFacts(
            id="pi_1",
            status=status,
            amount_minor=amount,
            currency=currency,
            received_minor=received,
            returned_minor=returned,
            capturable_minor=700 if status == "requires_capture" else 0,
            failure=failure,
            fault=fault,
        )
        terms = replace(TERMS, canceled=canceled)
        state = order_state(terms, [one])
        assert state.status is expected(terms, one), one
        seen.add(state.status)
        is_paid = state.status in (OrderStatus.PAID, OrderStatus.REFUNDED)
        assert (state.paid_by == "pi_1") is is_paid
        assert (state.captured_minor > 0) is is_paid
        assert 0 <= state.refunded_minor <= state.captured_minor
        assert (state.failure is not None) is (state.status is OrderStatus.FAILED)
        kept = status == "succeeded" and received > returned
        assert state.mispaid == (("pi_1",) if kept and not is_paid else ())
        right = (fault, amount, currency, canceled) == (None, 1_000, "eur", False)
        held = 700 if right and status == "requires_capture" else 0
        assert state.authorized_minor == held
    assert seen == set(OrderStatus)


@pytest.mark.parametrize(
    ("payment", "failure"),
    [
        (replace(PAID, amount_minor=5), MISMATCH),
        (replace(PAID, currency="usd"), MISMATCH),
        (replace(PAID, received_minor=1_001), MISMATCH),
        (replace(PAID, fault="another customer"), "another customer"),
        (replace(MADE, failure="card_declined"), "card_declined"),
        (replace(MADE, status="canceled", failure="automatic"), "automatic"),
    ],
)
def test_an_order_that_failed_says_why(payment: PaymentFacts, failure: str) -> None:
    state = order_state(TERMS, [payment])
    assert (state.status, state.failure) == (OrderStatus.FAILED, failure)


def test_one_payment_pays_and_what_comes_twice_is_told() -> None:
    again = replace(PAID, id="pi_2")
    state = order_state(replace(TERMS, payment_id="pi_2"), [PAID, again])
    assert (state.status, state.paid_by, state.mispaid) == (OrderStatus.PAID, "pi_1", ("pi_2",))
    given_back = replace(again, returned_minor=1_000)
    assert order_state(TERMS, [PAID, given_back]).mispaid == ()
    both_gone = [replace(PAID, returned_minor=1_000), again]
    state = order_state(TERMS, both_gone)
    assert (state.status, state.mispaid) == (OrderStatus.REFUNDED, ("pi_2",))


def test_a_part_that_was_captured_pays_and_is_refunded_as_such() -> None:
    part = replace(PAID, received_minor=600)
    state = order_state(TERMS, [part])
    assert (state.status, state.captured_minor) == (OrderStatus.PAID, 600)
    assert order_state(TERMS, [replace(part, returned_minor=599)]).status is OrderStatus.PAID
    gone = order_state(TERMS, [replace(part, returned_minor=600)])
    assert (gone.status, gone.refunded_minor) == (OrderStatus.REFUNDED, 600)


def test_an_earlier_payment_that_failed_does_not_matter_any_more() -> None:
    failed = replace(MADE, id="pi_0", status="canceled", failure="abandoned")
    assert order_state(TERMS, [failed, MADE]).status is OrderStatus.PENDING
    assert order_state(TERMS, [failed, PAID]).status is OrderStatus.PAID


def test_the_moves_of_stripes_payments_are_moves_of_the_order() -> None:
    """What Stripe's lifecycle leads to, in any order of what is heard, is a move that is told."""
    life = [
        MADE,
        replace(MADE, failure="card_declined"),
        replace(MADE, status="requires_action"),
        replace(MADE, status="processing"),
        replace(MADE, status="requires_capture", capturable_minor=1_000),
    ]
    ends = [PAID, replace(PAID, returned_minor=400), replace(PAID, returned_minor=1_000)]
    for before, after in product(life, [*life, *ends]):
        was, now = order_state(TERMS, [before]).status, order_state(TERMS, [after]).status
        assert now is was or now in MOVES[was]
    for before, after in permutations(ends, 2):
        was, now = order_state(TERMS, [before]).status, order_state(TERMS, [after]).status
        assert now is was or now in MOVES[was]
    assert {OrderStatus.PENDING, OrderStatus.FAILED} == OPEN
