"""What an account should have received: windows, coverage, trials, plans that change."""

from datetime import timedelta

import pytest

from gatekeeper.catalog import Terms
from gatekeeper.entitlements import Item, Override, PaidLine
from gatekeeper.entitlements.windows import MAX_WINDOWS
from gatekeeper.ledger import GrantKind, Target
from gatekeeper.types import UNLIMITED
from tests.entitlements.builders import (
    APRIL,
    BARE,
    DAY,
    FEBRUARY,
    FREE,
    HOUR,
    MARCH,
    NEXT_YEAR,
    PRO,
    START,
    Wallet,
    grant,
    item,
    line,
    paid_item,
    replace,
    state,
    terms,
    utc,
)

NOW = START + 3 * DAY
BASIC = terms("basic", grant(300, plan="basic"))


# -- the shape of a target ------------------------------------------------------------------------


def test_a_paid_month_is_one_target() -> None:
    due = Wallet().due(state(paid_item()), NOW)
    assert due.targets == (
        Target(
            series="si_1:every:credits",
            key="si_1:every:credits@2025-01-01T00:00:00+00:00",
            amount=1_000,
            window_start=START,
            window_end=FEBRUARY,
            expires_at=FEBRUARY + DAY,
        ),
    )
    assert due.ended == frozenset()


def test_what_the_terms_say_of_a_grant_reaches_the_target() -> None:
    plan = terms("pro", grant(7, rollover=3, priority=-2, on_cancel="keep"))
    (target,) = Wallet().due(state(paid_item(plan=plan)), NOW).targets
    assert (target.rollover, target.priority, target.on_cancel) == (3, -2, "keep")
    plan = terms("pro", grant(7, rollover=UNLIMITED))
    (target,) = Wallet().due(state(paid_item(plan=plan)), NOW).targets
    assert target.rollover is None


def test_an_unlimited_unit_mints_what_is_asked_for() -> None:
    known = state(paid_item(plan=terms("pro", grant(UNLIMITED))))
    (target,) = Wallet().due(known, NOW).targets
    assert target.mints
    assert target.amount is None
    assert Wallet().look(known, NOW) == -1


@pytest.mark.parametrize("bound", [None, 250])
def test_overage_is_a_minting_target_beside_the_grant(bound: int | None) -> None:
    plan = terms("pro", grant(10, overage="meter", overage_limit=bound, on_cancel="keep"))
    granted, overage = Wallet().due(state(paid_item(plan=plan)), NOW).targets
    assert granted.amount == 10
    assert not granted.mints
    assert granted.meter is None
    assert overage == Target(
        series="si_1:every:credits:overage",
        key="si_1:every:credits:overage@2025-01-01T00:00:00+00:00",
        amount=bound,
        kind=GrantKind.OVERAGE,
        window_start=START,
        window_end=FEBRUARY,
        expires_at=FEBRUARY + DAY,
        mints=True,
        meter="meter",
    )


def test_only_the_unit_that_is_asked_for_counts() -> None:
    plan = terms("pro", grant(10), grant(3, unit="exports"))
    (target,) = Wallet(unit="exports").due(state(paid_item(plan=plan)), NOW).targets
    assert (target.series, target.amount) == ("si_1:every:exports", 3)
    assert Wallet(unit="masters").due(state(paid_item(plan=plan)), NOW).targets == ()


def test_each_item_has_a_series_of_its_own() -> None:
    assert Wallet().look(state(paid_item("si_1"), paid_item("si_2")), NOW) == 2_000


# -- coverage -------------------------------------------------------------------------------------


def test_access_without_a_paid_line_grants_nothing() -> None:
    assert Wallet().look(state(item()), NOW) == 0


def test_a_line_of_zero_and_one_that_was_paid_out_of_band_count() -> None:
    assert Wallet().look(state(item(lines=[line(amount=0)])), NOW) == 1_000


def test_an_empty_line_covers_nothing() -> None:
    assert Wallet().look(state(item(lines=[line(START, START)])), NOW) == 0
    moment = line(NOW, NOW, PRO, proration=True)
    basic = paid_item(plan=BASIC)
    known = state(replace(basic, terms=PRO, paid_lines=(*basic.paid_lines, moment)))
    assert Wallet().look(known, NOW) == 300


def test_the_quantity_that_was_paid_for_counts_not_the_present_one() -> None:
    plan = terms("team", grant(100, per_quantity=True))
    paid = line(plan=plan, quantity=3)
    assert Wallet().look(state(item(plan=plan, quantity=10, lines=[paid])), NOW) == 300


def test_a_line_that_has_not_begun_covers_nothing_yet() -> None:
    coming = item(lines=[line(FEBRUARY, MARCH)])
    assert Wallet().look(state(coming), NOW) == 0
    assert Wallet().look(state(coming), FEBRUARY) == 1_000
    in_mid_window = item(lines=[line(START + 10 * DAY, FEBRUARY)])
    assert Wallet().look(state(in_mid_window), NOW) == 0
    assert Wallet().look(state(in_mid_window), START + 10 * DAY) == 1_000
    december = utc("2024-12-01T00:00")
    lines = [line(december, START), line(START + 10 * DAY, FEBRUARY)]
    with_a_gap = state(item(start=december, lines=lines))
    assert Wallet().look(with_a_gap, NOW) == 0
    assert Wallet().look(with_a_gap, START + 10 * DAY) == 1_000


def test_windows_of_a_day_inside_a_paid_month() -> None:
    plan = terms("pro", grant(10, "day"))
    wallet, known = Wallet(), state(paid_item(plan=plan))
    assert wallet.look(known, NOW) == 10
    wallet.spend(known, 4, NOW)
    assert wallet.look(known, NOW + 23 * HOUR) == 6
    assert wallet.look(known, NOW + DAY) == 10
    assert wallet.look(known, FEBRUARY + DAY) == 0


def test_months_of_a_yearly_price_come_due_one_by_one() -> None:
    year = item(end=NEXT_YEAR, lines=[line(START, NEXT_YEAR)])
    wallet = Wallet()
    assert wallet.look(state(year), START) == 1_000
    assert wallet.look(state(year), FEBRUARY - HOUR) == 1_000
    assert wallet.look(state(year), FEBRUARY) == 1_000
    assert wallet.look(state(year), MARCH) == 1_000
    assert wallet.granted == 3_000
    december = utc("2025-12-15T00:00")
    assert wallet.look(state(year), december) == 1_000
    assert wallet.look(state(year), NEXT_YEAR + 2 * HOUR) == 1_000
    assert wallet.look(state(year), NEXT_YEAR + DAY) == 0


def test_case_62_a_year_that_was_refunded_grants_no_further_months() -> None:
    bought = item(end=NEXT_YEAR, lines=[line(START, NEXT_YEAR)])
    wallet = Wallet()
    assert wallet.look(state(bought), FEBRUARY) == 1_000
    gone = replace(bought, paid_lines=())
    assert wallet.look(state(gone), MARCH + HOUR) == 1_000
    assert wallet.look(state(gone), MARCH + DAY) == 0
    cut = replace(bought, paid_lines=(line(START, FEBRUARY + 3 * DAY),))
    assert Wallet().look(state(cut), FEBRUARY + 2 * DAY) == 1_000
    assert Wallet().look(state(cut), MARCH + 2 * DAY) == 0


def test_case_30_windows_of_the_31st_follow_stripe_through_february() -> None:
    start, end = utc("2025-01-31T10:00"), utc("2025-02-28T10:00")
    march = utc("2025-03-31T10:00")
    paid = [line(start, end), line(end, march)]
    known = state(item(start=start, end=march, lines=paid))
    wallet = Wallet()
    assert wallet.look(known, start) == 1_000
    assert wallet.due(known, end - HOUR).targets[0].window_end == end
    assert wallet.look(known, end) == 1_000
    assert wallet.granted == 2_000
    assert wallet.due(known, march - HOUR).targets[0].window_end == march


# -- renewals, suspension, the end ----------------------------------------------------------------


def test_case_48_a_drafted_renewal_grants_nothing_and_the_rest_lives_on_for_a_day() -> None:
    renewed = paid_item()
    renewed = replace(renewed, period_start=FEBRUARY, period_end=MARCH)
    wallet = Wallet()
    wallet.spend(state(renewed), 400, NOW)
    assert wallet.look(state(renewed), FEBRUARY + HOUR) == 600
    assert wallet.look(state(renewed), FEBRUARY + DAY - HOUR) == 600
    paid = replace(renewed, paid_lines=(*renewed.paid_lines, line(FEBRUARY, MARCH)))
    other = Wallet()
    other.spend(state(renewed), 400, NOW)
    assert other.look(state(paid), FEBRUARY + HOUR) == 1_000
    assert wallet.look(state(renewed), FEBRUARY + DAY) == 0


def test_case_48_the_grace_is_there_for_who_has_never_looked() -> None:
    known = state(paid_item())
    assert Wallet().look(known, FEBRUARY + HOUR) == 1_000
    assert Wallet().look(known, FEBRUARY + DAY) == 0
    assert Wallet().due(known, FEBRUARY + DAY).targets == ()
    looked = Wallet()
    looked.look(known, FEBRUARY + HOUR)
    assert looked.look(known, FEBRUARY + 2 * HOUR) == 1_000
    assert looked.granted == 1_000


def test_a_month_that_is_paid_late_in_the_next_one_is_not_granted_after_its_end() -> None:
    unpaid, wallet = state(item()), Wallet(FREE)
    wallet.look(unpaid, FEBRUARY + HOUR)
    assert wallet.look(state(paid_item()), FEBRUARY + 2 * HOUR) == 5


def test_case_22_a_suspended_item_grants_nothing_new_and_takes_nothing_away() -> None:
    wallet = Wallet()
    wallet.look(state(paid_item()), NOW)
    for status in ("unpaid", "paused", "incomplete", "past_due"):
        late = replace(paid_item(), status=status, unpaid_since=START - 30 * DAY)
        assert Wallet().look(state(late), NOW) == 0
        assert Wallet().due(state(late), NOW).ended == frozenset()
        assert wallet.look(state(late), NOW + HOUR) == 1_000
    in_grace = replace(paid_item(), status="past_due", unpaid_since=NOW)
    assert Wallet().look(state(in_grace), NOW) == 1_000


def test_case_24_paused_collection_grants_nothing_by_default() -> None:
    assert Wallet().look(state(paid_item(collection_paused=True)), NOW) == 0


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired", "active"])
def test_case_20_the_end_of_a_subscription_expires_its_grants_alone(status: str) -> None:
    wallet = Wallet()
    wallet.look(state(paid_item("si_1"), paid_item("si_2")), NOW)
    over = paid_item("si_1", status=status, ended_at=NOW)
    known = state(over, paid_item("si_2"))
    assert wallet.due(known, NOW).ended == {"si_1:every:credits", "si_1:every:credits:overage"}
    assert wallet.look(known, NOW) == 1_000


def test_what_is_kept_at_the_end_lives_to_the_end_of_its_window() -> None:
    plan = terms("pro", grant(1_000, on_cancel="keep", overage="meter"))
    over = paid_item(plan=plan, status="canceled", ended_at=NOW)
    looked = Wallet(unit="credits")
    looked.look(state(paid_item(plan=plan)), NOW - DAY)
    for wallet in (looked, Wallet()):
        due = wallet.due(state(over), NOW + DAY)
        assert [target.series for target in due.targets] == ["si_1:every:credits"]
        assert wallet.look(state(over), NOW + DAY) == 1_000
        assert wallet.granted == 1_000
        assert wallet.look(state(over), FEBRUARY) == 0
        assert Wallet().due(state(over), FEBRUARY).targets == ()


def test_what_is_kept_is_what_was_due_before_the_end() -> None:
    plan = terms("pro", grant(1_000, on_cancel="keep"))
    paid = [line(START, NEXT_YEAR, plan)]
    over = item(plan=plan, status="canceled", ended_at=NOW, lines=paid)
    assert Wallet().look(state(over), FEBRUARY) == 0
    unknown_end = item(plan=plan, status="canceled", lines=paid)
    assert Wallet().look(state(unknown_end), NOW) == 0


def test_cancel_at_period_end_grants_to_the_end_and_no_further() -> None:
    paid = [line(START, NEXT_YEAR)]
    leaving = state(item(cancel_at=FEBRUARY, lines=paid))
    wallet = Wallet()
    assert wallet.look(leaving, FEBRUARY - HOUR) == 1_000
    assert wallet.due(leaving, FEBRUARY).targets == ()
    assert wallet.due(leaving, FEBRUARY).ended == frozenset()


# -- changes of plan ------------------------------------------------------------------------------


def test_an_upgrade_grants_the_difference_once_its_proration_is_paid() -> None:
    middle = START + 15 * DAY
    basic, wallet = paid_item(plan=BASIC), Wallet()
    wallet.spend(state(basic), 250, NOW)
    upgraded = replace(basic, terms=PRO)
    assert wallet.look(state(upgraded), middle) == 50
    raise_ = line(middle, FEBRUARY, PRO, proration=True, amount=400)
    credit = line(middle, FEBRUARY, BASIC, proration=True, amount=-150)
    paid = replace(upgraded, paid_lines=(*basic.paid_lines, credit, raise_))
    assert wallet.look(state(paid), middle + HOUR) == 750
    assert wallet.look(state(paid), middle + 2 * HOUR) == 750
    assert wallet.granted == 1_000
    assert Wallet().look(state(paid), middle - HOUR) == 300
    # A proration extends nothing.
    long = replace(raise_, end=APRIL)
    known = state(replace(paid, paid_lines=(*basic.paid_lines, long)))
    assert Wallet().look(known, MARCH) == 0


def test_a_proration_of_nothing_raises_nothing() -> None:
    free_change = line(NOW, FEBRUARY, PRO, proration=True, amount=0)
    basic = paid_item(plan=BASIC)
    known = state(replace(basic, paid_lines=(*basic.paid_lines, free_change)))
    assert Wallet().look(known, NOW) == 300


def test_an_upgrade_can_bring_a_unit_that_the_old_plan_did_not_have() -> None:
    bare = paid_item(plan=BARE)
    raise_ = line(NOW, FEBRUARY, PRO, proration=True)
    known = state(replace(bare, terms=PRO, paid_lines=(*bare.paid_lines, raise_)))
    assert Wallet().look(known, NOW) == 1_000


def test_an_upgrade_to_no_bound_and_back() -> None:
    wallet, basic = Wallet(), paid_item(plan=BASIC)
    wallet.spend(state(basic), 300, NOW)
    raise_ = line(NOW, FEBRUARY, terms("all", grant(UNLIMITED)), proration=True)
    known = state(replace(basic, paid_lines=(*basic.paid_lines, raise_)))
    assert wallet.look(known, NOW + HOUR) == -1
    assert wallet.look(state(basic), NOW + 2 * HOUR) == -1


def test_a_downgrade_waits_for_the_next_window() -> None:
    downgraded = replace(paid_item(), terms=BASIC)
    wallet = Wallet()
    assert wallet.look(state(downgraded), NOW) == 1_000
    renewed = replace(downgraded, paid_lines=(*downgraded.paid_lines, line(FEBRUARY, MARCH, BASIC)))
    assert wallet.look(state(renewed), FEBRUARY) == 300


def test_a_downgrade_inside_a_paid_year_follows_from_the_next_month_on() -> None:
    year = item(end=NEXT_YEAR, lines=[line(START, NEXT_YEAR)])
    wallet = Wallet()
    assert wallet.look(state(year), FEBRUARY) == 1_000
    lower = state(replace(year, terms=BASIC))
    assert wallet.look(lower, FEBRUARY + DAY) == 1_000
    assert wallet.look(lower, MARCH) == 300
    assert Wallet().look(state(replace(year, terms=None)), MARCH) == 0
    # Where the present terms count by another cadence, there is nothing to compare.
    weekly = terms("weekly", grant(100, "week"))
    assert Wallet().look(state(replace(year, terms=weekly)), MARCH) == 1_000


def test_an_upgrade_inside_a_paid_year_holds_for_the_months_to_come() -> None:
    bought = line(START, NEXT_YEAR, BASIC)
    raise_ = line(FEBRUARY + DAY, NEXT_YEAR, PRO, proration=True)
    known = state(item(end=NEXT_YEAR, lines=[bought, raise_]))
    wallet = Wallet()
    assert wallet.look(known, FEBRUARY) == 300
    assert wallet.look(known, FEBRUARY + DAY) == 1_000
    assert wallet.look(known, MARCH) == 1_000


def test_a_grant_that_comes_with_a_new_period_does_not_wait_for_its_grid() -> None:
    """Weeks are counted from 1 January, and 1 February is in the middle of one."""
    weekly = terms("weekly", grant(100, "week"))
    lines = [line(plan=BARE), line(FEBRUARY, MARCH, weekly)]
    known = state(item(plan=weekly, lines=lines))
    assert Wallet().look(known, FEBRUARY - HOUR) == 0
    (target,) = Wallet().due(known, FEBRUARY).targets
    assert (target.window_start, target.window_end) == (FEBRUARY, FEBRUARY + 4 * DAY)


def test_a_change_of_cadence_waits_for_the_next_period() -> None:
    weekly = terms("weekly", grant(100, "week"))
    changed = replace(paid_item(), terms=weekly)
    raise_ = line(NOW, FEBRUARY, weekly, proration=True)
    known = state(replace(changed, paid_lines=(*changed.paid_lines, raise_)))
    wallet = Wallet()
    assert wallet.look(known, NOW) == 1_000
    assert wallet.look(known, NOW + 14 * DAY) == 1_000
    renewed = state(
        replace(changed, paid_lines=(*changed.paid_lines, line(FEBRUARY, MARCH, weekly)))
    )
    assert wallet.look(renewed, FEBRUARY + DAY) == 100
    more = terms("more", grant(5_000, "week"))
    early = replace(paid_item(), paid_lines=(line(), line(FEBRUARY, MARCH, more)))
    assert Wallet().look(state(early), NOW) == 1_000


def test_an_item_that_was_added_in_mid_period_has_its_part_of_the_window() -> None:
    """Its first line is a proration: there is no other that could cover it."""
    middle = START + 15 * DAY
    first = line(middle, FEBRUARY, PRO, item_id="si_2", proration=True, amount=480)
    added = item("si_2", start=middle + timedelta(seconds=1), anchor=START, lines=[first])
    (target,) = Wallet().due(state(added), middle + DAY).targets
    assert target.window_start == middle + timedelta(seconds=1)
    assert target.window_end == FEBRUARY
    assert target.key.endswith("@2025-01-01T00:00:00+00:00")
    assert Wallet().look(state(added), middle) == 0
    wallet = Wallet()
    assert wallet.look(state(added), middle + DAY) == 1_000
    next_month = line(FEBRUARY, MARCH, PRO, item_id="si_2")
    both = state(replace(added, paid_lines=(first, next_month)))
    assert wallet.look(both, FEBRUARY) == 1_000
    assert wallet.granted == 2_000
    assert Wallet().look(both, middle + DAY) == 1_000


def test_the_first_part_up_to_an_anchor_in_the_future_is_a_window_of_its_own() -> None:
    begin = START + 19 * DAY
    stub = item(start=begin, anchor=FEBRUARY, lines=[line(begin, FEBRUARY, amount=390)])
    wallet = Wallet()
    assert wallet.look(state(stub), begin) == 1_000
    (target,) = wallet.due(state(stub), begin).targets
    assert (target.window_start, target.window_end) == (begin, FEBRUARY)
    full = replace(stub, paid_lines=(*stub.paid_lines, line(FEBRUARY, MARCH)))
    wallet.spend(state(stub), 1_000, begin + DAY)
    assert wallet.look(state(full), FEBRUARY) == 1_000


def test_a_moved_anchor_grants_nothing_that_the_new_period_has_not_paid_for() -> None:
    """Monthly to yearly in mid-month: Stripe moves the anchor at once, the payment may fail."""
    moved = START + 19 * DAY
    monthly, wallet = paid_item(), Wallet()
    wallet.spend(state(monthly), 900, NOW)
    yearly_end = utc("2026-01-20T00:00")
    unpaid = replace(monthly, anchor=moved, period_start=moved, period_end=yearly_end)
    assert wallet.look(state(unpaid), moved + HOUR) == 100
    assert Wallet().look(state(unpaid), moved + HOUR) == 0
    paid = replace(unpaid, paid_lines=(*monthly.paid_lines, line(moved, yearly_end)))
    assert wallet.look(state(paid), moved + HOUR) == 1_000
    (target,) = wallet.due(state(paid), moved + HOUR).targets
    assert (target.window_start, target.window_end) == (moved, utc("2025-02-20T00:00"))


def test_nor_does_it_grant_the_window_before_anew() -> None:
    """By the new anchor, a window began on 20 December: in a month that was paid for, and which
    granted its own."""
    moved = START + 19 * DAY
    december = utc("2024-12-01T00:00")
    lines = [line(december, START), line(START, FEBRUARY)]
    unpaid = item(start=december, anchor=moved, lines=lines)
    assert Wallet().due(state(unpaid), moved + HOUR).targets == ()


def test_a_raise_of_the_old_period_does_not_reach_over_a_moved_anchor() -> None:
    moved = START + 19 * DAY
    lines = [
        line(START, FEBRUARY, BASIC),
        line(NOW, FEBRUARY, PRO, proration=True),
        line(moved, NEXT_YEAR, BASIC),
    ]
    for present in (BASIC, PRO):  # back on pro, but that was not paid for
        known = state(item(plan=present, anchor=moved, lines=lines))
        assert Wallet().look(known, moved + DAY) == 300


# -- trials ---------------------------------------------------------------------------------------

TRIAL_END = START + 14 * DAY
TRIED = terms("pro", grant(1_000, trial=20))
NOT_TRIED = terms("pro", grant(1_000))


def trial_line() -> PaidLine:
    return line(START, TRIAL_END, TRIED, amount=0)


def test_case_23_a_trial_grants_what_it_says_and_its_invoice_of_zero_no_more() -> None:
    trial = item(
        plan=TRIED,
        status="trialing",
        end=TRIAL_END,
        anchor=TRIAL_END,
        trial_end=TRIAL_END,
        lines=[trial_line()],
    )
    wallet = Wallet()
    (target,) = wallet.due(state(trial), NOW).targets
    assert (target.amount, target.kind) == (20, GrantKind.TRIAL)
    assert (target.window_start, target.window_end) == (START, TRIAL_END)
    assert wallet.look(state(trial), NOW) == 20
    wallet.spend(state(trial), 15, NOW)
    # Stripe needs an hour to collect the first payment.
    active = replace(trial, status="active")
    assert wallet.look(state(active), TRIAL_END + HOUR) == 5
    # No card: paused, nothing new; then resumed and paid.
    paused = replace(trial, status="paused")
    assert wallet.look(state(paused), TRIAL_END + 2 * HOUR) == 5
    assert Wallet().look(state(paused), TRIAL_END + 2 * HOUR) == 0
    end = utc("2025-02-15T00:00")
    paid = replace(active, paid_lines=(trial_line(), line(TRIAL_END, end, TRIED)))
    assert wallet.look(state(paid), TRIAL_END + 3 * HOUR) == 1_000
    assert wallet.look(state(paid), TRIAL_END + DAY) == 1_000


def test_case_23_a_trial_that_was_ended_early_is_not_a_free_month() -> None:
    """The line of $0 was written for 14 days, and the trial ended after three."""
    ended = replace(
        item(plan=TRIED, anchor=NOW, trial_end=NOW, lines=[trial_line()]), status="active"
    )
    assert Wallet().look(state(ended), NOW + HOUR) == 20
    assert Wallet().look(state(ended), NOW + DAY) == 0
    paid = replace(ended, paid_lines=(trial_line(), line(NOW, FEBRUARY + 3 * DAY, TRIED)))
    assert Wallet().look(state(paid), NOW + HOUR) == 1_000


def test_a_trial_that_is_extended_does_not_grant_again() -> None:
    trial = item(
        plan=TRIED, status="trialing", anchor=TRIAL_END, trial_end=TRIAL_END, lines=[trial_line()]
    )
    wallet = Wallet()
    wallet.spend(state(trial), 20, NOW)
    later = TRIAL_END + 7 * DAY
    assert wallet.look(state(replace(trial, anchor=later, trial_end=later)), NOW + DAY) == 0


def test_a_trial_without_trial_grants_leaves_the_default_plans() -> None:
    monthly = terms("free", grant(5, plan="free"))
    trial = item(plan=NOT_TRIED, status="trialing", anchor=TRIAL_END, trial_end=TRIAL_END)
    assert Wallet(monthly).look(state(trial), NOW) == 5
    granting = replace(trial, terms=TRIED)
    assert Wallet(monthly).look(state(granting), NOW) == 20


def test_a_long_trial_grants_in_each_of_its_windows() -> None:
    plan = terms("pro", grant(1_000, "week", trial=20))
    trial = item(plan=plan, status="trialing", anchor=TRIAL_END, trial_end=TRIAL_END + 3 * DAY)
    wallet = Wallet()
    for week in range(3):
        assert wallet.look(state(trial), START + week * 7 * DAY) == 20
    assert wallet.granted == 60
    assert wallet.due(state(trial), START + 15 * DAY).targets[0].window_end == TRIAL_END + 3 * DAY


def test_a_trial_has_no_overage() -> None:
    plan = terms("pro", grant(1_000, trial=20, overage="meter"))
    trial = item(plan=plan, status="trialing", anchor=TRIAL_END, trial_end=TRIAL_END)
    (target,) = Wallet().due(state(trial), NOW).targets
    assert target.kind is GrantKind.TRIAL


def test_a_trial_can_be_without_bound() -> None:
    plan = terms("pro", grant(1_000, trial=UNLIMITED))
    trial = item(plan=plan, status="trialing", anchor=TRIAL_END, trial_end=TRIAL_END)
    assert Wallet().look(state(trial), NOW) == -1


def test_a_coupon_of_everything_after_the_trial_is_a_purchase() -> None:
    paid = item(
        plan=TRIED,
        anchor=TRIAL_END,
        trial_end=TRIAL_END,
        lines=[line(TRIAL_END, FEBRUARY, TRIED, amount=0)],
    )
    assert Wallet().look(state(paid), TRIAL_END) == 1_000


def test_a_trial_set_into_a_paid_period_takes_nothing_away() -> None:
    wallet = Wallet()
    wallet.look(state(paid_item()), NOW)
    later = FEBRUARY + 9 * DAY
    moved = replace(paid_item(), status="trialing", anchor=later, trial_end=later)
    assert wallet.look(state(moved), NOW + HOUR) == 1_000
    assert wallet.granted == 1_000


# -- grants that are made once --------------------------------------------------------------------


def test_the_default_plan_grants_once_at_the_sign_up_whatever_else_there_is() -> None:
    wallet = Wallet(FREE)
    assert wallet.look(state(), START) == 5
    (target,) = wallet.due(state(), START).targets
    assert target == Target(series="once:free:credits", key="once:free:credits", amount=5)
    assert wallet.look(state(paid_item()), NOW) == 1_005
    assert wallet.look(state(), utc("2031-01-01T00:00")) == 5
    assert wallet.granted == 1_005


def test_a_grant_made_once_expires_by_its_own_days() -> None:
    free = terms("free", grant(5, "once", plan="free", expires_after_days=10))
    assert Wallet(free).look(state(), START + 10 * DAY - HOUR) == 5
    assert Wallet(free).due(state(), START).targets[0].expires_at == START + 10 * DAY
    assert Wallet(free).due(state(), START + 10 * DAY).targets == ()


BONUS = terms("pro", grant(100, "once", trial=10, expires_after_days=30))


def test_a_bonus_is_due_from_the_first_paid_line_on_and_never_again() -> None:
    wallet = Wallet()
    assert wallet.due(state(item(plan=BONUS)), NOW).targets == ()
    coming = item(plan=BONUS, lines=[line(FEBRUARY, MARCH, BONUS)])
    assert wallet.due(state(coming), NOW).targets == ()
    known = state(paid_item(plan=BONUS))
    assert wallet.look(known, NOW) == 100
    assert wallet.due(known, NOW).targets[0].expires_at == START + 30 * DAY
    again = paid_item("si_2", BONUS, start=FEBRUARY, end=MARCH)
    assert wallet.look(state(again), FEBRUARY) == 0
    assert wallet.granted == 100


def test_two_items_of_a_plan_give_its_bonus_once_and_the_larger_one() -> None:
    per_seat = terms("pro", grant(100, "once", per_quantity=True))
    one, three = paid_item("si_1", per_seat), paid_item("si_2", per_seat, quantity=3)
    for known in (state(one, three), state(three, one)):
        assert Wallet().look(known, NOW) == 300
    assert Wallet().look(state(three, replace(one, id="si_3")), NOW) == 300
    wallet = Wallet()
    assert wallet.look(state(one), NOW) == 100
    assert wallet.look(state(one, three), NOW + HOUR) == 300


def test_a_bonus_can_be_without_bound() -> None:
    plan = terms("pro", grant(UNLIMITED, "once"))
    assert Wallet().look(state(paid_item(plan=plan), paid_item("si_2", BONUS)), NOW) == -1


def test_a_trial_gives_its_part_of_a_bonus_and_the_payment_the_rest() -> None:
    trial = item(plan=BONUS, status="trialing", anchor=TRIAL_END, trial_end=TRIAL_END)
    wallet = Wallet()
    (target,) = wallet.due(state(trial), NOW).targets
    assert (target.amount, target.kind) == (10, GrantKind.TRIAL)
    assert target.expires_at == START + 30 * DAY
    assert wallet.look(state(trial), NOW) == 10
    paid = replace(trial, status="active", paid_lines=(line(TRIAL_END, FEBRUARY, BONUS),))
    assert wallet.look(state(paid), TRIAL_END) == 100
    assert Wallet().due(state(trial), TRIAL_END).targets == ()
    none = replace(trial, terms=terms("pro", grant(100, "once")))
    assert Wallet().due(state(none), NOW).targets == ()


def test_the_end_takes_a_bonus_unless_it_is_kept_or_comes_from_elsewhere_too() -> None:
    def gone(plan: Terms) -> Item:
        return paid_item(plan=plan, status="canceled", ended_at=NOW + DAY)

    wallet = Wallet()
    wallet.look(state(paid_item(plan=BONUS)), NOW)
    over = gone(BONUS)
    assert wallet.due(state(over), NOW + DAY).ended == {"once:pro:credits"}
    assert wallet.look(state(over, paid_item("si_2", BONUS)), NOW + DAY) == 100
    assert wallet.look(state(over), NOW + DAY) == 0
    assert Wallet().look(state(over), NOW + DAY) == 0
    kept = gone(terms("pro", grant(100, "once", on_cancel="keep")))
    assert Wallet().look(state(kept), NOW + 300 * DAY) == 100
    assert Wallet(BONUS).due(state(over), NOW + DAY).ended == frozenset()


# -- the default plan's recurring grants ----------------------------------------------------------

MONTHLY_FREE = terms("free", grant(5, plan="free"), grant(2, plan="free", unit="exports"))


def test_the_default_plans_windows_begin_with_the_customer() -> None:
    created = utc("2025-01-20T13:00")
    known = state(created=created)
    (target,) = Wallet(MONTHLY_FREE).due(known, created).targets
    assert target.series == "default:every:credits"
    assert target.key == "default:every:credits@2025-01-20T13:00:00+00:00"
    assert target.window_end == utc("2025-02-20T13:00")
    assert Wallet(MONTHLY_FREE).due(known, created - HOUR).targets == ()


def test_or_follow_the_calendar_where_that_is_set() -> None:
    known = state(created=utc("2025-01-20T13:00"))
    wallet = Wallet(MONTHLY_FREE, calendar_windows=True)
    (target,) = wallet.due(known, utc("2025-01-25T00:00")).targets
    assert target.window_start == known.created_at
    assert target.window_end == FEBRUARY
    assert wallet.look(known, utc("2025-01-25T00:00")) == 5
    assert wallet.look(known, FEBRUARY) == 5
    assert wallet.granted == 10
    weekly = Wallet(terms("free", grant(5, "week", plan="free")), calendar_windows=True)
    (target,) = weekly.due(known, utc("2025-02-06T10:00")).targets
    assert target.window_start == utc("2025-02-03T00:00")  # a Monday


def test_a_paid_plan_takes_the_place_of_the_default_for_the_units_that_it_grants() -> None:
    known = state(paid_item())
    assert Wallet(MONTHLY_FREE).look(known, NOW) == 1_000
    assert Wallet(MONTHLY_FREE, "exports").look(known, NOW) == 2
    late = state(replace(paid_item(), status="unpaid"))
    assert Wallet(MONTHLY_FREE).look(late, NOW) == 5
    none_of_it = terms("team", grant(10, per_quantity=True))
    assert Wallet(MONTHLY_FREE).look(state(item(plan=none_of_it, quantity=0)), NOW) == 5


def test_the_default_comes_back_after_the_paid_plan_and_not_twice_in_a_window() -> None:
    wallet = Wallet(MONTHLY_FREE)
    assert wallet.look(state(), START) == 5
    assert wallet.look(state(paid_item()), NOW) == 1_005
    over = state(paid_item(status="canceled", ended_at=NOW + DAY))
    assert wallet.look(over, NOW + DAY) == 5
    assert wallet.look(over, FEBRUARY) == 5


# -- gifts ----------------------------------------------------------------------------------------


def test_a_gift_grants_as_its_plan_does() -> None:
    gift = Override(kind="plan", key="pro", expires_at=FEBRUARY + 3 * DAY)
    known = state(overrides=(gift,))
    plan = terms("pro", grant(1_000), grant(50, "once"))
    wallet = Wallet(MONTHLY_FREE, terms_of={"pro": plan})
    assert wallet.look(known, NOW) == 1_050
    assert wallet.look(known, FEBRUARY) == 1_050
    assert wallet.granted == 2_050
    assert wallet.look(known, FEBRUARY + 3 * DAY) == 5
    assert wallet.due(known, FEBRUARY + 3 * DAY).ended == {
        "gift:pro:every:credits",
        "gift:pro:every:credits:overage",
        "once:pro:credits",
    }


def test_other_overrides_and_unknown_gifts_grant_nothing() -> None:
    known = state(
        overrides=(
            Override(kind="plan", key="gold", expires_at=START),
            Override(kind="plan", key="silver"),
            Override(kind="feature", key="pro", expires_at=START),
        )
    )
    due = Wallet(BARE, terms_of={"pro": PRO}).due(known, NOW)
    assert due.targets == ()
    assert due.ended == frozenset()


# -- rollover -------------------------------------------------------------------------------------

ROLLING = terms("pro", grant(1_000, rollover=500))


def months(count: int) -> list[PaidLine]:
    starts = [utc(f"{2025 + n // 12}-{n % 12 + 1:02}-01T00:00") for n in range(count + 1)]
    return [line(starts[n], starts[n + 1], ROLLING) for n in range(count)]


def test_who_was_away_has_what_rolled_over() -> None:
    known = state(item(plan=ROLLING, lines=months(4)))
    assert Wallet().look(known, MARCH + DAY) == 1_500
    looked = Wallet()
    looked.spend(known, 700, NOW)
    assert looked.look(known, FEBRUARY + DAY) == 1_300
    assert looked.look(known, APRIL + DAY) == 1_500
    assert looked.granted == 1_000 + 1_300 + 1_500 + 1_500
    may = utc("2025-05-01T00:00")
    (april,) = looked.due(known, may - DAY).targets
    assert april.window_start == APRIL


def test_the_overage_of_windows_that_went_by_is_nobodys() -> None:
    plan = terms("pro", grant(10, rollover=5, overage="meter"))
    known = state(item(plan=plan, lines=[line(START, FEBRUARY, plan), line(FEBRUARY, MARCH, plan)]))
    kinds = [target.kind for target in Wallet().due(known, FEBRUARY + DAY).targets]
    assert kinds == [GrantKind.PLAN, GrantKind.PLAN, GrantKind.OVERAGE]


def test_the_window_of_the_last_change_is_caught_up_with_too() -> None:
    """A purchase is often paid some seconds after the window has begun."""
    wallet = Wallet(FREE)
    assert wallet.look(state(item(plan=ROLLING)), START + HOUR) == 5
    known = state(item(plan=ROLLING, lines=months(2)))
    assert wallet.look(known, FEBRUARY + DAY) == 5 + 1_500


def test_nothing_rolls_over_a_gap() -> None:
    paid = months(4)
    known = state(item(plan=ROLLING, lines=[paid[0], paid[2], paid[3]]))
    assert len(Wallet().due(known, MARCH + DAY).targets) == 2
    assert Wallet().look(known, MARCH + DAY) == 1_000
    assert Wallet().look(known, APRIL + DAY) == 1_500


def test_catching_up_is_bounded() -> None:
    hourly = terms("pro", grant(1, "hour", rollover=UNLIMITED))
    known = state(item(plan=hourly, lines=[line(START, NEXT_YEAR, hourly)]))
    assert len(Wallet().due(known, MARCH).targets) == MAX_WINDOWS
    assert Wallet().look(known, MARCH) == MAX_WINDOWS


def test_the_default_plan_rolls_over_too() -> None:
    free = terms("free", grant(5, plan="free", rollover=3))
    assert Wallet(free).look(state(), START) == 5
    assert Wallet(free).look(state(), MARCH) == 8
    assert len(Wallet(free).due(state(), MARCH).targets) == 3
