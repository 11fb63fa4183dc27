"""Which window of a unit runs, whether another follows it, and what is warned of."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gatekeeper.entitlements import AccessPolicy, CustomerState, Item, Override
from gatekeeper.ledger import Account
from gatekeeper.ledger.values import Received
from gatekeeper.services.standing import Running
from gatekeeper.services.standing.accounts import Turn, running_window
from gatekeeper.services.standing.warnings import warnings_of

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DAY = timedelta(days=1)
ITEM = Item(
    id="si_1",
    subscription_id="sub_1",
    status="active",
    price_id="price_1",
    quantity=1,
    terms=None,
    started_at=NOW - DAY,
    anchor=NOW - DAY,
    period_start=NOW - DAY,
    period_end=NOW + 30 * DAY,
)
STATE = CustomerState(customer="ada", created_at=NOW - 90 * DAY)


def window(source: str, days: int, begins: int = -1) -> tuple[str, Received]:
    series = f"{source}:every:credits"
    start = NOW + begins * DAY
    return f"{series}@{start.isoformat()}", Received(
        10, series=series, start=start, end=NOW + days * DAY
    )


@pytest.mark.parametrize(
    ("windows", "state", "wanted"),
    [
        ([], STATE, None),
        ([window("default", 3)], STATE, (3, True)),
        ([window("default", 3, begins=1)], STATE, None),
        ([window("default", 0)], STATE, None),
        ([window("si_1", 30)], replace(STATE, items=(ITEM,)), (30, True)),
        # what is left of the default plan's window beside the plan that took its place
        ([window("default", 3), window("si_1", 30)], replace(STATE, items=(ITEM,)), (30, True)),
        ([window("si_1:x", 30)], STATE, (30, False)),
        (
            [window("si_1", 30)],
            replace(STATE, items=(replace(ITEM, cancel_at=NOW + 30 * DAY),)),
            (30, False),
        ),
        (
            [window("si_1", 30), window("gift:pro", 40)],
            replace(
                STATE,
                items=(replace(ITEM, cancel_at=NOW + 30 * DAY),),
                overrides=(Override(kind="plan", key="pro"),),
            ),
            (40, True),
        ),
        (
            [window("gift:pro", 40)],
            replace(
                STATE, overrides=(Override(kind="plan", key="pro", expires_at=NOW + 40 * DAY),)
            ),
            (40, False),
        ),
        (
            [("si_1:every:credits:overage@x", replace(window("si_1", 9)[1], series="a:overage"))],
            STATE,
            None,
        ),
    ],
)
def test_the_window_that_renews_first_is_shown(
    windows: list[tuple[str, Received]], state: CustomerState, wanted: tuple[int, bool] | None
) -> None:
    account = Account("ada", "credits", received=dict(windows))
    found = running_window(account, state, AccessPolicy(), NOW)
    if wanted is None:
        assert found is None
    else:
        days, renews = wanted
        assert found == Turn(NOW - DAY, NOW + days * DAY, renews)


@pytest.mark.parametrize(
    ("running", "wanted"),
    [
        ({}, []),
        ({"collection_paused": True}, ["paused"]),
        ({"status": "paused"}, ["paused"]),
        ({"status": "incomplete"}, ["unpaid"]),
        ({"status": "unpaid"}, ["unpaid"]),
        ({"status": "past_due", "grace_until": NOW}, ["payment_failing"]),
        ({"status": "trialing", "trial_end": NOW + 4 * DAY}, []),
        ({"status": "trialing", "trial_end": NOW + 3 * DAY}, ["trial_ending"]),
        (
            {"status": "trialing", "trial_end": NOW + DAY, "cancel_at": NOW + DAY},
            ["cancel_scheduled"],
        ),
    ],
)
def test_a_subscription_is_warned_of(running: dict[str, Any], wanted: list[str]) -> None:
    plain = Running(id="sub_1", status="active", plans=("pro",), quantity=1, has_access=True)
    found = warnings_of([replace(plain, **running)], (), {}, {}, is_frozen=False, now=NOW)
    assert [one.kind for one in found] == wanted
