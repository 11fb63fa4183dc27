"""An account while one command changes it: every change goes through here and leaves an entry.

The draft keeps the sums: whoever changes a grant posts the entries that say so, and `change()`
derives posted, held and debt from those entries alone. What a grant has follows from its entries,
too: `held` is the sum of their held_delta, and `remaining` that of their posted_delta less that.
"""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from gatekeeper.errors import LedgerInvariantError
from gatekeeper.ledger.caps import Budget
from gatekeeper.ledger.series import SeriesMemory
from gatekeeper.ledger.signals import cap_reached, crossed, notice_due, top_up_due
from gatekeeper.ledger.values import (
    Account,
    Cap,
    Change,
    Entry,
    EntryKind,
    Fresh,
    Grant,
    Hold,
    HoldStatus,
    LiveGrant,
    OverageUse,
    Signal,
    UnitPolicy,
)

NO_POLICY: Final = UnitPolicy()
"""Nothing is declared of a unit."""


class Draft:
    """The working copy of one account, at one instant that is never before its last entry.

    Attributes:
        grants: by id, as they are by now.
        debt: what is still owed.
        budget: the caps; None if there are none.
        actor, metadata: whose, and what is noted beside every entry.
    """

    __slots__ = (
        "_entries",
        "_feature",
        "_held",
        "_new_grants",
        "_overage",
        "_posted",
        "_reference",
        "_scope",
        "_series",
        "_sooner",
        "_touched",
        "account",
        "actor",
        "budget",
        "debt",
        "grants",
        "metadata",
        "now",
        "policy",
    )

    def __init__(
        self,
        account: Account,
        now: datetime,
        policy: UnitPolicy = NO_POLICY,
        scoped: tuple[Cap, ...] = (),
        *,
        actor: str | None = None,
        feature: str | None = None,
        reference: str | None = None,
        scope: str = "",
        metadata: str | None = None,
    ) -> None:
        last = account.last_entry_at
        self.now = now if last is None or now > last else last
        self.account = account
        self.policy = policy
        self.grants = {grant.id: grant for grant in account.grants}
        self.debt = account.debt
        self.budget = Budget(account.caps, scoped, self.now) if account.caps or scoped else None
        self.actor = actor
        self.metadata = metadata
        self._feature = feature
        self._reference = reference
        self._scope = scope
        self._posted = account.posted
        self._held = account.held
        self._entries: list[Entry] = []
        self._new_grants: list[Grant] = []
        self._overage: list[OverageUse] = []
        self._series: SeriesMemory | None = None
        self._sooner: datetime | None = None
        self._touched = False

    @property
    def series(self) -> SeriesMemory:
        """What each window has been given."""
        if self._series is None:
            self._series = SeriesMemory(self.account.received)
        return self._series

    @property
    def next_sequence(self) -> int:
        """The number of the next entry: no other of the account's ever has it."""
        return self.account.version + len(self._entries) + 1

    def with_budget(self) -> Budget:
        """The caps, of which there may be none yet."""
        if self.budget is None:
            self.budget = Budget((), (), self.now)
        return self.budget

    def post(
        self,
        kind: EntryKind,
        posted: int = 0,
        held: int = 0,
        debt: int = 0,
        grant_id: str | None = None,
        hold_id: str | None = None,
    ) -> int:
        """Append one entry; returns its number."""
        self._posted += posted
        self._held += held
        self.debt += debt
        account = self.account
        sequence = account.version + len(self._entries) + 1
        self._entries.append(
            Entry(
                account.customer,
                account.unit,
                sequence,
                kind,
                self.now,
                posted,
                held,
                debt,
                grant_id,
                hold_id,
                self.actor,
                self._feature,
                self._reference,
                self._scope,
                self.metadata,
            )
        )
        return sequence

    def bill(self, use: OverageUse) -> None:
        """Note use that has become final and is billed by a meter."""
        self._overage.append(use)

    def find(self, grant_id: str) -> LiveGrant:
        """A grant as it is by now.

        Raises:
            LedgerInvariantError: the account does not have it.
        """
        grant = self.grants.get(grant_id)
        if grant is None:
            raise LedgerInvariantError(
                f"{self.account.unit} of {self.account.customer!r} lack the grant {grant_id!r}. "
                "Nothing was changed."
            )
        return grant

    def put(self, grant: LiveGrant) -> None:
        """Write a grant, in place of the one of its id."""
        self.grants[grant.id] = grant
        self._touched = True

    def record(self, live: LiveGrant, grant: Grant) -> None:
        """Write a new grant, and its record; the account may change sooner by it."""
        self.put(live)
        self._new_grants.append(grant)
        for instant in (live.starts_at, live.expires_at):
            if instant is not None and (self._sooner is None or instant < self._sooner):
                self._sooner = instant

    # -- the end ----------------------------------------------------------------------------------

    def change(self, hold: Hold | None = None) -> Change:
        """All that was done, with the account's sums derived from the entries.

        Args:
            hold: one that was made or changed.

        Raises:
            LedgerInvariantError: the stored account contradicts itself (DESIGN invariant 2).
        """
        account = self.account
        live, unspent = self._checked()
        series = self._series
        moved = (
            self._touched
            or bool(self._entries)
            or len(live) != len(account.grants)
            or (series is not None and series.changed)
        )
        caps = account.caps if self.budget is None else self.budget.own
        scoped = () if self.budget is None else self.budget.changed
        if not moved and hold is None and caps == account.caps and not scoped:
            return Change(account)
        alerts, signals = self._told(live, unspent)
        after = replace(
            account,
            posted=self._posted,
            held=self._held,
            debt=self.debt,
            version=account.version + len(self._entries),
            grants=live,
            received=account.received if series is None else series.received,
            last_entry_at=self.now if moved else account.last_entry_at,
            revision=account.revision + 1,
            caps=caps,
            alerts=alerts,
            fresh=self._fresh(),
            holds_due_at=self._holds_due_at(hold),
            notice_due_at=self._notice_due_at(live, alerts),
        )
        return Change(
            after,
            tuple(self._entries),
            tuple(self._new_grants),
            hold,
            tuple(self._overage),
            scoped,
            signals,
        )

    def _checked(self) -> tuple[tuple[LiveGrant, ...], int]:
        """The grants that still matter (that can be spent from or given back to, now or later),
        and what is left in them that is not spent, held or not.

        The account's sums are those of its grants, none of which is below zero.
        """
        live: list[LiveGrant] = []
        left = claimed = minted = 0
        valid = self.debt >= 0
        for grant in self.grants.values():
            remaining, held = grant.remaining, grant.held
            left += remaining
            claimed += held
            if grant.mints:
                minted += held
            if remaining < 0 or held < 0:
                valid = False
            elif remaining or held or grant.pending or (grant.mints and not self._is_over(grant)):
                live.append(grant)
        if not valid or claimed != self._held or left + claimed != self._posted:
            raise LedgerInvariantError(
                f"{self.account.unit} of {self.account.customer!r} would come to "
                f"posted={self._posted}, held={self._held}, debt={self.debt}, with {left} left in "
                f"grants and {claimed} of them held. Nothing was changed."
            )
        return tuple(live), self._posted - minted

    def _is_over(self, grant: LiveGrant) -> bool:
        return grant.expires_at is not None and grant.expires_at <= self.now

    def _told(
        self, live: tuple[LiveGrant, ...], unspent: int
    ) -> tuple[tuple[str, ...], tuple[Signal, ...]]:
        """The alerts that now stand, and what is to be told."""
        account = self.account
        alerts = account.alerts
        told: list[Signal] = []
        if alerts or unspent <= (self.policy.low or 0):
            alerts, told = crossed(account, unspent, live, self.policy, self.now)
        if account.top_up_below is not None:
            available = self._posted - self._held
            alerts, due = top_up_due(account, available, live, alerts, self.now)
            told += due
        if self.budget is not None:
            told += [cap_reached(account, unspent, cap) for cap in self.budget.told]
        return alerts, tuple(told)

    def _notice_due_at(
        self, live: tuple[LiveGrant, ...], alerts: tuple[str, ...]
    ) -> datetime | None:
        if self.policy.expiry_notice is None:
            return None
        return notice_due(live, alerts, self.policy.expiry_notice, self.now)

    def _fresh(self) -> Fresh | None:
        """The account is up to date no longer than until a new grant begins or ends."""
        fresh, sooner = self.account.fresh, self._sooner
        if fresh is None or sooner is None or (fresh.until is not None and fresh.until <= sooner):
            return fresh
        return replace(fresh, until=sooner)

    def _holds_due_at(self, hold: Hold | None) -> datetime | None:
        """An instant before which no open hold ends."""
        due = self.account.holds_due_at
        if not self._held:
            return None
        if due is None and self.account.held:
            return self.now  # nobody has looked at these holds yet
        if hold is None or hold.status is not HoldStatus.OPEN:
            return due
        return hold.expires_at if due is None or hold.expires_at < due else due
