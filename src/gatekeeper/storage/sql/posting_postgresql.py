"""Writing postings to PostgreSQL: any number of accounts in one statement.

Rows come as arrays, one for each column, and are unpacked by `unnest`
(https://www.postgresql.org/docs/current/functions-array.html). Everything hangs on `saved`, the
accounts whose row was as it had been read: what belongs to another account is not written, and its
key is not returned. Nothing waits: an account that somebody else has locked counts as changed.

The statement stands by itself, so that it needs no transaction around it, and is the same inside
one. A hold that is not open any more would contradict its account, and an idempotency key that was
used for something else meanwhile its receipt: the division by zero then makes PostgreSQL take back
the whole statement. (`status || ''` keeps the planner from the index of open
holds, in which every hold of the account that was settled lately is still to be stepped over.)
"""

import functools
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from gatekeeper.ledger import Entry, Hold
from gatekeeper.storage.postings import Posting
from gatekeeper.storage.sql.packing import pack_standing, packed

Place = Callable[[int], str]
"""How a driver names the parameter of a number, counted from 1."""


class Rows:
    """The columns of one kind of row, with their PostgreSQL types."""

    def __init__(self, **types: str) -> None:
        self.names = tuple(types)
        self.types = tuple(types.values())

    def source(self, first: int, place: Place, *, single: bool) -> str:
        """The rows as a table `x`, from the parameters that begin with number `first`: one for each
        cell of a single row, or an array for each column."""
        array = "" if single else "[]"
        cells = ", ".join(
            f"CAST({place(first + i)} AS {of}{array})" for i, of in enumerate(self.types)
        )
        rows = f"(VALUES ({cells}))" if single else f"unnest({cells})"
        return f"{rows} AS x({', '.join(self.names)})"

    def listed(self, prefix: str = "") -> str:
        """The names of all columns but the first, `n`, for a statement."""
        return ", ".join(prefix + name for name in self.names[1:])

    def cells(self, rows: Sequence[tuple[Any, ...]], *, single: bool) -> Sequence[Any]:
        """The parameters of `source`."""
        if single:
            return rows[0]
        if not rows:
            return [[] for _ in self.names]
        return [list(column) for column in zip(*rows, strict=True)]  # psycopg takes no tuples


_ACCOUNTS: Final = Rows(
    n="int",
    customer="text",
    unit="text",
    revision_before="bigint",
    version_before="bigint",
    customer_version="bigint",
    posted="bigint",
    held="bigint",
    debt="bigint",
    version="bigint",
    grants="text",
    received="text",
    last_entry_at="timestamptz",
    revision="bigint",
    standing="text",
    notice_due_at="timestamptz",
)
_ENTRIES: Final = Rows(
    n="int",
    sequence="bigint",
    kind="text",
    at="timestamptz",
    posted_delta="bigint",
    held_delta="bigint",
    debt_delta="bigint",
    grant_id="text",
    hold_id="text",
    actor="text",
    feature="text",
    reference="text",
    scope="text",
    metadata="text",
)
_MADE: Final = Rows(
    n="int",
    id="text",
    amount="bigint",
    allocations="text",
    created_at="timestamptz",
    expires_at="timestamptz",
    status="text",
    captured="bigint",
    overrun="bigint",
    cost_numerator="bigint",
    cost_denominator="bigint",
    ended_at="timestamptz",
    actor="text",
    feature="text",
    reference="text",
    scope="text",
    metadata="text",
    formula="text",
)
_CHANGED: Final = Rows(
    n="int",
    id="text",
    amount="bigint",
    allocations="text",
    expires_at="timestamptz",
    status="text",
    captured="bigint",
    overrun="bigint",
    ended_at="timestamptz",
)


_RECEIPTS: Final = Rows(
    n="int",
    key="text",
    fingerprint="text",
    result="text",
    created_at="timestamptz",
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
    first_entry = 3 + len(_ACCOUNTS.names)
    first_made = first_entry + len(_ENTRIES.names)
    first_changed = first_made + (len(_MADE.names) if shape.makes else 0)
    first_receipt = first_changed + (len(_CHANGED.names) if shape.changes else 0)
    parts = [_save_accounts(_ACCOUNTS.source(3, place, single=single), place)]
    parts.append(_add("written", "entries", _ENTRIES, first_entry, place, single=single))
    found = "(SELECT array_agg(n) FROM saved), clock_timestamp()"
    if shape.makes:
        parts.append(_add("made", "holds", _MADE, first_made, place, single=single))
    if shape.changes:
        parts.append(_change_holds(_CHANGED.source(first_changed, place, single=single)))
        found += f", {_all_of('changed', 'changing')}"
    if shape.keeps:
        parts.append(_keep_receipts(_RECEIPTS.source(first_receipt, place, single=single)))
        found += f", {_all_of('kept', 'keeping')}"
    return f"WITH {', '.join(parts)} SELECT {found}"


# Every name in these is a constant of this module; values are parameters.


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
)"""  # noqa: S608 - constants of this module


def _add(name: str, table: str, rows: Rows, first: int, place: Place, *, single: bool) -> str:
    return f"""
{name} AS (
  INSERT INTO gatekeeper_{table} (customer, unit, {rows.listed()})
  SELECT s.customer, s.unit, {rows.listed("x.")}
  FROM {rows.source(first, place, single=single)} JOIN saved s ON s.n = x.n
)"""  # noqa: S608 - constants of this module


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
)"""  # noqa: S608 - constants of this module


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
)"""  # noqa: S608 - constants of this module


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
        accounts.append(_account_row(n, posting))
        entries += [_entry_row(n, entry) for entry in posting.entries]
        made += [_made_row(n, hold) for hold in posting.made.values()]
        changed += [_changed_row(n, hold) for hold in posting.changed.values()]
        receipts += [(n, r.key, r.fingerprint, r.result, r.created_at) for r in posting.receipts]
    values = [earliest, latest, *_ACCOUNTS.cells(accounts, single=single)]
    values += _ENTRIES.cells(entries, single=single)
    if shape.makes:
        values += _MADE.cells(made, single=single)
    if shape.changes:
        values += _CHANGED.cells(changed, single=single)
    if shape.keeps:
        values += _RECEIPTS.cells(receipts, single=single)
    return shape, values


def _account_row(n: int, posting: Posting) -> tuple[Any, ...]:
    before, after = posting.before, posting.after
    return (
        n,
        before.customer,
        before.unit,
        before.revision,
        before.version,
        posting.customer_version,
        after.posted,
        after.held,
        after.debt,
        after.version,
        packed(after.grants),
        packed(after.received),
        after.last_entry_at,
        after.revision,
        pack_standing(after),
        after.notice_due_at,
    )


def _entry_row(n: int, entry: Entry) -> tuple[Any, ...]:
    return (
        n,
        entry.sequence,
        entry.kind.value,
        entry.at,
        entry.posted_delta,
        entry.held_delta,
        entry.debt_delta,
        entry.grant_id,
        entry.hold_id,
        entry.actor,
        entry.feature,
        entry.reference,
        entry.scope,
        entry.metadata,
    )


def _made_row(n: int, hold: Hold) -> tuple[Any, ...]:
    return (
        n,
        hold.id,
        hold.amount,
        packed(hold.allocations),
        hold.created_at,
        hold.expires_at,
        hold.status.value,
        hold.captured,
        hold.overrun,
        hold.cost_numerator,
        hold.cost_denominator,
        hold.ended_at,
        hold.actor,
        hold.feature,
        hold.reference,
        hold.scope,
        hold.metadata,
        None if hold.formula is None else packed(hold.formula),
    )


def _changed_row(n: int, hold: Hold) -> tuple[Any, ...]:
    return (
        n,
        hold.id,
        hold.amount,
        packed(hold.allocations),
        hold.expires_at,
        hold.status.value,
        hold.captured,
        hold.overrun,
        hold.ended_at,
    )
