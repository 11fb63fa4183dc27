"""Faults in transactions of the host's that are joined."""

from typing import Final

from tests.faults.fault import Fault

FAILURES: Final = "tests/storage/sql/test_failures.py::"
JOIN: Final = "tests/storage/sql/test_join_async.py::"
JOIN_SYNC: Final = "tests/storage/sql/test_join_sync.py::"

JOINING_FAULTS: Final = (
    Fault(
        name="savepoint-kept-after-a-refusal",
        breaks="what was refused leaves nothing in the host's transaction",
        file="storage/sql/joining.py",
        source="                    savepoint.rollback()\n",
        wrong="                    savepoint.commit()\n",
        tests=(f"{JOIN}test_work_that_raises_leaves_the_host_its_own",),
    ),
    Fault(
        name="callbacks-after-a-rollback",
        breaks="what waits for the host's commit does not happen after a rollback",
        file="storage/sql/host.py",
        source=(
            "    def _on_rollback(self, _connection: Connection) -> None:\n        self._end([])\n"
        ),
        wrong=(
            "    def _on_rollback(self, _connection: Connection) -> None:\n"
            "        self._end(self._callbacks)\n"
        ),
        tests=(f"{JOIN}test_callbacks_do_not_run_after_a_rollback",),
    ),
    Fault(
        name="callbacks-of-a-savepoint-kept",
        breaks="what waits for the commit goes with the savepoint it was done in",
        file="storage/sql/host.py",
        source="if waiting[0] < number]",
        wrong="if waiting[0] >= 0]",
        tests=(f"{JOIN}test_callbacks_of_a_savepoint_that_is_rolled_back_do_not_run",),
    ),
    Fault(
        name="callbacks-before-the-commit",
        breaks="what waits for the host's commit waits for it",
        file="storage/sql/joining.py",
        source="        watch.add(watch.last_released, transaction.callbacks)\n",
        wrong="        for callback in transaction.callbacks:\n            callback()\n",
        tests=(f"{JOIN}test_callbacks_wait_for_the_hosts_commit",),
    ),
    Fault(
        name="own-host-waited-for",
        breaks="a call without the session is refused while the customer is locked",
        file="storage/joined.py",
        source="        return self.whole_database or customer in self._customers",
        wrong="        return self.whole_database",
        tests=(f"{JOIN}test_a_call_without_the_session_is_refused_while_the_customer_is_locked",),
    ),
    Fault(
        name="whole-file-forgotten",
        breaks="on SQLite a host's transaction keeps everybody out, and that is told",
        file="storage/joined.py",
        source="        return self.whole_database or customer in self._customers",
        wrong="        return customer in self._customers",
        tests=(f"{JOIN}test_on_sqlite_every_customer_is_refused",),
    ),
    Fault(
        name="lock-that-was-given-back-kept-in-mind",
        breaks="a lock that a savepoint gave back is nobody's",
        file="storage/joined.py",
        source="if since < savepoint",
        wrong="if since >= 0",
        tests=(
            f"{JOIN}test_a_customer_whose_lock_a_savepoint_gave_back_is_free_again_on_postgres",
        ),
    ),
    Fault(
        name="another-database-joined",
        breaks="a session of another database is refused",
        file="storage/sql/joining.py",
        source="self._dialect.identity(connection) != self._identity:",
        wrong="False:",
        tests=(f"{JOIN_SYNC}test_another_file_is_refused",),
    ),
    Fault(
        name="autocommit-joined",
        breaks="a connection that commits by itself is refused",
        file="storage/sql/joining.py",
        source="        if commits_by_itself(connection):",
        wrong="        if not connection:",
        tests=(f"{JOIN}test_a_connection_in_autocommit_is_refused",),
    ),
    Fault(
        name="host-begins-deferred",
        breaks="a joined transaction has the file before it reads (SQLite)",
        file="storage/sql/dialects/sqlite.py",
        source='text("BEGIN IMMEDIATE")',
        wrong='text("BEGIN")',
        tests=(f"{JOIN_SYNC}test_a_host_that_meets_another_writer_has_to_run_again",),
    ),
    Fault(
        name="sent-again-after-an-unknown-commit",
        breaks="a transaction whose commit is in doubt is not run again",
        file="storage/sql/errors.py",
        source="failure is not Failure.CONFLICT:\n        return False\n",
        wrong="failure is Failure.CONFLICT:\n        return False\n",
        tests=(f"{FAILURES}test_only_a_certain_conflict_is_run_again_after_commit",),
    ),
)
