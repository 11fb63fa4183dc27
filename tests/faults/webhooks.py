"""Faults on the road of Stripe's events: signature, intake, dispatch, tickets."""

from typing import Final

from tests.faults.fault import Fault

SIGNATURE: Final = "tests/stripe/test_signature.py::"
CASES: Final = "tests/stripe/webhooks/test_intake_cases.py::"
COPIES: Final = "tests/stripe/test_reconciliation_copies.py::"
COMMITS: Final = "tests/stripe/webhooks/test_commits.py::"
DISPATCH: Final = "tests/stripe/webhooks/test_dispatcher.py::"
SUBSCRIPTIONS: Final = "tests/stripe/webhooks/test_subscription_cases.py::"

WEBHOOK_FAULTS: Final = (
    Fault(
        name="signature-of-the-future",
        breaks="a timestamp far in the future is refused",
        file="stripe/signature.py",
        source="if age_seconds < -tolerance_seconds:",
        wrong="if age_seconds < -(10**9):",
        tests=(f"{SIGNATURE}test_case_07_timestamp_in_the_future_is_refused",),
    ),
    Fault(
        name="signature-of-any-scheme",
        breaks="only signatures of the scheme v1 count",
        file="stripe/signature.py",
        source='if scheme == "v1":',
        wrong='if scheme.startswith("v"):',
        tests=(f"{SIGNATURE}test_only_the_scheme_v1_counts",),
    ),
    Fault(
        name="signature-by-the-first-secret-alone",
        breaks="during a rotation both secrets are accepted",
        file="stripe/signature.py",
        source="for secret in secrets:",
        wrong="for secret in secrets[:1]:",
        tests=(f"{SIGNATURE}test_case_05_old_and_new_secret_are_accepted_and_a_third_is_refused",),
    ),
    Fault(
        name="signature-without-the-timestamp",
        breaks="the timestamp is part of what is signed",
        file="stripe/signature.py",
        source="        mac.update(prefix)\n",
        wrong="",
        tests=(f"{SIGNATURE}test_what_stripes_library_accepts_within_the_tolerance_we_accept",),
    ),
    Fault(
        name="other-mode-has-effects",
        breaks="an event of the other mode has no effect",
        file="stripe/webhooks/intake.py",
        source="status=EventStatus.IGNORED if ignored else EventStatus.PENDING",
        wrong="status=EventStatus.PENDING",
        tests=(
            f"{CASES}test_case_08_an_event_of_the_other_mode_is_stored_without_effect_and_alerted",
        ),
    ),
    Fault(
        name="accounts-mixed-up",
        breaks="the same event id of two accounts is two events",
        file="stripe/webhooks/intake.py",
        source="key=f\"{account or ''}/{envelope.id}\"",
        wrong='key=f"/{envelope.id}"',
        tests=(f"{CASES}test_case_09_the_same_object_id_on_two_accounts_is_two_objects",),
    ),
    Fault(
        name="batch-without-a-bound",
        breaks="a batch is bounded in events",
        file="stripe/webhooks/commits.py",
        source="            and len(batch) < limits.max_batch\n",
        wrong="",
        tests=(f"{COMMITS}test_a_batch_is_bounded_in_events_and_bytes",),
    ),
    Fault(
        name="queue-without-a-bound",
        breaks="more than may wait is refused",
        file="stripe/webhooks/commits.py",
        source="if len(self._waiting) >= limits.max_waiting or (",
        wrong="if len(self._waiting) > 10**6 or (",
        tests=(f"{COMMITS}test_a_full_queue_is_a_503_and_takes_more_when_there_is_room",),
    ),
    Fault(
        name="bad-row-fails-all",
        breaks="one row that can't be written fails alone",
        file="stripe/webhooks/commits.py",
        source="            if len(batch) == 1:\n                _fail(batch, error)\n",
        wrong="            if len(batch) >= 1:\n                _fail(batch, error)\n",
        tests=(f"{COMMITS}test_one_bad_row_fails_alone",),
    ),
    Fault(
        name="gone-callers-are-stored",
        breaks="what waits for a caller who has gone is not stored",
        file="stripe/webhooks/commits.py",
        source="            self._waiting.remove(arrival)\n",
        wrong="",
        tests=(f"{COMMITS}test_a_caller_who_goes_away_harms_nobody",),
    ),
    Fault(
        name="completed-handlers-run-again",
        breaks="a handler that has completed an event is not run again",
        file="stripe/webhooks/carrier.py",
        source="for handler in handlers if handler.name not in completed]",
        wrong="for handler in handlers]",
        tests=(f"{CASES}test_case_14_the_first_handler_is_not_run_again_when_the_second_fails",),
    ),
    Fault(
        name="twins-not-known",
        breaks="a thin event and its snapshot twin have one effect",
        file="stripe/webhooks/carrier.py",
        source="return (event.key,) if event.twin is None else (event.key, event.twin)",
        wrong="return (event.key,)",
        tests=(f"{CASES}test_case_11_a_thin_event_and_its_snapshot_twin_have_one_effect",),
    ),
    Fault(
        name="writes-of-a-loser",
        breaks="a handler's writes are done once, by who records its completion",
        file="stripe/webhooks/carrier.py",
        source="            if all(recorded):\n",
        wrong="            if recorded:\n",
        tests=(f"{DISPATCH}test_what_another_dispatcher_has_completed_is_not_written_twice",),
    ),
    Fault(
        name="writes-left-behind",
        breaks="what a failed handler wanted written is not the next one's",
        file="stripe/webhooks/carrier.py",
        source="        event.take_writes()  # what",
        wrong="        # what",
        tests=(f"{DISPATCH}test_writes_happen_with_the_completion_or_not_at_all",),
    ),
    Fault(
        name="lease-never-renewed",
        breaks="a lease is renewed before a handler that it might not outlast",
        file="stripe/webhooks/leases.py",
        source="if self._ends - anyio.current_time() >= self._policy.handler_timeout_seconds:",
        wrong="if self._ends > 0:",
        tests=(f"{DISPATCH}test_a_lease_is_renewed_before_each_handler_or_it_does_not_run",),
    ),
    Fault(
        name="settled-without-the-lease",
        breaks="a dispatcher whose lease is over settles nothing of the next one's",
        file="stripe/webhooks/leases.py",
        source="                lease=self._until,\n                counted=counted",
        wrong="                counted=counted",
        tests=(f"{DISPATCH}test_a_stale_dispatcher_overwrites_nothing_of_the_next_one",),
    ),
    Fault(
        name="stopped-and-kept",
        breaks="a dispatcher that is stopped gives back what it had",
        file="stripe/webhooks/dispatcher.py",
        source="            await lease.give_back()\n",
        wrong="            pass\n",
        tests=(f"{DISPATCH}test_a_dispatcher_that_is_stopped_gives_back_what_it_had",),
    ),
    Fault(
        name="outages-count",
        breaks="an outage makes no dead letter",
        file="stripe/webhooks/failures.py",
        source="return Verdict(policy.outage_delay(age), counted=False)",
        wrong="return Verdict(policy.outage_delay(age))",
        tests=(f"{DISPATCH}test_an_outage_makes_no_dead_letter_and_the_waits_still_grow",),
    ),
    Fault(
        name="dependencies-awaited-for-ever",
        breaks="what is missing is waited for up to a bound",
        file="stripe/webhooks/failures.py",
        source="if age.total_seconds() < policy.dependency_wait_seconds:",
        wrong="if age.total_seconds() >= 0:",
        tests=(
            (f"{DISPATCH}test_what_is_not_there_yet_is_waited_for_without_counting_up_to_a_bound"),
        ),
    ),
    Fault(
        name="given-up-for-all",
        breaks="one handler giving up does not give up the others",
        file="stripe/webhooks/failures.py",
        source="if all(isinstance(error, PermanentError) for error in failures):",
        wrong="if any(isinstance(error, PermanentError) for error in failures):",
        tests=(f"{DISPATCH}test_one_handler_giving_up_does_not_give_up_the_others",),
    ),
    Fault(
        name="ticket-after-the-fetch",
        breaks="a fetch that began before a newer one and ends after it writes nothing",
        file="stripe/webhooks/handlers/context.py",
        source=(
            "        ticket = await self.store.write(lambda tx: tx.inbox.take_ticket(key))\n"
            "        found = await self.gateway.fetch(object_type, object_id, account=account)\n"
        ),
        wrong=(
            "        found = await self.gateway.fetch(object_type, object_id, account=account)\n"
            "        ticket = await self.store.write(lambda tx: tx.inbox.take_ticket(key))\n"
        ),
        tests=(
            (
                f"{SUBSCRIPTIONS}test_case_17_a_slow_fetch_that_began_earlier_does_not"
                "_undo_a_newer_one"
            ),
        ),
    ),
    Fault(
        name="terminal-does-not-stick",
        breaks="what was canceled stays canceled",
        file="storage/sql/inbox.py",
        source="        or_(~inbox_objects.c.terminal, bindparam",
        wrong="        or_(inbox_objects.c.terminal.in_((True, False)), bindparam",
        tests=(f"{SUBSCRIPTIONS}test_case_18_deleted_and_then_a_late_updated_stays_canceled",),
    ),
    Fault(
        name="another-accounts-key-buries",
        breaks="what another account's key can't see is not gone",
        file="stripe/webhooks/handlers/context.py",
        source="        await self.stamp.confirm()\n",
        wrong="",
        tests=(f"{SUBSCRIPTIONS}test_case_19_what_another_accounts_key_does_not_see_is_not_gone",),
    ),
    Fault(
        name="hanging-stripe-goes-unnoticed",
        breaks="a Stripe that hangs is known to, though whoever waits gives up first",
        file="stripe/connection.py",
        source="if asking.has_waited_in_vain(self._timeout_seconds / 2):",
        wrong="if False:",
        tests=(
            "tests/stripe/test_pacing.py::"
            "test_whoever_has_less_patience_than_all_attempts_take_opens_the_circuit_too",
        ),
    ),
    Fault(
        name="no-reconciliation-is-as-good-as-one",
        breaks="a reconciliation that never ran is degraded after two of its periods",
        file="services/health.py",
        source="_degraded(name, reason) if waited > max_age else _ok(name, reason)",
        wrong="_ok(name, reason)",
        tests=(
            "tests/telemetry/test_health.py::"
            "test_a_reconciliation_that_never_ran_is_degraded_after_two_of_its_periods",
        ),
    ),
    Fault(
        name="messages-pass-one-that-is-leased",
        breaks="what waits behind a leased message is not shared out before it",
        file="storage/sql/outbox.py",
        source='if fields["due_at"] > now or (leased_until is not None and leased_until > now):',
        wrong="if False:",
        tests=(
            "tests/storage/test_conformance.py::TestSqliteStore::"
            "test_what_is_leased_ends_what_waits_behind",
        ),
    ),
    Fault(
        name="copies-hide-refunds",
        breaks="a refund of ours is copied by what takes its credits back, and by nothing else",
        file="stripe/reconciliation/compared.py",
        source="if not (ours and kind in MONEY and _decides(tx, one, found, recent)):",
        wrong="if True:",
        tests=(
            f"{COPIES}test_a_refund_that_takes_something_back_is_left_to_the_sweep_of_money[sqlite]",
        ),
    ),
    Fault(
        name="copies-bring-back-the-dead",
        breaks="what was fetched counts before what was listed",
        file="stripe/reconciliation/copies.py",
        source="if tx.inbox.use_ticket(key, 0, terminal=False):",
        wrong="if True:",
        tests=(f"{COPIES}test_what_was_fetched_counts_before_what_was_listed",),
    ),
    Fault(
        name="order-of-ids",
        breaks="events of an object that were stored together come as Stripe made them",
        file="storage/sql/inbox.py",
        source="return event.received_at, event.created_at, event.key",
        wrong="return event.received_at, event.received_at, event.key",
        tests=(
            "tests/storage/test_conformance.py::TestSqliteStore::"
            "test_events_of_an_object_that_were_stored_together_come_as_stripe_made_them",
        ),
    ),
)
