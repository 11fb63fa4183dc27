"""How the machine asks the engine: bare, or through a store as the services do it."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime

from gatekeeper.ledger import (
    Account,
    AccountCommand,
    Allotment,
    Change,
    Entry,
    GrantCredits,
    Hold,
    HoldCommand,
    apply,
    refresh,
    settle,
)
from gatekeeper.storage.port import Store, Transaction

UNIT = "credits"


@dataclass(frozen=True)
class Step:
    """One command on the account, on a hold, or none: then the account is brought up to date."""

    now: datetime
    allotment: Allotment
    command: AccountCommand | None = None
    hold_id: str | None = None
    hold_command: HoldCommand | None = None


@dataclass(frozen=True)
class Snapshot:
    """All that is stored of one account."""

    account: Account
    entries: list[Entry] = field(default_factory=list)
    holds: dict[str, Hold] = field(default_factory=dict)


class Driver(ABC):
    """Carries out steps, whole or not at all."""

    @abstractmethod
    def take(self, step: Step) -> list[Change]:
        """Carry out a step; returns its changes in order."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """What is stored now."""


class PureDriver(Driver):
    """The engine alone; what is refused is dropped with everything before it."""

    def __init__(self) -> None:
        self._now = Snapshot(Account("ada", UNIT))
        self._sources: set[str] = set()

    def take(self, step: Step) -> list[Change]:
        """Carry out a step."""
        changes = [refresh(self._now.account, step.allotment, step.now)]
        account = changes[0].account
        command = step.command
        repeated = isinstance(command, GrantCredits) and command.source_key in self._sources
        if command is not None and not repeated:
            changes.append(apply(account, command, step.now))
        if step.hold_id is not None and step.hold_command is not None:
            hold = self._now.holds[step.hold_id]
            changes.append(settle(account, hold, step.hold_command, step.now))
        holds = {one.hold.id: one.hold for one in changes if one.hold is not None}
        entries = [entry for one in changes for entry in one.entries]
        self._now = Snapshot(
            changes[-1].account, self._now.entries + entries, {**self._now.holds, **holds}
        )
        self._sources |= {
            grant.source_key for one in changes for grant in one.grants if grant.source_key
        }
        return changes

    def snapshot(self) -> Snapshot:
        """What has come of it so far."""
        return self._now


class StoreDriver(Driver):
    """Load and lock, bring up to date, ask the engine, save: in one transaction of a store."""

    def __init__(self, store: Store, runner: asyncio.Runner, customer: str) -> None:
        self._store = store
        self._runner = runner
        self._customer = customer
        self._hold_ids: list[str] = []

    def take(self, step: Step) -> list[Change]:
        """Carry out a step."""
        changes = self._runner.run(self._store.write(lambda tx: self._take(tx, step)))
        self._hold_ids += [one.hold.id for one in changes if one.hold is not None]
        return changes

    def snapshot(self) -> Snapshot:
        """What the store has."""
        return self._runner.run(self._store.read(self._read))

    def _take(self, tx: Transaction, step: Step) -> list[Change]:
        account = tx.ledger.account(self._customer, UNIT, lock=True)
        changes = [refresh(account, step.allotment, step.now)]
        if changes[0].account != account:
            tx.ledger.save(account, changes[0])
        account = changes[0].account
        command = step.command
        if isinstance(command, GrantCredits) and tx.ledger.grant_by_source(
            command.source_key or ""
        ):
            command = None  # this purchase has granted before
        if command is not None:
            changes.append(apply(account, command, step.now))
            tx.ledger.save(account, changes[-1])
        if step.hold_id is not None and step.hold_command is not None:
            hold = tx.ledger.find_hold(step.hold_id, customer=self._customer)
            assert hold is not None
            changes.append(settle(account, hold, step.hold_command, step.now))
            tx.ledger.save(account, changes[-1])
        return changes

    def _read(self, tx: Transaction) -> Snapshot:
        entries: list[Entry] = []
        while page := tx.ledger.entries(self._customer, UNIT, len(entries), 50):
            entries += page
        found = [tx.ledger.find_hold(one, customer=self._customer) for one in self._hold_ids]
        holds = {hold.id: hold for hold in found if hold is not None}
        opened = [hold for hold in holds.values() if hold.status == "open"]
        listed = tx.ledger.open_holds(self._customer, UNIT)
        assert sorted(h.id for h in listed) == sorted(h.id for h in opened)
        return Snapshot(tx.ledger.account(self._customer, UNIT, lock=False), entries, holds)
