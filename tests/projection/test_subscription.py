"""Subscriptions of every API version."""

from datetime import UTC, datetime

import pytest

from gatekeeper.errors import ProjectionError
from gatekeeper.projection import ItemFacts, SubscriptionFacts, project_subscription
from tests.projection.reading_samples import Json, sample, without

JANUARY_1 = datetime(2025, 1, 1, tzinfo=UTC)
JANUARY_15 = datetime(2025, 1, 15, tzinfo=UTC)
FEBRUARY_1 = datetime(2025, 2, 1, tzinfo=UTC)
MARCH_1 = datetime(2025, 3, 1, tzinfo=UTC)
NEXT_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_case_10_an_old_version_has_its_period_on_the_subscription() -> None:
    assert project_subscription(sample("subscription.2020-03-02")) == SubscriptionFacts(
        id="sub_1Old",
        customer="cus_Old",
        livemode=False,
        status="active",
        created_at=JANUARY_1,
        started_at=JANUARY_1,
        anchor=JANUARY_1,
        trial_end=None,
        cancel_at=FEBRUARY_1,
        ended_at=None,
        collection_paused=False,
        latest_invoice_id="in_1Old",
        items=(
            ItemFacts(
                id="si_Old1",
                price_id="price_1QPro",
                lookup_key="pro_monthly",
                product_id="prod_QPro",
                currency="eur",
                unit_amount_minor=999,
                quantity=3,
                created_at=JANUARY_1.replace(second=1),
                period_start=JANUARY_1,
                period_end=FEBRUARY_1,
                cancel_at=FEBRUARY_1,
            ),
        ),
    )


def test_before_there_were_prices_a_plan_stood_for_one() -> None:
    value = sample("subscription.2020-03-02")
    value["items"]["data"][0] = without(value["items"]["data"][0], "price")
    (item,) = project_subscription(value).items
    assert item.price_id == "price_1QPro"
    assert item.lookup_key is None
    assert item.currency == "eur"
    assert item.unit_amount_minor == 999
    value["items"]["data"][0]["plan"] = "gold-plan"
    (item,) = project_subscription(value).items
    assert (item.price_id, item.currency, item.product_id) == ("gold-plan", None, None)
    assert item.unit_amount_minor is None


def test_case_26_a_pending_update_grants_nothing_early() -> None:
    facts = project_subscription(sample("subscription.2025-02-24.acacia"))
    (item,) = facts.items
    assert (item.price_id, item.quantity) == ("price_1QPro", 1)
    assert facts.livemode
    assert facts.cancel_at is None


def test_case_21_items_have_periods_of_their_own_since_basil() -> None:
    facts = project_subscription(sample("subscription.2025-03-31.basil"))
    assert [(item.id, item.period_start, item.period_end) for item in facts.items] == [
        ("si_Bas1", JANUARY_1, FEBRUARY_1),
        ("si_Bas2", JANUARY_1, NEXT_YEAR),
        ("si_Bas3", JANUARY_1, MARCH_1),
    ]
    assert [item.cancel_at for item in facts.items] == [FEBRUARY_1, NEXT_YEAR, MARCH_1]
    assert facts.cancel_at == NEXT_YEAR
    metered = facts.items[2]
    assert (metered.quantity, metered.lookup_key) == (1, None)


def test_case_24_paused_collection_is_seen_and_a_named_cancellation_counts_for_all() -> None:
    facts = project_subscription(sample("subscription.2025-09-30.clover"))
    assert facts.status == "past_due"
    assert facts.collection_paused
    assert facts.cancel_at == facts.items[0].cancel_at == MARCH_1
    assert facts.customer == "cus_Clo"  # both were expanded
    assert facts.latest_invoice_id == "in_1Clo"


def test_a_trial_ends_where_the_billing_cycle_is_anchored() -> None:
    facts = project_subscription(sample("subscription.2026-05-27.dahlia"))
    assert facts.status == "trialing"
    assert facts.trial_end == JANUARY_15
    assert facts.anchor == JANUARY_15


def test_a_canceled_subscription_tells_when_it_ended() -> None:
    facts = project_subscription(sample("subscription.2026-10-28.endive"))
    assert facts.status == "canceled"
    assert facts.ended_at == JANUARY_15


def endive() -> Json:
    return sample("subscription.2026-10-28.endive")


def test_a_backdated_subscription_starts_before_it_was_made() -> None:
    value = endive() | {"start_date": 1730419200}
    facts = project_subscription(value)
    assert facts.started_at == datetime(2024, 11, 1, tzinfo=UTC)
    assert facts.created_at == JANUARY_1
    assert project_subscription(without(value, "start_date")).started_at == JANUARY_1


def test_a_status_of_the_future_is_handed_on() -> None:
    assert project_subscription(endive() | {"status": "new_in_2031"}).status == "new_in_2031"


def test_deleted_items_are_left_out_and_an_incomplete_list_says_so() -> None:
    value = endive()
    value["items"]["data"].append(value["items"]["data"][0] | {"id": "si_gone", "deleted": True})
    facts = project_subscription(value)
    assert [item.id for item in facts.items] == ["si_End1"]
    assert not facts.has_more_items
    value["items"]["has_more"] = True
    assert project_subscription(value).has_more_items


def test_a_subscription_can_have_no_item_left() -> None:
    value = endive() | {"cancel_at_period_end": True}
    value["items"]["data"] = []
    facts = project_subscription(value)
    assert facts.items == ()
    assert facts.cancel_at is None


def test_case_50_metadata_decides_nothing() -> None:
    forged = {"customer": "cus_other", "status": "active", "plan": "enterprise", "quantity": "99"}
    assert project_subscription(endive() | {"metadata": forged}) == project_subscription(endive())


def changed(path: str, value: object) -> Json:
    """The sample with one value replaced, or taken away if it is `...`."""
    root = endive()
    *way, last = path.split(".")
    at: Json = root
    for step in way:
        at = at[int(step)] if step.isdigit() else at[step]  # type: ignore[index]  # a list then
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return root


ITEM = "items.data.0"


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("object", "invoice", "subscription.object is not 'subscription'."),
        ("object", ..., "subscription.object is missing."),
        ("id", ..., "subscription.id is missing."),
        ("id", None, "subscription.id is missing."),
        ("id", 7, "subscription.id is of type int, not a name."),
        ("id", "sub\x00", "subscription.id is empty, too long, or holds what no name can hold."),
        ("id", "s" * 256, "subscription.id is empty, too long, or holds "),
        ("customer", ..., "subscription.customer is missing."),
        ("customer", {"object": "customer"}, "subscription.customer.id is missing."),
        ("status", "", "subscription.status is empty, too long, or holds "),
        ("livemode", "yes", "subscription.livemode is of type str, not true or false."),
        ("created", ..., "subscription.created is missing."),
        ("created", "1735689600", "subscription.created is of type str, not a whole number."),
        ("created", True, "subscription.created is of type bool, not a whole number."),
        ("created", 1.5, "subscription.created is of type float, not a whole number."),
        ("created", -1, "subscription.created is out of range."),
        ("created", 2**40, "subscription.created is out of range."),
        ("created", 2**60, "subscription.created is out of range."),
        ("billing_cycle_anchor", ..., "subscription.billing_cycle_anchor is missing."),
        ("items", ..., "subscription.items is missing."),
        ("items", "si_1", "subscription.items is of type str, not a list."),
        ("items.data", {"0": 1}, "subscription.items.data is of type dict, not a list."),
        ("items.data", ["si_1"], "subscription.items.data[0] is of type str, not an object."),
        ("items.has_more", 1, "subscription.items.has_more is of type int, not true or false."),
        (f"{ITEM}.id", ..., "subscription.items.data[0].id is missing."),
        (f"{ITEM}.price", ..., "subscription.items.data[0].price is missing."),
        (f"{ITEM}.price", [], "subscription.items.data[0].price is of type list, not a name."),
        (f"{ITEM}.price.id", ..., "subscription.items.data[0].price.id is missing."),
        (f"{ITEM}.quantity", -1, "subscription.items.data[0].quantity is out of range."),
        (f"{ITEM}.quantity", 2**53, "subscription.items.data[0].quantity is out of range."),
        (f"{ITEM}.current_period_start", ..., "data[0].current_period_start is missing."),
        (f"{ITEM}.current_period_end", ..., "subscription.current_period_start is missing."),
        ("pause_collection", True, "subscription.pause_collection is of type bool, not an object."),
    ],
)
def test_what_is_malformed_is_refused_by_its_place(
    path: str, value: object, complaint: str
) -> None:
    with pytest.raises(ProjectionError) as caught:
        project_subscription(changed(path, value))
    assert complaint in str(caught.value)
    assert caught.value.code == "projection_failed"
    assert caught.value.status == 500
    assert str(caught.value).startswith(str(caught.value.params["path"]))


@pytest.mark.parametrize("value", [None, [], "sub_1", 7, object()])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(ProjectionError, match=r"^subscription is of type \w+, not an object\.$"):
        project_subscription(value)  # type: ignore[arg-type]  # that is the point
