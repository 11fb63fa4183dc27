"""Short ways to an account in some state, and the check of what must always hold."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from gatekeeper.ledger import (
    Account,
    AccountCommand,
    Allotment,
    Cap,
    CapTarget,
    Change,
    Entry,
    GrantCredits,
    GrantKind,
    Hold,
    HoldCommand,
    LiveGrant,
    Reserve,
    SetCap,
    Signal,
    Target,
    UnitPolicy,
    apply,
    notices,
    paths_of,
    refresh,
    settle,
)
from gatekeeper.types import Every

START = datetime(2026, 1, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EMPTY = Account("ada", "credits")


class Book:
    """An account with its whole history, on which commands are carried out one by one."""

    def __init__(self, account: Account = EMPTY, policy: UnitPolicy | None = None) -> None:
        self.account = account
        self.policy = policy or UnitPolicy()
        self.now = START
        self.caps: dict[tuple[str, Every], Cap] = {}
        self.signals: list[Signal] = []
        self.entries: list[Entry] = []
        self.holds: dict[str, Hold] = {}
        self.last = Change(account)

    def at(self, moment: timedelta) -> "Book":
        """Move the clock to this long after the start."""
        self.now = START + moment
        return self

    def do(self, command: AccountCommand, *, scope: str = "") -> Change:
        """Carry out a command on the account."""
        scoped = self._scoped(scope)
        return self._take(apply(self.account, command, self.now, policy=self.policy, scoped=scoped))

    def settle(self, hold_id: str, command: HoldCommand) -> Change:
        """Carry out a command on a hold."""
        hold = self.holds[hold_id]
        scoped = self._scoped(hold.scope)
        return self._take(
            settle(self.account, hold, command, self.now, policy=self.policy, scoped=scoped)
        )

    def refresh(
        self,
        *targets: Target,
        ended: frozenset[str] = frozenset(),
        suspended: frozenset[str] = frozenset(),
        caps: tuple[CapTarget, ...] = (),
    ) -> Change:
        """Bring the account up to date."""
        allotment = Allotment(targets, ended, suspended, caps=caps)
        return self._take(refresh(self.account, allotment, self.now, policy=self.policy))

    def notices(self) -> Change:
        """Tell of the grants that are about to expire."""
        return self._take(notices(self.account, self.now, self.policy))

    def cap(self, every: Every, limit: int | None, *, scope: str = "", used: int = 0) -> Change:
        """Set a cap of the host's."""
        return self.do(SetCap(every, limit, scope, used), scope=scope)

    def grant(self, amount: int, grant_id: str = "g1", **fields: object) -> Change:
        """Add a grant."""
        return self.do(replace(GrantCredits(grant_id, amount, GrantKind.MANUAL), **fields))

    def reserve(self, amount: int, hold_id: str = "h1", **fields: object) -> Hold:
        """Make a hold of an hour."""
        command = replace(Reserve(hold_id, amount, self.now + HOUR), **fields)
        change = self.do(command, scope=command.scope)
        assert change.hold is not None
        return change.hold

    def live(self, grant_id: str) -> LiveGrant:
        """What is left of a grant."""
        return {grant.id: grant for grant in self.account.grants}[grant_id]

    def left(self) -> dict[str, tuple[int, int]]:
        """What each grant has remaining and held."""
        return {grant.id: (grant.remaining, grant.held) for grant in self.account.grants}

    def used(self, scope: str = "", source: str = "host") -> int:
        """What is used of the one cap of a scope."""
        caps = [*self.account.caps, *self.caps.values()]
        found = [cap.used for cap in caps if (cap.scope, cap.source) == (scope, source)]
        assert len(found) == 1
        return found[0]

    def _scoped(self, scope: str) -> tuple[Cap, ...]:
        paths = paths_of(scope)
        return tuple(cap for cap in self.caps.values() if cap.scope in paths)

    def _take(self, change: Change) -> Change:
        check_step(self.account, change)
        self.account = change.account
        self.entries += change.entries
        self.caps |= {(cap.scope, cap.every): cap for cap in change.caps}
        self.signals += change.signals
        if change.hold is not None:
            self.holds[change.hold.id] = change.hold
        self.last = change
        check_book(self.account, self.entries, list(self.holds.values()))
        return change


def check_step(before: Account, change: Change) -> None:
    """What is written moves the revision on by one; a change of nothing is the account itself."""
    if change.account is before:
        assert not any((change.entries, change.grants, change.caps, change.signals))
        return
    assert change.account != before
    assert change.account.revision == before.revision + 1


def check_book(account: Account, entries: list[Entry], holds: list[Hold]) -> None:
    """Invariants 1 to 3 of DESIGN section 4, recomputed from the entries alone."""
    opened = [hold for hold in holds if hold.status == "open"]
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert account.version == len(entries)
    assert account.posted == sum(entry.posted_delta for entry in entries)
    assert account.held == sum(entry.held_delta for entry in entries)
    assert account.held == sum(hold.amount - hold.captured for hold in opened)
    assert account.debt == sum(entry.debt_delta for entry in entries)
    assert account.posted - account.held >= 0
    assert account.held >= 0
    assert account.debt >= 0
    assert account.held == sum(grant.held for grant in account.grants)
    assert account.available == sum(grant.remaining for grant in account.grants)
    _check_grants(account, entries)
    _check_due(account, opened)
    instants = [entry.at for entry in entries]
    assert instants == sorted(instants)
    for hold in holds:
        _check_hold(hold, [entry for entry in entries if entry.hold_id == hold.id])


def _check_grants(account: Account, entries: list[Entry]) -> None:
    """What each grant has can be rebuilt from its entries."""
    posted: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for entry in entries:
        if entry.grant_id is not None:
            posted[entry.grant_id] += entry.posted_delta
            held[entry.grant_id] += entry.held_delta
    rebuilt = {name: (posted[name] - held[name], held[name]) for name in posted}
    live = {grant.id: (grant.remaining, grant.held) for grant in account.grants}
    assert all(live.get(name, (0, 0)) == parts for name, parts in rebuilt.items())
    assert all(name in rebuilt or parts == (0, 0) for name, parts in live.items())


def _check_due(account: Account, opened: list[Hold]) -> None:
    """No open hold ends before the account says that one may."""
    due = account.holds_due_at
    assert (due is None) == (not opened)
    assert all(due is not None and due <= hold.expires_at for hold in opened)


def _check_hold(hold: Hold, entries: list[Entry]) -> None:
    claimed = sum(entry.held_delta for entry in entries if entry.kind == "hold")
    parts = {
        kind: -sum(entry.held_delta for entry in entries if entry.kind == kind)
        for kind in ("capture", "release", "hold_expired")
    }
    back = parts["release"] + parts["hold_expired"]
    assert claimed == hold.amount
    assert parts["capture"] == hold.captured <= hold.amount
    if hold.status == "open":
        assert not back
        assert hold.remaining == sum(allocation.amount for allocation in hold.allocations) > 0
        return
    assert hold.captured + back == hold.amount  # captured, released or expired, and nothing else
    assert not (parts["release"] and parts["hold_expired"])
    ends = [entry.at for entry in entries if entry.kind in {"release", "hold_expired"}]
    assert set(ends) <= {hold.ended_at}  # at one moment
