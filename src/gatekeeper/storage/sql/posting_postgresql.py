"""Writing postings to PostgreSQL: any number of accounts in one statement.

Rows come as arrays, one for each column, and are unpacked by `unnest`
(https://www.postgresql.org/docs/current/functions-array.html). Everything hangs on `saved`, the
accounts whose row was as it had been read: what belongs to another account is not written, and its
key is not returned. Nothing waits: an account that somebody else has locked counts as changed.

The statement stands by itself, so that it needs no transaction around it, and is the same inside
one. A hold that is not open any more would contradict its account: the division by zero then makes
PostgreSQL take back the whole statement. (`status || ''` keeps the planner from the index of open
holds, in which every hold of the account that was settled lately is still to be stepped over.)
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

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

    def unnest(self, first: int, place: Place) -> str:
        """`unnest(...) AS x(...)`, from the parameters that begin with number `first`."""
        arrays = (f"CAST({place(first + i)} AS {of}[])" for i, of in enumerate(self.types))
        return f"unnest({', '.join(arrays)}) AS x({', '.join(self.names)})"

    def listed(self, prefix: str = "") -> str:
        """The names of all columns but the first, `n`, for a statement."""
        return ", ".join(prefix + name for name in self.names[1:])

    def arrays(self, rows: Sequence[tuple[Any, ...]]) -> list[Sequence[Any]]:
        """The rows, turned into one sequence for each column."""
        return list(zip(*rows, strict=True)) if rows else [()] * len(self.names)


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

_FIRST_ENTRY: Final = 1 + len(_ACCOUNTS.names)
_FIRST_MADE: Final = _FIRST_ENTRY + len(_ENTRIES.names)
_FIRST_CHANGED: Final = _FIRST_MADE + len(_MADE.names)
_EARLIEST: Final = _FIRST_CHANGED + len(_CHANGED.names)
_LATEST: Final = _EARLIEST + 1

PARAMETERS: Final = _LATEST
"""How many parameters the statement has."""


def statement(place: Place) -> str:
    """The statement, which returns the numbers of the postings that were written, and the time.

    It writes nothing unless the database's clock is between the last two parameters; one that is
    NULL is no bound.
    """
    return f"""
WITH wanted AS MATERIALIZED (SELECT * FROM {_ACCOUNTS.unnest(1, place)}),
locked AS MATERIALIZED (
  SELECT w.* FROM wanted w
  JOIN gatekeeper_accounts a ON a.customer = w.customer AND a.unit = w.unit
  WHERE a.revision = w.revision_before AND a.version = w.version_before
    AND (w.customer_version IS NULL OR w.customer_version = (
      SELECT c.version FROM gatekeeper_customers c WHERE c.id = w.customer))
    AND clock_timestamp() >= coalesce(CAST({place(_EARLIEST)} AS timestamptz), '-infinity')
    AND clock_timestamp() <= coalesce(CAST({place(_LATEST)} AS timestamptz), 'infinity')
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
),
written AS (
  INSERT INTO gatekeeper_entries (customer, unit, {_ENTRIES.listed()})
  SELECT s.customer, s.unit, {_ENTRIES.listed("x.")}
  FROM {_ENTRIES.unnest(_FIRST_ENTRY, place)} JOIN saved s ON s.n = x.n
),
made AS (
  INSERT INTO gatekeeper_holds (customer, unit, {_MADE.listed()})
  SELECT s.customer, s.unit, {_MADE.listed("x.")}
  FROM {_MADE.unnest(_FIRST_MADE, place)} JOIN saved s ON s.n = x.n
),
changing AS MATERIALIZED (
  SELECT s.customer, s.unit, x.*
  FROM {_CHANGED.unnest(_FIRST_CHANGED, place)} JOIN saved s ON s.n = x.n
),
changed AS (
  UPDATE gatekeeper_holds h SET
    amount = x.amount, allocations = x.allocations, expires_at = x.expires_at,
    status = x.status, captured = x.captured, overrun = x.overrun, ended_at = x.ended_at
  FROM changing x
  WHERE h.customer = x.customer AND h.id = x.id AND h.unit = x.unit AND h.status || '' = 'open'
  RETURNING 1
)
SELECT (SELECT array_agg(n) FROM saved), clock_timestamp(),
  1 / CASE WHEN (SELECT count(*) FROM changed) = (SELECT count(*) FROM changing)
      THEN 1 ELSE 0 END
"""  # noqa: S608 - the names are constants of this module; values are parameters


def parameters(
    postings: Sequence[Posting], earliest: datetime | None, latest: datetime | None
) -> list[Any]:
    """The parameters of the statement. Of each posting: the account, its entries and holds; what
    else it has is not written."""
    accounts: list[tuple[Any, ...]] = []
    entries: list[tuple[Any, ...]] = []
    made: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    for n, posting in enumerate(postings):
        accounts.append(_account_row(n, posting))
        entries += [_entry_row(n, entry) for entry in posting.entries]
        made += [_made_row(n, hold) for hold in posting.made.values()]
        changed += [_changed_row(n, hold) for hold in posting.changed.values()]
    return [
        *_ACCOUNTS.arrays(accounts),
        *_ENTRIES.arrays(entries),
        *_MADE.arrays(made),
        *_CHANGED.arrays(changed),
        earliest,
        latest,
    ]


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
