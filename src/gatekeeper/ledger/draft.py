"""An account while one command changes it: every change goes through here and leaves an entry.

The draft is what keeps the sums: each method changes the grants and writes the entries that say
so, and `change()` derives posted, held and debt from those entries alone.
"""

from datetime import datetime

from msgspec.structs import replace

from gatekeeper.errors import DuplicateGrantError, LedgerInvariantError
from gatekeeper.ledger.values import (
    Account,
    Change,
    Entry,
    EntryKind,
    Grant,
    GrantKind,
    Hold,
    LiveGrant,
    OverageUse,
)


def adjoins(end: datetime | None, start: datetime | None) -> bool:
    """Whether a window that ends at `end` was still running when one began at `start`."""
    return end is None or start is None or end >= start


class Draft:
    """The working copy of one account, at one instant that is never before its last entry."""

    def __init__(
        self,
        account: Account,
        now: datetime,
        *,
        actor: str | None = None,
        feature: str | None = None,
        reference: str | None = None,
    ) -> None:
        last = account.last_entry_at
        self.now = now if last is None else max(now, last)
        self.grants = {grant.id: grant for grant in account.grants}
        self.received = dict(account.received)
        self._account = account
        self._actor = actor
        self._feature = feature
        self._reference = reference
        self._debt = account.debt
        self._entries: list[Entry] = []
        self._new_grants: list[Grant] = []
        self._overage: list[OverageUse] = []

    @property
    def debt(self) -> int:
        """What is still owed, as of the last step."""
        return self._debt

    def post(
        self,
        kind: EntryKind,
        *,
        posted: int = 0,
        held: int = 0,
        debt: int = 0,
        grant_id: str | None = None,
        hold_id: str | None = None,
    ) -> None:
        """Append one entry."""
        self._debt += debt
        self._entries.append(
            Entry(
                customer=self._account.customer,
                unit=self._account.unit,
                sequence=self._account.version + len(self._entries) + 1,
                kind=kind,
                at=self.now,
                posted_delta=posted,
                held_delta=held,
                debt_delta=debt,
                grant_id=grant_id,
                hold_id=hold_id,
                actor=self._actor,
                feature=self._feature,
                reference=self._reference,
            )
        )

    def add_grant(
        self,
        live: LiveGrant,
        kind: GrantKind,
        amount: int | None,
        *,
        source_key: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Add a grant; what is owed is repaid from it first (DESIGN invariant 2).

        Raises:
            DuplicateGrantError: the account holds a grant of this id. (One that is used up is not
                seen here; the store refuses it.)
        """
        self._new_grants.append(
            Grant(
                id=live.id,
                customer=self._account.customer,
                unit=self._account.unit,
                kind=kind,
                amount=amount,
                created_at=self.now,
                expires_at=live.expires_at,
                source_key=source_key,
                actor=self._actor,
                reason=reason,
            )
        )
        if live.id in self.grants:
            raise DuplicateGrantError(f"There is a grant {live.id!r} already.", grant=live.id)
        self.grants[live.id] = live
        if live.remaining:
            self.post(EntryKind.GRANT, posted=live.remaining, grant_id=live.id)
        self._repay(live.id, live.remaining)

    def expire_grant(self, grant_id: str) -> None:
        """End a grant: what it has left lapses; what holds claim stays with them until they end."""
        grant = self._find(grant_id)
        if grant.remaining:
            self.post(EntryKind.GRANT_EXPIRED, posted=-grant.remaining, grant_id=grant_id)
        ended_at = self.now if grant.expires_at is None else min(grant.expires_at, self.now)
        self._put(replace(grant, remaining=0, mint_left=0, expires_at=ended_at))

    def pause(self, grant_id: str, *, paused: bool) -> None:
        """Let a minting grant make nothing for now, or go on."""
        grant = self._find(grant_id)
        if grant.paused is not paused:
            self._put(replace(grant, paused=paused))

    def hold_from(self, grant_id: str, amount: int, hold_id: str) -> None:
        """Claim `amount` of a grant for a hold; a minting grant makes it first."""
        grant = self._find(grant_id)
        if grant.mints:
            self.post(EntryKind.MINT, posted=amount, grant_id=grant_id, hold_id=hold_id)
            left = None if grant.mint_left is None else grant.mint_left - amount
            self._put(replace(grant, held=grant.held + amount, mint_left=left))
        else:
            self._put(replace(grant, remaining=grant.remaining - amount, held=grant.held + amount))
        self.post(EntryKind.HOLD, held=amount, grant_id=grant_id, hold_id=hold_id)

    def capture_from(self, grant_id: str, amount: int, hold_id: str) -> None:
        """Spend `amount` of what a hold has claimed of a grant."""
        grant = self._find(grant_id)
        self._put(replace(grant, held=grant.held - amount))
        self.post(
            EntryKind.CAPTURE, posted=-amount, held=-amount, grant_id=grant_id, hold_id=hold_id
        )
        if grant.meter is not None:
            sequence = self._entries[-1].sequence
            self._overage.append(OverageUse(grant.meter, amount, sequence))

    def give_back(self, grant_id: str, amount: int, hold_id: str, kind: EntryKind) -> None:
        """Return `amount` of a hold to its grant; a grant that has ended lapses it at once."""
        grant = self._find(grant_id)
        self.post(kind, held=-amount, grant_id=grant_id, hold_id=hold_id)
        if grant.mints:
            self.post(EntryKind.UNMINT, posted=-amount, grant_id=grant_id, hold_id=hold_id)
            left = None if grant.mint_left is None else grant.mint_left + amount
            self._put(replace(grant, held=grant.held - amount, mint_left=left))
            return
        self._put(replace(grant, remaining=grant.remaining + amount, held=grant.held - amount))
        self._repay(grant_id, amount)
        if grant.expires_at is not None and grant.expires_at <= self.now:
            self.expire_grant(grant_id)

    def _repay(self, grant_id: str, amount: int) -> None:
        """Repay what is owed out of `amount` that has just become spendable."""
        repaid = min(self._debt, amount)
        if repaid:
            grant = self._find(grant_id)
            self._put(replace(grant, remaining=grant.remaining - repaid))
            self.post(EntryKind.DEBT_REPAID, posted=-repaid, debt=-repaid, grant_id=grant_id)

    def take(self, grant_id: str, amount: int) -> None:
        """Claw `amount` back out of what a grant has left."""
        grant = self._find(grant_id)
        self._put(replace(grant, remaining=grant.remaining - amount))
        self.post(EntryKind.CLAWBACK, posted=-amount, grant_id=grant_id)

    def latest_start(self, series: str) -> datetime | None:
        """Where the latest window of a series that was granted begins."""
        starts = (r.start for r in self.received.values() if r.series == series and r.start)
        return max(starts, default=None)

    def remember_left(self, grant: LiveGrant) -> None:
        """Note what is left of a window whose time is over, for the window that follows it."""
        received = self.received.get(grant.window_key or "")
        if grant.window_key is not None and received is not None and grant.remaining:
            left = received.left + grant.remaining
            self.received[grant.window_key] = replace(received, left=left)

    def take_left(self, series: str, start: datetime | None) -> int:
        """What earlier windows of a series have left to the one that begins at `start`."""
        total = 0
        for key, received in self.received.items():
            if received.series == series and received.left:
                total += received.left if adjoins(received.end, start) else 0
                self.received[key] = replace(received, left=0)
        return total

    def forget_received_until(self, now: datetime) -> None:
        """Drop the memory of windows that are over, but for the latest of each series."""
        self.received = {
            key: received
            for key, received in self.received.items()
            if received.until is None
            or received.until > now
            or (received.series and received.start == self.latest_start(received.series))
        }

    def change(self, hold: Hold | None = None) -> Change:
        """All that was done, with the account's sums derived from the entries.

        Raises:
            LedgerInvariantError: the stored account contradicts itself (DESIGN invariant 2).
        """
        account = self._account
        posted = account.posted + sum(entry.posted_delta for entry in self._entries)
        held = account.held + sum(entry.held_delta for entry in self._entries)
        self._check_sums(posted, held)
        live = tuple(grant for grant in self.grants.values() if self._matters(grant))
        changed = bool(self._entries) or (live, self.received) != (account.grants, account.received)
        return Change(
            account=replace(
                account,
                posted=posted,
                held=held,
                debt=self._debt,
                version=account.version + len(self._entries),
                grants=live,
                received=self.received,
                last_entry_at=self.now if changed else account.last_entry_at,
            ),
            entries=tuple(self._entries),
            grants=tuple(self._new_grants),
            hold=hold,
            overage=tuple(self._overage),
        )

    def _check_sums(self, posted: int, held: int) -> None:
        """The account's sums are those of its grants, none of which is below zero."""
        grants = self.grants.values()
        left = sum(grant.remaining for grant in grants)
        claimed = sum(grant.held for grant in grants)
        lowest = min((min(grant.remaining, grant.held) for grant in grants), default=0)
        if lowest < 0 or (posted, held) != (left + claimed, claimed) or self._debt < 0:
            raise LedgerInvariantError(
                f"{self._account.unit} of {self._account.customer!r} would come to "
                f"posted={posted}, held={held}, debt={self._debt}, with {left} left in grants and "
                f"{claimed} of them held. Nothing was changed."
            )

    def _find(self, grant_id: str) -> LiveGrant:
        grant = self.grants.get(grant_id)
        if grant is None:
            raise LedgerInvariantError(
                f"{self._account.unit} of {self._account.customer!r} lack the grant {grant_id!r}. "
                "Nothing was changed."
            )
        return grant

    def _put(self, grant: LiveGrant) -> None:
        self.grants[grant.id] = grant

    def _matters(self, grant: LiveGrant) -> bool:
        """Whether a grant can still be spent from or given back to."""
        if grant.held or grant.remaining:
            return True
        return grant.mints and (grant.expires_at is None or grant.expires_at > self.now)
