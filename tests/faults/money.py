"""Faults where money comes back, where Stripe is asked to change something, and in its bills."""

from typing import Final

from tests.faults.fault import Fault

CLAWBACK: Final = "tests/projection/test_clawback.py::"
CLAWBACKS: Final = "tests/stripe/test_clawbacks.py::"
OUTGOING: Final = "tests/stripe/test_outgoing.py::"
RECONCILIATION: Final = "tests/stripe/test_reconciliation.py::"
METERING: Final = "tests/stripe/test_metering.py::"
METERS: Final = "tests/stripe/test_meters.py::"
FREEZES: Final = "tests/stripe/test_freezes.py::"
TRANSFERS: Final = "tests/sdk/test_transfers.py::"

MONEY_FAULTS: Final = (
    Fault(
        name="failed-refunds-count",
        breaks="a refund that failed takes nothing",
        file="projection/clawback.py",
        source='REFUND_GONE: Final = frozenset({"failed", "canceled"})',
        wrong='REFUND_GONE: Final = frozenset({"canceled"})',
        tests=(f"{CLAWBACK}test_case_35_a_refund_that_came_to_nothing_does_not_count",),
    ),
    Fault(
        name="won-disputes-count",
        breaks="a dispute that was won takes nothing",
        file="projection/clawback.py",
        source='frozenset({"needs_response", "under_review", "lost"})',
        wrong='frozenset({"needs_response", "under_review", "lost", "won"})',
        tests=(f"{CLAWBACK}test_case_38_one_that_was_prevented_closed_or_won_does_not",),
    ),
    Fault(
        name="more-than-the-charge",
        breaks="a refund and a lost dispute are never more than the charge",
        file="projection/clawback.py",
        source="        return min(total, self.amount_minor)\n",
        wrong="        return total\n",
        tests=(f"{CLAWBACK}test_case_39_a_refund_and_a_dispute_are_never_more_than_the_charge",),
    ),
    Fault(
        name="broken-part-taken",
        breaks="the customer keeps the broken part",
        file="projection/clawback.py",
        source="    return granted * min(max(returned_minor, 0), amount_minor) // amount_minor\n",
        wrong="    return -(-granted * returned_minor // amount_minor)\n",
        tests=(f"{CLAWBACK}test_the_broken_part_stays_with_the_customer",),
    ),
    Fault(
        name="released-holds-taken",
        breaks="what was let go of an authorisation is no refund",
        file="projection/clawback.py",
        source=" - min(released, self.uncaptured_minor)",
        wrong="",
        tests=(f"{CLAWBACK}test_what_was_let_go_of_a_hold_is_no_refund",),
    ),
    Fault(
        name="taken-again-with-each-look",
        breaks="what was taken already is not taken again",
        file="services/clawbacks.py",
        source="    moved = replace(share, taken=target, turns=share.turns + 1)\n",
        wrong="    moved = replace(share, turns=share.turns + 1)\n",
        tests=(
            (f"{CLAWBACKS}test_case_34_refunds_of_30_and_20_percent_in_any_order_take_back_half"),
        ),
    ),
    Fault(
        name="lapsed-taken-from-others",
        breaks="what had lapsed unused is not taken from other credits",
        file="services/clawbacks.py",
        source="    taking = target - share.taken - lapsed\n",
        wrong="    taking = target - share.taken\n",
        tests=(f"{CLAWBACKS}test_credits_that_expired_unused_are_not_taken_from_others",),
    ),
    Fault(
        name="sent-before-it-is-stored",
        breaks="a request that was stored is resumed under the same key",
        file="stripe/outgoing.py",
        source="            idempotency_key=request.idempotency_key,\n            account",
        wrong='            idempotency_key=f"gatekeeper-{uuid4()}",\n            account',
        tests=(f"{OUTGOING}test_case_41_a_customer_whose_making_crashed_is_made_once_and_kept",),
    ),
    Fault(
        name="spent-keys-sent",
        breaks="a key whose life is over is never sent again",
        file="stripe/outgoing.py",
        source="        if found is None and is_spent:\n",
        wrong="        if found is None and is_spent and False:\n",
        tests=(f"{OUTGOING}test_a_key_whose_life_is_over_is_never_sent_again",),
    ),
    Fault(
        name="sweep-without-a-guard",
        breaks="a sweep that would revoke more than 1 % stops",
        file="stripe/reconciliation/sweep.py",
        source="        if len(ending) > allowed:\n",
        wrong="        if len(ending) > found.running:\n",
        tests=(
            f"{RECONCILIATION}test_case_19_a_sweep_that_would_revoke_more_than_a_hundredth_stops",
        ),
    ),
    Fault(
        name="replay-without-overlap",
        breaks="events that Stripe lists late are replayed",
        file="stripe/reconciliation/replay.py",
        source="fromtimestamp(through, UTC) - self._overlap",
        wrong="fromtimestamp(through, UTC)",
        tests=(f"{RECONCILIATION}test_what_stripe_lists_late_is_replayed_by_the_next_run",),
    ),
    Fault(
        name="identifier-of-anybody",
        breaks="a window's identifier is its customer's alone",
        file="services/metering/windows.py",
        source="    parts = repr((customer, meter, window_id)).encode()\n",
        wrong="    parts = repr((meter, window_id)).encode()\n",
        tests=("tests/stripe/test_metering.py", "tests/stripe/test_meters.py"),
    ),
    Fault(
        name="old-usage-sent",
        breaks="usage that is too old for Stripe is a dead letter",
        file="services/metering/sealing.py",
        source="            if marked.quantity and marked.at < now - MAX_AGE:\n",
        wrong="            if not marked.quantity and marked.at < now - MAX_AGE:\n",
        tests=(f"{METERING}test_case_45_usage_of_36_days_ago_is_a_dead_letter",),
    ),
    Fault(
        name="duplicate-is-dead",
        breaks="a duplicate's 400 means that it was delivered",
        file="stripe/meters.py",
        source="            if not is_duplicate(error):\n",
        wrong="            if error:\n",
        tests=(
            (f"{METERS}test_case_44_an_answer_that_was_lost_is_asked_for_again_and_counts_once"),
        ),
    ),
    Fault(
        name="uncertain-sent-again",
        breaks="what may have arrived longer ago than Stripe remembers is left to people",
        file="stripe/meters.py",
        source="    if window.tried_at is not None and window.tried_at < now - REMEMBERED:\n",
        wrong="    if window.tried_at is not None and window.tried_at < now - MAX_AGE:\n",
        tests=(
            (
                f"{METERS}test_what_may_have_arrived_longer_ago_than_stripe_remembers"
                "_is_left_to_people"
            ),
        ),
    ),
    Fault(
        name="freezes-unversioned",
        breaks="what anybody has in mind of a customer's accounts is out of date with a freeze",
        file="services/freezes.py",
        source="made.since)\n    return outdate(tx, customer)\n",
        wrong="made.since)\n    return 1\n",
        tests=(f"{FREEZES}test_case_49_the_quick_way_and_batches_know_of_a_freeze_at_once",),
    ),
    Fault(
        name="owed-otherwise",
        breaks="what is owed under an id stays what it is",
        file="services/transfers.py",
        source="        if known is None or _asked(known) != _asked(wanted):\n",
        wrong="        if known is None:\n",
        tests=(f"{TRANSFERS}test_the_same_id_for_something_else_is_refused_by_name",),
    ),
    Fault(
        name="owed-beside-the-order",
        breaks="what is owed in a host's transaction is rolled back with it",
        file="services/once.py",
        source="    if session is not None:\n",
        wrong="    if session == 0:\n",
        tests=(f"{TRANSFERS}test_it_is_owed_with_the_hosts_transaction_or_not_at_all",),
    ),
)
