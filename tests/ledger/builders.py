"""Short ways to an account in some state, and the check of what must always hold."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from gatekeeper.ledger import (
    Account,
    AccountCommand,
    Allotment,
    Change,
    Entry,
    GrantCredits,
    GrantKind,
    Hold,
    HoldCommand,
    LiveGrant,
    Reserve,
    Target,
    apply,
    refresh,
    settle,
)

START = datetime(2026, 1, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EMPTY = Account("ada", "credits")


class Book:
    """An account with its whole history, on which commands are carried out one by one."""

    def __init__(self, account: Account = EMPTY) -> None:
        self.account = account
        self.now = START
        self.entries: list[Entry] = []
        self.holds: dict[str, Hold] = {}
        self.last = Change(account)

    def at(self, moment: timedelta) -> "Book":
        """Move the clock to this long after the start."""
        self.now = START + moment
        return self

    def do(self, command: AccountCommand) -> Change:
        """Carry out a command on the account."""
        return self._take(apply(self.account, command, self.now))

    def settle(self, hold_id: str, command: HoldCommand) -> Change:
        """Carry out a command on a hold."""
        return self._take(settle(self.account, self.holds[hold_id], command, self.now))

    def refresh(
        self,
        *targets: Target,
        ended: frozenset[str] = frozenset(),
        suspended: frozenset[str] = frozenset(),
    ) -> Change:
        """Bring the account up to date."""
        return self._take(refresh(self.account, Allotment(targets, ended, suspended), self.now))

    def grant(self, amount: int, grant_id: str = "g1", **fields: object) -> Change:
        """Add a grant."""
        return self.do(replace(GrantCredits(grant_id, amount, GrantKind.MANUAL), **fields))

    def reserve(self, amount: int, hold_id: str = "h1", **fields: object) -> Hold:
        """Make a hold of an hour."""
        change = self.do(replace(Reserve(hold_id, amount, self.now + HOUR), **fields))
        assert change.hold is not None
        return change.hold

    def live(self, grant_id: str) -> LiveGrant:
        """What is left of a grant."""
        return {grant.id: grant for grant in self.account.grants}[grant_id]

    def left(self) -> dict[str, tuple[int, int]]:
        """What each grant has remaining and held."""
        return {grant.id: (grant.remaining, grant.held) for grant in self.account.grants}

    def _take(self, change: Change) -> Change:
        self.account = change.account
        self.entries += change.entries
        if change.hold is not None:
            self.holds[change.hold.id] = change.hold
        self.last = change
        check_book(self.account, self.entries, list(self.holds.values()))
        return change


def check_book(account: Account, entries: list[Entry], holds: list[Hold]) -> None:
    """Invariants 1 to 3 of DESIGN section 4, recomputed from the entries alone."""
    opened = [hold for hold in holds if hold.status == "open"]
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert account.version == len(entries)
    assert account.posted == sum(entry.posted_delta for entry in entries)
    assert account.held == sum(entry.held_delta for entry in entries)
    assert account.held == sum(hold.amount for hold in opened)
    assert account.debt == sum(entry.debt_delta for entry in entries)
    assert account.posted - account.held >= 0
    assert account.held >= 0
    assert account.debt >= 0
    assert account.held == sum(grant.held for grant in account.grants)
    assert account.available == sum(grant.remaining for grant in account.grants)
    instants = [entry.at for entry in entries]
    assert instants == sorted(instants)
    for hold in holds:
        _check_hold(hold, [entry for entry in entries if entry.hold_id == hold.id])


def _check_hold(hold: Hold, entries: list[Entry]) -> None:
    claimed = sum(entry.held_delta for entry in entries if entry.kind == "hold")
    parts = {
        kind: -sum(entry.held_delta for entry in entries if entry.kind == kind)
        for kind in ("capture", "release", "hold_expired")
    }
    assert claimed == hold.amount == sum(allocation.amount for allocation in hold.allocations)
    if hold.status == "open":
        assert not any(parts.values())
        return
    assert sum(parts.values()) == hold.amount  # captured + released + expired, and nothing else
    assert parts["capture"] == hold.captured
    assert not (parts["release"] and parts["hold_expired"])
    assert len({entry.at for entry in entries if entry.held_delta < 0}) == 1  # at one moment
