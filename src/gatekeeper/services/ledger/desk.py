"""One account on the table: as it was read, and as the commands so far have left it."""

from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.errors import GatekeeperError
from gatekeeper.ledger import (
    Account,
    AccountCommand,
    Cap,
    Change,
    Fresh,
    Hold,
    HoldCommand,
    UnitPolicy,
    apply,
    settle,
)
from gatekeeper.storage.postings import AccountKey, Posting


class Desk:
    """Where the commands of one account are decided, one after the other, at one moment.

    Nothing is written here: `posting` collects what they come to, and `told` the changes that
    somebody else has to hear of. `refusal` is why no more can be granted to the customer, or held
    for them; `expired` counts the holds whose time was over.
    """

    __slots__ = ("_policy", "_scoped", "expired", "now", "posting", "refusal", "told")

    def __init__(self, account: Account, now: datetime, policy: UnitPolicy) -> None:
        last = account.last_entry_at
        self.now = now if last is None else max(now, last)
        self.posting = Posting(account, account)
        self.refusal: GatekeeperError | None = None
        self.told: list[Change] = []
        self.expired = 0
        self._policy = policy
        self._scoped: dict[tuple[str, str], Cap] = {}

    @property
    def account(self) -> Account:
        """The account as it is now."""
        return self.posting.after

    @property
    def key(self) -> AccountKey:
        """The account's key."""
        return self.posting.key

    def check_living(self) -> None:
        """Raise what stands against granting to the customer, or holding for them."""
        if self.refusal is not None:
            raise self.refusal

    def apply(self, command: AccountCommand) -> Change:
        """Carry out a command on the account, by the engine.

        Raises:
            GatekeeperError: what the engine refuses; nothing changes.
        """
        change = apply(
            self.account, command, self.now, policy=self._policy, scoped=self.scoped_caps()
        )
        self.take(change)
        return change

    def settle(self, hold: Hold, command: HoldCommand) -> Change:
        """Carry out a command on a hold, by the engine.

        Raises:
            GatekeeperError: what the engine refuses; nothing changes.
        """
        change = settle(
            self.account,
            hold,
            command,
            self.now,
            policy=self._policy,
            scoped=self.scoped_caps(),
        )
        self.take(change)
        return change

    def take(self, change: Change) -> None:
        """Go on from a change."""
        owes_more = change.account.debt > self.account.debt
        self.posting.add(change)
        for cap in change.caps:
            self._scoped[cap.scope, cap.every] = cap
        if change.overage or change.signals or owes_more:
            self.told.append(change)

    def put(self, account: Account) -> None:
        """Go on from an account that differs in what has no entry: how fresh it is."""
        revision = max(account.revision, self.posting.before.revision + 1)
        self.posting.after = replace(account, revision=revision)

    def be_fresh(self, fresh: Fresh) -> None:
        """Note up to when the account is up to date."""
        if fresh != self.account.fresh:
            self.put(replace(self.account, fresh=fresh))

    def add_scoped(self, caps: Iterable[Cap]) -> None:
        """Lay the caps of parts of the account on the table."""
        for cap in caps:
            self._scoped.setdefault((cap.scope, cap.every), cap)

    def scoped_caps(self) -> tuple[Cap, ...]:
        """The caps of parts of the account that are on the table."""
        return tuple(self._scoped.values()) if self._scoped else ()
