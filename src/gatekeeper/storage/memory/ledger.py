"""Accounts, grants, holds, entries and receipts, in memory."""

import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gatekeeper.errors import (
    ConflictError,
    DuplicateGrantError,
    InvalidInputError,
    LedgerInvariantError,
    TransactionConflictError,
)
from gatekeeper.ledger import (
    Account,
    Cap,
    Entry,
    EntryKind,
    Grant,
    GrantKind,
    Hold,
    HoldStatus,
    Receipt,
)
from gatekeeper.storage.ledger import Ledger
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.postings import AccountKey, Posting

_LAPSES = (EntryKind.GRANT_EXPIRED, EntryKind.GRANT_REVOKED)


class LedgerTables(NamedTuple):
    """The tables, for the audit, which looks at everything."""

    accounts: Table[tuple[str, str], Account]
    entries: Table[tuple[str, str, int], Entry]
    grants: Table[tuple[str, str, str], Grant]
    by_source: Table[str, Grant]
    holds: Table[tuple[str, str], Hold]
    hold_owners: Table[str, tuple[str, ...]]
    open_holds: Table[tuple[str, str], Hold]
    receipts: Table[tuple[str, str], Receipt]
    caps: Table[tuple[str, str, str, str], Cap]


class MemoryLedger(Ledger):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._accounts: Table[tuple[str, str], Account] = Table(journal)
        self._entries: Table[tuple[str, str, int], Entry] = Table(journal)
        self._grants: Table[tuple[str, str, str], Grant] = Table(journal)
        self._by_source: Table[str, Grant] = Table(journal)
        self._holds: Table[tuple[str, str], Hold] = Table(journal)
        self._hold_owners: Table[str, tuple[str, ...]] = Table(journal)
        self._open_holds: Table[tuple[str, str], Hold] = Table(journal)
        self._receipts: Table[tuple[str, str], Receipt] = Table(journal)
        self._caps: Table[tuple[str, str, str, str], Cap] = Table(journal)

    @property
    def tables(self) -> LedgerTables:
        """All of them."""
        return LedgerTables(
            self._accounts,
            self._entries,
            self._grants,
            self._by_source,
            self._holds,
            self._hold_owners,
            self._open_holds,
            self._receipts,
            self._caps,
        )

    def count_open_holds(self) -> int:
        """How many holds are open, of everybody."""
        return sum(1 for _ in self._open_holds.values())

    def account(self, customer: str, unit: str, *, lock: bool) -> Account:
        account = self._accounts.get((customer, unit))
        if account is not None:
            return account
        account = Account(customer, unit)
        if lock:
            self._accounts.put((customer, unit), account)
        return account

    def accounts(self, customer: str) -> Sequence[Account]:
        own = (account for account in self._accounts.values() if account.customer == customer)
        return tuple(sorted(own, key=lambda account: account.unit))

    def revisions(self, customers: Collection[str]) -> dict[str, tuple[tuple[str, int], ...]]:
        found = {
            customer: tuple((one.unit, one.revision) for one in self.accounts(customer))
            for customer in customers
        }
        return {customer: units for customer, units in found.items() if units}

    def lock(self, keys: Collection[AccountKey], *, wait: bool) -> dict[AccountKey, Account]:
        return {key: self.account(*key, lock=True) for key in sorted(keys)}

    def post(self, postings: Sequence[Posting]) -> None:
        for posting in postings:
            self._post(posting)

    def _post(self, posting: Posting) -> None:
        account, key = posting.after, posting.key
        stored = self._accounts.get(key) or Account(*key)
        before = posting.before
        if (stored.version, stored.revision) != (before.version, before.revision):
            raise TransactionConflictError(f"The account of {account.unit} has moved on.")
        if not 0 <= account.held <= account.posted:
            raise LedgerInvariantError(
                f"An account can't have posted={account.posted} and held={account.held}."
            )
        self._accounts.put(key, account)
        for entry in posting.entries:
            if not self._entries.insert((*key, entry.sequence), entry):
                raise TransactionConflictError(f"Entry {entry.sequence} is there already.")
        for grant in posting.grants:
            self._add_grant(grant)
        self._post_holds(posting)
        for cap in posting.caps.values():
            self._caps.put((*key, cap.scope, cap.every), cap)
        for receipt in posting.receipts:
            known = self._receipts.get((receipt.customer, receipt.key))
            if known is not None and known.fingerprint != receipt.fingerprint:
                raise TransactionConflictError("This idempotency key was used meanwhile.")
            self.put_receipt(receipt)

    def _post_holds(self, posting: Posting) -> None:
        for hold in posting.made.values():
            if (hold.customer, hold.id) in self._holds:
                raise ConflictError(f"There was a hold {hold.id!r} before.", hold=hold.id)
            self._put_hold(hold)
        for hold in posting.changed.values():
            found = self._holds.get((hold.customer, hold.id))
            if found is None or found.status is not HoldStatus.OPEN or found.unit != hold.unit:
                raise TransactionConflictError(f"Hold {hold.id!r} ended after it was read.")
            self._put_hold(hold)

    def find_hold(self, hold_id: str, *, customer: str | None = None) -> Hold | None:
        if customer is not None:
            return self._holds.get((customer, hold_id))
        owners = self._hold_owners.get(hold_id) or ()
        if len(owners) > 1:
            raise InvalidInputError("Several customers have a hold of this id: name the customer.")
        return self._holds.get((owners[0], hold_id)) if owners else None

    def find_holds(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Hold]:
        found = ((key, self._holds.get(key)) for key in keys)
        return {key: hold for key, hold in found if hold is not None}

    def next_hold_expiry(self, customer: str, unit: str, *, after: datetime) -> datetime | None:
        ends = (hold.expires_at for hold in self.open_holds(customer, unit))
        return min((end for end in ends if end > after), default=None)

    def caps(
        self, customer: str, unit: str, scopes: Collection[str] | None = None
    ) -> Sequence[Cap]:
        own = [
            cap
            for key, cap in self._caps.items()
            if key[:2] == (customer, unit) and (scopes is None or cap.scope in scopes)
        ]
        return tuple(sorted(own, key=lambda cap: (cap.scope, cap.every)))

    def expired_holds(
        self, now: datetime, limit: int, *, customer: str | None = None, unit: str | None = None
    ) -> Sequence[Hold]:
        expired = (
            hold
            for hold in self._open_holds.values()
            if hold.expires_at <= now
            and customer in (None, hold.customer)
            and unit in (None, hold.unit)
        )
        return tuple(sorted(expired, key=lambda hold: (hold.expires_at, hold.id))[:limit])

    def open_holds(self, customer: str, unit: str) -> Sequence[Hold]:
        own = (
            hold
            for hold in self._open_holds.values()
            if (hold.customer, hold.unit) == (customer, unit)
        )
        return tuple(sorted(own, key=lambda hold: (hold.created_at, hold.id)))

    def notices_due(self, now: datetime, limit: int) -> Sequence[AccountKey]:
        due = [
            (account.notice_due_at, account.customer, account.unit)
            for account in self._accounts.values()
            if account.notice_due_at is not None and account.notice_due_at <= now
        ]
        return [(customer, unit) for _, customer, unit in sorted(due)[:limit]]

    def used(self, customer: str, unit: str, scope: str, since: datetime) -> int:
        return sum(
            hold.captured + (hold.remaining if hold.status is HoldStatus.OPEN else 0)
            for hold in self._holds.values()
            if (hold.customer, hold.unit) == (customer, unit)
            and hold.created_at >= since
            and (not scope or hold.scope == scope or hold.scope.startswith(f"{scope}/"))
        )

    def grant_by_source(self, source_key: str) -> Grant | None:
        return self._by_source.get(source_key)

    def grants(self, customer: str, unit: str, kinds: Collection[GrantKind]) -> Sequence[Grant]:
        own = (g for g in self._grants.values() if (g.customer, g.unit) == (customer, unit))
        return sorted((one for one in own if one.kind in kinds), key=lambda one: one.id)

    def newest_grants(self, customer: str, limit: int) -> Sequence[Grant]:
        own = [one for one in self._grants.values() if one.customer == customer]
        own.sort(key=lambda one: one.id, reverse=True)
        own.sort(key=lambda one: one.unit)
        own.sort(key=lambda one: one.created_at, reverse=True)
        return own[:limit]

    def lapsed(self, customer: str, unit: str, grant_ids: Collection[str]) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for entry in self.entries(customer, unit, 0, sys.maxsize):
            if entry.grant_id in grant_ids and entry.posted_delta and entry.kind in _LAPSES:
                found[str(entry.grant_id)] -= entry.posted_delta
        return dict(found)

    def entries(self, customer: str, unit: str, after: int, limit: int) -> Sequence[Entry]:
        found: list[Entry] = []  # entries are numbered without gaps
        while len(found) < limit:
            entry = self._entries.get((customer, unit, max(after, 0) + len(found) + 1))
            if entry is None:
                break
            found.append(entry)
        return tuple(found)

    def receipt(self, customer: str, key: str) -> Receipt | None:
        return self._receipts.get((customer, key))

    def receipts(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Receipt]:
        found = ((key, self._receipts.get(key)) for key in keys)
        return {key: receipt for key, receipt in found if receipt is not None}

    def put_receipt(self, receipt: Receipt) -> None:
        self._receipts.put((receipt.customer, receipt.key), receipt)

    def prune_receipts(self, before: datetime, limit: int) -> int:
        old = sorted(
            (receipt for receipt in self._receipts.values() if receipt.created_at < before),
            key=lambda receipt: receipt.created_at,
        )[:limit]
        for receipt in old:
            self._receipts.delete((receipt.customer, receipt.key))
        return len(old)

    def _add_grant(self, grant: Grant) -> None:
        if not self._grants.insert((grant.customer, grant.unit, grant.id), grant):
            raise DuplicateGrantError(f"There is a grant {grant.id!r} already.", grant=grant.id)
        if grant.source_key is not None and not self._by_source.insert(grant.source_key, grant):
            raise DuplicateGrantError("This purchase has granted already.", grant=grant.id)

    def _put_hold(self, hold: Hold) -> None:
        key = (hold.customer, hold.id)
        self._holds.put(key, hold)
        owners = self._hold_owners.get(hold.id) or ()
        if hold.customer not in owners:
            self._hold_owners.put(hold.id, (*owners, hold.customer))
        if hold.status is HoldStatus.OPEN:
            self._open_holds.put(key, hold)
        else:
            self._open_holds.delete(key)
