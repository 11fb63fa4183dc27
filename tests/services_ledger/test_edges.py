"""Where the moment, another process or another request could make a command go wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gatekeeper import Catalog, Gatekeeper, Plan, Unit
from gatekeeper.errors import (
    CustomerNotFoundError,
    HoldEndedError,
    TransactionConflictError,
)
from gatekeeper.ledger import Account, LiveGrant, Receipt, next_turn
from gatekeeper.services.ledger.batch import SKIPPED
from gatekeeper.services.ledger.commands import Command, ReserveCommand
from gatekeeper.services.ledger.mirror import Mirror
from gatekeeper.services.ledger.reserving import ReserveRequest
from gatekeeper.services.ledger.room import Room
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.services.rules import Rules
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.postings import Posting
from gatekeeper.storage.sql.posting_postgresql import parameters
from tests.gates import CUSTOMER, new_gate

pytestmark = pytest.mark.anyio

credits = Unit("credits")
MONTHLY = Catalog(plans=[Plan("free", default=True, grants=[credits.every("month", 10)])])
NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def test_the_first_command_of_a_new_customer_finds_the_running_window(gate_url: str) -> None:
    """In the database's own time: the customer is made known after the account was locked."""
    settings = new_gate(gate_url, inline_dispatch=True).settings
    async with Gatekeeper(MONTHLY, settings).connected() as gate:
        assert (await gate.balance("nobody", "credits")).available == 10
        for customer in ("ada", "bob", "eve"):
            hold = await gate.reserve(customer, "credits", 10)
            await gate.capture(hold.id)
            assert (await gate.balance(customer, "credits")).available == 0


def test_arrays_are_lists_which_every_driver_takes() -> None:
    postings = [Posting(Account(name, "credits"), Account(name, "credits")) for name in "ab"]
    _, values = parameters(postings, None, None)
    assert {type(value) for value in values[2:]} == {list}


def test_an_account_that_has_moved_on_by_its_version_alone_is_learnt_anew() -> None:
    """A release of schema 1 moves the version of an account and not its revision."""
    mirror = Mirror()
    old, new = Account("ada", "credits", 5), Account("ada", "credits", 105, version=1)
    mirror.learn({("ada", "credits"): old}, [])
    mirror.learn({("ada", "credits"): new}, [])
    known = mirror.get(("ada", "credits"))
    assert known is not None
    assert known.account == new


@pytest.mark.parametrize(
    ("key", "once", "is_undone"), [(None, False, True), ("k", False, False), ("k", True, True)]
)
async def test_a_hold_that_a_retry_may_have_been_given_is_not_taken_back(
    key: str | None, once: bool, is_undone: bool
) -> None:
    request = ReserveRequest(
        customer="ada", name="credits", quantity=1, hold_id="h", idempotency_key=key, once=once
    )
    store, rules = MemoryStore(), Rules(MONTHLY)
    async with store:
        command = ReserveCommand(rules, request)
        [made] = await Ways(store, rules).carry_out([command])
        assert (command.undo(made) is not None) is is_undone


class _Doomed(Command[None]):
    def __init__(self, customer: str) -> None:
        self.key = (customer, "credits")

    def decide(self, room: Room) -> None:
        raise AssertionError("never reached")


class _LockedFile(MemoryStore):
    writes = 0

    async def write(self, work: Any) -> Any:
        self.writes += 1
        raise TransactionConflictError("locked", is_locked=True)


class _LockedRows(_LockedFile):
    locks_rows = True


async def test_a_locked_file_is_waited_for_once_and_locked_rows_are_found_out() -> None:
    commands = [_Doomed(name) for name in "abcd"]
    file, rows = _LockedFile(), _LockedRows()
    outcomes = await Ways(file, Rules(MONTHLY)).carry_out(commands)
    assert [type(outcome) for outcome in outcomes] == [TransactionConflictError] * 4
    assert file.writes == 1
    assert await Ways(rows, Rules(MONTHLY)).carry_out(commands) == [SKIPPED] * 4


async def test_a_key_that_another_request_has_used_meanwhile_changes_nothing(
    gate: Gatekeeper,
) -> None:
    """Receipts are the customer's, locks the account's: the write itself finds the other one."""
    store = gate._parts.store
    await gate.grant(CUSTOMER, "credits", 1, reason="test")

    def used(fingerprint: str) -> Receipt:
        return Receipt(CUSTOMER, "key", fingerprint, "1", NOW)

    await store.write(lambda tx: tx.ledger.put_receipt(used("one")))

    def meanwhile(tx: Any, fingerprint: str) -> None:
        before = tx.ledger.account(CUSTOMER, "credits", lock=True)
        posting = Posting(before, replace(before, revision=before.revision + 1))
        posting.receipts.append(used(fingerprint))
        tx.ledger.post([posting])

    with pytest.raises(TransactionConflictError):
        await store.write(lambda tx: meanwhile(tx, "two"))
    found = await store.read(lambda tx: tx.ledger.receipt(CUSTOMER, "key"))
    assert found is not None
    assert found.fingerprint == "one"
    await store.write(lambda tx: meanwhile(tx, "one"))  # the same request, tried again


async def test_nothing_is_told_of_a_hold_by_what_is_only_in_mind(
    postgres_gate: Gatekeeper, other_gate: Gatekeeper
) -> None:
    hold = await postgres_gate.reserve(CUSTOMER, "credits", 2, ttl=timedelta(hours=1))
    await other_gate.release(hold.id, customer=CUSTOMER)
    with pytest.raises(HoldEndedError):  # the hold lives for longer already: nothing to write
        await postgres_gate.extend(hold.id, timedelta(minutes=10))


def test_a_grant_that_is_wholly_held_has_its_end_in_time() -> None:
    end = NOW + timedelta(days=1)
    grant = LiveGrant("g", 0, NOW, held=10, expires_at=end)
    account = Account("ada", "credits", posted=10, held=10, grants=(grant,))
    assert next_turn(account, NOW) == end


async def test_no_cap_is_set_for_somebody_who_was_deleted(gate: Gatekeeper) -> None:
    await gate.customers.ensure(CUSTOMER)
    await gate.customers.delete(CUSTOMER)
    with pytest.raises(CustomerNotFoundError):
        await gate.set_cap(CUSTOMER, "exports", "day", 5)
