"""Accounts as this process last saw them, so that the next command need not read them again.

A mirror is a guess: whoever writes by it has the database check that nothing has moved since. What
it refuses is looked up before anybody is told.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from gatekeeper.ledger import Account, Hold, HoldStatus
from gatekeeper.storage.postings import AccountKey, Posting

MAX_ACCOUNTS: Final = 20_000
"""How many accounts are kept in mind; about 3 KB each."""

MAX_HOLDS: Final = 1_000
"""How many open holds of one account are kept in mind."""


class Mirrored:
    """One account, and those of its open holds that went through here.

    `ahead` is the account as writes that are under way will leave it, `holds_ahead` are the holds
    that they make or change, and `under_way` tells of the last of them whether it was written;
    there is nothing of it if none is under way.
    """

    __slots__ = ("account", "ahead", "holds", "holds_ahead", "under_way")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.holds: dict[str, Hold] = {}
        self.ahead: Account | None = None
        self.holds_ahead: dict[str, Hold] = {}
        self.under_way: asyncio.Future[bool] | None = None

    @property
    def latest(self) -> Account:
        """The account as the next command will find it, if all goes well."""
        return self.account if self.ahead is None else self.ahead

    def hold(self, hold_id: str) -> Hold | None:
        """A hold as the next command will find it, if it is in mind."""
        return self.holds_ahead.get(hold_id) or self.holds.get(hold_id)

    def take(self, holds: Iterable[Hold]) -> None:
        """Keep those of the holds that are open, and forget the others."""
        for hold in holds:
            if hold.status is HoldStatus.OPEN:
                self.holds[hold.id] = hold
            else:
                self.holds.pop(hold.id, None)
        while len(self.holds) > MAX_HOLDS:
            del self.holds[next(iter(self.holds))]


class Mirror:
    """The accounts in mind, the least recently used forgotten first."""

    def __init__(self, max_accounts: int = MAX_ACCOUNTS) -> None:
        self._max_accounts = max_accounts
        self._accounts: OrderedDict[AccountKey, Mirrored] = OrderedDict()

    def get(self, key: AccountKey) -> Mirrored | None:
        """The account, if it is in mind."""
        found = self._accounts.get(key)
        if found is not None:
            self._accounts.move_to_end(key)
        return found

    def put(self, posting: Posting) -> None:
        """Take an account over as it was read, or written, under its lock."""
        mirrored = Mirrored(posting.after)
        mirrored.take(posting.made.values())
        mirrored.take(posting.changed.values())
        self._put(posting.key, mirrored)

    def learn(self, accounts: Mapping[AccountKey, Account], holds: Iterable[Hold]) -> None:
        """Take over what was read. What is known of an account that has not moved stays."""
        for key, account in accounts.items():
            known = self._accounts.get(key)
            if known is None or not _is_same(known.account, account):
                self._put(key, Mirrored(account))
        for hold in holds:
            known = self._accounts.get((hold.customer, hold.unit))
            if known is not None:
                known.take((hold,))

    def under_way(self, key: AccountKey) -> "asyncio.Future[bool] | None":
        """What tells whether the last write of an account that is under way was written."""
        known = self._accounts.get(key)
        return None if known is None else known.under_way

    def begin(self, posting: Posting, under_way: "asyncio.Future[bool]") -> None:
        """A write begins: what comes next may build on it, and has to wait for it."""
        known = self._accounts.get(posting.key)
        if known is not None:
            known.ahead = posting.after
            known.holds_ahead |= {**posting.made, **posting.changed}
            known.under_way = under_way

    def wrote(self, posting: Posting) -> None:
        """Take over what was written."""
        known = self._accounts.get(posting.key)
        if known is None or known.account.revision > posting.after.revision:
            return
        if not _is_same(known.account, posting.before):
            known.holds.clear()
        known.account = posting.after
        if known.ahead is posting.after:
            known.ahead = known.under_way = None
        for hold in (*posting.made.values(), *posting.changed.values()):
            known.take((hold,))
            if known.holds_ahead.get(hold.id) is hold:
                del known.holds_ahead[hold.id]

    def forget(self, key: AccountKey) -> None:
        """Whatever is known of the account may be wrong."""
        self._accounts.pop(key, None)

    def _put(self, key: AccountKey, mirrored: Mirrored) -> None:
        self._accounts[key] = mirrored
        self._accounts.move_to_end(key)
        while len(self._accounts) > self._max_accounts:
            self._accounts.popitem(last=False)


def _is_same(one: Account, other: Account) -> bool:
    """Whether nothing was written between the two; releases of schema 1 move the version alone."""
    return (one.revision, one.version) == (other.revision, other.version)
