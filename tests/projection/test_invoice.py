"""Invoices of every API version."""

from datetime import UTC, datetime, timedelta

import pytest

from gatekeeper.errors import ProjectionError
from gatekeeper.projection import InvoiceFacts, LineFacts, project_invoice
from tests.projection.reading_samples import Json, sample, without

JANUARY_1 = datetime(2025, 1, 1, tzinfo=UTC)
JANUARY_15 = datetime(2025, 1, 15, tzinfo=UTC)
FEBRUARY_1 = datetime(2025, 2, 1, tzinfo=UTC)
FINALIZED = JANUARY_1 + timedelta(hours=1)


def test_case_10_an_old_invoice_names_its_subscription_price_and_payment_itself() -> None:
    facts = project_invoice(sample("invoice.2020-03-02"))
    assert facts == InvoiceFacts(
        id="in_1Old",
        customer="cus_Old",
        subscription_id="sub_1Old",
        livemode=False,
        status="paid",
        currency="eur",
        amount_due_minor=0,
        amount_paid_minor=0,
        credited_minor=0,
        created_at=JANUARY_1,
        finalized_at=JANUARY_1,
        due_at=None,
        paid_at=JANUARY_1,
        attempt_count=0,
        next_attempt_at=None,
        lines=(
            LineFacts(
                id="il_1Old",
                subscription_id="sub_1Old",
                item_id="si_Old1",
                price_id="price_1QPro",
                lookup_key="pro_monthly",
                quantity=1,
                start=JANUARY_1,
                end=JANUARY_15,
                proration=False,
                amount_minor=0,
                currency="eur",
            ),
        ),
    )
    assert facts.is_paid
    assert facts.paid_lines == facts.lines


def test_of_an_upgrade_only_the_charge_has_bought_something() -> None:
    facts = project_invoice(sample("invoice.2025-02-24.acacia"))
    credit, debit = facts.lines
    assert (credit.amount_minor, credit.proration) == (-548, True)
    assert (debit.amount_minor, debit.proration, debit.price_id) == (2806, True, "price_1QMax")
    assert (debit.item_id, debit.lookup_key) == ("si_Aca1", "max_monthly")
    assert facts.paid_lines == (debit,)
    assert facts.livemode


def test_since_basil_it_is_all_in_the_parent() -> None:
    facts = project_invoice(sample("invoice.2025-03-31.basil"))
    assert facts.subscription_id == "sub_1Bas"
    assert facts.finalized_at == FINALIZED
    assert facts.paid_at == FINALIZED + timedelta(seconds=2)
    (line,) = facts.paid_lines
    assert line == LineFacts(
        id="il_1Bas",
        subscription_id="sub_1Bas",
        item_id="si_Bas1",
        price_id="price_1QPro",
        lookup_key=None,
        quantity=1,
        start=JANUARY_1,
        end=FEBRUARY_1,
        proration=False,
        amount_minor=999,
        currency="eur",
    )


def test_an_open_invoice_has_bought_nothing_yet() -> None:
    facts = project_invoice(sample("invoice.2025-09-30.clover"))
    assert facts.status == "open"
    assert facts.due_at == JANUARY_15
    assert facts.paid_at is None
    assert facts.paid_lines == ()
    setup, seats = facts.lines
    assert (setup.item_id, setup.subscription_id, setup.proration) == (None, "sub_1Clo", False)
    assert (seats.quantity, seats.amount_minor) == (5, 4995)  # before a coupon of 100 %


def test_once_it_is_paid_its_subscription_lines_have_bought_their_periods() -> None:
    facts = project_invoice(sample("invoice.2025-09-30.clover") | {"status": "paid"})
    assert [line.id for line in facts.paid_lines] == ["il_1Clo"]


@pytest.mark.parametrize("status", ["draft", "open", "uncollectible", "void", "new_in_2031"])
def test_case_48_only_a_paid_invoice_has_paid_lines(status: str) -> None:
    assert project_invoice(sample("invoice.2025-03-31.basil") | {"status": status}).paid_lines == ()


def test_prorations_since_basil() -> None:
    facts = project_invoice(sample("invoice.2026-05-27.dahlia"))
    assert [(line.proration, line.amount_minor) for line in facts.lines] == [
        (True, -500),
        (True, 1499),
    ]
    assert [line.price_id for line in facts.paid_lines] == ["price_1QMax"]


def endive() -> Json:
    return sample("invoice.2026-10-28.endive")


def test_credit_notes_are_shown_and_change_nothing_of_what_was_bought() -> None:
    facts = project_invoice(endive())
    assert (facts.amount_paid_minor, facts.credited_minor) == (999, 400)
    assert len(facts.paid_lines) == 1
    for credited in (999, 1_500):
        full = project_invoice(endive() | {"post_payment_credit_notes_amount": credited})
        assert full.credited_minor == credited
        assert full.paid_lines == facts.paid_lines  # what went back is noted on the lines


def test_an_invoice_of_zero_is_paid() -> None:
    value = endive() | {"amount_paid": 0, "amount_due": 0, "post_payment_credit_notes_amount": 0}
    facts = project_invoice(value)
    assert facts.is_paid
    assert len(facts.paid_lines) == 1


def test_paid_out_of_band_is_paid() -> None:
    old = project_invoice(sample("invoice.2025-02-24.acacia") | {"paid_out_of_band": True})
    new = project_invoice(sample("invoice.2026-05-27.dahlia"))
    assert old.paid_lines
    assert new.paid_lines


@pytest.mark.parametrize(("paid", "status"), [(True, "paid"), (False, "draft")])
def test_where_there_is_no_status_the_oldest_flag_counts(paid: bool, status: str) -> None:
    assert project_invoice(endive() | {"status": None, "paid": paid}).status == status


def test_an_invoice_of_no_subscription_and_of_nobody() -> None:
    value = endive() | {"parent": None, "customer": None, "status_transitions": None}
    value["lines"]["data"][0]["parent"] = None
    facts = project_invoice(value)
    assert facts.subscription_id is None
    assert facts.customer is None
    assert facts.finalized_at is None
    assert facts.paid_at is None
    assert facts.paid_lines == ()
    assert not facts.lines[0].proration
    quoted = endive() | {"parent": {"type": "quote_details", "quote_details": {"quote": "qt_1"}}}
    assert project_invoice(quoted).subscription_id is None


def test_prices_and_subscriptions_may_come_expanded() -> None:
    value = endive()
    value["parent"]["subscription_details"]["subscription"] = {"id": "sub_1End", "status": "active"}
    price = {"id": "price_1QPro", "object": "price", "lookup_key": "pro_monthly"}
    value["lines"]["data"][0]["pricing"]["price_details"]["price"] = price
    facts = project_invoice(value)
    assert facts.subscription_id == "sub_1End"
    assert (facts.lines[0].price_id, facts.lines[0].lookup_key) == ("price_1QPro", "pro_monthly")


@pytest.mark.parametrize("gone", ["pricing", "quantity"])
def test_a_line_may_lack_a_price_or_a_quantity(gone: str) -> None:
    value = endive()
    value["lines"]["data"][0] = without(value["lines"]["data"][0], gone)
    (line,) = project_invoice(value).lines
    assert line.quantity == 1
    assert (line.price_id is None) == (gone == "pricing")
    assert len(project_invoice(value).paid_lines) == (0 if gone == "pricing" else 1)


def test_a_line_of_an_instant_buys_no_time() -> None:
    value = endive()
    value["lines"]["data"][0]["period"] = {"start": 1735689600, "end": 1735689600}
    assert project_invoice(value).paid_lines == ()


def test_a_list_that_was_cut_short_says_so() -> None:
    value = endive()
    assert not project_invoice(value).has_more_lines
    value["lines"]["has_more"] = True
    assert project_invoice(value).has_more_lines


def test_a_bare_list_of_lines_will_do() -> None:
    value = endive()
    bare = value | {"lines": value["lines"]["data"]}
    assert project_invoice(bare) == project_invoice(value)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("currency", None, "invoice.currency is missing."),
        ("amount_paid", "999", "invoice.amount_paid is of type str, not a whole number."),
        ("amount_due", None, "invoice.amount_due is missing."),
        ("lines", {"data": [{"id": "il_1"}]}, "invoice.lines.data[0].period is missing."),
        ("lines", [{"id": "il_1", "period": []}], "invoice.lines[0].period is of type list, "),
        ("parent", "sub_1", "invoice.parent is of type str, not an object."),
        ("parent", {"subscription_details": {}}, "details.subscription is missing."),
    ],
)
def test_what_is_malformed_is_refused_by_its_place(key: str, value: object, complaint: str) -> None:
    with pytest.raises(ProjectionError) as caught:
        project_invoice(endive() | {key: value})
    assert complaint in str(caught.value)
