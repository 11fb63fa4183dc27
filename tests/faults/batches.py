"""Faults in group commit: the queues, and the two ways through a batch."""

from typing import Final

from tests.faults.fault import Fault

BATCHER: Final = "tests/services_ledger/test_batcher.py::"
NEIGHBOURS: Final = "tests/services_ledger/test_neighbours.py::"
QUICK: Final = "tests/services_ledger/test_quick_way.py::"

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
        tests=(f"{BATCHER}test_a_full_queue_refuses_and_loses_nothing",),
    ),
    Fault(
        name="account-queue-without-bound",
        breaks="one account can't fill the queue",
        file="services/ledger/batcher.py",
        source="            or waiting_here >= self._limits.max_waiting_for_account\n",
        wrong="",
        tests=(f"{BATCHER}test_a_full_queue_refuses_and_loses_nothing",),
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
        source=("        if len(commands) == 1:\n            return [error]\n        middle"),
        wrong=("        if commands:\n            return [error] * len(commands)\n        middle"),
        tests=(f"{NEIGHBOURS}test_a_damaged_account_is_refused_alone",),
    ),
    Fault(
        name="refused-by-what-is-in-mind",
        breaks="a refusal is decided by what was read, not by what is in mind",
        file="services/ledger/quick_way.py",
        source="                if commands[n].key in sure:",
        wrong="                if commands[n].key in keys:",
        tests=(f"{QUICK}X",),
    ),
    Fault(
        name="stale-mirror-kept",
        breaks="what could not be written is read again",
        file="services/ledger/quick_way.py",
        source=("                    self._mirror.forget(posting.key)\n                end.set"),
        wrong=("                    pass\n                end.set"),
        tests=(f"{QUICK}X",),
    ),
    Fault(
        name="quick-without-its-customer",
        breaks="the quick way is told the customer's version it decided by",
        file="services/ledger/quick_way.py",
        source="                desk.posting.customer_version = account.fresh.version\n",
        wrong="",
        tests=(f"{QUICK}X",),
    ),
    Fault(
        name="quick-with-overdue-holds",
        breaks="the quick way leaves accounts with overdue holds",
        file="services/ledger/quick_way.py",
        source="        return not has_due_holds(account, now)",
        wrong="        return True",
        tests=(f"{QUICK}X",),
    ),
    Fault(
        name="quick-threshold-untold",
        breaks="the quick way leaves what somebody has to hear of",
        file="services/ledger/quick_way.py",
        source="posting.receipts or desk.told)",
        wrong="posting.receipts)",
        tests=(f"{QUICK}X",),
    ),
    Fault(
        name="quick-answer-before-the-write",
        breaks="what was not written is no answer",
        file="services/ledger/quick_way.py",
        source="            elif end is not True:",
        wrong="            elif end is None:",
        tests=(f"{QUICK}X",),
    ),
    Fault(
        name="mirror-goes-back",
        breaks="an older write never replaces a newer one in mind",
        file="services/ledger/mirror.py",
        source="known.account.revision > posting.after.revision",
        wrong="known.account.revision == posting.after.revision",
        tests=(f"{QUICK}X",),
    ),
)
