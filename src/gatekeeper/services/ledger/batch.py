"""Many commands in one transaction: lock their accounts, read once, decide in memory, write once.

One refused command changes nothing for its neighbours: the engine refuses before it changes
anything. What brings an account up to date (what is due, what has expired) is written whatever the
commands come to.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from gatekeeper.errors import GatekeeperError
from gatekeeper.services import usage
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.readiness import make_ready
from gatekeeper.services.ledger.room import Room
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction

R = TypeVar("R")


class Skipped:
    """The outcome of a command whose account somebody else has locked."""


class Again:
    """The outcome of a command that has to be decided anew: nothing has come of it so far."""


SKIPPED = Skipped()
AGAIN = Again()

Outcome = object | GatekeeperError | Skipped | Again
"""What a command came to: its result, why it was refused, or that it came to nothing yet."""


def carry_out(tx: Transaction, rules: Rules, command: Command[R]) -> R:
    """One command in a transaction that is open, waiting for its account.

    Raises:
        GatekeeperError: it was refused; nothing changes.
    """
    room, desks = _open(tx, rules, [command], wait=True)
    result = command.decide(room)
    _write(tx, desks)
    return result


def carry_out_all(
    tx: Transaction, rules: Rules, commands: Sequence[Command[Any]], *, wait: bool
) -> tuple[list[Outcome], list[Desk]]:
    """Any number of commands in one transaction, each to its own outcome, in their order.

    Also returns the desks as they were written, for whoever keeps them in mind.
    """
    room, desks = _open(tx, rules, commands, wait=wait)
    there = {desk.key for desk in desks}
    outcomes: list[Outcome] = []
    for command in commands:
        if command.key not in there:
            outcomes.append(SKIPPED)
            continue
        try:
            outcomes.append(command.decide(room))
        except GatekeeperError as error:
            outcomes.append(error)
    _write(tx, desks)
    return outcomes, desks


def _open(
    tx: Transaction, rules: Rules, commands: Sequence[Command[Any]], *, wait: bool
) -> tuple[Room, list[Desk]]:
    accounts = tx.ledger.lock({command.key for command in commands}, wait=wait)
    now = tx.now()  # after the lock
    holds = tx.ledger.find_holds({key for one in commands for key in one.hold_keys})
    receipts = tx.ledger.receipts({key for one in commands for key in one.receipt_keys})
    versions = tx.customers.versions({customer for customer, _ in accounts})
    desks: dict[tuple[str, str], Desk] = {}
    for key, account in accounts.items():
        desk = desks[key] = Desk(account, now, rules.policy_of(key[1]))
        make_ready(tx, rules, desk, versions.get(key[0]))
    for command in commands:
        _lay_out_caps(tx, desks.get(command.key), command.scopes(holds))
    return Room(rules, desks, tx=tx, holds=holds, receipts=receipts), list(desks.values())


def _lay_out_caps(tx: Transaction, desk: Desk | None, scopes: Iterable[str]) -> None:
    wanted = list(scopes)
    if desk is not None and wanted:
        desk.add_scoped(tx.ledger.caps(*desk.key, wanted))


def _write(tx: Transaction, desks: Sequence[Desk]) -> None:
    postings = [desk.posting for desk in desks if not desk.posting.is_empty]
    if postings:
        tx.ledger.post(postings)
    told = [change for desk in desks for change in desk.told]
    if told:
        usage.record(tx, told, _latest(desks))


def _latest(desks: Sequence[Desk]) -> datetime:
    return max(desk.now for desk in desks)
