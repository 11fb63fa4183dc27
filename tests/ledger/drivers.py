"""How the machine asks the engine: bare, or through a store as the services do it."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime

from gatekeeper.ledger import (
    Account,
    AccountCommand,
    Allotment,
    Cap,
    Change,
    Entry,
    GrantCredits,
    Hold,
    HoldCommand,
    Reserve,
    SetCap,
    UnitPolicy,
    apply,
    notices,
    paths_of,
    refresh,
    settle,
)
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import Every
from tests.ledger.builders import check_step

UNIT = "credits"


@dataclass(frozen=True)
class Step:
    """One command on the account, on a hold, or none: then the account is brought up to date, and
    with `tells` what is about to expire is told of."""

    now: datetime
    allotment: Allotment
    policy: UnitPolicy
    command: AccountCommand | None = None
    hold_id: str | None = None
    hold_command: HoldCommand | None = None
    tells: bool = False

    def decide(
        self, account: Account, hold: Hold | None, scoped: tuple[Cap, ...], *, repeated: bool
    ) -> Change | None:
        """What the engine makes of it."""
        if self.command is not None:
            if repeated:
                return None
            return apply(account, self.command, self.now, policy=self.policy, scoped=scoped)
        if hold is not None and self.hold_command is not None:
            return settle(
                account, hold, self.hold_command, self.now, policy=self.policy, scoped=scoped
            )
        return notices(account, self.now, self.policy) if self.tells else None

    def paths(self, hold: Hold | None) -> tuple[str, ...]:
        """The scopes whose caps it may change."""
        if isinstance(self.command, Reserve | SetCap):
            return paths_of(self.command.scope)
        return () if hold is None else paths_of(hold.scope)


Caps = dict[tuple[str, Every], Cap]


@dataclass(frozen=True)
class Snapshot:
    """All that is stored of one account."""

    account: Account
    entries: list[Entry] = field(default_factory=list)
    holds: dict[str, Hold] = field(default_factory=dict)
    caps: Caps = field(default_factory=dict)


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
        before, command = self._now, step.command
        change = refresh(before.account, step.allotment, step.now, policy=step.policy)
        check_step(before.account, change)
        changes = [change]
        hold = before.holds.get(step.hold_id or "")
        paths = step.paths(hold)
        scoped = tuple(cap for cap in before.caps.values() if cap.scope in paths)
        repeated = isinstance(command, GrantCredits) and command.source_key in self._sources
        decided = step.decide(change.account, hold, scoped, repeated=repeated)
        if decided is not None:
            check_step(change.account, decided)
            changes.append(decided)
        holds = {one.hold.id: one.hold for one in changes if one.hold is not None}
        entries = [entry for one in changes for entry in one.entries]
        caps = {(cap.scope, cap.every): cap for one in changes for cap in one.caps}
        self._now = Snapshot(
            changes[-1].account,
            before.entries + entries,
            {**before.holds, **holds},
            {**before.caps, **caps},
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
        # What the runner's own `run` does about Ctrl-C takes longer than most steps.
        self._run_until_complete = runner.get_loop().run_until_complete
        self._customer = customer
        self._hold_ids: list[str] = []

    def take(self, step: Step) -> list[Change]:
        """Carry out a step."""
        changes = self._run_until_complete(self._store.write(lambda tx: self._take(tx, step)))
        self._hold_ids += [one.hold.id for one in changes if one.hold is not None]
        return changes

    def snapshot(self) -> Snapshot:
        """What the store has."""
        return self._run_until_complete(self._store.read(self._read))

    def _take(self, tx: Transaction, step: Step) -> list[Change]:
        account = tx.ledger.account(self._customer, UNIT, lock=True)
        changes = [refresh(account, step.allotment, step.now, policy=step.policy)]
        check_step(account, changes[0])
        if changes[0].account is not account:
            tx.ledger.save(account, changes[0])
        account, command = changes[0].account, step.command
        source = command.source_key or "" if isinstance(command, GrantCredits) else ""
        hold = None
        if step.hold_id is not None:
            hold = tx.ledger.find_hold(step.hold_id, customer=self._customer)
            assert hold is not None
        paths = step.paths(hold)
        scoped = tuple(tx.ledger.caps(self._customer, UNIT, paths)) if paths else ()
        repeated = tx.ledger.grant_by_source(source) is not None  # this purchase has granted before
        decided = step.decide(account, hold, scoped, repeated=repeated)
        if decided is not None:
            check_step(account, decided)
            changes.append(decided)
            if decided.account is not account:
                tx.ledger.save(account, decided)
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
        caps = {(cap.scope, cap.every): cap for cap in tx.ledger.caps(self._customer, UNIT)}
        return Snapshot(tx.ledger.account(self._customer, UNIT, lock=False), entries, holds, caps)
