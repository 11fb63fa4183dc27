"""Status to access, the table of DESIGN section 6."""

from datetime import datetime, timedelta

import pytest

from gatekeeper.entitlements import Access, AccessPolicy, access_of, has_ended
from tests.entitlements.builders import DAY, FEBRUARY, POLICY, START, item

NOW = START + 3 * DAY


@pytest.mark.parametrize("status", ["trialing", "active"])
def test_trialing_and_active_have_access(status: str) -> None:
    assert access_of(item(status=status), POLICY, NOW) == Access(True, status)


@pytest.mark.parametrize(
    "status", ["unpaid", "incomplete", "incomplete_expired", "canceled", "paused"]
)
def test_the_others_have_none(status: str) -> None:
    assert access_of(item(status=status), POLICY, NOW) == Access(False, status)


@pytest.mark.parametrize("status", ["", "Active", "active ", "new_in_2031"])
def test_a_status_that_nobody_knows_has_none_and_says_so(status: str) -> None:
    assert access_of(item(status=status), POLICY, NOW) == Access(False, "unknown_status")


def test_past_due_has_access_from_the_oldest_unpaid_invoice_on_for_the_grace() -> None:
    late = item(status="past_due", unpaid_since=NOW)
    end = NOW + 7 * DAY
    assert access_of(late, POLICY, NOW) == Access(True, "past_due", end)
    assert access_of(late, POLICY, end - timedelta(microseconds=1)).allowed
    assert access_of(late, POLICY, end) == Access(False, "past_due_grace_over")
    none = AccessPolicy(past_due_grace=timedelta(0))
    assert access_of(late, none, NOW) == Access(False, "past_due_grace_over")


def test_past_due_counts_from_the_period_where_the_invoice_is_not_known_yet() -> None:
    late = item(status="past_due")
    assert access_of(late, POLICY, NOW) == Access(True, "past_due", START + 7 * DAY)


@pytest.mark.parametrize("status", ["active", "trialing", "past_due"])
def test_it_lasts_until_the_cancellation_that_was_asked_for(status: str) -> None:
    leaving = item(status=status, cancel_at=NOW + DAY, unpaid_since=NOW)
    assert access_of(leaving, POLICY, NOW) == Access(True, status, NOW + DAY)
    assert access_of(leaving, POLICY, NOW + DAY) == Access(False, "cancel_at_reached")
    assert not has_ended(leaving, NOW + DAY)


def test_past_due_ends_with_whatever_comes_first() -> None:
    leaving = item(status="past_due", cancel_at=NOW + 30 * DAY, unpaid_since=NOW)
    assert access_of(leaving, POLICY, NOW).until == NOW + 7 * DAY


def test_what_has_ended_is_over_whatever_its_status_says() -> None:
    removed = item(ended_at=NOW)
    assert access_of(removed, POLICY, NOW - DAY) == Access(True, "active", NOW)
    assert access_of(removed, POLICY, NOW) == Access(False, "ended")
    assert has_ended(removed, NOW)
    assert not has_ended(removed, NOW - DAY)
    assert access_of(item(status="canceled", ended_at=NOW), POLICY, NOW).reason == "canceled"
    assert has_ended(item(status="incomplete_expired"), NOW)


def test_case_24_paused_collection_is_a_setting() -> None:
    keep = AccessPolicy(pause_collection="keep")
    paused = item(collection_paused=True)
    assert access_of(paused, POLICY, NOW) == Access(False, "collection_paused")
    assert access_of(paused, keep, NOW) == Access(True, "active")
    for status in ("unpaid", "canceled", "paused", "incomplete"):
        assert not access_of(item(status=status, collection_paused=True), keep, NOW).allowed


def test_nothing_is_allowed_before_it_starts() -> None:
    coming = item(start=FEBRUARY)
    assert access_of(coming, POLICY, NOW) == Access(False, "not_started", FEBRUARY)
    assert access_of(coming, POLICY, FEBRUARY) == Access(True, "active")


@pytest.mark.parametrize("end", [FEBRUARY, FEBRUARY - DAY])
def test_what_ends_before_it_starts_never_starts(end: datetime) -> None:
    never = item(start=FEBRUARY, cancel_at=end)
    assert access_of(never, POLICY, NOW) == Access(False, "not_started")
