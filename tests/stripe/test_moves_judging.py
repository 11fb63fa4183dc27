"""Whether a subscription can be moved, and what it costs: from Stripe's object alone."""

from datetime import timedelta
from typing import Any

import pytest

from gatekeeper.stripe.moves import Move, MovePlan, Skipped, Target
from gatekeeper.stripe.moves.judging import MOVED_FROM, amount_of, judge, params_of, terms_of
from gatekeeper.testing.events import DEFAULT_START, Obj

START = int(DEFAULT_START.timestamp())
DAYS_30 = 30 * 86_400


def price(id: str, amount: int | None = 1_000, currency: str = "eur", **recurring: Any) -> Obj:
    every = {"interval": "month", "interval_count": 1, "usage_type": "licensed", **recurring}
    return {"id": id, "unit_amount": amount, "currency": currency, "recurring": every}


def target(of: Obj) -> Target:
    amount = amount_of(of)
    return Target(price_id=of["id"], plan="pro", unit_amount_minor=amount, terms=terms_of(of))


def subscription(*prices: Obj, quantity: int = 1, **more: Any) -> Obj:
    items = [
        {
            "id": f"si_{number}",
            "price": one,
            "quantity": quantity,
            "current_period_start": START,
            "current_period_end": START + DAYS_30,
        }
        for number, one in enumerate(prices)
    ]
    return {"id": "sub_1", "status": "active", "items": {"data": items}, **more}


def judged(found: Obj, **targets: Obj) -> Move | Skipped | None:
    return judge(found, "org_1", lambda id: target(targets[id]) if id in targets else None)


NEW = price("new", 1_500)


@pytest.mark.parametrize(
    ("found", "targets", "reason"),
    [
        (subscription(price("old"), NEW), {"old": NEW}, "it has new already, beside old"),
        (
            subscription(price("old", currency="usd")),
            {"old": NEW},
            "it is billed in usd, and the new price is in eur",
        ),
        (
            subscription(price("old", interval_count=3)),
            {"old": NEW},
            "it is billed every 3 months, and the new price every month",
        ),
        (
            subscription(price("old", usage_type="metered")),
            {"old": NEW},
            "only one of the two prices is metered",
        ),
        (
            subscription(price("old"), price("older")),
            {"old": NEW, "older": NEW},
            "two of its items would have the same price",
        ),
    ],
)
def test_what_would_change_more_than_the_amount_is_left_alone(
    found: Obj, targets: dict[str, Obj], reason: str
) -> None:
    verdict = judged(found, **targets)
    assert isinstance(verdict, Skipped)
    assert verdict.reason == reason


def test_what_has_no_old_price_or_is_over_is_no_matter() -> None:
    assert judged(subscription(price("other")), old=NEW) is None
    assert judged(subscription(price("old"), status="canceled"), old=NEW) is None


def test_several_items_are_moved_by_one_request_with_their_quantities() -> None:
    other = price("other", 100, usage_type="metered")
    metered = price("metered", 50, usage_type="metered")
    verdict = judged(subscription(price("old"), other, quantity=3), old=NEW, other=metered)
    assert isinstance(verdict, Move)
    assert params_of(verdict, "always_invoice") == {
        "items": [
            {"id": "si_0", "price": "new", "quantity": 3, "metadata": {MOVED_FROM: "old"}},
            {"id": "si_1", "price": "metered", "metadata": {MOVED_FROM: "other"}},
        ],
        "proration_behavior": "always_invoice",
        "off_session": True,
    }
    assert verdict.line(DEFAULT_START, "none") == (
        "sub_1 (org_1): old -> new, +15.00 EUR every month; "
        "other -> metered, change of price not known"
    )


@pytest.mark.parametrize(
    ("days", "amount"), [(0, "+5.00"), (-1, "+5.00"), (15, "+2.50"), (30, None), (31, None)]
)
def test_the_rest_of_the_period_is_prorated_to_the_second(days: int, amount: str | None) -> None:
    verdict = judged(subscription(price("old")), old=NEW)
    assert isinstance(verdict, Move)
    line = verdict.line(DEFAULT_START + timedelta(days=days), "create_prorations")
    told = None if "about" not in line else line.split("about ")[1].split(" EUR")[0]
    assert told == amount


def test_a_trial_prorates_nothing_and_a_cheaper_price_is_shown_as_such() -> None:
    verdict = judged(subscription(price("old", 2_000), status="trialing"), old=NEW)
    assert isinstance(verdict, Move)
    assert verdict.line(DEFAULT_START, "always_invoice").endswith("-5.00 EUR every month")
    strange = judged(
        subscription(price("old", 1_000, "xxx")),
        old=price("new", 1_500, "xxx"),
    )
    assert isinstance(strange, Move)
    assert "+500 XXX every month" in MovePlan(at=DEFAULT_START, moves=(strange,)).lines("none")[1]


def test_a_period_of_no_length_prorates_nothing() -> None:
    found = subscription(price("old"))
    found["items"]["data"][0]["current_period_end"] = START
    verdict = judged(found, old=NEW)
    assert isinstance(verdict, Move)
    assert verdict.items[0].prorated_minor(DEFAULT_START) is None
