"""Faults in group commit: the queues, and the two ways through a batch."""

from typing import Final

from tests.faults.fault import Fault

BATCHER: Final = "tests/services_ledger/test_batcher.py::"
COMMANDS: Final = "tests/services_ledger/test_faults_commands.py::"
NEIGHBOURS: Final = "tests/services_ledger/test_neighbours.py::"
QUICK: Final = "tests/services_ledger/test_faults_quick.py::"

BATCH_FAULTS: Final = (
    Fault(
        name="undo-dropped",
        breaks="what comes of a cancelled command is undone",
        file="services/ledger/batcher.py",
        source=(
            "            if not isinstance(outcome, BaseException):\n"
            "                self._undo(item.command, outcome)\n"
        ),
        wrong="            pass\n",
        tests=(f"{BATCHER}test_what_is_cancelled_while_it_is_under_way_is_undone",),
    ),
    Fault(
        name="queue-without-bound",
        breaks="a full queue refuses",
        file="services/ledger/batcher.py",
        source="            self._waiting >= self._limits.max_waiting\n",
        wrong="            False\n",
        tests=(f"{COMMANDS}test_what_a_full_queue_has_no_room_for_is_refused_at_once",),
    ),
    Fault(
        name="account-queue-without-bound",
        breaks="one account can't fill the queue",
        file="services/ledger/batcher.py",
        source="            or waiting_here >= self._limits.max_waiting_for_account\n",
        wrong="",
        tests=(f"{COMMANDS}test_what_a_full_queue_has_no_room_for_is_refused_at_once",),
    ),
    Fault(
        name="busy-account-goes-first",
        breaks="accounts take turns in a batch",
        file="services/ledger/batcher.py",
        source="        share = max(1, room // len(self._turns))",
        wrong="        share = room",
        tests=(f"{BATCHER}test_a_busy_customer_keeps_no_other_from_the_next_batch",),
    ),
    Fault(
        name="account-in-two-batches",
        breaks="an account is in one batch at a time",
        file="services/ledger/batcher.py",
        source="self._busy[key] < self._ways.depth(key)",
        wrong="self._busy[key] < 2",
        tests=(f"{BATCHER}test_an_account_is_in_one_batch_at_a_time",),
    ),
    Fault(
        name="neighbours-fail-together",
        breaks="what breaks a batch is told to its own caller alone",
        file="services/ledger/ways.py",
        source="        if len(commands) == 1:\n            return [error]\n",
        wrong="        if commands:\n            return [error] * len(commands)\n",
        tests=(f"{NEIGHBOURS}test_a_damaged_account_is_refused_alone",),
    ),
    Fault(
        name="refused-by-what-is-in-mind",
        breaks="a refusal is decided by what was read, not by what is in mind",
        file="services/ledger/quick_way.py",
        source="                if key not in sure:\n",
        wrong="                if key not in keys:\n",
        tests=(f"{QUICK}test_what_is_granted_elsewhere_is_seen_before_anybody_is_refused",),
    ),
    Fault(
        name="mirror-learns-nothing",
        breaks="what was read takes the place of what is in mind",
        file="services/ledger/mirror.py",
        source="if known is None or not _is_same(known.account, account):",
        wrong="if known is None:",
        tests=(f"{QUICK}test_what_is_granted_elsewhere_is_seen_before_anybody_is_refused",),
    ),
    Fault(
        name="quick-without-its-customer",
        breaks="the quick way is told by which version of the customer it decided",
        file="services/ledger/quick_way.py",
        source="                desk.posting.customer_version = account.fresh.version\n",
        wrong="",
        tests=(f"{QUICK}test_a_customer_who_is_deleted_elsewhere_holds_no_more",),
    ),
    Fault(
        name="quick-with-overdue-holds",
        breaks="the quick way leaves accounts with overdue holds",
        file="services/ledger/quick_way.py",
        source="        return not has_due_holds(account, now)",
        wrong="        return True",
        tests=(f"{QUICK}test_overdue_holds_are_ended_before_anybody_is_refused",),
    ),
    Fault(
        name="quick-threshold-untold",
        breaks="the quick way leaves what somebody has to hear of",
        file="services/ledger/quick_way.py",
        source=" or desk.told)",
        wrong=")",
        tests=(f"{QUICK}test_thresholds_are_told",),
    ),
    Fault(
        name="quick-answer-before-the-write",
        breaks="what was not written is no answer",
        file="services/ledger/quick_way.py",
        source="                outcomes[n] = AGAIN\n            elif",
        wrong="                pass\n            elif",
        tests=(f"{QUICK}test_what_somebody_keeps_locked_is_done_the_locking_way",),
    ),
    Fault(
        name="quick-answer-for-what-is-left",
        breaks="what can't be written in the quick way is no answer of it",
        file="services/ledger/quick_way.py",
        source="            elif end is not _End.WRITTEN:",
        wrong="            elif end is None:",
        tests=(f"{QUICK}test_thresholds_are_told",),
    ),
    Fault(
        name="wins-not-counted",
        breaks="an account is locked when it was lost often, one time after another",
        file="services/ledger/contention.py",
        source="                race.lost = 0\n",
        wrong="                pass\n",
        tests=("tests/services_ledger/test_contention.py::test_only_losses_in_a_row_are_hopeless",),
    ),
    Fault(
        name="decided-anew-out-of-turn",
        breaks="commands of one account are decided in their order",
        file="services/ledger/batcher.py",
        source='sorted([*own, *queue], key=attrgetter("number"))',
        wrong="[*queue, *own]",
        tests=(f"{BATCHER}test_what_is_to_be_decided_anew_is_the_first_of_the_next_batch",),
    ),
    Fault(
        name="quick-lost-answer-done-again",
        breaks="what may be done already is not done again",
        file="services/ledger/quick_way.py",
        source="                outcomes[n] = end\n",
        wrong="                outcomes[n] = LEFT\n",
        tests=(f"{QUICK}test_what_was_done_and_not_heard_of_is_done_once",),
    ),
    Fault(
        name="refused-by-what-is-under-way",
        breaks="a refusal is not decided by a write that is under way",
        file="services/ledger/quick_way.py",
        source="        return known is not None and known.ahead is None",
        wrong="        return known is not None",
        tests=(f"{QUICK}test_nobody_is_refused_by_what_is_only_under_way",),
    ),
)
