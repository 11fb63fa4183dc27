"""Writing postings to PostgreSQL: any number of accounts in one statement.

Its parameters are the rows of `posting_rows`. Everything hangs on `saved`, the accounts whose row
was as it had been read: what belongs to another account is not written, and its key is not
returned. Nothing waits: an account that somebody else has locked counts as changed.

The statement stands by itself, so that it needs no transaction around it, and is the same inside
one. A hold that is not open any more would contradict its account, and an idempotency key that was
used for something else meanwhile its receipt: the division by zero then makes PostgreSQL take back
the whole statement. (`status || ''` keeps the planner from the index of open holds, in which every
hold of the account that was settled lately is still to be stepped over.)
"""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gatekeeper.storage.postings import Posting
from gatekeeper.storage.sql.posting_rows import (
    ACCOUNTS,
    CHANGED,
    ENTRIES,
    MADE,
    RECEIPTS,
    Place,
    Rows,
    account_row,
    changed_row,
    entry_row,
    made_row,
    receipt_row,
)


class Shape(NamedTuple):
    """What a statement has to write: a single row of each kind or any number of them, and whether
    there are holds to insert and to update, and receipts.

    Each shape is a statement of its own: arrays of nothing, and of one, cost more than they carry.
    """

    single: bool
    makes: bool
    changes: bool
    keeps: bool


def shape_of(postings: Sequence[Posting]) -> Shape:
    """The shape of the statement that writes these postings."""
    if len(postings) == 1:
        one = postings[0]
        single = len(one.entries) == 1 and max(map(len, (one.made, one.changed, one.receipts))) <= 1
        return Shape(single, bool(one.made), bool(one.changed), bool(one.receipts))
    return Shape(
        False,
        any(posting.made for posting in postings),
        any(posting.changed for posting in postings),
        any(posting.receipts for posting in postings),
    )


@functools.cache
def statement(shape: Shape, place: Place) -> str:
    """The statement, which returns the numbers of the postings that were written, and the time.

    It writes nothing unless the database's clock is between its first two parameters; one that is
    NULL is no bound.
    """
    single = shape.single
    first_entry = 3 + len(ACCOUNTS.names)
    first_made = first_entry + len(ENTRIES.names)
    first_changed = first_made + (len(MADE.names) if shape.makes else 0)
    first_receipt = first_changed + (len(CHANGED.names) if shape.changes else 0)
    parts = [_save_accounts(ACCOUNTS.source(3, place, single=single), place)]
    parts.append(_add("written", "entries", ENTRIES, first_entry, place, single=single))
    found = "(SELECT array_agg(n) FROM saved), clock_timestamp()"
    if shape.makes:
        parts.append(_add("made", "holds", MADE, first_made, place, single=single))
    if shape.changes:
        parts.append(_change_holds(CHANGED.source(first_changed, place, single=single)))
        found += f", {_all_of('changed', 'changing')}"
    if shape.keeps:
        parts.append(_keep_receipts(RECEIPTS.source(first_receipt, place, single=single)))
        found += f", {_all_of('kept', 'keeping')}"
    return f"WITH {', '.join(parts)} SELECT {found}"


# Every name in these is a constant, here or in `posting_rows`; values are parameters.


def _save_accounts(source: str, place: Place) -> str:
    return f"""
wanted AS MATERIALIZED (SELECT * FROM {source}),
locked AS MATERIALIZED (
  SELECT w.* FROM wanted w
  JOIN gatekeeper_accounts a ON a.customer = w.customer AND a.unit = w.unit
  WHERE a.revision = w.revision_before AND a.version = w.version_before
    AND (w.customer_version IS NULL OR w.customer_version = (
      SELECT c.version FROM gatekeeper_customers c WHERE c.id = w.customer))
    AND clock_timestamp() >= coalesce(CAST({place(1)} AS timestamptz), '-infinity')
    AND clock_timestamp() <= coalesce(CAST({place(2)} AS timestamptz), 'infinity')
  FOR NO KEY UPDATE OF a SKIP LOCKED
),
saved AS (
  UPDATE gatekeeper_accounts a SET
    posted = w.posted, held = w.held, debt = w.debt, version = w.version, grants = w.grants,
    received = w.received, last_entry_at = w.last_entry_at, revision = w.revision,
    standing = w.standing, notice_due_at = w.notice_due_at
  FROM locked w
  WHERE a.customer = w.customer AND a.unit = w.unit
  RETURNING w.n, w.customer, w.unit
)"""  # noqa: S608 - constants, see above


def _add(name: str, table: str, rows: Rows, first: int, place: Place, *, single: bool) -> str:
    return f"""
{name} AS (
  INSERT INTO gatekeeper_{table} (customer, unit, {rows.listed()})
  SELECT s.customer, s.unit, {rows.listed("x.")}
  FROM {rows.source(first, place, single=single)} JOIN saved s ON s.n = x.n
)"""  # noqa: S608 - constants, see above


def _change_holds(source: str) -> str:
    return f"""
changing AS MATERIALIZED (
  SELECT s.customer, s.unit, x.* FROM {source} JOIN saved s ON s.n = x.n
),
changed AS (
  UPDATE gatekeeper_holds h SET
    amount = x.amount, allocations = x.allocations, expires_at = x.expires_at,
    status = x.status, captured = x.captured, overrun = x.overrun, ended_at = x.ended_at
  FROM changing x
  WHERE h.customer = x.customer AND h.id = x.id AND h.unit = x.unit AND h.status || '' = 'open'
  RETURNING 1
)"""  # noqa: S608 - constants, see above


def _keep_receipts(source: str) -> str:
    """A receipt of another request under the same key is one that was not there when it was looked
    for, and stays: then the count is not right."""
    return f"""
keeping AS MATERIALIZED (SELECT s.customer, x.* FROM {source} JOIN saved s ON s.n = x.n),
kept AS (
  INSERT INTO gatekeeper_receipts AS r (customer, key, fingerprint, result, created_at)
  SELECT x.customer, x.key, x.fingerprint, x.result, x.created_at FROM keeping x
  ON CONFLICT (customer, key) DO UPDATE SET
    result = excluded.result, created_at = excluded.created_at
  WHERE r.fingerprint = excluded.fingerprint
  RETURNING 1
)"""  # noqa: S608 - constants, see above


def _all_of(done: str, wanted: str) -> str:
    return (
        f"1 / CASE WHEN (SELECT count(*) FROM {done}) = (SELECT count(*) FROM {wanted}) "  # noqa: S608
        "THEN 1 ELSE 0 END"
    )


def parameters(
    postings: Sequence[Posting], earliest: datetime | None, latest: datetime | None
) -> tuple[Shape, list[Any]]:
    """The shape of the statement, and its parameters. Of each posting: the account, its entries,
    holds and receipts; its grants and caps are not written."""
    shape = shape_of(postings)
    single = shape.single
    accounts: list[tuple[Any, ...]] = []
    entries: list[tuple[Any, ...]] = []
    made: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    receipts: list[tuple[Any, ...]] = []
    for n, posting in enumerate(postings):
        accounts.append(account_row(n, posting))
        entries += [entry_row(n, entry) for entry in posting.entries]
        made += [made_row(n, hold) for hold in posting.made.values()]
        changed += [changed_row(n, hold) for hold in posting.changed.values()]
        receipts += [receipt_row(n, receipt) for receipt in posting.receipts]
    values = [earliest, latest, *ACCOUNTS.cells(accounts, single=single)]
    values += ENTRIES.cells(entries, single=single)
    if shape.makes:
        values += MADE.cells(made, single=single)
    if shape.changes:
        values += CHANGED.cells(changed, single=single)
    if shape.keeps:
        values += RECEIPTS.cells(receipts, single=single)
    return shape, values
