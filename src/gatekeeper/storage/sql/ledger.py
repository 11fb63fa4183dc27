"""Accounts and their history.

An account is one row, so that locking it and reading it are one statement: under READ COMMITTED a
waiter gets the row as the other transaction left it. (A joined read beside the lock would show the
new account with the old rows of the other table.)
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Table, bindparam, delete, func, select, tuple_

from gatekeeper.errors import DuplicateGrantError
from gatekeeper.ledger import Account, Cap, Entry, EntryKind, Grant, GrantKind, Receipt
from gatekeeper.storage.ledger import Ledger
from gatekeeper.storage.postings import AccountKey, Posting
from gatekeeper.storage.sql.aggregate import columns_of, select_of, struct_of
from gatekeeper.storage.sql.among import Among, padded
from gatekeeper.storage.sql.holds import HoldRows
from gatekeeper.storage.sql.packing import ACCOUNT_COLUMNS, account_columns, account_of
from gatekeeper.storage.sql.tables import accounts, caps, entries, grants, receipts
from gatekeeper.types import Every

# Statements are built once, so that SQLAlchemy finds their compiled form at once.

_ACCOUNTS: Final = select(*(accounts.c[name] for name in ACCOUNT_COLUMNS))
_ALL_ACCOUNTS: Final = _ACCOUNTS.where(accounts.c.customer == bindparam("of_customer")).order_by(
    accounts.c.unit
)
_ACCOUNT: Final = _ACCOUNTS.where(
    accounts.c.customer == bindparam("of_customer"), accounts.c.unit == bindparam("of_unit")
)
_ORDERED: Final = _ACCOUNTS.order_by(accounts.c.customer, accounts.c.unit)
_LOCKED: Final = {
    wait: Among(
        _ORDERED.with_for_update(key_share=True, skip_locked=not wait),
        accounts.c.customer,
        accounts.c.unit,
    )
    for wait in (True, False)
}
_REVISIONS: Final = (
    select(accounts.c.customer, accounts.c.unit, accounts.c.revision)
    .where(accounts.c.customer.in_(bindparam("customers", expanding=True)))
    .order_by(accounts.c.customer, accounts.c.unit)
)
_THERE: Final = Among(
    select(accounts.c.customer, accounts.c.unit), accounts.c.customer, accounts.c.unit
)
_NOTICES_DUE: Final = (
    select(accounts.c.customer, accounts.c.unit)
    .where(accounts.c.notice_due_at.is_not(None), accounts.c.notice_due_at <= bindparam("now"))
    .order_by(accounts.c.notice_due_at, accounts.c.customer, accounts.c.unit)
    .limit(bindparam("at_most"))
)
_ENTRIES: Final = (
    select_of(entries, Entry)
    .where(
        entries.c.customer == bindparam("of_customer"),
        entries.c.unit == bindparam("of_unit"),
        entries.c.sequence > bindparam("after"),
    )
    .order_by(entries.c.sequence)
    .limit(bindparam("at_most"))
)
_GRANT_BY_SOURCE: Final = select_of(grants, Grant).where(
    grants.c.source_key == bindparam("of_source")
)
_GRANTS_OF_KINDS: Final = select_of(grants, Grant).where(
    grants.c.customer == bindparam("of_customer"),
    grants.c.unit == bindparam("of_unit"),
    grants.c.kind.in_(bindparam("kinds", expanding=True)),
)
_NEWEST_GRANTS: Final = (
    select_of(grants, Grant)
    .where(grants.c.customer == bindparam("of_customer"))
    .order_by(grants.c.created_at.desc(), grants.c.unit, grants.c.id.desc())
    .limit(bindparam("at_most"))
)
_LAPSED: Final = (
    select(entries.c.grant_id, func.sum(-entries.c.posted_delta))
    .where(
        entries.c.customer == bindparam("of_customer"),
        entries.c.unit == bindparam("of_unit"),
        entries.c.kind.in_([EntryKind.GRANT_EXPIRED, EntryKind.GRANT_REVOKED]),
        entries.c.grant_id.in_(bindparam("grant_ids", expanding=True)),
    )
    .group_by(entries.c.grant_id)
)
_CAPS: Final = (
    select(caps)
    .where(caps.c.customer == bindparam("of_customer"), caps.c.unit == bindparam("of_unit"))
    .order_by(caps.c.scope, caps.c.every)
)
_CAPS_CHOSEN: Final = _CAPS.where(caps.c.scope.in_(bindparam("scopes", expanding=True)))
_RECEIPT: Final = select_of(receipts, Receipt).where(
    receipts.c.customer == bindparam("of_customer"), receipts.c.key == bindparam("of_key")
)
_RECEIPTS: Final = Among(select_of(receipts, Receipt), receipts.c.customer, receipts.c.key)
_PRUNE_RECEIPTS: Final = delete(receipts).where(
    tuple_(receipts.c.customer, receipts.c.key).in_(
        select(receipts.c.customer, receipts.c.key)
        .where(receipts.c.created_at < bindparam("before"))
        .order_by(receipts.c.created_at)
        .limit(bindparam("at_most"))
    )
)


class SqlLedger(HoldRows, Ledger):
    """`Ledger` over the tables `accounts`, `entries`, `grants`, `holds` and `receipts`."""

    def account(self, customer: str, unit: str, *, lock: bool) -> Account:
        if lock:
            return self.lock([(customer, unit)], wait=True)[customer, unit]
        which = {"of_customer": customer, "of_unit": unit}
        row = self._connection.execute(_ACCOUNT, which).one_or_none()
        return Account(customer, unit) if row is None else account_of(row)

    def lock(self, keys: Collection[AccountKey], *, wait: bool) -> dict[AccountKey, Account]:
        for customer, _ in keys:
            self._note(customer)
        if not wait:
            self._dialect.hurry(self._connection)
        found = self._locked(keys, wait=wait)
        if len(found) == len(keys):
            return found
        missing = sorted(set(keys) - found.keys())
        if not wait:
            there = self._connection.execute(*_THERE.asked(self._dialect.name, missing))
            missing = sorted(set(missing) - {(customer, unit) for customer, unit in there})
        if missing:
            named = sorted({customer for customer, _ in missing})
            free = self._dialect.may_make(self._connection, named, wait=wait)
            missing = [key for key in missing if key[0] in free]
        if missing:
            empty = [account_columns(Account(*key)) for key in missing]
            self._connection.execute(self._dialect.insert_new(accounts), empty)
            found |= self._locked(missing, wait=wait)
        return found

    def _locked(self, keys: Collection[AccountKey], *, wait: bool) -> dict[AccountKey, Account]:
        rows = self._connection.execute(*_LOCKED[wait].asked(self._dialect.name, keys))
        return {(row[0], row[1]): account_of(row) for row in rows}

    def notices_due(self, now: datetime, limit: int) -> Sequence[AccountKey]:
        rows = self._connection.execute(_NOTICES_DUE, {"now": now, "at_most": limit})
        return [(customer, unit) for customer, unit in rows]

    def accounts(self, customer: str) -> Sequence[Account]:
        rows = self._connection.execute(_ALL_ACCOUNTS, {"of_customer": customer})
        return sorted(map(account_of, rows), key=lambda account: account.unit)

    def revisions(self, customers: Collection[str]) -> dict[str, tuple[tuple[str, int], ...]]:
        found: dict[str, tuple[tuple[str, int], ...]] = {}
        if customers:
            which = {"customers": padded(sorted(customers))}
            for customer, unit, revision in self._connection.execute(_REVISIONS, which):
                found[customer] = (*found.get(customer, ()), (unit, revision))
        return found

    def post(self, postings: Sequence[Posting]) -> None:
        for posting in postings:
            self._note(posting.before.customer)
        self._dialect.post(self._connection, postings)
        for posting in postings:
            for grant in posting.grants:
                self._insert_grant(grant)
        self._upsert(caps, [_cap_columns(*p.key, cap) for p in postings for cap in p.caps.values()])

    def _upsert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(self._dialect.upsert(table), rows)

    def _insert_grant(self, grant: Grant) -> None:
        if not self._changed(self._dialect.insert_new(grants, any_key=True), columns_of(grant)):
            raise DuplicateGrantError(
                "A grant of this id, or for this purchase, was given before.",
                grant=grant.id,
                source_key=grant.source_key,
            )

    def grant_by_source(self, source_key: str) -> Grant | None:
        rows = self._connection.execute(_GRANT_BY_SOURCE, {"of_source": source_key})
        return struct_of(rows.mappings().one_or_none(), Grant)

    def grants(self, customer: str, unit: str, kinds: Collection[GrantKind]) -> Sequence[Grant]:
        which = {"of_customer": customer, "of_unit": unit, "kinds": padded(sorted(kinds))}
        rows = self._connection.execute(_GRANTS_OF_KINDS, which).mappings()
        return sorted((Grant(**row) for row in rows), key=lambda one: one.id)

    def newest_grants(self, customer: str, limit: int) -> Sequence[Grant]:
        which = {"of_customer": customer, "at_most": limit}
        rows = self._connection.execute(_NEWEST_GRANTS, which).mappings()
        return [Grant(**row) for row in rows]

    def lapsed(self, customer: str, unit: str, grant_ids: Collection[str]) -> Mapping[str, int]:
        if not grant_ids:
            return {}
        which = {
            "of_customer": customer,
            "of_unit": unit,
            "grant_ids": padded(sorted(set(grant_ids))),
        }
        rows = self._connection.execute(_LAPSED, which)
        return {grant_id: int(total) for grant_id, total in rows if total}

    def caps(
        self, customer: str, unit: str, scopes: Collection[str] | None = None
    ) -> Sequence[Cap]:
        which: dict[str, Any] = {"of_customer": customer, "of_unit": unit}
        if scopes is None:
            rows = self._connection.execute(_CAPS, which)
        else:
            rows = self._connection.execute(
                _CAPS_CHOSEN, {**which, "scopes": padded(sorted(scopes))}
            )
        return [_cap(row) for row in rows]

    def entries(self, customer: str, unit: str, after: int, limit: int) -> Sequence[Entry]:
        which = {"of_customer": customer, "of_unit": unit, "after": after, "at_most": limit}
        return [Entry(*row) for row in self._connection.execute(_ENTRIES, which)]

    def receipt(self, customer: str, key: str) -> Receipt | None:
        rows = self._connection.execute(_RECEIPT, {"of_customer": customer, "of_key": key})
        return struct_of(rows.mappings().one_or_none(), Receipt)

    def receipts(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Receipt]:
        if not keys:
            return {}
        rows = self._connection.execute(*_RECEIPTS.asked(self._dialect.name, keys))
        found = (Receipt(*row) for row in rows)
        return {(receipt.customer, receipt.key): receipt for receipt in found}

    def put_receipt(self, receipt: Receipt) -> None:
        self._connection.execute(self._dialect.upsert(receipts), columns_of(receipt))

    def prune_receipts(self, before: datetime, limit: int) -> int:
        return self._changed(_PRUNE_RECEIPTS, {"before": before, "at_most": limit})


def _cap_columns(customer: str, unit: str, cap: Cap) -> dict[str, Any]:
    return {
        "customer": customer,
        "unit": unit,
        "scope": cap.scope,
        "every": cap.every,
        "cap_limit": cap.limit,
        "window_start": cap.window_start,
        "window_end": cap.window_end,
        "used": cap.used,
        "reached": cap.reached,
    }


def _cap(row: Row[Any]) -> Cap:
    every: Every = row.every
    return Cap(
        every,
        row.cap_limit,
        row.window_start,
        row.window_end,
        row.used,
        row.scope,
        "host",
        row.reached,
    )
