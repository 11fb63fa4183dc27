"""Accounts, grants, holds, entries and receipts, in memory."""

from collections.abc import Sequence
from datetime import datetime

from gatekeeper.errors import (
    ConflictError,
    DuplicateGrantError,
    InvalidInputError,
    LedgerInvariantError,
    TransactionConflictError,
)
from gatekeeper.ledger import Account, Change, Entry, Grant, Hold, HoldStatus, Receipt
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.port import Ledger


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

    def save(self, before: Account, change: Change) -> None:
        account = change.account
        key = (account.customer, account.unit)
        stored = self._accounts.get(key)
        if (0 if stored is None else stored.version) != before.version:
            raise TransactionConflictError(f"The account of {account.unit} has moved on.")
        if not 0 <= account.held <= account.posted:
            raise LedgerInvariantError(
                f"An account can't have posted={account.posted} and held={account.held}."
            )
        self._accounts.put(key, account)
        for entry in change.entries:
            if not self._entries.insert((*key, entry.sequence), entry):
                raise TransactionConflictError(f"Entry {entry.sequence} is there already.")
        for grant in change.grants:
            self._add_grant(grant)
        if change.hold is not None:
            self._save_hold(change.hold, change.entries)

    def find_hold(self, hold_id: str, *, customer: str | None = None) -> Hold | None:
        if customer is not None:
            return self._holds.get((customer, hold_id))
        owners = self._hold_owners.get(hold_id) or ()
        if len(owners) > 1:
            raise InvalidInputError("Several customers have a hold of this id: name the customer.")
        return self._holds.get((owners[0], hold_id)) if owners else None

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

    def grant_by_source(self, source_key: str) -> Grant | None:
        return self._by_source.get(source_key)

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

    def _save_hold(self, hold: Hold, written: Sequence[Entry]) -> None:
        key = (hold.customer, hold.id)
        stored = self._holds.get(key)
        claimed = sum(entry.held_delta for entry in written if entry.hold_id == hold.id)
        if hold.status is HoldStatus.OPEN and claimed == hold.amount:  # it was made just now
            if stored is not None:
                raise ConflictError(f"There was a hold {hold.id!r} before.", hold=hold.id)
        elif stored is None or stored.status is not HoldStatus.OPEN or stored.unit != hold.unit:
            raise TransactionConflictError(f"Hold {hold.id!r} ended after it was read.")
        self._holds.put(key, hold)
        owners = self._hold_owners.get(hold.id) or ()
        if hold.customer not in owners:
            self._hold_owners.put(hold.id, (*owners, hold.customer))
        if hold.status is HoldStatus.OPEN:
            self._open_holds.put(key, hold)
        else:
            self._open_holds.delete(key)
