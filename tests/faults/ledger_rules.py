"""Faults in caps, in what is told, and in the account's own bookkeeping."""

from typing import Final

from tests.faults.fault import Fault

CAPS: Final = "tests/ledger/test_caps.py::"
GRANTS: Final = "tests/ledger/test_grants.py::"
HOLDS: Final = "tests/ledger/test_holds.py::"
IDEMPOTENCY: Final = "tests/ledger/test_idempotency.py::"
SIGNALS: Final = "tests/ledger/test_signals.py::"
UPKEEP: Final = "tests/ledger/test_upkeep.py::"

RULE_FAULTS: Final = (
    Fault(
        name="cap-window-a-tick-long",
        breaks="a cap begins anew at the very instant of its next window",
        file="ledger/caps.py",
        source="    if now < cap.window_end:\n",
        wrong="    if now <= cap.window_end:\n",
        tests=(f"{CAPS}test_windows_follow_the_calendar_in_utc",),
    ),
    Fault(
        name="cap-of-design-governs-designers",
        breaks="a cap of design does not count what designers use",
        file="ledger/caps.py",
        source='scope.startswith(f"{cap.scope}/")',
        wrong="scope.startswith(cap.scope)",
        tests=(f"{CAPS}test_a_cap_governs_its_own_part_and_what_is_in_it",),
    ),
    Fault(
        name="cap-of-the-team-ignored",
        breaks="every part above must have room",
        file="ledger/caps.py",
        source='not cap.scope or cap.scope == scope or scope.startswith(f"{cap.scope}/")',
        wrong="not cap.scope or cap.scope == scope",
        tests=(f"{CAPS}test_every_part_above_must_have_room",),
    ),
    Fault(
        name="cap-given-back-to-a-later-window",
        breaks="what comes back is taken off the hold's own window alone",
        file="ledger/caps.py",
        source="            if cap.window_start <= made_at and self._now < cap.window_end:",
        wrong="            if self._now < cap.window_end:",
        tests=(f"{CAPS}test_a_hold_belongs_to_the_window_in_which_it_was_made",),
    ),
    Fault(
        name="cap-never-given-back",
        breaks="what comes back has its place in the cap again",
        file="ledger/holds.py",
        source=(
            "    if unspent and draft.budget is not None:\n"
            "        draft.budget.give_back(unspent, hold.scope, hold.created_at)\n"
        ),
        wrong="",
        tests=(f"{CAPS}test_what_was_spent_stays_counted_and_what_comes_back_does_not",),
    ),
    Fault(
        name="cap-counts-what-was-wanted",
        breaks="a partial hold counts as much as it got",
        file="ledger/claims.py",
        source="        draft.budget.count(found, scope)\n",
        wrong="        draft.budget.count(wanted, scope)\n",
        tests=(f"{SIGNALS}test_a_cap_that_is_used_up_is_told_once_in_its_window",),
    ),
    Fault(
        name="largest-headroom-decides",
        breaks="the smallest headroom decides",
        file="ledger/caps.py",
        source="        return min(rooms, ",
        wrong="        return max(rooms, ",
        tests=(f"{CAPS}test_the_smallest_headroom_decides_and_the_denial_says_which",),
    ),
    Fault(
        name="cap-reset-by-a-change-of-plan",
        breaks="a change of plan keeps what is used of a cap",
        file="ledger/caps.py",
        source="self._now), limit=limit, reached=False)",
        wrong="self._now), limit=limit, used=0, reached=False)",
        tests=(f"{CAPS}test_a_change_of_plan_keeps_what_is_used",),
    ),
    Fault(
        name="threshold-told-twice",
        breaks="a low balance is told once for each crossing",
        file="ledger/signals.py",
        source="        elif less and not endless and alert not in alerts:",
        wrong="        elif less and not endless:",
        tests=(f"{SIGNALS}test_a_low_balance_is_told_once_until_it_is_above_the_threshold_again",),
    ),
    Fault(
        name="threshold-beside-itself",
        breaks="a balance of exactly the threshold is low",
        file="ledger/signals.py",
        source="left > threshold:",
        wrong="left >= threshold:",
        tests=(f"{SIGNALS}test_an_exhausted_balance_is_told_whatever_is_declared",),
    ),
    Fault(
        name="threshold-counts-holds",
        breaks="a hold that comes back crosses nothing",
        file="ledger/draft.py",
        source="        return tuple(live), self._posted - minted\n",
        wrong="        return tuple(live), left\n",
        tests=(f"{SIGNALS}test_a_hold_that_comes_back_crosses_nothing",),
    ),
    Fault(
        name="cap-told-twice",
        breaks="a cap that is used up is told once in its window",
        file="ledger/caps.py",
        source="cap.limit is not None and not cap.reached and 0 <",
        wrong="cap.limit is not None and 0 <",
        tests=(f"{SIGNALS}test_a_cap_that_is_used_up_is_told_once_in_its_window",),
    ),
    Fault(
        name="expiry-told-again",
        breaks="the expiry of a grant is told of once",
        file="ledger/signals.py",
        source="        and _EXPIRING + grant.id not in alerts\n",
        wrong="",
        tests=(f"{SIGNALS}test_a_grant_that_is_about_to_expire_is_told_of_once",),
    ),
    Fault(
        name="revision-stays",
        breaks="everything that is written moves the revision on",
        file="ledger/draft.py",
        source="            revision=account.revision + 1,\n",
        wrong="",
        tests=(f"{UPKEEP}test_every_write_moves_the_revision_on_by_one",),
    ),
    Fault(
        name="time-goes-back",
        breaks="the engine's clock is never behind the last entry",
        file="ledger/draft.py",
        source="        self.now = now if last is None or now > last else last",
        wrong="        self.now = now",
        tests=(f"{GRANTS}test_the_engines_clock_is_never_behind_the_last_entry",),
    ),
    Fault(
        name="entry-number-taken",
        breaks="entries are numbered without gaps from 1 on",
        file="ledger/draft.py",
        source="        sequence = account.version + len(self._entries) + 1\n",
        wrong="        sequence = account.version + len(self._entries)\n",
        tests=(f"{GRANTS}test_a_grant_adds_what_it_says_and_leaves_a_record",),
    ),
    Fault(
        name="first-expiry-missed",
        breaks="no open hold ends before the account says so",
        file="ledger/draft.py",
        source="        return hold.expires_at if due is None or hold.expires_at < due else due",
        wrong="        return hold.expires_at if due is None else due",
        tests=(f"{UPKEEP}test_no_open_hold_ends_before_it_is_said_to",),
    ),
    Fault(
        name="fresh-beyond-a-new-grant",
        breaks="an account is up to date no longer than until a new grant begins or ends",
        file="ledger/draft.py",
        source="        return replace(fresh, until=sooner)\n",
        wrong="        return fresh\n",
        tests=(f"{UPKEEP}test_an_account_is_up_to_date_no_longer_than_until_a_new_grant_begins",),
    ),
    Fault(
        name="turn-missed",
        breaks="an account has to be looked at when a grant begins",
        file="ledger/upkeep.py",
        source="(grant.starts_at, grant.window_end, grant.expires_at)",
        wrong="(grant.window_end, grant.expires_at)",
        tests=(f"{UPKEEP}test_an_account_changes_by_itself_when_a_grant_begins_or_ends",),
    ),
    Fault(
        name="broken-account-written",
        breaks="an account that contradicts itself is refused",
        file="ledger/draft.py",
        source="        if not valid or claimed != self._held or left + claimed != self._posted:",
        wrong="        if not valid:",
        tests=(f"{HOLDS}test_an_account_that_contradicts_itself_is_refused",),
    ),
    Fault(
        name="stored-answer-for-another-request",
        breaks="another request under a used key is refused",
        file="ledger/idempotency.py",
        source="    if receipt.fingerprint != wanted:",
        wrong="    if not receipt.fingerprint:",
        tests=(
            f"{IDEMPOTENCY}test_a_replay_gets_the_stored_answer_and_another_request_is_refused",
        ),
    ),
)
