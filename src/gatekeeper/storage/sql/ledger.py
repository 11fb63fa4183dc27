"""Accounts and their history.

An account is one row, so that locking it and reading it are one statement: under READ COMMITTED a
waiter gets the row as the other transaction left it. (A joined read beside the lock would show the
new account with the old rows of the other table.)
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, bindparam, delete, insert, select, tuple_, update

from gatekeeper.errors import (
    DuplicateGrantError,
    TransactionConflictError,
)
from gatekeeper.ledger import (
    Account,
    Change,
    Entry,
    Grant,
    LiveGrant,
    Receipt,
    Received,
)
from gatekeeper.storage.port import Ledger
from gatekeeper.storage.sql.aggregate import columns_of, packed, select_of, struct_of
from gatekeeper.storage.sql.holds import HoldRows
from gatekeeper.storage.sql.tables import accounts, entries, grants, receipts

_LIVE_GRANTS: Final = msgspec.json.Decoder(tuple[LiveGrant, ...])
_RECEIVED: Final = msgspec.json.Decoder(dict[str, Received])

# Statements are built once, so that SQLAlchemy finds their compiled form at once.

_ACCOUNTS: Final = select_of(accounts, Account).where(
    accounts.c.customer == bindparam("of_customer")
)
_ALL_ACCOUNTS: Final = _ACCOUNTS.order_by(accounts.c.unit)
_ACCOUNT: Final = _ACCOUNTS.where(accounts.c.unit == bindparam("of_unit"))
_ACCOUNT_LOCKED: Final = _ACCOUNT.with_for_update(key_share=True)
_SAVE_ACCOUNT: Final = (
    update(accounts)
    .where(
        accounts.c.customer == bindparam("of_customer"),
        accounts.c.unit == bindparam("of_unit"),
        accounts.c.version == bindparam("version_before"),
    )
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in Account.__struct_fields__
            if name not in {"customer", "unit"}
        }
    )
)
_INSERT_ENTRIES: Final = insert(entries)
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

_RECEIPT: Final = select_of(receipts, Receipt).where(
    receipts.c.customer == bindparam("of_customer"), receipts.c.key == bindparam("of_key")
)
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
        which = {"of_customer": customer, "of_unit": unit}
        if not lock:
            row = self._connection.execute(_ACCOUNT, which).one_or_none()
            return Account(customer, unit) if row is None else _account(row)
        self._note(customer)
        row = self._connection.execute(_ACCOUNT_LOCKED, which).one_or_none()
        if row is None:
            empty = _account_columns(Account(customer, unit))
            self._connection.execute(self._dialect.insert_new(accounts), empty)
            row = self._connection.execute(_ACCOUNT_LOCKED, which).one()
        return _account(row)

    def accounts(self, customer: str) -> Sequence[Account]:
        rows = self._connection.execute(_ALL_ACCOUNTS, {"of_customer": customer})
        return sorted(map(_account, rows), key=lambda account: account.unit)

    def save(self, before: Account, change: Change) -> None:
        self._note(before.customer)
        self._save_account(before, change.account)
        if change.entries:
            self._connection.execute(
                _INSERT_ENTRIES, [columns_of(entry) for entry in change.entries]
            )
        for grant in change.grants:
            self._insert_grant(grant)
        if change.hold is not None:
            self._write_hold(change.hold, change.entries)

    def _save_account(self, before: Account, after: Account) -> None:
        values = {f"new_{name}": value for name, value in _account_columns(after).items()}
        del values["new_customer"], values["new_unit"]
        which = {
            "of_customer": before.customer,
            "of_unit": before.unit,
            "version_before": before.version,
        }
        if not self._changed(_SAVE_ACCOUNT, {**which, **values}):
            raise TransactionConflictError(
                f"The {before.unit} of {before.customer!r} changed after they were read."
            )

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

    def entries(self, customer: str, unit: str, after: int, limit: int) -> Sequence[Entry]:
        which = {"of_customer": customer, "of_unit": unit, "after": after, "at_most": limit}
        return [Entry(*row) for row in self._connection.execute(_ENTRIES, which)]

    def receipt(self, customer: str, key: str) -> Receipt | None:
        rows = self._connection.execute(_RECEIPT, {"of_customer": customer, "of_key": key})
        return struct_of(rows.mappings().one_or_none(), Receipt)

    def put_receipt(self, receipt: Receipt) -> None:
        self._connection.execute(self._dialect.upsert(receipts), columns_of(receipt))

    def prune_receipts(self, before: datetime, limit: int) -> int:
        return self._changed(_PRUNE_RECEIPTS, {"before": before, "at_most": limit})


def _account_columns(account: Account) -> dict[str, Any]:
    return {
        **columns_of(account),
        "grants": packed(account.grants),
        "received": packed(account.received),
    }


def _account(row: Row[Any]) -> Account:
    """A row in the order of Account's fields."""
    customer, unit, posted, held, debt, version, live, received, last_entry_at = tuple(row)
    return Account(
        customer,
        unit,
        posted,
        held,
        debt,
        version,
        _LIVE_GRANTS.decode(live),
        _RECEIVED.decode(received),
        last_entry_at,
    )
