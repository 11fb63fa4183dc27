"""Faults in what is granted: burn order, windows, rollover, debt, what comes back late."""

from typing import Final

from tests.faults.fault import Fault

CLAWBACK: Final = "tests/ledger/test_clawback.py::"
ENGINE: Final = "tests/ledger/test_faults_engine.py::"
GIVEN: Final = "tests/ledger/test_given_and_taken.py::"
GRANTS: Final = "tests/ledger/test_grants.py::"
HOLDS: Final = "tests/ledger/test_holds.py::"
REFRESH: Final = "tests/ledger/test_refresh.py::"
RETURNS: Final = "tests/ledger/test_returns.py::"

GRANT_FAULTS: Final = (
    Fault(
        name="burn-priority-reversed",
        breaks="the lowest priority burns first",
        file="ledger/burn.py",
        source="        grant.priority,\n",
        wrong="        -grant.priority,\n",
        tests=(f"{GRANTS}test_a_hold_burns_by_priority_then_expiry_then_creation_then_id",),
    ),
    Fault(
        name="burn-expiry-ignored",
        breaks="of equal priority, what expires first burns first",
        file="ledger/burn.py",
        source="grant.expires_at or _NEVER,\n",
        wrong="_NEVER,\n",
        tests=(f"{GRANTS}test_a_hold_burns_by_priority_then_expiry_then_creation_then_id",),
    ),
    Fault(
        name="burn-order-not-total",
        breaks="the burn order is the same wherever grants are kept",
        file="ledger/burn.py",
        source="        grant.id,\n    )",
        wrong='        "",\n    )',
        tests=(f"{GRANTS}test_a_hold_burns_by_priority_then_expiry_then_creation_then_id",),
    ),
    Fault(
        name="overage-burned-first",
        breaks="overage burns last, whatever its priority",
        file="ledger/burn.py",
        source="        grant.meter is not None,\n",
        wrong="        grant.meter is None,\n",
        tests=(f"{GRANTS}test_overage_burns_last_whatever_its_priority",),
    ),
    Fault(
        name="grant-spent-at-its-expiry",
        breaks="nothing is claimed of a grant at the instant of its expiry",
        file="ledger/burn.py",
        source="        if grant.expires_at is not None and grant.expires_at <= now:",
        wrong="        if grant.expires_at is not None and grant.expires_at < now:",
        tests=(f"{GRANTS}test_what_has_expired_can_not_be_spent_even_before_a_refresh",),
    ),
    Fault(
        name="grant-shown-at-its-expiry",
        breaks="a balance counts no grant at the instant of its expiry",
        file="ledger/burn.py",
        source="    return grant.expires_at is not None and grant.expires_at <= now",
        wrong="    return grant.expires_at is not None and grant.expires_at < now",
        tests=(f"{GRANTS}test_a_balance_tells_apart_what_is_there_and_what_is_billed_later",),
    ),
    Fault(
        name="grant-outlives-its-expiry",
        breaks="a grant ends at the instant of its expiry",
        file="ledger/allotments.py",
        source="    if grant.expires_at is not None and grant.expires_at <= now:",
        wrong="    if grant.expires_at is not None and grant.expires_at < now:",
        tests=(f"{REFRESH}test_a_refresh_expires_what_was_bought_when_its_time_is_over",),
    ),
    Fault(
        name="window-granted-in-full-again",
        breaks="a raised target grants the difference alone",
        file="ledger/allotments.py",
        source="    amount = None if target.amount is None else target.amount - already",
        wrong="    amount = target.amount",
        tests=(f"{REFRESH}test_a_raised_target_grants_the_difference",),
    ),
    Fault(
        name="window-overtaken-granted",
        breaks="a series only moves forward",
        file="ledger/allotments.py",
        source="target.window_start <= latest",
        wrong="target.window_start < latest",
        tests=(f"{REFRESH}test_a_series_only_moves_forward",),
    ),
    Fault(
        name="rollover-uncapped",
        breaks="a rollover carries at most its cap",
        file="ledger/allotments.py",
        source="    return left if target.rollover is None else min(left, target.rollover)",
        wrong="    return left",
        tests=(f"{REFRESH}test_a_rollover_carries_at_most_its_cap",),
    ),
    Fault(
        name="rollover-over-a-gap",
        breaks="a window that nobody paid for hands nothing on",
        file="ledger/allotments.py",
        source="left += grant.remaining if adjoins(grant.window_end, target.window_start) else 0",
        wrong="left += grant.remaining",
        tests=(f"{REFRESH}test_nothing_is_carried_over_a_window_that_nobody_paid_for",),
    ),
    Fault(
        name="pending-spendable-early",
        breaks="a grant that begins later can't be spent before",
        file="ledger/allotments.py",
        source="grant.starts_at is not None and grant.starts_at <= draft.now:",
        wrong="grant.starts_at is not None:",
        tests=(f"{GIVEN}test_a_grant_that_begins_later_can_not_be_spent_before",),
    ),
    Fault(
        name="pending-begins-late",
        breaks="a grant begins at the instant of its effective date",
        file="ledger/allotments.py",
        source="grant.starts_at is not None and grant.starts_at <= draft.now:",
        wrong="grant.starts_at is not None and grant.starts_at < draft.now:",
        tests=(f"{GIVEN}test_a_grant_that_begins_later_can_not_be_spent_before",),
    ),
    Fault(
        name="revoked-pending-begins",
        breaks="a revoked grant that has not begun never does",
        file="ledger/moves.py",
        source="        pending=0,\n        mint_left=0",
        wrong="        mint_left=0",
        tests=(f"{GIVEN}test_a_revoked_grant_that_has_not_begun_never_does",),
    ),
    Fault(
        name="revoked-mints-on",
        breaks="revoking what has no bound ends it",
        file="ledger/moves.py",
        source="        mint_left=0 if grant.mints else None,",
        wrong="        mint_left=grant.mint_left,",
        tests=(f"{HOLDS}test_a_minting_grant_that_ended_makes_nothing_more",),
    ),
    Fault(
        name="revoked-comes-back",
        breaks="what comes back to a revoked grant is lost",
        file="ledger/moves.py",
        source="        lapses=grant.lapses or lapses,",
        wrong="        lapses=grant.lapses,",
        tests=(f"{RETURNS}test_what_was_revoked_never_comes_back_however_often_one_looked",),
    ),
    Fault(
        name="debt-not-repaid-by-returns",
        breaks="what comes back repays what is owed",
        file="ledger/moves.py",
        source="    if draft.debt:\n        amount -= repay(draft, grant_id, amount)\n",
        wrong="",
        tests=(
            (
                f"{CLAWBACK}test_what_a_hold_claims_is_not_taken_from_it_but_repays"
                "_when_it_comes_back"
            ),
        ),
    ),
    Fault(
        name="debt-not-repaid-at-the-beginning",
        breaks="a grant repays what is owed when it begins",
        file="ledger/moves.py",
        source="    repay(draft, grant_id, grant.pending)\n",
        wrong="",
        tests=(f"{GIVEN}test_a_grant_repays_what_is_owed_when_it_begins",),
    ),
    Fault(
        name="debt-not-repaid-by-grants",
        breaks="a grant repays what is owed first",
        file="ledger/moves.py",
        source="        repay(draft, live.id, live.remaining)\n",
        wrong="",
        tests=(f"{GRANTS}test_a_grant_repays_what_is_owed_first",),
    ),
    Fault(
        name="debt-of-one-forgiven",
        breaks="while anything is owed, nothing new is held",
        file="ledger/claims.py",
        source="    if draft.debt:\n",
        wrong="    if draft.debt > 1:\n",
        tests=(f"{HOLDS}test_a_debt_of_one_is_a_debt",),
    ),
    Fault(
        name="clawback-forgiven",
        breaks="what a clawback can't find is owed",
        file="ledger/manual.py",
        source="        draft.post(EntryKind.DEBT, debt=left)\n",
        wrong="",
        tests=(f"{CLAWBACK}test_case_36_what_is_not_there_becomes_debt",),
    ),
    Fault(
        name="late-return-to-revoked",
        breaks="what was ended on purpose just lapses",
        file="ledger/returns.py",
        source="    if grant.lapses:\n",
        wrong="    if grant.lapses and not draft.policy.late_return:\n",
        tests=(f"{RETURNS}test_what_was_revoked_never_comes_back_however_often_one_looked",),
    ),
    Fault(
        name="late-return-twice",
        breaks="what came back late is lost when it comes back again",
        file="ledger/returns.py",
        source="draft.policy.late_return and not _came_late_before(grant)",
        wrong="draft.policy.late_return",
        tests=(f"{RETURNS}test_what_comes_back_late_a_second_time_lapses",),
    ),
    Fault(
        name="late-rollover-beyond-the-cap",
        breaks="what rolls over late shares the rollover's cap",
        file="ledger/series.py",
        source="            self.put(key, replace(received, room=received.room - taken))",
        wrong="            pass",
        tests=(f"{RETURNS}test_many_holds_that_come_back_late_share_one_grant_and_one_cap",),
    ),
    Fault(
        name="window-left-handed-on-twice",
        breaks="what a window had left is handed on once",
        file="ledger/series.py",
        source="                self.put(key, replace(received, left=0))\n",
        wrong="",
        tests=(f"{ENGINE}test_what_a_window_had_left_is_handed_on_once_however_its_anchor_moves",),
    ),
    Fault(
        name="latest-window-forgotten",
        breaks="the latest window of a series is remembered beyond its time",
        file="ledger/series.py",
        source="            and not (received.series and ",
        wrong="            and not (not received.series and ",
        tests=(f"{REFRESH}test_a_window_is_not_granted_again_when_the_next_is_paid_late",),
    ),
)
