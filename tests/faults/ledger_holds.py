"""Faults in holds: how they end, what is spent of them, and what beyond them."""

from typing import Final

from tests.faults.fault import Fault

CAPS: Final = "tests/ledger/test_caps.py::"
ENGINE: Final = "tests/ledger/test_faults_engine.py::"
HOLDS: Final = "tests/ledger/test_holds.py::"
PARTS: Final = "tests/ledger/test_partial_captures.py::"

HOLD_FAULTS: Final = (
    Fault(
        name="hold-settled-at-its-expiry",
        breaks="a hold can't be settled at the instant of its expiry",
        file="ledger/engine.py",
        source="    if hold.expires_at <= draft.now:",
        wrong="    if hold.expires_at < draft.now:",
        tests=(f"{HOLDS}test_case_42_a_hold_whose_time_is_over_can_not_be_settled",),
    ),
    Fault(
        name="hold-expired-too-late",
        breaks="a hold expires at the instant of its expiry",
        file="ledger/holds.py",
        source="    if hold.expires_at > draft.now:",
        wrong="    if hold.expires_at >= draft.now:",
        tests=(f"{HOLDS}test_case_55_an_expired_hold_gives_all_back",),
    ),
    Fault(
        name="extended-hold-expired",
        breaks="a hold that was extended since somebody looked stays",
        file="ledger/holds.py",
        source=(
            "    if hold.expires_at > draft.now:\n        return Change(draft.account, hold=hold)\n"
        ),
        wrong="",
        tests=(f"{HOLDS}test_expiring_a_hold_that_was_extended_does_nothing",),
    ),
    Fault(
        name="hold-ended-twice",
        breaks="a hold ends once",
        file="ledger/engine.py",
        source="    if hold.status is not HoldStatus.OPEN:",
        wrong="    if hold.status is HoldStatus.CAPTURED:",
        tests=(f"{HOLDS}test_case_42_a_hold_ends_once",),
    ),
    Fault(
        name="release-lost",
        breaks="a release gives back to every grant that the hold had touched",
        file="ledger/holds.py",
        source="    for allocation in rest:\n",
        wrong="    for allocation in rest[:1]:\n",
        tests=(f"{HOLDS}test_a_release_gives_all_back",),
    ),
    Fault(
        name="capture-of-the-wrong-allocation",
        breaks="a capture spends the first of what the hold has claimed",
        file="ledger/holds.py",
        source="    for allocation in hold.allocations:\n",
        wrong="    for allocation in reversed(hold.allocations):\n",
        tests=(f"{HOLDS}test_a_capture_spends_the_first_allocations_and_gives_the_rest_back",),
    ),
    Fault(
        name="captured-parts-forgotten",
        breaks="the parts of a hold that were captured add up",
        file="ledger/holds.py",
        source="    captured = hold.captured + spent\n",
        wrong="    captured = spent\n",
        tests=(f"{PARTS}test_parts_add_up_and_the_last_one_gives_the_rest_back",),
    ),
    Fault(
        name="captured-part-claimed-on",
        breaks="a captured part is claimed no longer",
        file="ledger/holds.py",
        source="captured=hold.captured + amount, allocations=rest)",
        wrong="captured=hold.captured + amount)",
        tests=(f"{PARTS}test_a_partial_capture_spends_the_first_and_keeps_the_hold_open",),
    ),
    Fault(
        name="overrun-of-the-whole",
        breaks="what was captured before counts against what is left of a hold",
        file="ledger/holds.py",
        source="    left = hold.amount - hold.captured\n    amount = command.amount\n",
        wrong="    left = hold.amount\n    amount = command.amount\n",
        tests=(f"{PARTS}test_case_56_beyond_what_is_left_is_beyond_the_hold",),
    ),
    Fault(
        name="overrun-capped-unasked",
        breaks="a capture beyond the hold is refused by default",
        file="ledger/holds.py",
        source='    if command.overrun == "refuse":',
        wrong='    if command.overrun == "refused":',
        tests=(
            f"{HOLDS}test_case_56_a_capture_beyond_the_hold_is_refused_and_the_hold_stays_open",
        ),
    ),
    Fault(
        name="overrun-silent",
        breaks="use beyond a hold is noted on it",
        file="ledger/holds.py",
        source="        overrun=hold.overrun + excess - found,\n",
        wrong="",
        tests=(f"{HOLDS}test_case_56_a_capped_capture_notes_what_went_beyond",),
    ),
    Fault(
        name="overage-not-owed",
        breaks="overage that is not there is owed, all of it",
        file="ledger/holds.py",
        source="        if found < excess:\n",
        wrong="        if not found:\n",
        tests=(f"{PARTS}test_case_56_overage_that_is_not_there_is_owed",),
    ),
    Fault(
        name="overage-beside-the-caps",
        breaks="caps count overage that is owed, too",
        file="ledger/claims.py",
        source="        draft.budget.count(excess, scope)\n    return sum(",
        wrong=(
            "        draft.budget.count(sum(amount for _, amount in shares), scope)\n"
            "    return sum("
        ),
        tests=(f"{CAPS}test_overage_that_is_owed_counts_too",),
    ),
    Fault(
        name="overage-not-billed",
        breaks="use that a meter bills is told when it is captured",
        file="ledger/moves.py",
        source="    if grant.meter is not None:\n        draft.bill",
        wrong="    if grant.meter is None:\n        draft.bill",
        tests=(f"{HOLDS}test_overage_is_reported_when_it_is_captured_and_up_to_its_limit",),
    ),
    Fault(
        name="minted-beyond-its-limit",
        breaks="overage is bounded by its limit",
        file="ledger/moves.py",
        source="        left = None if grant.mint_left is None else grant.mint_left - amount\n",
        wrong="        left = grant.mint_left\n",
        tests=(f"{HOLDS}test_overage_is_reported_when_it_is_captured_and_up_to_its_limit",),
    ),
    Fault(
        name="minted-not-unmade",
        breaks="what a grant has minted for a hold is unmade when it comes back",
        file="ledger/moves.py",
        source="        left = None if grant.mint_left is None else grant.mint_left + amount\n",
        wrong="        left = grant.mint_left\n",
        tests=(f"{HOLDS}test_overage_is_reported_when_it_is_captured_and_up_to_its_limit",),
    ),
    Fault(
        name="extension-out-of-burn-order",
        breaks="what is paid for is spent before overage that was claimed earlier",
        file="ledger/holds.py",
        source="        allocations = _merged(draft, allocations + added)\n",
        wrong="        allocations += added\n",
        tests=(f"{HOLDS}test_what_is_paid_for_is_spent_before_overage_that_was_claimed_earlier",),
    ),
    Fault(
        name="extension-beside-the-caps",
        breaks="an extension must have room in the caps of its hold's scope",
        file="ledger/holds.py",
        source="wanted, hold.scope, partial=False)",
        wrong='wanted, "", partial=False)',
        tests=(f"{ENGINE}test_an_extension_must_have_room_in_the_caps_of_its_holds_own_part",),
    ),
    Fault(
        name="extension-shortens",
        breaks="an extension never shortens a hold",
        file="ledger/holds.py",
        source="    expires_at = max(hold.expires_at, command.expires_at)",
        wrong="    expires_at = command.expires_at",
        tests=(f"{HOLDS}test_an_extension_keeps_the_hold_alive_and_never_shortens_it",),
    ),
    Fault(
        name="rounded-down",
        breaks="fractions round up, once",
        file="ledger/values.py",
        source="-(-measured * self.cost_numerator // self.cost_denominator)",
        wrong="measured * self.cost_numerator // self.cost_denominator",
        tests=(f"{HOLDS}test_case_58_the_rate_is_fixed_on_the_hold_and_rounds_up_once",),
    ),
)
