"""Faults in the commands: what an account is brought up to date by, keys, what others are told."""

from typing import Final

from tests.faults.fault import Fault

COMMANDS: Final = "tests/services_ledger/test_faults_commands.py::"
SERVICES: Final = "tests/services_credits/test_services.py::"

SERVICE_FAULTS: Final = (
    Fault(
        name="overdue-holds-kept",
        breaks="overdue holds are ended before anybody is refused for want of them",
        file="services/ledger/readiness.py",
        source="    if has_due_holds(desk.account, desk.now):\n"
        "        end_overdue(tx, rules, desk)\n",
        wrong="",
        tests=(f"{COMMANDS}test_a_hold_is_over_for_others_at_the_very_instant_of_its_end",),
    ),
    Fault(
        name="overdue-a-tick-late",
        breaks="a hold is overdue at the instant of its end",
        file="services/ledger/overdue.py",
        source="account.holds_due_at <= now",
        wrong="account.holds_due_at < now",
        tests=(f"{COMMANDS}test_a_hold_is_over_for_others_at_the_very_instant_of_its_end",),
    ),
    Fault(
        name="overdue-beyond-a-batch-forgotten",
        breaks="more overdue holds than one command ends are ended by the next",
        file="services/ledger/overdue.py",
        source="    if len(overdue) < SWEEP_BATCH:\n        earliest",
        wrong="    if overdue:\n        earliest",
        tests=(f"{COMMANDS}test_more_overdue_holds_than_one_command_ends_are_ended_by_the_next",),
    ),
    Fault(
        name="overdue-beside-their-caps",
        breaks="what an overdue hold of a part gives back has room in its caps again",
        file="services/ledger/overdue.py",
        source="    if scopes:",
        wrong="    if not scopes:",
        tests=(
            (
                f"{COMMANDS}test_what_an_overdue_hold_of_a_part_gives_back_has_room_in"
                "_its_caps_again"
            ),
        ),
    ),
    Fault(
        name="sweep-stops-at-a-broken-account",
        breaks="an account that can't be swept keeps no other waiting",
        file="services/sweeps.py",
        source='logger.exception("holds of %s in %s were not expired", customer, unit)',
        wrong="raise",
        tests=(f"{SERVICES}test_a_damaged_account_keeps_no_other_from_being_swept",),
    ),
    Fault(
        name="sweep-ends-after-one-page",
        breaks="a sweep ends all that is overdue",
        file="services/sweeps.py",
        source=("        if ended == before:\n            break\n"),
        wrong="        break\n",
        tests=(f"{SERVICES}test_a_sweep_ends_what_is_overdue_and_nothing_else",),
    ),
    Fault(
        name="fresh-for-any-customer-version",
        breaks="an account is looked at again once its customer has changed",
        file="services/ledger/readiness.py",
        source="        and fresh.version == version\n",
        wrong="",
        tests=(f"{COMMANDS}test_a_new_plan_counts_with_the_next_command",),
    ),
    Fault(
        name="fresh-by-any-rules",
        breaks="an account is looked at again by a new catalogue",
        file="services/ledger/readiness.py",
        source="        and fresh.rules == rules.key\n",
        wrong="",
        tests=(f"{COMMANDS}test_a_new_catalogue_counts_with_the_next_command",),
    ),
    Fault(
        name="fresh-for-ever",
        breaks="an account is looked at again when something begins or ends",
        file="services/ledger/readiness.py",
        source="        and (fresh.until is None or now < fresh.until)\n",
        wrong="",
        tests=(f"{COMMANDS}test_a_window_begins_with_the_first_command_of_its_very_instant",),
    ),
    Fault(
        name="fresh-a-tick-too-long",
        breaks="an account is looked at again at the very instant",
        file="services/ledger/readiness.py",
        source="now < fresh.until)",
        wrong="now <= fresh.until)",
        tests=(f"{COMMANDS}test_a_window_begins_with_the_first_command_of_its_very_instant",),
    ),
    Fault(
        name="fresh-beyond-the-next-window",
        breaks="what is due next is what an account is fresh until",
        file="services/ledger/readiness.py",
        source="(due.until, next_turn(account, now))",
        wrong="(next_turn(account, now),)",
        tests=(f"{COMMANDS}test_a_window_begins_for_an_account_that_had_nothing_left_to_wait_for",),
    ),
    Fault(
        name="held-for-the-deleted",
        breaks="nothing more is held for a customer who was deleted",
        file="services/ledger/commands/reserve.py",
        source="        desk.check_living()\n",
        wrong="",
        tests=(f"{COMMANDS}test_nothing_more_is_held_for_a_customer_who_was_deleted",),
    ),
    Fault(
        name="reserve-key-ignores-the-amount",
        breaks="a key of a reserve stands for its quantity",
        file="services/ledger/reserving.py",
        source="            quantity=self.quantity,\n",
        wrong="",
        tests=(f"{COMMANDS}test_a_used_key_refuses_what_differs_in_anything",),
    ),
    Fault(
        name="reserve-key-ignores-the-scope",
        breaks="a key of a reserve stands for its part of the account",
        file="services/ledger/reserving.py",
        source='            **({"scope": self.scope} if self.scope else {}),\n',
        wrong="",
        tests=(f"{COMMANDS}test_a_used_key_refuses_what_differs_in_anything",),
    ),
    Fault(
        name="extend-key-ignores-the-amount",
        breaks="a key of an extension stands for its amount",
        file="services/ledger/commands/holds.py",
        source="            add_amount=self._add_amount,\n        )",
        wrong="        )",
        tests=(f"{COMMANDS}test_a_used_key_refuses_what_differs_in_anything",),
    ),
    Fault(
        name="grant-key-ignores-the-expiry",
        breaks="a key of a grant stands for its expiry",
        file="services/ledger/commands/accounts.py",
        source="            expires_at=command.expires_at,\n",
        wrong="",
        tests=(f"{COMMANDS}test_a_used_key_refuses_what_differs_in_anything",),
    ),
    Fault(
        name="cap-key-ignores-the-limit",
        breaks="a key of a cap stands for its limit",
        file="services/ledger/commands/accounts.py",
        source=(
            "            limit=self._limit,\n"
            "            scope=self._scope,\n"
            "            actor=self._actor,\n"
            "        )\n"
            "\n"
        ),
        wrong="            scope=self._scope,\n            actor=self._actor,\n        )\n\n",
        tests=(f"{COMMANDS}test_a_used_key_refuses_what_differs_in_anything",),
    ),
    Fault(
        name="settle-receipt-not-kept",
        breaks="a settlement under a key is carried out once",
        file="services/ledger/commands/keyed.py",
        source="        room.put_receipt(desk, Receipt(",
        wrong="        (desk, Receipt(",
        tests=(f"{COMMANDS}test_the_same_request_under_a_key_is_carried_out_once",),
    ),
    Fault(
        name="receipt-kept-in-mind-alone",
        breaks="a receipt is written with its effect",
        file="services/ledger/room.py",
        source="        desk.posting.receipts.append(receipt)\n",
        wrong="",
        tests=(f"{COMMANDS}test_the_same_request_under_a_key_is_carried_out_once",),
    ),
    Fault(
        name="purchase-granted-twice",
        breaks="a purchase grants once by its business key",
        file="services/ledger/commands/accounts.py",
        source="            if given is not None:\n                return self._same(given)\n",
        wrong="",
        tests=(f"{SERVICES}test_a_purchase_grants_once_by_its_business_key",),
    ),
    Fault(
        name="cap-blind-to-its-batch",
        breaks="a cap counts what earlier commands of its batch have used",
        file="services/ledger/commands/accounts.py",
        source="        room.flush(desk)",
        wrong="        # room.flush(desk)",
        tests=(f"{COMMANDS}test_a_cap_counts_what_its_own_batch_has_used",),
    ),
    Fault(
        name="cap-forgets-what-was-used",
        breaks="a new cap counts what its window has used before",
        file="services/ledger/commands/accounts.py",
        source="                used=used,\n",
        wrong="",
        tests=(f"{COMMANDS}test_a_cap_counts_what_its_own_batch_has_used",),
    ),
    Fault(
        name="nobody-told",
        breaks="thresholds and metered use are told in the transaction that crosses them",
        file="services/ledger/batch.py",
        source="        usage.record(tx, told, _latest(desks))",
        wrong="        _latest(desks)",
        tests=(f"{COMMANDS}test_thresholds_and_metered_use_are_written_to_the_outbox_once",),
    ),
    Fault(
        name="signals-untold",
        breaks="a change that crosses a threshold has something to tell",
        file="services/ledger/desk.py",
        source="        if change.overage or change.signals or owes_more:",
        wrong="        if change.overage or owes_more:",
        tests=(f"{COMMANDS}test_thresholds_and_metered_use_are_written_to_the_outbox_once",),
    ),
    Fault(
        name="abandoned-hold-kept",
        breaks="a hold that nobody waits for is released",
        file="services/ledger/commands/reserve.py",
        source="        return ReleaseCommand(self.key, request.hold_id)",
        wrong="        return None",
        tests=(f"{COMMANDS}test_a_reserve_that_nobody_waits_for_any_more_leaves_no_hold",),
    ),
)
