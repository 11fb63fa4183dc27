"""Faults in the statements that write an account."""

from typing import Final

from tests.faults.fault import Fault

ASYNC: Final = "tests/sdk/test_async.py::"
CONFORMANCE: Final = "tests/storage/test_conformance.py::"
POSTING: Final = "tests/storage/sql/test_faults_posting.py::"

POSTING_FAULTS: Final = (
    Fault(
        name="postgresql-revision-unchecked",
        breaks="an account that moved on without an entry is not written (PostgreSQL)",
        file="storage/sql/posting_postgresql.py",
        source="a.revision = w.revision_before AND a.version",
        wrong="a.version",
        tests=(f"{POSTING}test_the_quick_way_leaves_an_account_that_moved_on",),
    ),
    Fault(
        name="postgresql-version-unchecked",
        breaks="an account that the last release moved on is not written (PostgreSQL)",
        file="storage/sql/posting_postgresql.py",
        source=" AND a.version = w.version_before\n",
        wrong="\n",
        tests=(f"{POSTING}test_the_quick_way_leaves_an_account_that_moved_on",),
    ),
    Fault(
        name="postgresql-customer-unchecked",
        breaks="a customer who has changed is looked at again",
        file="storage/sql/posting_postgresql.py",
        source="w.customer_version IS NULL OR w.customer_version = (",
        wrong="w.customer_version IS NULL OR w.customer_version <= (",
        tests=(f"{POSTING}test_the_quick_way_leaves_the_account_of_a_customer_who_has_changed",),
    ),
    Fault(
        name="postgresql-clock-behind",
        breaks="nothing is written by a clock that is behind",
        file="storage/sql/posting_postgresql.py",
        source="'infinity')\n  FOR",
        wrong="'infinity') + interval '1 hour'\n  FOR",
        tests=(f"{POSTING}test_the_quick_way_writes_nothing_by_a_clock_that_is_off",),
    ),
    Fault(
        name="postgresql-clock-ahead",
        breaks="nothing is written by a clock that is ahead",
        file="storage/sql/posting_postgresql.py",
        source="'-infinity')\n",
        wrong="'-infinity') - interval '1 hour'\n",
        tests=(f"{POSTING}test_the_quick_way_writes_nothing_by_a_clock_that_is_off",),
    ),
    Fault(
        name="postgresql-write-waits",
        breaks="a write waits for nobody",
        file="storage/sql/posting_postgresql.py",
        source="  FOR NO KEY UPDATE OF a SKIP LOCKED\n",
        wrong="  FOR NO KEY UPDATE OF a\n",
        tests=(f"{POSTING}test_the_quick_way_leaves_what_somebody_has_locked_and_does_not_wait",),
    ),
    Fault(
        name="postgresql-hold-status-unchecked",
        breaks="a hold that has ended is never written again (PostgreSQL)",
        file="storage/sql/posting_postgresql.py",
        source=" AND h.status || '' = 'open'\n",
        wrong="\n",
        tests=(f"{POSTING}test_the_quick_way_takes_all_back_for_a_hold_that_has_ended",),
    ),
    Fault(
        name="postgresql-parts-uncounted",
        breaks="a write whose hold has ended is taken back as a whole",
        file="storage/sql/posting_postgresql.py",
        source="(SELECT count(*) FROM {done}) = (SELECT count(*) FROM {wanted}) ",
        wrong="(SELECT count(*) FROM {done}) <= (SELECT count(*) FROM {wanted}) ",
        tests=(f"{POSTING}test_the_quick_way_takes_all_back_for_a_hold_that_has_ended",),
    ),
    Fault(
        name="postgresql-receipt-written-over",
        breaks="a key that was used meanwhile is not used again (PostgreSQL)",
        file="storage/sql/posting_postgresql.py",
        source="  WHERE r.fingerprint = excluded.fingerprint\n  RETURNING 1\n",
        wrong="  RETURNING 1\n",
        tests=(f"{POSTING}test_a_key_that_another_request_has_used_meanwhile_is_not_used_again",),
    ),
    Fault(
        name="sqlite-receipt-written-over",
        breaks="a key that was used meanwhile is not used again (SQLite)",
        file="storage/sql/posting_sqlite.py",
        source="WHERE r.fingerprint = excluded.fingerprint\n",
        wrong="",
        tests=(f"{POSTING}test_a_key_that_another_request_has_used_meanwhile_is_not_used_again",),
    ),
    Fault(
        name="sqlite-receipt-not-stored",
        breaks="a receipt is stored beside its effect (SQLite)",
        file="storage/sql/posting_sqlite.py",
        source="[_receipt(one) for p in postings for one in p.receipts]",
        wrong="[]",
        tests=(f"{ASYNC}test_an_idempotency_key_finds_the_same_hold_and_grant_again",),
    ),
    Fault(
        name="postgresql-part-of-a-batch",
        breaks="a transaction in which an account has changed is not committed",
        file="storage/sql/dialects/postgresql.py",
        source="        if len(row[0] or ()) != len(postings):",
        wrong="        if not row[0]:",
        tests=(
            (
                f"{POSTING}test_a_transaction_is_not_committed_in_which_one_account_of"
                "_several_has_moved_on"
            ),
        ),
    ),
    Fault(
        name="postgresql-entry-number-off",
        breaks="entries are stored under their own numbers (PostgreSQL)",
        file="storage/sql/posting_rows.py",
        source="        entry.sequence,\n",
        wrong="        entry.sequence + 1,\n",
        tests=(f"{CONFORMANCE}TestPostgresStore::test_a_change_is_stored_whole",),
    ),
    Fault(
        name="sqlite-rows-uncounted",
        breaks="what was not written is noticed (SQLite)",
        file="storage/sql/posting_sqlite.py",
        source="    if written != len(rows):",
        wrong="    if written > len(rows):",
        tests=(f"{POSTING}test_an_account_that_moved_on_in_any_way_is_not_written",),
    ),
    Fault(
        name="sqlite-revision-unchecked",
        breaks="an account that moved on without an entry is not written (SQLite)",
        file="storage/sql/posting_sqlite.py",
        source="AND revision = ? AND version = ?",
        wrong="AND revision >= ? AND version = ?",
        tests=(f"{POSTING}test_an_account_that_moved_on_in_any_way_is_not_written",),
    ),
    Fault(
        name="sqlite-version-unchecked",
        breaks="an account that the last release moved on is not written (SQLite)",
        file="storage/sql/posting_sqlite.py",
        source="AND revision = ? AND version = ?",
        wrong="AND revision = ? AND version >= ?",
        tests=(f"{POSTING}test_an_account_that_moved_on_in_any_way_is_not_written",),
    ),
    Fault(
        name="sqlite-hold-status-unchecked",
        breaks="a hold that has ended is never written again (SQLite)",
        file="storage/sql/posting_sqlite.py",
        source=" AND status = 'open'\n",
        wrong="\n",
        tests=(f"{POSTING}test_a_hold_that_ended_is_not_written_though_its_account_is_as_it_was",),
    ),
    Fault(
        name="sqlite-entry-number-off",
        breaks="entries are stored under their own numbers (SQLite)",
        file="storage/sql/posting_sqlite.py",
        source="        entry.sequence,\n",
        wrong="        entry.sequence + 1,\n",
        tests=(f"{CONFORMANCE}TestSqliteStore::test_a_change_is_stored_whole",),
    ),
)
