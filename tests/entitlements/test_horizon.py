"""Until when an account that was brought up to date stays so: each kind of instant by itself."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from gatekeeper.catalog import Terms
from gatekeeper.entitlements import AccessPolicy, CustomerState, Override
from tests.entitlements.builders import (
    APRIL,
    BARE,
    DAY,
    FEBRUARY,
    FREE,
    HOUR,
    MARCH,
    NEXT_YEAR,
    START,
    Wallet,
    grant,
    item,
    line,
    paid_item,
    state,
    terms,
    utc,
)

NOW = START + 3 * DAY
LATER = NOW + DAY
ONCE = terms("once", grant(5, "once", expires_after_days=10))
FOR_EVER = terms("once", grant(5, "once"))
MONTHLY_FREE = terms("free", grant(5, plan="free"))


def until(
    known: CustomerState, now: datetime = NOW, default: Terms = BARE, **options: Any
) -> datetime | None:
    return Wallet(default, **options).due(known, now).until


def test_what_no_time_changes_stays_for_ever() -> None:
    assert until(state()) is None
    assert until(state(), default=FREE) is None
    assert until(state(item(plan=None))) is None
    exports = terms("exports", grant(5, unit="exports"))
    assert until(state(item(plan=exports)), default=exports) is None


def test_the_customer_has_yet_to_come() -> None:
    assert until(state(created=LATER)) == LATER


@pytest.mark.parametrize("name", ["started_at", "trial_end", "ended_at", "cancel_at"])
def test_an_item_begins_or_ends(name: str) -> None:
    bought = item(plan=BARE)
    change: dict[str, Any] = {"start" if name == "started_at" else name: LATER}
    changed = item(plan=BARE, **change)
    assert until(state(bought)) is None
    assert until(state(changed)) == LATER
    assert until(state(changed), LATER) is None


def test_an_item_without_access_begins_and_ends_all_the_same() -> None:
    assert until(state(item(plan=BARE, status="unpaid", ended_at=LATER))) == LATER
    assert until(state(item(plan=BARE, status="unpaid", start=LATER))) == LATER


def test_the_grace_of_a_late_payment_is_over() -> None:
    late = state(item(plan=BARE, status="past_due", unpaid_since=NOW))
    policy = AccessPolicy(past_due_grace=2 * DAY)
    assert until(late, policy=policy) == NOW + 2 * DAY


@pytest.mark.parametrize("proration", [False, True])
def test_a_paid_line_begins_or_ends(proration: bool) -> None:
    """Its terms grant what is made once: there is no window."""
    paid = line(LATER, LATER + DAY, FOR_EVER, proration=proration)
    known = state(item(plan=FOR_EVER, lines=[paid]))
    assert until(known) == LATER
    assert until(known, LATER) == LATER + DAY
    assert until(known, LATER + DAY) is None


def test_a_window_begins_and_the_grace_of_the_last_one_ends() -> None:
    known = state(paid_item())
    assert until(known) == FEBRUARY
    assert until(known, FEBRUARY) == FEBRUARY + DAY
    assert until(known, FEBRUARY + DAY) == MARCH
    assert until(known, MARCH - timedelta(microseconds=1)) == MARCH
    no_grace = AccessPolicy(renewal_grace=timedelta(0))
    assert until(known, FEBRUARY, policy=no_grace) == MARCH


def test_the_cadence_of_a_line_counts_even_where_the_terms_have_changed() -> None:
    daily = terms("daily", grant(5, "day"))
    known = state(item(plan=BARE, lines=[line(START, MARCH, daily)]))
    assert until(known, START + 30 * HOUR) == START + 2 * DAY


def test_windows_of_a_trial_begin_with_the_item_and_end_with_the_trial() -> None:
    plan = terms("weekly", grant(5, "week", trial=3))
    trial_end = START + 9 * DAY
    known = state(item(plan=plan, status="trialing", trial_end=trial_end, anchor=trial_end))
    assert until(known) == START + 7 * DAY
    assert until(known, START + 8 * DAY) == trial_end
    assert until(known, trial_end) == trial_end + DAY


def test_a_trial_that_is_cut_has_its_grace() -> None:
    plan = terms("yearly", grant(5, "year", trial=3))
    known = state(item(plan=plan, status="trialing", trial_end=NOW, anchor=APRIL))
    assert until(known) == NOW + DAY


@pytest.mark.parametrize("bought", [False, True])
def test_what_was_made_once_expires(bought: bool) -> None:
    lines = [line(START + DAY, START + 2 * DAY, ONCE)] if bought else []
    known = state(item(plan=ONCE, lines=lines))
    assert until(known) == START + 10 * DAY  # of a trial, it would be
    assert until(known, START + 10 * DAY) == (START + 11 * DAY if bought else None)


def test_what_the_default_plan_made_once_expires() -> None:
    assert until(state(), default=ONCE) == START + 10 * DAY
    assert until(state(), START + 10 * DAY, ONCE) is None


def test_the_default_plans_windows_follow_the_customer_or_the_calendar() -> None:
    created = utc("2025-01-20T13:00")
    known = state(created=created)
    now = created + 2 * DAY
    assert until(known, now, MONTHLY_FREE) == utc("2025-02-20T13:00")
    assert until(known, now, MONTHLY_FREE, calendar_windows=True) == FEBRUARY
    assert until(known, FEBRUARY, MONTHLY_FREE, calendar_windows=True) == FEBRUARY + DAY


def test_a_gift_ends_and_so_do_its_windows() -> None:
    plan = terms("pro", grant(5), grant(9, "once", expires_after_days=2))
    gift = Override(kind="plan", key="pro", expires_at=LATER)
    known = state(overrides=(gift,))
    assert until(known, START, terms_of={"pro": plan}) == START + DAY  # grace of a window before
    assert until(known, START + DAY, terms_of={"pro": plan}) == START + 2 * DAY
    assert until(known, terms_of={"pro": plan}) == LATER
    assert until(known, LATER, terms_of={"pro": plan}) == FEBRUARY
    assert until(known) is None  # no such plan
    unending = state(overrides=(Override(kind="plan", key="pro"),))
    assert until(unending, terms_of={"pro": plan}) == FEBRUARY


def test_other_overrides_change_no_account() -> None:
    known = state(overrides=(Override(kind="feature", key="pro", expires_at=LATER),))
    assert until(known, terms_of={"pro": BARE}) is None


def test_a_yearly_price_with_monthly_credits_is_looked_at_every_month() -> None:
    plan = terms("pro", grant(10))
    known = state(item(plan=plan, lines=[line(START, NEXT_YEAR, plan)], end=NEXT_YEAR))
    assert until(known) == FEBRUARY
    assert until(known, utc("2025-12-15T00:00")) == NEXT_YEAR
