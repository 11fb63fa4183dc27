"""Faults in the stores: locks, what is found, what is kept."""

from typing import Final

from tests.faults.fault import Fault

CAPS: Final = "tests/services_ledger/test_caps.py::"
CONFORMANCE: Final = "tests/storage/test_conformance.py::"
LOCKS: Final = "tests/storage/sql/test_locks.py::"
POSTING: Final = "tests/storage/sql/test_faults_posting.py::"
STORE: Final = "tests/storage/sql/test_store.py::"

STORAGE_FAULTS: Final = (
    Fault(
        name="lock-dropped",
        breaks="an account is locked when it is read for a command",
        file="storage/sql/ledger.py",
        source="        _ORDERED.with_for_update(key_share=True, skip_locked=not wait),\n",
        wrong="        _ORDERED,\n",
        tests=(f"{LOCKS}test_a_waiter_sees_the_account_and_its_grants_as_the_other_left_them",),
    ),
    Fault(
        name="joined-read-beside-the-lock",
        breaks="what is read is what was locked, as the other transaction has left it",
        file="storage/sql/ledger.py",
        source=(
            "_LOCKED: Final = {\n"
            "    wait: Among(\n"
            "        _ORDERED.with_for_update(key_share=True, skip_locked=not wait),\n"
        ),
        wrong=(
            "_BESIDE = accounts.alias()\n"
            "_LOCKED: Final = {\n"
            "    wait: Among(\n"
            "        _ORDERED.where(\n"
            "            _BESIDE.c.customer == accounts.c.customer,\n"
            "            _BESIDE.c.unit == accounts.c.unit,\n"
            "        ).with_for_update(key_share=True, skip_locked=not wait, of=_BESIDE),\n"
        ),
        tests=(f"{LOCKS}test_a_waiter_sees_the_account_and_its_grants_as_the_other_left_them",),
    ),
    Fault(
        name="batch-waits-for-a-lock",
        breaks="a batch leaves out what somebody else has locked",
        file="storage/sql/ledger.py",
        source="skip_locked=not wait)",
        wrong="skip_locked=False)",
        tests=(f"{POSTING}test_a_batch_leaves_out_what_somebody_has_locked_and_does_not_wait",),
    ),
    Fault(
        name="batch-waits-for-a-new-row",
        breaks="a batch leaves out what somebody else is about to make",
        file="storage/sql/ledger.py",
        source="            missing = [key for key in missing if key[0] in free]\n",
        wrong="",
        tests=(
            f"{POSTING}test_a_batch_leaves_out_what_somebody_is_about_to_make_and_does_not_wait",
        ),
    ),
    Fault(
        name="batch-reads-the-whole-table",
        breaks="accounts and holds are found by their index (SQLite)",
        file="storage/sql/among.py",
        source='        if dialect_name == "sqlite":',
        wrong='        if dialect_name == "none":',
        tests=("tests/storage/sql/test_plans.py::test_a_batch_of_accounts_scans_nothing",),
    ),
    Fault(
        name="grant-written-over",
        breaks="a grant id and a business key are used once",
        file="storage/sql/ledger.py",
        source="if not self._changed(self._dialect.insert_new(grants, any_key=True)",
        wrong="if 0 > self._changed(self._dialect.insert_new(grants, any_key=True)",
        tests=(f"{CONFORMANCE}TestSqliteStore::test_one_business_key_grants_once_whoever_asks",),
    ),
    Fault(
        name="caps-not-stored",
        breaks="the caps of parts are stored with what has changed them",
        file="storage/sql/ledger.py",
        source="[_cap_columns(*p.key, cap) for p in postings for cap in p.caps.values()]",
        wrong="[]",
        tests=(f"{CAPS}test_what_comes_back_has_room_again",),
    ),
    Fault(
        name="expired-a-tick-late",
        breaks="a hold is overdue at the very instant of its end",
        file="storage/sql/holds.py",
        source='holds.c.expires_at <= bindparam("now")',
        wrong='holds.c.expires_at < bindparam("now")',
        tests=(f"{POSTING}test_a_hold_is_overdue_at_the_very_instant_of_its_end",),
    ),
    Fault(
        name="next-expiry-a-tick-late",
        breaks="when the next hold ends is told by those that have not ended",
        file="storage/sql/holds.py",
        source='holds.c.expires_at > bindparam("after")',
        wrong='holds.c.expires_at >= bindparam("after")',
        tests=(f"{POSTING}test_a_hold_is_overdue_at_the_very_instant_of_its_end",),
    ),
    Fault(
        name="used-counts-what-came-back",
        breaks="what was used is what open holds claim and ended ones have spent",
        file="storage/sql/holds.py",
        source="(holds.c.status == OPEN, holds.c.amount), else_=holds.c.captured)",
        wrong="(holds.c.status == OPEN, holds.c.amount), else_=holds.c.amount)",
        tests=(f"{POSTING}test_what_was_used_is_what_open_holds_claim_and_ended_ones_have_spent",),
    ),
    Fault(
        name="used-of-design-with-designers",
        breaks="what designers use is nothing of design",
        file="storage/sql/holds.py",
        source='"below": f"{scope}/"}',
        wrong='"below": scope}',
        tests=(f"{POSTING}test_what_was_used_is_what_open_holds_claim_and_ended_ones_have_spent",),
    ),
    Fault(
        name="sqlite-begins-deferred",
        breaks="a transaction that may write has the file before it reads",
        file="storage/sql/sqlite_runner.py",
        source='begin="BEGIN IMMEDIATE")',
        wrong='begin="BEGIN")',
        tests=(f"{POSTING}test_a_transaction_that_may_write_has_the_file_before_it_reads",),
    ),
    Fault(
        name="sqlite-synchronous-off",
        breaks="a commit is on the disk (SQLite)",
        file="storage/sql/sqlite_runner.py",
        source='"synchronous = FULL"',
        wrong='"synchronous = NORMAL"',
        tests=(f"{STORE}test_sqlite_is_set_up_to_lose_nothing",),
    ),
    Fault(
        name="time-of-the-transactions-start",
        breaks="PostgreSQL's clock moves on inside a transaction",
        file="storage/sql/dialects/postgresql.py",
        source="_NOW: Final = select(func.clock_timestamp())",
        wrong="_NOW: Final = select(func.now())",
        tests=(f"{LOCKS}test_the_clock_moves_on_inside_a_transaction",),
    ),
)
