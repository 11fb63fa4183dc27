"""Writing postings to SQLite: one prepared statement for each kind of row, run over all of them.

SQLite has no writing CTEs, and no round trips to save either. The statements go to the driver as
they are: building them from SQLAlchemy's constructs would cost more than SQLite's own work.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from gatekeeper.errors import TransactionConflictError
from gatekeeper.ledger import Account, Entry, Hold, Receipt
from gatekeeper.storage.postings import Posting
from gatekeeper.storage.sql.packing import pack_standing, packed
from gatekeeper.storage.sql.types import free_text, micros

_SAVE_ACCOUNT: Final = """
UPDATE gatekeeper_accounts SET
  posted = ?, held = ?, debt = ?, version = ?, grants = ?, received = ?, last_entry_at = ?,
  revision = ?, standing = ?, notice_due_at = ?
WHERE customer = ? AND unit = ? AND revision = ? AND version = ?
"""
_ADD_ENTRY: Final = """
INSERT INTO gatekeeper_entries (customer, unit, sequence, kind, at, posted_delta, held_delta,
  debt_delta, grant_id, hold_id, actor, feature, reference, scope, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_HOLD: Final = """
INSERT INTO gatekeeper_holds (customer, unit, id, amount, allocations, created_at, expires_at,
  status, captured, overrun, cost_numerator, cost_denominator, ended_at, actor, feature, reference,
  scope, metadata, formula)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SAVE_HOLD: Final = """
UPDATE gatekeeper_holds SET
  amount = ?, allocations = ?, expires_at = ?, status = ?, captured = ?, overrun = ?, ended_at = ?
WHERE customer = ? AND id = ? AND unit = ? AND status = 'open'
"""


_KEEP_RECEIPT: Final = """
INSERT INTO gatekeeper_receipts AS r (customer, key, fingerprint, result, created_at)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (customer, key) DO UPDATE SET result = excluded.result, created_at = excluded.created_at
WHERE r.fingerprint = excluded.fingerprint
"""


def post_to_sqlite(connection: Connection, postings: Sequence[Posting]) -> None:
    """Write the accounts, entries, holds and receipts of postings.

    Raises:
        TransactionConflictError: an account is not as it was read, or a hold has ended.
        InvalidInputError: a text can't be stored.
    """
    _write(connection, _SAVE_ACCOUNT, [_account(posting) for posting in postings])
    _write(connection, _ADD_ENTRY, [_entry(entry) for p in postings for entry in p.entries])
    _write(connection, _ADD_HOLD, [_made(hold) for p in postings for hold in p.made.values()])
    _write(
        connection, _SAVE_HOLD, [_changed(hold) for p in postings for hold in p.changed.values()]
    )
    _write(connection, _KEEP_RECEIPT, [_receipt(one) for p in postings for one in p.receipts])


def _write(connection: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    written = connection.exec_driver_sql(statement, rows if len(rows) > 1 else rows[0]).rowcount
    if written != len(rows):
        raise TransactionConflictError("An account or a hold changed after it was read.")


def _account(posting: Posting) -> tuple[Any, ...]:
    before, after = posting.before, posting.after
    return (*_account_values(after), *posting.key, before.revision, before.version)


def _account_values(account: Account) -> tuple[Any, ...]:
    return (
        account.posted,
        account.held,
        account.debt,
        account.version,
        packed(account.grants),
        packed(account.received),
        micros(account.last_entry_at),
        account.revision,
        pack_standing(account),
        micros(account.notice_due_at),
    )


def _entry(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.customer,
        entry.unit,
        entry.sequence,
        entry.kind.value,
        micros(entry.at),
        entry.posted_delta,
        entry.held_delta,
        entry.debt_delta,
        entry.grant_id,
        entry.hold_id,
        free_text(entry.actor),
        free_text(entry.feature),
        free_text(entry.reference),
        free_text(entry.scope),
        free_text(entry.metadata),
    )


def _made(hold: Hold) -> tuple[Any, ...]:
    return (
        hold.customer,
        hold.unit,
        hold.id,
        hold.amount,
        packed(hold.allocations),
        micros(hold.created_at),
        micros(hold.expires_at),
        hold.status.value,
        hold.captured,
        hold.overrun,
        hold.cost_numerator,
        hold.cost_denominator,
        micros(hold.ended_at),
        free_text(hold.actor),
        free_text(hold.feature),
        free_text(hold.reference),
        free_text(hold.scope),
        free_text(hold.metadata),
        None if hold.formula is None else packed(hold.formula),
    )


def _receipt(receipt: Receipt) -> tuple[Any, ...]:
    return (
        receipt.customer,
        receipt.key,
        receipt.fingerprint,
        receipt.result,
        micros(receipt.created_at),
    )


def _changed(hold: Hold) -> tuple[Any, ...]:
    return (
        hold.amount,
        packed(hold.allocations),
        micros(hold.expires_at),
        hold.status.value,
        hold.captured,
        hold.overrun,
        micros(hold.ended_at),
        hold.customer,
        hold.id,
        hold.unit,
    )
